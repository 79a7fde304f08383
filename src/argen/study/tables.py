"""The grid as tables to read: one for each measure, settings by methods."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from argen.files import writing_file

# Measure, what to call it, and decimals.
SHOWN = (
    ("f1", "F1", 3),
    ("false_discovery_proportion", "False discovery proportion", 3),
    ("shd", "Structural Hamming distance", 1),
    ("effect_rmse", "Root mean squared error of the effects of true edges", 3),
    ("true_coverage", "Coverage of the 95 % intervals of true edges", 3),
    ("null_coverage", "Coverage of the 95 % intervals of candidates that are no edges", 3),
    ("seconds", "Seconds, the screen included", 2),
)


def grid_page(summary: pd.DataFrame) -> str:
    """Return the tables as Markdown, with means and Monte-Carlo standard errors.

    Parameters
    ----------
    summary
        From ``grid_summary``.
    """
    return "\n\n".join(
        f"## {title}\n\n{_table(summary[summary['measure'] == measure], decimals)}"
        for measure, title, decimals in SHOWN
    )


def write_grid_page(summary: pd.DataFrame, folder: Path) -> Path:
    """Write the tables into a folder, as ``grid.md``."""
    path = folder / "grid.md"
    with writing_file(path, "grid") as beside:
        beside.write_text(grid_page(summary) + "\n", encoding="utf-8")
    return path


def _table(rows: pd.DataFrame, decimals: int) -> str:
    settings, methods = rows["setting"].unique(), rows["method"].unique()
    shown = {
        (row["setting"], row["method"]): _with_error(row["mean"], row["error"], decimals)
        for row in rows.to_dict("records")
    }
    lines = [["setting", *methods], ["---", *["---:"] * len(methods)]]
    lines += [[s, *(shown.get((s, m), "") for m in methods)] for s in settings]
    overall = rows.groupby("method", sort=False)["mean"].mean()
    lines.append(
        ["mean over settings", *(_with_error(overall[m], None, decimals) for m in methods)]
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _with_error(mean: float, error: float | None, decimals: int) -> str:
    """``0.912 ± 0.004``; nothing where it could not be measured."""
    if pd.isna(mean):
        return ""
    shown = f"{mean:.{decimals}f}"
    return shown if error is None or pd.isna(error) else f"{shown} ± {error:.{decimals}f}"
