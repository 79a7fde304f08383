"""Quality control against plain loops over cells, and against what was planted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import argen
from argen.qc.cells import doublet_like, genes_of_cells
from tests.screens import screen_of

MODEL = argen.ScreenModel(
    n_nodes=10, n_guides=3, n_batches=3, cells_per_node=90, n_controls=600, failed=0.2
)


@pytest.fixture(scope="module")
def screen() -> argen.PerturbSeqData:
    """Ten nodes, of which some guides fail; with what could not be a node."""
    data, _ = argen.simulate_screen(MODEL, rng=4)
    rows = [("target", "FAR", 40, "not a measured gene"), ("node", "NIL", 7, "no count")]
    rows += [("cells", "filtered", 9, "not in 'good'")]
    columns = ["kind", "name", "n_cells", "reason"]
    return replace(data, left_out=pd.DataFrame(rows, columns=columns))


@pytest.fixture(scope="module")
def quality(screen) -> argen.QualityControl:
    """Quality control with its default rules."""
    return argen.quality_control(screen)


def test_knockdowns_are_those_of_the_screen(screen, quality):
    """Bit for bit: there is one computation of them."""
    expected = argen.screen_descendants(screen)
    table = quality.candidates.iloc[: screen.n_nodes]
    for name in ("effect", "p_value", "log10_p"):
        np.testing.assert_array_equal(table[name], getattr(expected.knockdown, name))
    np.testing.assert_array_equal(table["n_descendants"], expected.is_descendant.sum(axis=1))


def test_every_candidate_has_a_row_and_a_reason(screen, quality):
    table = quality.candidates
    assert list(table["candidate"]) == [*screen.nodes, "FAR", "NIL"]
    assert list(table["reason"].tail(2)) == ["not a measured gene", "no count"]
    assert list(table["n_cells"].tail(2)) == [40, 7]
    assert (table["chosen"] == (table["reason"] == "")).all()
    assert quality.nodes == tuple(table.loc[table["chosen"], "candidate"])
    idle = table.iloc[: screen.n_nodes]["p_adjusted"] > 0.05
    assert 1 <= idle.sum() <= 4
    assert list(table.iloc[: screen.n_nodes]["chosen"]) == list(~idle)


def test_numbers_of_cells_and_counts_by_plain_loops(screen, quality):
    counts, carried = screen.counts.to_csc().toarray(), screen.perturbations.toarray()
    controls = carried.sum(axis=1) == 0
    chosen = np.isin(screen.nodes, quality.nodes)
    for k, row in enumerate(quality.candidates.iloc[: screen.n_nodes].to_dict("records")):
        own = carried[:, k] > 0
        assert row["n_cells"] == own.sum()
        assert row["control_mean"] == pytest.approx(counts[controls, k].mean())
        rate = counts[controls, k].sum() / screen.library_size[controls].sum()
        expected = sum(rate * screen.library_size[cell] for cell in np.flatnonzero(own))
        assert row["expected_counts"] == pytest.approx(expected)
    assert quality.n_cells == sum(not (row.astype(bool) & ~chosen).any() for row in carried)
    np.testing.assert_array_equal(genes_of_cells(screen), (counts > 0).sum(axis=1))


def test_batches_without_controls_are_counted_and_named():
    rng = np.random.default_rng(1)
    node = np.repeat([-1, 0, 1], [60, 40, 40])
    lane = np.array(["a"] * 30 + ["b"] * 30 + ["a"] * 25 + ["c"] * 15 + ["b"] * 40)
    data = screen_of(rng.poisson(3.0, (140, 2)), node, pd.DataFrame({"lane": lane}))
    found = argen.quality_control(data)
    assert list(found.candidates["cells_without_controls"]) == [15, 0]
    batches = found.diagnostics.tables["batches"].set_index("level")
    assert list(batches["n_controls"]) == [30, 30, 0]
    assert list(batches["n_perturbations"]) == [1, 1, 1]
    assert "g0 (15 of 40 cells)" in found.summary()
    other = pd.DataFrame({"lane": lane}, index=data.cells)
    bare = replace(data, covariates=data.covariates[[]])
    beside = argen.quality_control(bare, others=other).candidates
    assert list(beside["cells_without_controls"]) == [15, 0]


def test_few_controls_and_few_counts_are_named():
    rng = np.random.default_rng(1)
    node = np.repeat([-1, 0, 1], [20, 60, 60])
    counts = rng.poisson([3.0, 0.02], (140, 2))
    counts[:2, 1] = 1
    said = argen.quality_control(screen_of(counts, node)).summary()
    assert "There are 20 control cells, fewer than a perturbation has (60 in the median)" in said
    assert "75 % of the variance" in said
    assert "1 of 2 genes have fewer than 5 counts to lose" not in said  # 2 in 20 are 6 in 60
    counts[1, 1] = 0
    counts[:20, 1] = [1] + [0] * 19
    said = argen.quality_control(screen_of(counts, node)).summary()
    assert "1 of 2 genes have fewer than 5 counts to lose" in said
    assert "g1 (3.0)" in said


def test_a_perturbation_that_changes_others_and_not_itself_is_named():
    rng = np.random.default_rng(2)
    node = np.repeat([-1, 0, 1], [300, 200, 200])
    mean = np.full((700, 2), 4.0)
    mean[node == 0, 1] = 2.0  # a knock-out that leaves its transcript
    mean[node == 1, 1] = 1.0
    said = argen.quality_control(screen_of(rng.poisson(mean), node)).summary()
    assert "do not change their own gene 1 changes others: g0 (1)." in said
    assert "0 findings" not in said


def test_two_cells_in_one_droplet_are_flagged_and_stay():
    rng = np.random.default_rng(3)
    node = np.repeat([-1, 0, 1], [400, 100, 100])
    size = rng.lognormal(0.0, 0.2, 600)
    size[400:405] *= 4.0
    counts = rng.poisson(0.2 * size[:, None], (600, 300))
    data = screen_of(counts, node, library_size=size, n_nodes=2)
    found = doublet_like(data, pd.DataFrame(index=data.cells))
    assert set(range(400, 405)) <= set(found["number"])
    assert len(found) <= 8
    quality = argen.quality_control(data, argen.NodeChoice(max_p=1.0))
    assert quality.n_cells == 600
    assert quality.candidates["doublet_like"].iloc[0] >= 0.05


def test_guides_that_do_nothing_are_named(screen, quality):
    guides = quality.diagnostics.tables["guides"]
    assert set(guides["candidate"]) == set(screen.nodes)
    np.testing.assert_array_equal(quality.candidates["n_guides"].head(10), 3)
    idle = quality.candidates.iloc[:10].query("not chosen")["candidate"]
    assert not guides[guides["candidate"].isin(idle)]["works"].any()


def test_an_idle_guide_beside_one_that_works_is_named():
    rng = np.random.default_rng(6)
    node = np.repeat([-1, 0, 1], [300, 120, 120])
    labels = np.repeat(["safe", "g0_1", "g0_2", "g1_1", "g1_2"], [300, 60, 60, 60, 60])
    mean = np.full((540, 2), 4.0)
    mean[labels == "g0_1", 0] = 0.4
    data = replace(screen_of(rng.poisson(mean), node), guides=argen.Guides.of_labels(labels, node))
    found = argen.quality_control(data)
    table = found.candidates.set_index("candidate")
    assert list(table["n_guides_working"]) == [1, 0]
    assert table.loc["g0", "guides_p_value"] < 1e-6 < table.loc["g1", "guides_p_value"]
    assert "1 of 4 guides is not seen to change" in found.summary()  # those of g1 are as one
    assert "log): g0_2 (" in found.summary()


@pytest.mark.rates
def test_guides_that_do_the_same_are_said_to():
    """The p-value that guides agree is uniform where they do, and small where they do not."""
    same, different = [], []
    for seed in range(6):
        for sd, found in ((0.0, same), (0.7, different)):
            model = argen.ScreenModel(
                n_nodes=20, n_parents=0, n_guides=3, guide_strength_sd=sd, cells_per_node=240,
                mean_count=4.0, n_factors=0, assignment=0.0,
            )  # fmt: skip
            data, _ = argen.simulate_screen(model, rng=seed)
            table = argen.quality_control(data).candidates
            found += list(table["guides_p_value"])
    assert 0.01 <= np.mean(np.array(same) < 0.05) <= 0.12
    assert np.mean(np.array(different) < 0.05) > 0.5


def test_fewer_than_two_nodes_is_serious(screen):
    found = argen.quality_control(screen, argen.NodeChoice(min_knockdown=1.0))
    assert found.nodes == ()
    assert found.diagnostics.findings[0].severity == "serious"
    assert "0 of 10 candidates pass all rules" in found.diagnostics.findings[0].evidence


def test_nothing_is_known_of_guides_where_there_are_none(screen):
    bare = replace(screen, guides=None)
    found = argen.quality_control(bare)
    assert "n_guides" not in found.candidates
    assert "guides of the cells are not known" in found.summary()


def test_several_perturbations_in_a_cell():
    rng = np.random.default_rng(5)
    carried = (rng.random((900, 3)) < 0.2).astype(int)
    data = screen_of(rng.poisson(3.0 * np.exp(-1.5 * carried)), carried)
    found = argen.quality_control(data, among={"a group": ["g0", "g1"]})
    assert found.nodes == ("g0", "g1")
    assert found.n_cells == int((carried[:, 2] == 0).sum())


def test_written_files_read_back(quality, tmp_path):
    folder = quality.write(tmp_path / "qc")
    assert (folder / "nodes.txt").read_text("utf-8").splitlines() == list(quality.nodes)
    table = pd.read_csv(folder / "candidates.tsv", sep="\t")
    assert list(table["candidate"]) == list(quality.candidates["candidate"])
    np.testing.assert_allclose(table["effect"], quality.candidates["effect"], rtol=1e-5)
    names = {"candidates.tsv", "nodes.txt", "summary.txt", "guides.tsv", "batches.tsv"}
    assert names <= {path.name for path in folder.iterdir()}


def test_names_that_a_list_of_lines_cannot_hold_are_refused(quality, tmp_path):
    table = quality.candidates.copy()
    table.loc[table["chosen"].idxmax(), "candidate"] = "g1\ng2"
    with pytest.raises(argen.InputError, match="cannot list names with line breaks"):
        replace(quality, candidates=table).write(tmp_path / "qc")
    assert not (tmp_path / "qc").exists()


def test_formats_page_has_every_file_and_column(quality, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    named = set(re.findall(r"`([\w.]+)`", page[page.index("## The folder of `argen qc`") :]))
    for path in quality.write(tmp_path).glob("*.tsv"):
        if path.stem not in {"balance", "balance_qq", "composition"}:  # those of argen check
            assert path.name in named
            assert set(pd.read_csv(path, sep="\t").columns) <= named
