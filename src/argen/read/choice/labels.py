"""What labels of cells say: controls, guides, several perturbations. Functions of names alone.

Labels come in every spelling. Whether a reading of them is right is decided by evidence: how many
labels, read so, are names of measured genes. No answer depends on the order of the labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

# Of a control guide; perhaps of one, perhaps of no guide; of no guide that was seen; of several.
Kind = Literal["control", "perhaps", "no guide", "several"]

# What is left of a label without its case, signs, and number: guides that target nothing, or a
# place in the genome, or a gene of another species, where nothing comes of it.
_CONTROL = re.compile(
    r"ntc?|nt(?:ctrl|control)|nontarget[a-z0-9]*|neg|neg(?:ative)?(?:ctrl|ctl|control)[a-z]*"
    r"|scr|scrambled?(?:ctrl|control)?|safe(?:target(?:ing)?|harbou?r)?(?:ctrl|control)?|aavs1?"
    r"|rosa26|(?:one)?intergenic(?:site)?|(?:one)?nongene(?:site)?|nosite|nonspecific|noncutting"
    r"|f?luc(?:iferase)?|lacz|e?gfp|[erb]fp|mcherry|gal4[a-z0-9]*|62mod(?:pba581)?"
    r"|(?:ctrl|control)(?:guide|grna|sgrna)"
)
_PERHAPS = re.compile(
    r"(?:ctrl|ctl|control)s?|wt|wildtype|unperturbed|untreated|untrans(?:duced|fected)|uninfected"
    r"|mock|parental"
)
_NO_GUIDE = re.compile(
    r"none[a-z]*|no(?:s?grna|guide|call|confidentcall|perturbation|protospacer)[a-z]*|unassigned"
    r"|notassigned|unknown|undetermined|undetected|notdetected|na|nan|null|negative|unmapped"
    r"|missing|empty|blank|unlabell?ed|"
)
_SEVERAL = re.compile(r"doublets?|multiplets?|multi(?:ple)?[a-z]*|several|ambiguous")
_NOT_ALNUM = re.compile(r"[^a-z0-9]+")
_NUMBER_OF_GUIDE = re.compile(r"(?:sg|g|grna|sgrna|guide)?[0-9]*$")
_PREFIX_OF_GUIDE = re.compile(r"^(?:sgrna|grna|guide|sg)")
# Dixit et al. 2016: p_sgELK1_2, m_Rela_3.
_PREFIX_OF_PLASMID = re.compile(r"^[pm]_")
# So that no label of a hostile file is long to look at.
_LONGEST = 200
_MOST_LABELS = 20_000

_GUIDE = r"(?:sgRNA|gRNA|guide|crRNA|sg|g)"
_TARGET = r"(?P<target>.+?)"
# The first of those that explain as many labels is taken, so the plainer come first.
_RULES = (
    r"^(?P<target>.+)g[0-9]+$",
    r"^(?P<target>.+)_[0-9]+$",
    r"^(?P<target>.+)-[0-9]+$",
    r"^(?P<target>.+)_TSS$",
    rf"^{_TARGET} (?:KO|NP|KD|OE)$",
    rf"^{_TARGET}[-_. ]?{_GUIDE}[-_. ]?[0-9]+$",
    rf"^{_TARGET}[-_.:][0-9]+$",
    rf"^{_GUIDE}[-_. ]?(?P<target>.+)$",
    rf"^{_GUIDE}[-_. ]?{_TARGET}[-_. ](?:{_GUIDE}[-_. ]?)?[0-9]+$",
    rf"^{_TARGET}_[-+]_[0-9]+(?:[.][0-9]+)?-[0-9A-Za-z]+$",
    rf"^{_TARGET}[-_](?:P1P2|P1|P2)(?:[-_].*)?$",
    rf"^[0-9]+[-_]{_TARGET}[-_](?:P1P2|P1|P2)(?:[-_].*)?$",
    rf"^{_TARGET}[-_. ](?:TSS|promoter|prom)[0-9]*(?:[-_. ].*)?$",
    rf"^{_TARGET}[-_:. ][ACGT]{{15,}}$",
    rf"^{_TARGET}[-_:. ][0-9]+[-_:. ][ACGT]{{15,}}$",
    rf"^{_TARGET}[-_:. @]chr[0-9A-Za-z]{{1,2}}[-_:. ].*$",
    rf"^{_TARGET}[-_ ](?:KO|KD|OE)$",
    rf"^{_TARGET}[-_. ]{_GUIDE}?[A-H]$",
    rf"^[pm]_(?:sg)?{_TARGET}_[0-9]+$",
    rf"^{_TARGET}[-_|]ENS[A-Z]*G[0-9]{{11}}.*$",
    rf"^{_TARGET}_p[A-Z]{{2}}[0-9]+$",
    rf"^{_GUIDE}?[0-9]+[-_. ](?P<target>.+)$",
)
_SEPARATORS = (
    " || ", "||", " + ", "+", " | ", "|", "; ", ";", ", ", ",", " & ", "&", "__", "_", "/", ":", "-"
)  # fmt: skip
# Signs that names of genes have; the others hardly ever are in one.
_IN_NAMES = {"__", "_", "/", ":", "-"}
_VERSIONED = re.compile(r"(?P<stable>ENS[A-Z]*G\d{11})\.\d+")


@dataclass(frozen=True, slots=True)
class ControlLabels:
    """Labels that read like controls, and those that must be asked about; sorted."""

    found: tuple[str, ...]
    no_guide: tuple[str, ...]  # of cells in which, for all that is known, no guide was seen


@dataclass(frozen=True, slots=True)
class GuideRule:
    """How to read the target in the label of a guide, and what speaks for it."""

    pattern: str  # a regular expression with the group "target"
    n_labels: int  # that are neither of controls nor of cells without a guide
    n_measured: int  # of them, whose target is a measured gene
    n_targets: int  # such targets
    example: tuple[str, str]  # a label and its target

    def __str__(self) -> str:
        label, target = self.example
        return f"{self.n_measured:,} of {self.n_labels:,} labels so read, as {label!r} for {target}"


@dataclass(frozen=True, slots=True)
class Joined:
    """What joins the names in the labels of cells with several perturbations."""

    separator: str
    n_labels: int  # that have it, and are no gene and no control
    n_explained: int  # of them, whose parts are all known
    example: str
    rule: GuideRule | None  # where the parts are guides


def kind_of_label(label: str) -> Kind | None:
    """Return what a label is by itself, or None where it may be any name."""
    if len(label) > _LONGEST:
        return None
    letters = _NOT_ALNUM.sub("", _PREFIX_OF_PLASMID.sub("", label.lower()))
    if _NO_GUIDE.fullmatch(letters):
        return "no guide"
    # The "g" before a number may be of the guide, as in NTg1, or of the word, as in neg1.
    stems = (letters, letters.rstrip("0123456789"), _NUMBER_OF_GUIDE.sub("", letters))
    spellings = {*stems, *(_PREFIX_OF_GUIDE.sub("", stem) for stem in stems)}
    if any(_CONTROL.fullmatch(spelling) for spelling in spellings):
        return "control"
    if any(_PERHAPS.fullmatch(spelling) for spelling in spellings):
        return "perhaps"
    return "several" if _SEVERAL.fullmatch(stems[1]) else None


def control_labels(labels: Iterable[str], genes: Collection[str] = ()) -> ControlLabels:
    """Return the labels of controls.

    ``control`` beside ``NT`` is as a rule the label of cells in which no guide was seen, and these
    are not known to carry none: it counts as control only where nothing else does. A measured
    gene, as GFP may be, is no control.
    """
    kinds: dict[Kind | None, list[str]] = {}
    for label in sorted(set(labels)):
        kind = kind_of_label(label)
        kinds.setdefault(None if kind == "control" and label in genes else kind, []).append(label)
    no_guide = kinds.get("no guide", [])
    perhaps = kinds.get("perhaps", [])
    found = kinds.get("control", [])
    if not found:
        found = [label for label in perhaps if _says_control(label)] or perhaps[:1]
    rest = [label for label in perhaps if label not in found]
    return ControlLabels(tuple(found), tuple(sorted([*rest, *no_guide])))


def _says_control(label: str) -> bool:
    letters = _NUMBER_OF_GUIDE.sub("", _NOT_ALNUM.sub("", label.lower()))
    return letters.removesuffix("s") in {"ctrl", "ctl", "control"}


def shell_patterns(found: Sequence[str], labels: Iterable[str]) -> tuple[str, ...]:
    """Write labels as shell patterns, where that is shorter and matches no other label."""
    chosen, others = set(found), set(labels) - set(found)
    groups: dict[str, list[str]] = {}
    for label in sorted(chosen):
        groups.setdefault(label.rstrip("0123456789"), []).append(label)
    written = []
    for stem, members in groups.items():
        pattern = f"{stem}*"
        if (
            len(members) > 1
            and stem
            and not any(sign in stem for sign in "*?[")
            and not any(fnmatchcase(label, pattern) for label in others)
        ):
            written.append(pattern)
        else:
            written.extend(members)
    # One pattern may cover what another group has.
    patterns = [entry for entry in written if "*" in entry and entry not in chosen]
    return tuple(
        entry
        for entry in written
        if not any(entry != other and fnmatchcase(entry, other) for other in patterns)
    )


def guide_rule(labels: Iterable[str], genes: Collection[str]) -> GuideRule | None:
    """Find how labels of guides name their targets, if they do.

    Controls and cells without a guide aside, at least two targets must be measured genes, a fifth
    of the labels must be theirs, and more labels than are genes as they stand.
    """
    names = _names(labels, genes)
    if not names or all(_VERSIONED.fullmatch(name) for name in names):
        return None
    least = max(2, len(names) / 5, 1 + sum(name in genes for name in names))
    best, most = None, 0
    for pattern in _RULES:
        targets = _targets(pattern, names, genes)
        if len(targets) >= least and len(targets) > most and len(set(targets.values())) > 1:
            best, most = (pattern, targets), len(targets)
    if best is None:
        return None
    pattern, targets = _plainly(*best, names, genes), best[1]
    return GuideRule(pattern, len(names), most, len(set(targets.values())), min(targets.items()))


def _names(labels: Iterable[str], genes: Collection[str]) -> list[str]:
    """Labels that may name genes or guides: neither too long nor of controls."""
    kept = sorted(
        label
        for label in set(labels)
        if len(label) <= _LONGEST and (label in genes or kind_of_label(label) is None)
    )
    return kept[:: 1 + len(kept) // _MOST_LABELS]


def _targets(pattern: str, names: Sequence[str], genes: Collection[str]) -> dict[str, str]:
    rule = re.compile(pattern)
    matches = ((name, rule.match(name)) for name in names)
    read = ((name, found["target"]) for name, found in matches if found)
    return {name: target for name, target in read if target in genes}


def _plainly(
    pattern: str, targets: dict[str, str], names: Sequence[str], genes: Collection[str]
) -> str:
    """Write a rule as what these labels have before and after the target, if all have the same."""
    ends = set()
    for found in filter(None, map(re.compile(pattern).match, targets)):
        label, (begin, end) = found.string, found.span("target")
        before, after = (_any_number(part) for part in (label[:begin], label[end:]))
        ends.add(f"^{before}(?P<target>.+){after}$")
    plain = ends.pop()
    return plain if not ends and _targets(plain, names, genes) == targets else pattern


def _any_number(text: str) -> str:
    return re.sub("[0-9]+", "[0-9]+", re.escape(text).replace(r"\-", "-"))


def joined_labels(labels: Iterable[str], genes: Collection[str]) -> Joined | None:
    """Find the separator of labels that join several names, if there is one.

    A part is known when it is a measured gene, a control, or a label of its own. Four of five
    labels that have the separator must be explained so; half, where no name has such a sign.
    """
    every = {label for label in labels if len(label) <= _LONGEST}
    best: Joined | None = None
    for separator in _SEPARATORS:
        split = {
            label: parts
            for label in sorted(every)
            if separator in label and len(parts := _parts(label, separator)) > 1
            and label not in genes and kind_of_label(label) is None
        }  # fmt: skip
        if not split:
            continue
        single = every - set(split)
        found = _explained(split, separator, single, genes)
        if found is not None and (best is None or found.n_explained > best.n_explained):
            best = found
    return best


def _parts(label: str, separator: str) -> list[str]:
    return [part for part in label.split(separator) if part]


def _explained(
    split: dict[str, list[str]], separator: str, single: set[str], genes: Collection[str]
) -> Joined | None:
    parts = {part for own in split.values() for part in own}
    if any(part != part.strip() for part in parts):
        return None  # a separator with the spaces explains more

    def is_name(part: str) -> bool:
        return part in genes or kind_of_label(part) in ("control", "perhaps")

    def count(is_known: Callable[[str], bool]) -> int:
        return sum(all(map(is_known, own)) for own in split.values())

    least = 0.8 if separator in _IN_NAMES else 0.5
    anchored = any(part in genes for part in parts)
    n_plain = count(lambda part: is_name(part) or (anchored and part in single and len(part) > 1))
    if n_plain >= least * len(split) and anchored:
        return Joined(separator, len(split), n_plain, min(split), None)
    if separator in _IN_NAMES:
        return None
    rule = guide_rule(parts, genes)
    if rule is None:
        return None
    matcher = re.compile(rule.pattern)
    n_guides = count(lambda part: is_name(part) or bool(matcher.match(part)) or part in single)
    if n_guides < least * len(split):
        return None
    return Joined(separator, len(split), n_guides, min(split), rule)


def close_names(labels: Iterable[str], genes: Iterable[str]) -> dict[str, str]:
    """Return label -> gene for labels that differ from one gene in case or version alone."""
    known = set(genes)
    by_name: dict[str, set[str]] = {}
    for gene in known:
        by_name.setdefault(_plain(gene), set()).add(gene)
    close = {}
    for label in sorted(set(labels) - known):
        found = by_name.get(_plain(label), set())
        if len(found) == 1 and kind_of_label(label) is None:
            close[label] = next(iter(found))
    return close


def _plain(name: str) -> str:
    versioned = _VERSIONED.fullmatch(name)
    return (versioned["stable"] if versioned else name).casefold()
