"""Composition: what one gene lends to all others when it is lost, and when that is said."""

import anndata
import numpy as np
import pandas as pd
import pytest

import argen
from argen.checks.cells.checking import check_cells
from argen.checks.cells.composition import composition_findings, composition_table

LABELS = {"target": "target", "control": "NT"}


def screen(share, *, n_genes=12, size=None):
    """Cells in which G0 has a part of the counts, and each node a fifth where perturbed."""
    rng = np.random.default_rng(1)
    labels = np.repeat(["NT", "G0", "G1", "G2"], 400)
    rates = np.full((len(labels), n_genes), (1.0 - share) / (n_genes - 1))
    rates[:, 0] = share
    for node in range(3):
        rates[labels == f"G{node}", node] *= 0.2
    counts = rng.poisson(2_000.0 * rates)
    obs = pd.DataFrame({"target": labels}, index=[f"cell{i}" for i in range(len(labels))])
    options = LABELS
    if size is not None:
        obs["size"], options = size, LABELS | {"library_size": "size"}
    var = pd.DataFrame(index=[f"G{i}" for i in range(n_genes)])
    sinks = [f"G{i}" for i in range(3, n_genes)]
    return argen.read_perturbseq(
        anndata.AnnData(X=counts.astype(np.float32), obs=obs, var=var),
        argen.ReadOptions(**options, sinks=sinks),
    )


def test_what_a_large_gene_lends():
    table = composition_table(screen(0.3)).set_index("node")
    assert table.loc["G0", "share"] == pytest.approx(0.3, abs=0.002)
    # The cell keeps .7 + .3 / 5 of its counts; what is left of each other gene is divided by that.
    assert table.loc["G0", "lent"] == pytest.approx(1 / 0.76 - 1, abs=0.005)
    (finding,) = composition_findings(table.reset_index())
    assert finding.severity == "warning"
    assert "3 of 3 perturbed genes" in finding.evidence
    assert "G0 (30 %; without it, all others +32 %)" in finding.evidence
    assert "--library-size" in finding.advice


def test_nothing_is_said_of_the_size_of_all_genes():
    data = screen(0.3, size=np.full(1600, 100_000.0))
    table = composition_table(data)
    assert table["lent"].abs().max() < 0.006
    assert not composition_findings(table)
    found = check_cells(data, pd.DataFrame(index=data.cells))
    assert any(line.startswith("composition: the loss of one gene") for line in found.measured)


def test_nothing_is_said_of_size_factors():
    table = composition_table(screen(0.3, size=np.ones(1600)))
    assert table["lent"].isna().all()
    assert not composition_findings(table)


def test_several_perturbations_in_a_cell(several):
    table = composition_table(several)
    for node in range(several.n_nodes):
        carries = several.perturbed(node)
        counts = several.counts.to_csc()[:, [node]].toarray()[:, 0]
        without = counts[~carries].sum() / several.library_size[~carries].sum()
        assert table["share"][node] == pytest.approx(without)


@pytest.fixture
def several():
    model = argen.ScreenModel(n_nodes=6, more_per_cell=2.0)
    return argen.simulate_screen(model, rng=1)[0]
