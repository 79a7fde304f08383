"""Guides that do nothing: named where this is sure, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import argen
from argen.checks.guides import guide_effects, own_effects
from argen.checks.guides.by_guide import joint_guide_effects
from tests.screens import screen_of


def screen(seed: int, *, mean: float, n_cells: int, idle: int) -> argen.PerturbSeqData:
    """Ten genes with three guides each, of which the first of some genes does nothing."""
    rng = np.random.default_rng(seed)
    node = np.repeat(np.arange(-1, 10), [1500, *[3 * n_cells] * 10])
    number = np.concatenate([np.zeros(1500), *[np.repeat([1, 2, 3], n_cells)] * 10]).astype(int)
    labels = np.array([f"g{k}_{n}" for k, n in zip(node, number, strict=True)], dtype=object)
    log_mean = np.zeros((len(node), 10))
    works = (node >= 0) & ~((number == 1) & (node < idle))
    log_mean[np.flatnonzero(works), node[works]] = -1.2
    noise = rng.gamma(4.0, 0.25, log_mean.shape)
    data = screen_of(rng.poisson(mean * np.exp(log_mean) * noise), node)
    return replace(data, guides=argen.Guides.of_labels(labels, node))


@pytest.mark.rates
def test_dead_guides_are_named_and_living_ones_hardly_ever():
    named = {(mean, idle): [] for mean in (0.15, 3.0) for idle in (0, 4)}
    for (mean, idle), found in named.items():
        for seed in range(15):
            data = screen(seed, mean=mean, n_cells=60, idle=idle)
            table = own_effects(guide_effects(data, data.guides.labels()), data.nodes)
            table["dead"] = table["guide"].isin([f"g{k}_1" for k in range(idle)])
            found.append(table)
    living = [t.loc[~t["dead"]] for found in named.values() for t in found]
    n_living = sum(map(len, living))
    assert n_living == 2 * 15 * (30 + 26)
    assert sum(int(t["idle"].sum()) for t in living) <= 0.005 * n_living
    # Where counts are few, guides that are not seen to work are many, and most of them do.
    assert sum(int((~t["works"]).sum()) for t in living) > 0.05 * n_living
    found = [float(t.loc[t["dead"], "idle"].mean()) for t in named[3.0, 4]]
    assert np.mean(found) > 0.85


def test_check_names_it_with_what_the_others_do():
    data = screen(1, mean=4.0, n_cells=80, idle=1)
    found = argen.check(argen.infer_network(data), data, n_null_tests=0)
    (note,) = [f for f in found.findings if "do the same" in f.assumption]
    assert note.evidence.startswith("1 of 30 guides is not seen to change the gene")
    assert "g0_1 (" in note.evidence
    assert "80 cells)" in note.evidence
    assert note.severity == "note"
    row = found.tables["own_guides"].set_index("guide").loc["g0_1"]
    assert row["idle"]
    assert not row["works"]
    assert row["of_others"] == pytest.approx(-1.2, abs=0.3)
    assert "29 of 30 change it, 1 surely less" in found.summary()
    # Quality control, which has the same cells, says the same.
    quality = argen.quality_control(data)
    assert note in quality.diagnostics.findings
    # Without its cells nothing is left to say, and the gene is lowered by more.
    kept = np.flatnonzero(data.guides.labels() != "g0_1")
    assert not argen.quality_control(data).candidates["effect"].iloc[0] < -1.0
    fewer = argen.data.only_cells(data, kept)
    quality = argen.quality_control(fewer)
    assert quality.candidates["effect"].iloc[0] < -1.0
    assert "do nothing" not in quality.summary()


def test_effects_of_the_others_are_what_a_fit_without_the_guide_has():
    data = screen(3, mean=3.0, n_cells=60, idle=2)
    labels = data.guides.labels()
    table = own_effects(guide_effects(data, labels), data.nodes).set_index("guide")
    for guide in ("g0_1", "g5_2"):
        node = int(guide[1])
        alone = screen_of(
            data.counts.to_csc().toarray()[labels != guide][:, [node]],
            np.where(data.node_of_cell == node, 0, -1)[labels != guide], n_nodes=1,
        )  # fmt: skip
        others = argen.screen_descendants(alone).knockdown.effect[0]
        assert table.loc[guide, "of_others"] == pytest.approx(others, abs=0.1)


def test_a_gene_of_one_guide_and_cells_of_several_perturbations():
    data = screen(2, mean=3.0, n_cells=60, idle=1)
    joint = own_effects(joint_guide_effects(data, data.guides), data.nodes)
    alone = own_effects(guide_effects(data, data.guides.labels()), data.nodes)
    assert joint["idle"].tolist() == alone["idle"].tolist()
    assert joint["idle"].sum() == 1
    one = replace(data, guides=argen.Guides.of_labels(
        np.array([f"g{k}" for k in data.node_of_cell], dtype=object), data.node_of_cell
    ))  # fmt: skip
    table = own_effects(guide_effects(one, one.guides.labels()), one.nodes)
    assert table["of_others"].isna().all()
    assert not table["idle"].any()
