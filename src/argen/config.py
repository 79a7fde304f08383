"""Options of the method in one frozen object."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any, Literal, get_args

from argen.errors import InputError, first_few, nearest

Adjustment = Literal["bh", "by", "holm", "bonferroni", "storey"]
EdgeAdjustment = Literal["batch_bh", "bh", "by", "holm", "bonferroni", "storey"]
EdgeScope = Literal["all", "target"]
Family = Literal["poisson", "nb"]
Rule = Literal["two-level", "published"]
ScreenTest = Literal["saddlepoint", "wald"]
ParentTest = Literal["null-variance", "wald"]
Errors = Literal["robust", "shrunk"]
WantedPrograms = int | Literal["auto"]
WantedPenetrance = Literal["auto", "full"]

_CHOICES: dict[str, Any] = {
    "screen_adjustment": Adjustment,
    "edge_adjustment": EdgeAdjustment,
    "edge_scope": EdgeScope,
    "family": Family,
    "rule": Rule,
    "screen_test": ScreenTest,
    "parent_test": ParentTest,
    "errors": Errors,
    "penetrance": WantedPenetrance,
}
# Share of the model's variance in the sandwiches, by the kind of errors.
_MODEL_SHARES = {"robust": 0.0, "shrunk": 0.5}
# Those that belong to the rule when they are left out.
_OF_RULE = ("screen_test", "parent_test", "penetrance")
# Options that the published rule alone knows, and what they are when left alone.
_OF_PUBLISHED = {"edge_adjustment": "batch_bh", "edge_scope": "all"}


def _number(name: str, value: Any) -> float:
    real = isinstance(value, Real) and not isinstance(value, bool)
    if name == "inflation":
        if not real or not 1 <= value < math.inf:
            raise InputError(f"inflation must be a number from 1, not {value!r}.")
    elif not real or not 0 < value < 1:
        raise InputError(f"{name} must be a number between 0 and 1, not {value!r}.")
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    """How to infer a network; validates itself.

    Parameters
    ----------
    alpha
        Level of the screen and of the edges.
    screen_alpha
        Level of the descendant screen; alpha when left out.
    edge_alpha
        Level of the selection of edges; alpha when left out.
    screen_adjustment
        How the p-values of all ordered pairs are adjusted, jointly.
    edge_adjustment
        Of the published rule: the online BatchBH rule over targets, or an adjustment of the
        p-values of candidates.
    edge_scope
        Of the published rule, for adjustments other than BatchBH: over all candidates at once,
        or within each target.
    family
        Count distribution of the parent search. The screen is a Poisson quasi-likelihood
        with robust errors, valid under overdispersion.
    rule
        What leads from tests to edges: "two-level" controls the false discovery rate of edges
        from end to end; "published" is the rule of the paper.
    screen_test
        Test of total effects: "saddlepoint", which holds its size at strict levels, or "wald", as
        in the paper; that of the rule when left out.
    parent_test
        Test of direct effects: "null-variance", which holds its size for few cells and finds more,
        or "wald", as in the paper; that of the rule when left out. See ``argen.search_parents``.
    errors
        Standard errors and intervals of direct effects: "robust", from squared residuals, as in
        the paper, or "shrunk", where half of each gives way to ``mu + phi mu^2``, phi from all
        cells of the gene. These hold where groups are small and counts heavy-tailed, and are
        longer than they need to be elsewhere.
    penetrance
        "auto": where cells are found to escape their guide, total effects are those in the cells
        where it works; "full": in all cells guides are taken to work. When left out, "auto" with
        the default rule and "full" with the published one. See
        ``argen.corrections.estimate_penetrance``.
    programs
        How many response programs to take out of total effects: "auto", as many as stand out from
        chance, or a number; when left out, "auto" with the default rule and 0 with the published
        one. See ``argen.corrections.find_programs``.
    inflation
        Divides the chi-square statistics of both tests, and multiplies squared standard errors:
        what null screens ask for where p-values are too small (``argen.checks.check``).
    confidence
        Coverage of the intervals in the tables.
    threads
        Threads of the compiled loops, and of reading on the command line; when left out, one
        for each core that the process may use. No result depends on it.
    """

    alpha: float = 0.05
    screen_alpha: float | None = None
    edge_alpha: float | None = None
    screen_adjustment: Adjustment = "bh"
    edge_adjustment: EdgeAdjustment = "batch_bh"
    edge_scope: EdgeScope = "all"
    family: Family = "poisson"
    rule: Rule = "two-level"
    screen_test: ScreenTest | None = None
    parent_test: ParentTest | None = None
    errors: Errors = "robust"
    penetrance: WantedPenetrance | None = None
    programs: WantedPrograms | None = None
    inflation: float = 1.0
    confidence: float = 0.95
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("alpha", "screen_alpha", "edge_alpha", "confidence", "inflation"):
            value = getattr(self, name)
            if value is not None or not name.endswith("_alpha"):
                object.__setattr__(self, name, _number(name, value))
        for name, choices in _CHOICES.items():
            value, known = getattr(self, name), get_args(choices)
            if value not in known and not (value is None and name in _OF_RULE):
                raise InputError(
                    f"{name} must be one of {first_few(known, len(known))}, not {value!r}."
                    f"{nearest(str(value), known)}"
                )
        for name, default in _OF_PUBLISHED.items():
            value = getattr(self, name)
            if self.rule != "published" and value != default:
                raise InputError(
                    f"{name} {value!r} belongs to the published rule; the rule is {self.rule!r}. "
                    f"Choose rule='published' too, or leave {name} out."
                )
        for name, least, other in (("threads", 1, ""), ("programs", 0, ", or 'auto'")):
            value = getattr(self, name)
            if value is not None and not (other and value == "auto"):
                whole = isinstance(value, Integral) and not isinstance(value, bool)
                if not whole or value < least:
                    raise InputError(
                        f"{name} must be a whole number from {least}{other}, not {value!r}."
                    )
                object.__setattr__(self, name, int(value))

    @property
    def unused(self) -> tuple[str, ...]:
        """Options that the rule in force does not look at."""
        if self.rule != "published":
            return tuple(_OF_PUBLISHED)
        return ("edge_scope",) if self.edge_adjustment == "batch_bh" else ()

    @property
    def test_of_screen(self) -> ScreenTest:
        """``screen_test``, or that of the rule when it is not given."""
        if self.screen_test is not None:
            return self.screen_test
        return "saddlepoint" if self.rule == "two-level" else "wald"

    @property
    def test_of_parents(self) -> ParentTest:
        """``parent_test``, or that of the rule when it is not given."""
        if self.parent_test is not None:
            return self.parent_test
        return "null-variance" if self.rule == "two-level" else "wald"

    @property
    def wanted_penetrance(self) -> WantedPenetrance:
        """``penetrance``, or that of the rule when it is not given."""
        if self.penetrance is not None:
            return self.penetrance
        return "auto" if self.rule == "two-level" else "full"

    @property
    def wanted_programs(self) -> WantedPrograms:
        """``programs``, or that of the rule when it is not given."""
        if self.programs is not None:
            return self.programs
        return "auto" if self.rule == "two-level" else 0

    @property
    def model_share(self) -> float:
        """How much of the model's variance is in the standard errors of direct effects."""
        return _MODEL_SHARES[self.errors]

    @property
    def model_shares(self) -> tuple[float, ...]:
        """``model_share``, and that of the test of direct effects where it is another one."""
        of_test = self.model_share if self.test_of_parents == "wald" else _MODEL_SHARES["shrunk"]
        return tuple(dict.fromkeys((self.model_share, of_test)))

    @property
    def level_of_screen(self) -> float:
        """``screen_alpha``, or ``alpha`` when it is not given."""
        return self.alpha if self.screen_alpha is None else self.screen_alpha

    @property
    def level_of_edges(self) -> float:
        """``edge_alpha``, or ``alpha`` when it is not given."""
        return self.alpha if self.edge_alpha is None else self.edge_alpha

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain values, for tables and files."""
        return asdict(self)
