"""The screen: knock-downs, expression under perturbation, and quantiles of p-values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import betaincinv, chdtri

from argen.analysis import MEDIAN_CHI2
from argen.arrays import FloatArray
from argen.data import PerturbSeqData
from argen.errors import InputError, nearest
from argen.network import CausalNetwork
from argen.plot.style import (
    FEEDBACK,
    INK,
    NEGATIVE,
    NEUTRAL,
    OTHER,
    POSITIVE,
    axes_of_names,
    axes_or_new,
    dress_percents,
    name_size,
    name_style,
    plain_log_scale,
    show_legend,
    shown_name,
)
from argen.pvalues import critical_value, shown_p

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONFIDENCE = 0.95


def knockdown_table(network: CausalNetwork) -> pd.DataFrame:
    """Return each perturbation's effect on its own gene, the strongest first, with interval."""
    table = network.screen.knockdown_frame()
    margin = critical_value(network.config.confidence) * table["std_error"]
    table = table.assign(
        ci_low=table["effect"] - margin,
        ci_high=table["effect"] + margin,
        remaining=np.exp(table["effect"]),
    )
    return table.sort_values("effect").reset_index(drop=True)


def highest_percent(percents: pd.Series) -> float:
    """Return where an axis of knock-downs ends: some intervals go up to any number."""
    return max(150.0, 1.5 * float(percents.max())) if len(percents) else 150.0


def draw_knockdown(network: CausalNetwork, *, ax: Axes | None = None) -> Axes:
    """Draw what is left of each gene's expression under its own perturbation.

    Orange squares have an interval that does not exclude 100 %: such a guide is no instrument.
    A gene without a count left is a triangle at the lower edge. Intervals may go on above the axis.
    """
    table = knockdown_table(network)
    ax = axes_of_names(ax, len(table))
    place = np.arange(len(table))
    finite = np.isfinite(table["effect"]).to_numpy()
    weak = (~(table["ci_high"] < 0) & finite).to_numpy()
    least = 100 * table.loc[finite, "remaining"].min() if finite.any() else 1.0
    for rows, colour, marker, label in (
        (~weak & finite, POSITIVE, "o", "knocked down"),
        (weak, NEGATIVE, "s", "not surely knocked down"),
    ):
        if rows.any():
            middle, low, high = (
                100 * np.exp(table.loc[rows, name].to_numpy())
                for name in ("effect", "ci_low", "ci_high")
            )
            ax.errorbar(
                place[rows], middle, fmt=marker, color=colour,
                yerr=[[*(middle - low)], [*(high - middle)]],  # lists, for older matplotlib
                markersize=name_size(len(table)), linewidth=0.8,
                label=f"{label} ({int(rows.sum())})",
            )  # fmt: skip
    if (~finite).any():
        ax.plot(
            place[~finite], np.full(int((~finite).sum()), least / 2), "v", color=INK,
            markersize=4, label=f"no count left ({int((~finite).sum())})",
        )  # fmt: skip
    plain_log_scale(ax.yaxis, "{x:g} %")
    ax.set_ylim(top=highest_percent(100 * table.loc[finite, "remaining"]))
    what = "genes, the strongest knock-down first"
    dress_percents(ax, list(table["node"]), "own expression left", what)
    return ax


def expression_table(data: PerturbSeqData, *, perturbed: str, observed: str) -> pd.DataFrame:
    """Return the adjusted expression of a gene in control cells and those of a perturbation.

    The log of one plus the count, scaled to the median library size, less what a linear
    regression on the covariates (with the perturbation beside them) explains. Cells that carry
    another perturbation as well are left out.

    Columns: group ("control" or "perturbed") and expression, one row per cell.
    """
    for gene, known in ((perturbed, data.nodes), (observed, data.genes)):
        if gene not in known:
            raise InputError(f"{gene!r} is not among the genes of the data.{nearest(gene, known)}")
    node = data.nodes.index(perturbed)
    carried = np.bincount(data.perturbations.indices, minlength=data.n_cells)
    is_perturbed = data.perturbed(node) & (carried == 1)
    cells = data.controls | is_perturbed
    count = data.counts.dense(np.array([data.genes.index(observed)]))[0, cells]
    library = data.library_size[cells]
    expression = np.log1p(count * np.median(data.library_size) / library)
    covariates = data.regressors.of_cells(cells)
    columns = [np.ones(len(covariates)), is_perturbed[cells], *(covariates - covariates.mean(0)).T]
    slopes = np.linalg.lstsq(np.column_stack(columns), expression)[0][2:]
    adjusted = expression - (covariates - covariates.mean(0)) @ slopes
    groups = np.where(is_perturbed[cells], "perturbed", "control")
    return pd.DataFrame({"group": groups, "expression": adjusted})


