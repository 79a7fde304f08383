"""Calibration: p-values where nothing can have an effect.

Null screens are run with the very options of the analysis. Random groups of control cells, of the
sizes of the real ones, pose as perturbations of the other controls; the labels of all cells are
permuted within the levels of the categorical covariates; and, where guides are known, the cells of
each non-targeting guide pose as perturbed (as in sceptre), which alone can show that cells of one
guide have more in common than chance. In these no guide works, and the tests are those of total
effects. For direct effects labels are permuted too, and the counts of the gene that a label names
are thinned (``argen.checks.null.thinning``). Screens are taken as independent of each other, so
that errors come from how they differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import chdtri

from argen.arrays import BoolArray, FloatArray, IntArray
from argen.checks.guides import FEWEST_CELLS
from argen.checks.null.thinning import false_candidates, thinned
from argen.config import InferenceConfig
from argen.data import (
    CONTROL,
    PerturbSeqData,
    is_categorical,
    only_cells,
    perturbations_of,
)
from argen.errors import counted
from argen.network import Finding
from argen.pvalues import adjust, inflation_needed, quantile_table
from argen.steps import call_edges, order_genes, screen_descendants, search_parents

# Null screens use no more genes than this, nodes first.
MOST_GENES = 100
FEWEST_SCREENS, MOST_SCREENS = 20, 400
# Of non-targeting guides that pose as perturbations, and of the cells of each.
FEWEST_GUIDES = 3
TOTAL, DIRECT = "total effects", "direct effects"
# Larger shares count as inflated, when they are also this many standard errors above nominal. Those
# of direct effects depend on how heavy the tails of single genes are: in 288 screens of 30 genes
# that hold their size together, one in a hundred is beyond these.
LARGEST_SHARES = {TOTAL: {0.05: 0.055, 0.001: 0.002}, DIRECT: {0.05: 0.075, 0.001: 0.005}}
MOST_ERRORS = 3.0
_HOLDS = "p-values hold (the screen finds nothing where there is nothing)"


@dataclass(frozen=True, slots=True)
class NullScreens:
    """What screens without effects gave."""

    kind: str
    tests: str  # of total or of direct effects
    p_values: list[FloatArray] = field(default_factory=list)  # of each screen
    # What each screen found, adjusted as ever, and all of it false: descendants, or edges.
    n_found: list[int] = field(default_factory=list)

    def row(self) -> dict[str, object]:
        """Sum up: shares of small p-values with their errors, inflation, false discoveries."""
        p = np.concatenate(self.p_values)
        row: dict[str, object] = {"kind": self.kind, "tests": self.tests}
        row["n_screens"] = len(self.p_values)
        row |= {"n_tests": len(p), "inflation": chdtri(1, np.median(p)) / chdtri(1, 0.5)}
        for level in LARGEST_SHARES[self.tests]:
            share, error = self._share(level)
            row |= {f"share_below_{level:g}": share, f"error_below_{level:g}": error}
        row["inflation_needed"] = self.inflation_needed() if self.inflated() else 1.0
        with_any = float(np.mean(np.array(self.n_found) > 0))
        row |= {"false_discoveries": sum(self.n_found), "screens_with_any": with_any}
        return row | {"verdict": self.verdict()}

    def _share(self, level: float) -> tuple[float, float]:
        n_below = np.array([np.sum(p < level) for p in self.p_values], dtype=np.float64)
        sizes = np.array([len(p) for p in self.p_values], dtype=np.float64)
        share = n_below.sum() / sizes.sum()
        # Of a ratio, over screens that are independent given the cells.
        left, n = n_below - share * sizes, len(sizes)
        return float(share), float(np.sqrt(n / (n - 1) * (left**2).sum()) / sizes.sum())

    def inflated(self) -> dict[float, str]:
        """Return the levels whose shares are beyond what they may be, and these in words."""
        found = {}
        for level, largest in LARGEST_SHARES[self.tests].items():
            share, error = self._share(level)
            if share > largest and share - level > MOST_ERRORS * error:
                found[level] = f"{100 * share:.2g} % of p-values are below {level:g}"
        return found

    def verdict(self) -> str:
        """Say in words whether p-values hold."""
        if self.inflated():
            return "p-values are too small"
        large = [self._share(level)[0] > most for level, most in LARGEST_SHARES[self.tests].items()]
        if any(large):
            return "more small p-values than expected, but no more than chance may bring"
        return "p-values hold"

    def inflation_needed(self) -> float:
        """Return what statistics must be divided by, 1 or more; by every level that is inflated."""
        p_values = np.concatenate(self.p_values)
        at_all = inflation_needed(p_values, list(LARGEST_SHARES[self.tests]))
        return max(at_all, inflation_needed(p_values, list(self.inflated()), fewest=0))


def null_screens(
    data: PerturbSeqData,
    config: InferenceConfig,
    *,
    n_tests: int,
    rng: np.random.Generator,
    left: FloatArray | None = None,
) -> list[NullScreens]:
    """Run null screens of each kind until it has about so many tests.

    Controls do not pose where half of them are fewer than the cells of any perturbation, nor
    where cells carry several, as they would carry one each. Direct effects have fewer tests where
    cells carry several perturbations, and with negative-binomial fits. Those of non-targeting
    guides are one for each; there are none unless the controls have three guides of ten cells or
    more.

    Parameters
    ----------
    left
        (n_nodes,) share of its own gene that each perturbation leaves, for tests of direct
        effects; without it there are none.

    Raises
    ------
    InputError
        When the covariates cannot be coded in the controls alone.
    """
    data, nodes = _with_few_genes(data, rng)
    controls = np.bincount(data.perturbations.indices, minlength=data.n_cells) == 0
    strata = _strata(data.covariates)
    found, sizes = [], data.n_perturbed
    alone = only_cells(data, np.flatnonzero(controls)) if data.one_per_cell else None
    if alone is not None and alone.n_cells // 2 >= sizes.min():  # else groups are not the screen's
        found.append(_run("controls", lambda: _posing(alone, sizes, rng), config, n_tests))
    found.append(
        _run("permuted labels", lambda: _permuted(data, strata, rng), config, n_tests),
    )
    if alone is not None and alone.guides is not None:
        of_cell = alone.guides.labels()
        n_cells = pd.Series(of_cell[of_cell != ""]).value_counts(sort=False)
        enough = n_cells.index[n_cells >= FEWEST_CELLS]
        if len(enough) >= FEWEST_GUIDES:
            found.append(NullScreens("non-targeting guides", TOTAL))
            for guide in enough:
                _add_screen(found[-1], _posing_as(alone, of_cell == guide), config)
    if left is not None:
        shares = np.nan_to_num(left[nodes], nan=1.0)
        found.append(NullScreens("permuted labels, thinned", DIRECT))
        # What is fitted on dense designs takes a second a screen: the fewest of them.
        is_fast = data.one_per_cell and config.family == "poisson"
        for _ in _rounds(found[-1], n_tests if is_fast else 1):
            permuted = _permuted(data, strata, rng)
            _add_pipeline(found[-1], thinned(permuted, shares, rng), config, rng)
    return found


def _run(
    kind: str, draw: Callable[[], PerturbSeqData], config: InferenceConfig, n_tests: int
) -> NullScreens:
    found = NullScreens(kind, TOTAL)
    for _ in _rounds(found, n_tests):
        _add_screen(found, draw(), config)
    return found


def _rounds(found: NullScreens, n_tests: int) -> Iterator[int]:
    """Count screens until there are enough."""
    for number in range(MOST_SCREENS):
        if number >= FEWEST_SCREENS and sum(map(len, found.p_values)) >= n_tests:
            return
        yield number


def _add_screen(found: NullScreens, data: PerturbSeqData, config: InferenceConfig) -> None:
    screen = screen_descendants(data, config)
    p = np.concatenate([screen.p_value[screen.pairs], screen.knockdown.p_value])
    found.p_values.append(p[np.isfinite(p)])
    # All are null alike: one family, where the screen has nodes and sinks apart.
    p_adjusted = adjust(found.p_values[-1], config.screen_adjustment)
    found.n_found.append(int(np.sum(p_adjusted < config.level_of_screen)))


def _add_pipeline(
    found: NullScreens, data: PerturbSeqData, config: InferenceConfig, rng: np.random.Generator
) -> None:
    """Test direct effects of candidates that are none, and count the edges that are called.

    The screen itself leaves hardly any candidates where there are no effects.
    """
    given = false_candidates(data.n_nodes, len(data.genes), rng)
    p = search_parents(data, given, config).effects.p_value
    found.p_values.append(p[np.isfinite(p)])
    screen = screen_descendants(data, config)
    order = order_genes(screen, config)
    selection, _, _ = call_edges(search_parents(data, order, config), screen, order, config)
    found.n_found.append(int(selection.selected.sum()))


def _posing(controls: PerturbSeqData, sizes: IntArray, rng: np.random.Generator) -> PerturbSeqData:
    """Let random controls pose as perturbed, half of them at most, in groups of real sizes."""
    free, label = controls.n_cells // 2, 0
    cells = rng.permutation(controls.n_cells)
    labels = np.full(controls.n_cells, CONTROL)
    for size in rng.permutation(sizes).tolist():
        taken = min(size, free) if label == 0 else size
        if taken > free:
            continue
        labels[cells[:taken]], cells, free = label, cells[taken:], free - taken
        label += 1
    perturbations = perturbations_of(labels, label)
    return replace(controls, n_nodes=label, perturbations=perturbations, guides=None)


def _posing_as(controls: PerturbSeqData, posing: BoolArray) -> PerturbSeqData:
    """Let some of the control cells pose as one perturbation."""
    labels = np.where(posing, 0, CONTROL)
    return replace(controls, n_nodes=1, perturbations=perturbations_of(labels, 1), guides=None)


def _permuted(data: PerturbSeqData, strata: IntArray, rng: np.random.Generator) -> PerturbSeqData:
    """Permute what the cells carry within each stratum."""
    source = np.arange(data.n_cells)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        source[members] = rng.permutation(members)
    permuted = sparse.csc_array(sparse.csr_array(data.perturbations)[source])
    permuted.sort_indices()
    guides = None if data.guides is None else data.guides.take(source)
    return replace(data, perturbations=permuted, guides=guides)


def _strata(covariates: pd.DataFrame) -> IntArray:
    """Code the combinations of levels of the categorical covariates: (n_cells,)."""
    names = [name for name in covariates.columns if is_categorical(covariates[name])]
    if not names:
        return np.zeros(len(covariates), dtype=np.int64)
    codes = covariates.groupby(names, observed=True, sort=False).ngroup()
    return np.asarray(codes, dtype=np.int64)


def _with_few_genes(
    data: PerturbSeqData, rng: np.random.Generator
) -> tuple[PerturbSeqData, IntArray]:
    """Take a random choice of genes when there are many, and the cells of these nodes.

    Returns the screen, and the numbers of its nodes.
    """
    n_sinks = len(data.sinks)
    if len(data.genes) <= MOST_GENES:
        return data, np.arange(data.n_nodes)
    n_nodes = min(data.n_nodes, MOST_GENES)
    nodes = np.sort(rng.choice(data.n_nodes, n_nodes, replace=False))
    sinks = np.sort(rng.choice(n_sinks, min(n_sinks, MOST_GENES - n_nodes), replace=False))
    chosen = np.concatenate([nodes, data.n_nodes + sinks])
    carried = sparse.csr_array(data.perturbations)
    other = np.setdiff1d(np.arange(data.n_nodes), nodes)
    fewer = data.take(genes=chosen, n_nodes=n_nodes)
    if not data.one_per_cell:  # hardly a cell carries none of the others
        return fewer, nodes
    kept = np.asarray(carried[:, other].sum(axis=1)).reshape(-1) == 0
    return only_cells(fewer, np.flatnonzero(kept)), nodes


def calibration_table(screens: list[NullScreens]) -> pd.DataFrame:
    """Return one row for each kind of null screen."""
    return pd.DataFrame([each.row() for each in screens])


def calibration_quantiles(screens: list[NullScreens]) -> pd.DataFrame:
    """Return a QQ table for each kind of null screen."""
    parts = [quantile_table(np.concatenate(each.p_values), kind=each.kind) for each in screens]
    return pd.concat(parts, ignore_index=True)


def calibration_findings(screens: list[NullScreens], config: InferenceConfig) -> list[Finding]:
    """Say where p-values are inflated, and what to do."""
    needed = [each.inflation_needed() for each in screens if each.inflated()]
    inflation = math.ceil(100.0 * config.inflation * max(needed, default=1.0)) / 100.0
    return [
        Finding(
            _HOLDS,
            f"P-VALUES ARE INFLATED: in null screens ({each.kind}; "
            f"{counted(len(each.p_values), 'screen')}, {sum(map(len, each.p_values)):,} tests of "
            f"{each.tests}) {' and '.join(each.inflated().values())}.",
            f"{_first_remedy(each.tests, config)} infer again with "
            f"inflation={inflation:g} (--inflation {inflation:g}), which divides the test "
            "statistics so that null screens hold.",
            "serious",
        )
        for each in screens
        if each.inflated()
    ]


def _first_remedy(tests: str, config: InferenceConfig) -> str:
    """Name the default test where another one is in use."""
    used, default = (
        (config.test_of_screen, "screen_test='saddlepoint'")
        if tests == TOTAL
        else (config.test_of_parents, "parent_test='null-variance'")
    )
    if used == "wald":
        return f"Use the default, {default}, which holds its size. If that is not enough,"
    return (
        "Leave out groups of few cells and genes of few counts, look for cells that are counted "
        "twice and for batches that are no covariate, or"
    )
