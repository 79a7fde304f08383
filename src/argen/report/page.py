"""One self-contained page: data, figures and texts put into the template."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from argen.checks import Diagnostics, not_looked_at, put_in_doubt, weak_points
from argen.errors import InputError
from argen.files import writing_file
from argen.network import CausalNetwork
from argen.plot import knockdown_table, layered_layout, programs_table, stability_table
from argen.pvalues import adjust
from argen.report.content import (
    findings_shown,
    penetrance_of,
    program_test,
    programs_of,
    provenance_of,
    summary_of,
)
from argen.report.figures import (
    QUANTILES,
    bokeh_script,
    diagnostic_figures,
    graph_figure,
    program_figures,
)
from argen.report.methods import methods_of

# A page with more edges would be slow; those with the strongest evidence are kept.
MOST_EDGES = 5000
# Rows of a table of diagnostics in the page.
MOST_ROWS = 200
# Perturbations, and genes, of a response program in the page.
MOST_OF_PROGRAM = 10
_PAIR = ["source", "target"]
_SHARE = ["penetrance", "penetrance_low", "penetrance_high"]


def write_report(
    network: CausalNetwork,
    path: str | Path,
    *,
    diagnostics: Diagnostics | None = None,
    stability: pd.DataFrame | None = None,
    title: str = "Causal gene network",
) -> Path:
    """Write a page that shows a network: one file, which needs no network and no server.

    Parameters
    ----------
    path
        File to write (.html).
    diagnostics
        From ``argen.checks.check``; its findings stand first.
    stability
        Columns source, target and frequency, from 0 to 1: the share of resamples that have the
        edge; shown beside each edge, and one can filter by it.

    Examples
    --------
    >>> import argen, tempfile
    >>> data, truth = argen.simulate_paper_screen(rng=1, n_cells=2000)
    >>> network = argen.infer_network(data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = argen.write_report(network, f"{folder}/report.html").read_text("utf-8")
    >>> page[:15]
    '<!doctype html>'
    """
    path = Path(path)
    if path.suffix not in (".html", ".htm"):
        raise InputError(f"A report is an .html file, not {path.name!r}: name it so.")
    page = report_html(network, diagnostics=diagnostics, stability=stability, title=title)
    with writing_file(path, "results") as beside:
        beside.write_text(page, encoding="utf-8")
    return path


def report_html(
    network: CausalNetwork,
    *,
    diagnostics: Diagnostics | None = None,
    stability: pd.DataFrame | None = None,
    title: str = "Causal gene network",
) -> str:
    """Return the page that ``write_report`` writes."""
    from bokeh.embed import json_item
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    known = _known(diagnostics, stability)
    points = weak_points(network, known)
    shown = points[[*_PAIR, "rank", "weak_point", "sentence", "also"]].assign(
        put_in_doubt=put_in_doubt(points)
    )
    edges = edge_columns(network, stability).merge(shown, "left", on=_PAIR)
    figures, programs = diagnostic_figures(network, diagnostics), _programs(network)
    drawn = [figures, *(program["figures"] for program in programs)]
    data = {
        "genes": gene_columns(network, edges),
        "edges": _columns(edges),
        "feedback": network.feedback_pairs().to_numpy().tolist(),
        "graph": json_item(graph_figure()),
        "figures": {name: json_item(each.plot) for of in drawn for name, each in of.items()},
    }
    loader = PackageLoader("argen", "report")
    environment = Environment(
        loader=loader, autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html").render(
        title=title,
        network=network,
        n_edges_left_out=len(network.edges) - len(edges),
        has_stability=stability is not None,
        confidence=f"{100 * network.config.confidence:g} %",
        findings=findings_shown(network, diagnostics),
        summary=summary_of(network, points),
        provisional="balance" not in known.tables,
        not_looked_at=not_looked_at(known.tables),
        penetrance_said=penetrance_of(network),
        programs_said=programs_of(network),
        programs=programs,
        methods=methods_of(network, diagnostics),
        provenance=provenance_of(network),
        figures=figures,
        measured=diagnostics.measured if diagnostics else (),
        tables=_tables(network, diagnostics),
        # Within a script element nothing but "</script" and "<!--" would end it.
        data=Markup(json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")),  # noqa: S704
        style=Markup(loader.get_source(environment, "page.css")[0]),  # noqa: S704
        script=Markup(loader.get_source(environment, "page.js")[0]),  # noqa: S704
        bokeh=Markup(bokeh_script()),  # noqa: S704
    )


def edge_columns(network: CausalNetwork, stability: pd.DataFrame | None) -> pd.DataFrame:
    """Return the edges of the page, strongest evidence first, with what else is known of each.

    ``q``: the adjusted p-value; where the rule has none, that of Benjamini and Hochberg over
    all candidates. ``forward`` and ``backward``: total effects of the source's perturbation on
    the target, and of the target's on the source (missing for sinks).
    """
    candidates = network.candidates
    q = candidates["p_adjusted"].to_numpy(dtype=np.float64)
    if not np.isfinite(q).any():
        q = adjust(candidates["p_value"].to_numpy(dtype=np.float64), "bh")
    edges = candidates.assign(q=q)[candidates["selected"].to_numpy(dtype=bool)]
    edges = edges.sort_values("log10_p", kind="stable").head(MOST_EDGES)
    number = {gene: i for i, gene in enumerate(network.genes)}
    source, target = (edges[end].map(number).to_numpy(dtype=np.int64) for end in _PAIR)
    is_node = target < len(network.nodes)
    backward = np.full(len(edges), np.nan)
    backward[is_node] = network.screen.effect[target[is_node], source[is_node]]
    columns = [*_PAIR, "effect", "std_error", "ci_low", "ci_high", "log10_p", "q", "status"]
    edges = edges[columns].assign(forward=network.screen.effect[source, target], backward=backward)
    if stability is not None:
        table = stability_table(stability)[[*_PAIR, "frequency"]]
        edges = edges.merge(table.rename(columns={"frequency": "stability"}), "left", on=_PAIR)
    return edges.reset_index(drop=True)


def _known(diagnostics: Diagnostics | None, stability: pd.DataFrame | None) -> Diagnostics:
    """Return all tables of checks that are at hand."""
    again = {} if stability is None else {"stability": stability_table(stability)}
    return Diagnostics.of([], again | (diagnostics.tables if diagnostics else {}), [])


def gene_columns(network: CausalNetwork, edges: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the genes of the page: place in order and drawing, knock-down, share, candidates."""
    layout = layered_layout(network, edges)
    place = layout.place
    own = knockdown_table(network).set_index("node")
    shares = network.knockdowns().set_index("node").reindex(columns=_SHARE)
    tested = network.candidates["target"].value_counts()
    position = {gene: i + 1 for i, gene in enumerate(network.order)}
    genes = pd.DataFrame({"name": list(network.genes)})
    names = genes["name"]
    return _columns(
        genes.assign(
            position=names.map(position),
            x=[place.get(gene, (np.nan, np.nan))[0] for gene in names],
            y=[place.get(gene, (np.nan, np.nan))[1] for gene in names],
            tested=names.map(tested).fillna(0).astype(int),
            remaining=names.map(own["remaining"]),
            remaining_low=names.map(np.exp(own["ci_low"])),
            remaining_high=names.map(np.exp(own["ci_high"])),
            **{name: names.map(shares[name]) for name in _SHARE},
        )
    )


def _programs(network: CausalNetwork) -> list[dict[str, Any]]:
    """Return of each response program its number, share, test, and the rows of each table."""
    programs, shown = network.programs, []
    if programs is None:
        return []
    for number in range(1, programs.n_programs + 1):
        table = programs_table(
            network, number, n_perturbations=MOST_OF_PROGRAM, n_genes=MOST_OF_PROGRAM
        )
        shown.append(
            {
                "number": number,
                "share": f"{100 * programs.share[number - 1]:.0f} %",
                "test": program_test(network, programs, number),
                "figures": program_figures(network, number, MOST_OF_PROGRAM),
                "rows": {what: part.to_dict("records") for what, part in table.groupby("what")},
            }
        )
    return shown


def _tables(
    network: CausalNetwork, diagnostics: Diagnostics | None
) -> list[tuple[str, int, pd.DataFrame]]:
    """Tables of diagnostics that are not empty: name, rows in all, and the rows to show.

    Those that the page has elsewhere, as figures or with the edges, are left out.
    """
    tables = dict(diagnostics.tables) if diagnostics else {}
    tables |= {"unusual fits": network.unusual_fits(), "left out": network.left_out}
    return [
        (name.replace("_", " "), len(table), _as_text(table.head(MOST_ROWS)))
        for name, table in tables.items()
        if len(table) and name not in (*QUANTILES, "weak_points")
    ]


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    shown = {
        name: [f"{v:.4g}" if isinstance(v, float) else str(v) for v in table[name]]
        for name in table.columns
    }
    return pd.DataFrame(shown)


def _columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): [_plain(v) for v in table[name].tolist()] for name in table.columns}


def _plain(value: Any) -> Any:
    """Return what JSON has: six digits, null for a missing number, a text for infinity."""
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)
