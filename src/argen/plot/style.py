"""What all figures share: axes, colours, and gene names as text."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from argen.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Of the palette of Okabe and Ito, which readers with any colour vision can tell apart.
POSITIVE, NEGATIVE, FEEDBACK, OTHER = "#0072B2", "#D55E00", "#CC79A7", "#009E73"
NEUTRAL, INK = "#8C8C8C", "#222222"
# Blue for positive and orange to red for negative effects, as everywhere.
DIVERGING = "RdBu"
LONGEST_NAME = 24
# More names along an axis could not be read.
MOST_LABELS = 70
# Tried in turn, where installed, for letters that the first font lacks.
_MORE_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Noto Sans Devanagari", "Noto Sans Thai",
    "Noto Sans Hebrew", "Noto Sans Arabic", "Hiragino Sans", "Yu Gothic", "Microsoft YaHei",
    "PingFang SC", "Arial Unicode MS",
)  # fmt: skip


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, or say how to install what draws it."""
    try:
        from matplotlib.figure import Figure as NewFigure
    except ImportError as error:
        raise _missing() from error
    return NewFigure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Axes | None, width: float = 5.0, height: float = 4.0) -> Axes:
    """Return the axes, or those of a new figure of that size in inches, which notebooks show."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise _missing() from error
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def _missing() -> InputError:
    return InputError("Figures need matplotlib. Install it with: pip install 'argen[plot]'")


def shown_name(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name in one line, cut where it is too long for a figure."""
    line = "".join(letter if letter.isprintable() else " " for letter in name)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def edge_name(source: str, target: str) -> str:
    """Return how an edge is called in a figure."""
    return f"{shown_name(source)} → {shown_name(target)}"


@cache
def name_style() -> dict[str, Any]:
    """Options of every text that has names: no mathematics between dollars, and all scripts."""
    from matplotlib import font_manager, rcParams

    installed = set(font_manager.get_font_names())
    more = [font for font in _MORE_FONTS if font in installed]
    return {"parse_math": False, "fontfamily": [*rcParams["font.family"], *more]}


def plain_log_scale(axis: Axis, shown: str = "{x:g}") -> None:
    """Put an axis on a log scale, with 1, 2, 5, 10 ... written out rather than as powers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes = axis.axes
    axes.set(**{"xscale" if axis is axes.xaxis else "yscale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(shown)
    axis.set_minor_formatter(NullFormatter())


def label_ticks(ax: Axes, axis: str, names: list[str], *, most: int, **options: Any) -> None:
    """Write names at 0, 1, 2, ... along an axis, or none when there are too many to read."""
    shown = [shown_name(name) for name in names] if len(names) <= most else []
    size = 9 if len(names) <= 25 else 7 if len(names) <= 45 else 5
    places = range(len(shown))
    set_ticks = ax.set_xticks if axis == "x" else ax.set_yticks
    set_ticks(places, shown, fontsize=size, **name_style(), **options)


def axes_of_names(ax: Axes | None, n_names: int) -> Axes:
    """Return the axes, or new ones as wide as so many names along them need."""
    return axes_or_new(ax, float(np.clip(1.5 + 0.16 * n_names, 4.5, 11)), 3.6)


def name_size(n_names: int) -> int:
    """Return the size of the points above so many names."""
    return 4 if n_names <= 100 else 2


def dress_percents(ax: Axes, names: list[str], label: str, what: str) -> None:
    """Dress axes of percents, one for each of some genes.

    Parameters
    ----------
    label
        Of the percents.
    what
        What the names are, and their sequence; said where they are too many to be written.
    """
    ax.axhline(100, color=NEUTRAL, linewidth=0.8)
    label_ticks(ax, "x", names, most=MOST_LABELS, rotation=90)
    ax.set_ylabel(label)
    if len(names) > MOST_LABELS:
        ax.set_xlabel(f"{len(names)} {what}")
    show_legend(ax)


def show_legend(ax: Axes) -> None:
    """Show the legend, when something is in it."""
    if ax.get_legend_handles_labels()[0]:
        for text in ax.legend(fontsize=8).get_texts():
            text.set(**name_style())