def draw_expression(
    network: CausalNetwork,
    data: PerturbSeqData,
    source: str,
    target: str,
    *,
    reverse: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a child's expression in control cells and under perturbation of its parent.

    Adjusted for covariates; the title has the effect and p-value of the screen. Bars are means
    with 95 % intervals.

    Source: Park and Li (2026), forward and reversed interventions on an edge.

    Parameters
    ----------
    data
        What the network was inferred from.
    reverse
        The parent's expression under perturbation of the child, which should show nothing.
    """
    perturbed, observed = (target, source) if reverse else (source, target)
    table = expression_table(data, perturbed=perturbed, observed=observed)
    ax = axes_or_new(ax, 4.2, 4.0)
    names = ["control", f"{shown_name(perturbed)}\nperturbed"]
    for place, (group, colour) in enumerate((("control", NEUTRAL), ("perturbed", NEGATIVE))):
        values = table.loc[table["group"] == group, "expression"].to_numpy()
        if np.ptp(values) > 0:
            violin = ax.violinplot([values], [place], widths=0.8, showextrema=False)
            bodies: Any = violin["bodies"]
            for body in bodies:
                body.set(facecolor=colour, alpha=0.5)
        margin = critical_value(CONFIDENCE) * values.std(ddof=1) / np.sqrt(len(values))
        ax.errorbar(place, values.mean(), yerr=margin, fmt="o", color=INK, capsize=8)
        names[place] += f"\n{len(values):,} cells"
    ax.set_xticks([0, 1], names, **name_style())
    ax.set_ylabel(f"{shown_name(observed)}, adjusted log expression", **name_style())
    at = network.nodes.index(perturbed), network.genes.index(observed)
    effect, log10_p = network.screen.effect[at], network.screen.log10_p[at]
    direction = "reverse" if reverse else "forward"
    ax.set_title(f"{direction}: effect {effect:.2f}, p = {shown_p(float(log10_p))}", fontsize=10)
    return ax


def qq_table(p_values: ArrayLike) -> pd.DataFrame:
    """Return p-values beside uniform ones, as -log10: expected, low, high, observed.

    ``low`` and ``high`` bound 95 % of the p-values of each rank when all are uniform and
    independent. Missing p-values are left out.
    """
    p = np.asarray(p_values, dtype=np.float64).ravel()
    p = np.sort(p[np.isfinite(p)])
    rank = np.arange(1, len(p) + 1)
    with np.errstate(divide="ignore"):
        return pd.DataFrame(
            {
                "expected": -np.log10((rank - 0.5) / max(len(p), 1)),
                "low": -np.log10(betaincinv(rank, len(p) - rank + 1, (1 + CONFIDENCE) / 2)),
                "high": -np.log10(betaincinv(rank, len(p) - rank + 1, (1 - CONFIDENCE) / 2)),
                "observed": -np.log10(p),
            }
        )


def draw_qq(p_values: Mapping[str, ArrayLike] | ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw p-values against uniform ones, with the band that holds 95 % of uniform ones.

    For tests where nothing should be found: null candidates of a simulation
    (``argen.evaluate(...).null_p_values``), or association of covariates with perturbations.

    Parameters
    ----------
    p_values
        Any shape; or several by name. The label of each has lambda, the median of the squared
        z-values over what it should be.
    """
    named = p_values if isinstance(p_values, Mapping) else {"": p_values}
    ax = axes_or_new(ax, 4.4, 4.4)
    styles = ((POSITIVE, "o"), (NEGATIVE, "s"), (OTHER, "^"), (FEEDBACK, "v"), (INK, "D"))
    longest: FloatArray = np.empty(0)
    for number, (name, values) in enumerate(named.items()):
        table = qq_table(values)
        if len(table) > len(longest):
            longest = table[["expected", "low", "high"]].to_numpy()
        p = 10 ** -table["observed"].to_numpy()
        inflation = float(chdtri(1, np.median(p)) / MEDIAN_CHI2) if len(p) else float("nan")
        colour, marker = styles[number % len(styles)]
        # p of exactly 0 has no place on this scale: it is drawn at the top.
        top = table["observed"].replace(np.inf, np.nan).max()
        label = f"{shown_name(str(name))}{': ' if name else ''}{len(p)} tests, λ = {inflation:.2f}"
        ax.plot(
            table["expected"], table["observed"].replace(np.inf, top), marker, color=colour,
            markersize=4, label=label,
        )  # fmt: skip
    if len(longest):
        ax.fill_between(longest[:, 0], longest[:, 1], longest[:, 2], color="#DDDDDD", zorder=0)
    ax.axline((0, 0), slope=1, color=INK, linewidth=0.8)
    ax.set(xlabel="expected, -log10 p", ylabel="observed, -log10 p")
    show_legend(ax)
    return ax
