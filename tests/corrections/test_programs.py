"""Response programs: robust slopes, what is found of a known program, and what is said of it."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

import argen
from argen.corrections import FEWEST_GENES, Programs, estimate_corrections, find_programs
from argen.corrections.programs import MOST_PROGRAMS, panel_genes
from argen.corrections.slopes import CUTOFF, robust_slopes
from argen.data import PerturbSeqData
from argen.network import findings
from argen.simulate.screen import planned
from argen.steps import DescendantScreen
from tests.screens import screen_of

MODEL = argen.ScreenModel(
    n_nodes=20, n_sinks=200, n_programs=1, program_effect=0.4, program_share=1.0
)


def screened(data: PerturbSeqData) -> tuple[PerturbSeqData, DescendantScreen]:
    return data, argen.screen_descendants(data)


@pytest.fixture(scope="module")
def screen() -> tuple[PerturbSeqData, DescendantScreen]:
    """A screen with one program."""
    return screened(argen.simulate_screen(MODEL, rng=2)[0])


@pytest.fixture(scope="module")
def programs(screen) -> Programs:
    data, found = screen
    return find_programs(data, *found.with_own)


@pytest.fixture(scope="module")
def network() -> argen.CausalNetwork:
    """The network of the same screen."""
    return argen.infer_network(argen.simulate_screen(MODEL, rng=2)[0])


def total_of_programs(model: argen.ScreenModel, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores with mean square 1, and loadings with what the network passes on."""
    plan = planned(model, seed, None, None)
    score, own = plan.equations.score[:-1, 0], plan.equations.of_program[0]
    n = model.n_nodes
    between, into_sinks = np.split(plan.truth.direct, [n], axis=1)
    of_nodes = np.linalg.solve((np.eye(n) - between).T, own[:n])
    scale = np.sqrt(np.mean(score**2))
    loading = np.append(of_nodes, own[n:] + of_nodes @ into_sinks)
    return score / scale, loading * scale


# --- robust slopes


def literal_slope(effect: np.ndarray, error: np.ndarray, by: np.ndarray, precision: float) -> float:
    """The least loss of Tukey and of a normal slope, on a fine grid."""
    at = np.linspace(-1.5, 1.5, 6001)
    z = np.minimum(np.abs(effect[:, None] - by[:, None] * at) / (CUTOFF * error[:, None]), 1.0)
    # Its derivative is the weighted residual times x over the squared error.
    loss = CUTOFF**2 / 6.0 * (1.0 - (1.0 - z**2) ** 3)
    return float(at[np.argmin(loss.sum(axis=0) + 0.5 * precision * at**2)])


def test_slopes_have_the_least_loss(rng):
    n, n_columns = 60, 40
    by, slope = rng.normal(1.0, 0.5, n), rng.normal(0.0, 0.4, n_columns)
    error = rng.uniform(0.05, 0.15, (n, n_columns))
    effect = by[:, None] * slope + error * rng.normal(size=error.shape)
    # Errors do not know of others within the cutoff: these are beyond it.
    others = rng.random(effect.shape) < 0.15
    effect[others] += rng.choice([-1.0, 1.0], others.sum()) * rng.uniform(1, 3, others.sum())
    known = rng.random(effect.shape) < 0.9
    found, of_found = robust_slopes(effect, error, known, by)
    # The variance of slopes that the columns tell makes the penalty: get it back from the errors.
    z = np.minimum(np.abs(effect - by[:, None] * found) / (CUTOFF * error), 1.0)
    information = np.sum(known * error**-2.0 * (1.0 - z**2) ** 2 * by[:, None] ** 2, axis=0)
    precision = np.median(of_found**-2.0 - information)
    assert 1.0 / np.sqrt(precision) == pytest.approx(0.4, rel=0.3)
    for column in range(n_columns):
        own = known[:, column]
        literal = literal_slope(effect[own, column], error[own, column], by[own], precision)
        assert found[column] == pytest.approx(literal, abs=2e-3)
    assert np.std((found - slope) / of_found) < 1.6
    plain = np.sum(effect * by[:, None], axis=0) / np.sum(by**2)
    assert np.std(found - slope) < 0.5 * np.std(plain - slope)


def test_slopes_of_nothing():
    """Columns without a known row are 0, and columns without effects stay near it."""
    rng = np.random.default_rng(3)
    effect, error = rng.normal(0.0, 0.1, (30, 12)), np.full((30, 12), 0.1)
    known = np.ones(effect.shape, dtype=bool)
    known[:, 4] = False
    found, of_found = robust_slopes(effect, error, known, np.ones(30))
    assert found[4] == 0.0
    assert np.isfinite(of_found).all()
    assert np.abs(found).max() < 0.05
    nothing = np.zeros((30, 12))
    assert not robust_slopes(nothing, error, known, np.ones(30))[0].any()


# --- what is found


def test_a_program_is_found_as_it_is(programs):
    score, loading = total_of_programs(MODEL, 2)
    assert programs.n_programs == 1
    assert np.corrcoef(programs.scores[:, 0], score)[0, 1] > 0.98
    assert np.corrcoef(programs.loadings[:, 0], loading)[0, 1] > 0.9
    slope = np.polyfit(loading, programs.loadings[:, 0], 1)[0]
    assert slope == pytest.approx(1.0, abs=0.1)
    # What the perturbations share by their controls is not in the errors of loadings.
    z = (programs.loadings[:, 0] - loading) / programs.loading_error[:, 0]
    assert np.median(np.abs(z)) < 1.2
    assert np.mean(np.abs(z) < 3.0) > 0.85


def test_what_is_left_is_as_sure_as_it_is_said_to_be(network):
    """Where nothing reaches a gene over the network, effects are 0 but for their errors."""
    nothing = ~argen.simulate_screen(MODEL, rng=2)[1].ancestors & network.screen.pairs
    z = network.screen.effect[nothing] / network.screen.std_error[nothing]
    assert np.std(z[np.isfinite(z)]) == pytest.approx(1.0, abs=0.1)
    assert np.mean(network.screen.p_value[nothing] < 0.05) < 0.07
    assert np.mean(network.screen.p_value[nothing] < 0.001) < 0.005


def test_scores_have_unit_scale_and_loadings_the_sign(programs):
    assert np.mean(programs.scores**2, axis=0) == pytest.approx(1.0)
    assert (programs.scores.sum(axis=0) >= 0.0).all()
    assert (programs.score_error > 0.0).all()
    assert (programs.loading_error > 0.0).all()
    assert 0.0 < programs.share[0] < 1.0
    assert programs.n_other_genes == 200


def assert_same_programs(left: Programs, right: Programs, **tolerance: float) -> None:
    for name in (f.name for f in fields(Programs) if f.name != "genes"):
        a, b = getattr(left, name), getattr(right, name)
        if tolerance:
            np.testing.assert_allclose(a, b, **tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def test_the_same_screen_gives_the_same_bits(screen, programs):
    data, found = screen
    assert_same_programs(find_programs(data, *found.with_own), programs)
    other = find_programs(data, *found.with_own, rng=2)
    np.testing.assert_array_equal(other.scores, programs.scores)
    assert other.chance != pytest.approx(programs.chance, rel=1e-6)
    threads = argen.infer_network(data, argen.InferenceConfig(threads=1)).programs
    assert_same_programs(threads, programs)


def test_the_sequence_of_sinks_does_not_matter(screen, programs):
    data, found = screen
    order = np.append(np.arange(20), 20 + np.random.default_rng(4).permutation(200))
    counts = data.counts.dense(np.arange(220)).T.astype(np.int64)[:, order]
    node = data.node_of_cell
    moved = screen_of(counts, node, data.covariates, data.library_size, 20)
    moved = replace(moved, formula=data.formula)
    again = find_programs(moved, *(part[:, order] for part in found.with_own))
    # Sums over genes in another sequence.
    close = {"rtol": 1e-6, "atol": 1e-8}
    np.testing.assert_allclose(again.loadings, programs.loadings[order], **close)
    np.testing.assert_allclose(again.scores, programs.scores, **close)
    np.testing.assert_allclose(again.strength, programs.strength, **close)
    np.testing.assert_allclose(again.chance, programs.chance, **close)


def test_the_sequence_of_cells_does_not_matter(screen, programs):
    """But for which controls are drawn."""
    data, _ = screen
    order = np.random.default_rng(5).permutation(data.n_cells)
    counts = data.counts.dense(np.arange(220)).T.astype(np.int64)[order]
    covariates = data.covariates.iloc[order].reset_index(drop=True)
    moved = screen_of(counts, data.node_of_cell[order], covariates, data.library_size[order], 20)
    again_screen = argen.screen_descendants(moved)
    again = find_programs(moved, *again_screen.with_own)
    np.testing.assert_allclose(again.scores, programs.scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(again.loadings, programs.loadings, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(again.chance[0], programs.chance[0], rtol=0.05)


def test_as_many_as_were_asked_for(screen, programs):
    data, found = screen
    one, two = (find_programs(data, *found.with_own, n_programs=n) for n in (1, 2))
    np.testing.assert_array_equal(one.scores, programs.scores)
    np.testing.assert_array_equal(one.loadings, programs.loadings)
    assert two.n_programs == 2
    assert not len(two.strength)
    assert np.mean(two.scores**2, axis=0) == pytest.approx([1.0, 1.0])
    assert abs(np.corrcoef(two.scores[:, 0], one.scores[:, 0])[0, 1]) > 0.9
    table = two.to_frame()
    assert table["program"].tolist() == [1, 2]
    assert table["found"].all()
    assert table["strength"].isna().all()
    assert MOST_PROGRAMS >= 2


def test_tables(programs):
    tests, scores, loadings = (
        programs.to_frame(),
        programs.scores_frame(),
        programs.loadings_frame(),
    )
    expected = (
        "program strength chance chance_sd needed n_setting_off needed_setting_off found share"
    )
    assert " ".join(tests.columns) == expected
    assert tests["found"].tolist() == [True] + [False] * (len(tests) - 1)
    assert tests["strength"][0] >= tests["needed"][0]
    assert tests["n_setting_off"][0] >= tests["needed_setting_off"][0] == 10
    assert list(scores.columns) == ["program", "node", "score", "std_error", "z"]
    assert list(loadings.columns) == ["program", "gene", "loading", "std_error", "z"]
    assert (np.diff(loadings["loading"].abs()) <= 0.0).all()
    np.testing.assert_allclose(loadings["z"], loadings["loading"] / loadings["std_error"])
    place = [programs.genes.index(gene) for gene in loadings["gene"]]
    np.testing.assert_array_equal(loadings["loading"], programs.loadings[place, 0])


def test_too_few_other_genes():
    data, found = screened(
        argen.simulate_screen(replace(MODEL, n_sinks=FEWEST_GENES - 1), rng=1)[0]
    )
    none = find_programs(data, *found.with_own)
    assert none.n_programs == 0
    assert none.n_other_genes == FEWEST_GENES - 1
    assert not len(none.strength)
    assert none.to_frame().empty
    for table, named in ((none.scores_frame(), "score"), (none.loadings_frame(), "loading")):
        assert table.empty
        assert {named, "std_error", "z"} < set(table.columns)
    said = findings.program_findings(none, found)
    assert len(said) == 1
    assert "Only 49 genes that are no nodes can be used to see" in str(said[0])
    assert f"{FEWEST_GENES} are needed" in str(said[0])
    # What is asked for by number is taken out all the same.
    assert find_programs(data, *found.with_own, n_programs=1).n_programs == 1


def test_a_screen_of_nodes_alone():
    data, found = screened(argen.simulate_screen(replace(MODEL, n_sinks=0), rng=1)[0])
    none = find_programs(data, *found.with_own)
    assert none.n_programs == none.n_other_genes == 0
    with pytest.raises(argen.InputError, match=r"programs=1 needs .*and there are 0: read more"):
        find_programs(data, *found.with_own, n_programs=1)


def test_effects_that_are_not_known(screen):
    """Infinite ones, those without an error, a gene without any, a perturbation without any."""
    data, found = screen
    effect, error = found.with_own
    effect[2, 30:50] = -np.inf
    error[3, 60:70] = np.inf
    effect[:, 77] = error[:, 77] = np.nan
    effect[4] = error[4] = np.nan
    less = find_programs(data, effect, error)
    assert less.n_programs == 1
    for name in ("scores", "score_error", "loadings", "loading_error", "share"):
        assert np.isfinite(getattr(less, name)).all()
    assert less.scores[4, 0] == less.loadings[77, 0] == 0.0
    assert less.n_other_genes == 199


def test_the_panel_is_of_the_best_measured_of_other_genes():
    error = np.tile(np.linspace(0.5, 0.1, 1205), (4, 1))
    known = np.ones(error.shape, dtype=bool)
    known[:, 1204] = False
    panel = panel_genes(known, error, 5)
    np.testing.assert_array_equal(panel, np.arange(204, 1204))


# --- what is made of it


def test_nothing_is_looked_for_where_nothing_can_be_taken_out(screen):
    data, found = screen
    full = argen.InferenceConfig(programs=0, penetrance="full")
    none = estimate_corrections(data, found, full)
    assert none.programs is none.penetrance is none.corrections is None
    negative = argen.InferenceConfig(family="nb")
    assert estimate_corrections(data, found, negative).programs is None
    assert (
        estimate_corrections(data, found, argen.InferenceConfig(rule="published")).programs is None
    )
    with pytest.raises(argen.InputError, match=r"programs=1 is not possible here.*'poisson'"):
        estimate_corrections(data, found, argen.InferenceConfig(family="nb", programs=1))
    asked = argen.InferenceConfig(rule="published", programs=1)
    corrections = estimate_corrections(data, found, asked).corrections
    assert not corrections.escapes
    assert corrections.loadings.shape == (220, 1)


def test_the_network_is_that_of_the_corrected_screen(screen, programs, network):
    data, found = screen
    assert_same_programs(network.programs, programs)
    assert list(network.provenance["seconds"]) == ["screen", "corrections", "order", "parents"]
    taken = found.effect - programs.scores @ programs.loadings.T
    finite = np.isfinite(found.effect)
    distance = network.screen.effect[finite] - taken[finite]
    assert np.abs(distance).max() < 1e-6
    assert (network.screen.std_error > found.std_error)[finite].all()
    plain = argen.infer_network(data, argen.InferenceConfig(programs=0))
    assert plain.programs is None
    assert len(plain.candidates) > 2 * len(network.candidates)


def test_what_is_said(programs, network):
    said = [str(finding) for finding in findings.program_findings(programs, network.screen)]
    assert len(said) == 1
    assert said[0].startswith("[note] exclusion")
    strongest = programs.scores_frame()["node"][0]
    assert f"effects; {strongest}, " in said[0]
    assert "fit again with programs=0" in said[0]
    assert said[0] in [str(finding) for finding in network.findings()]
    assert findings.program_findings(None, network.screen) == []
    nothing = replace(
        programs, scores=np.empty((20, 0)), score_error=np.empty((20, 0)),
        loadings=np.empty((220, 0)), loading_error=np.empty((220, 0)), share=np.empty(0),
        strength=programs.strength[:1], chance=programs.chance[:1],
        chance_sd=programs.chance_sd[:1], n_setting_off=np.array([0]),
    )  # fmt: skip
    assert findings.program_findings(nothing, network.screen) == []
    for n, words in ((1, "1 of 20 perturbations sets off"), (4, "4 of 20 perturbations set off")):
        some = replace(nothing, n_setting_off=np.array([n]))
        (few,) = findings.program_findings(some, network.screen)
        assert few.evidence.startswith(f"{words} a response in common; 10 would show that it is ")
        assert "programs=1 and compare: edges that both have stand either way" in few.advice
        assert "the response is probably what this node does" in few.advice


def test_few_perturbations_are_not_asked_for_more_than_there_are(programs, network):
    """Of nine nodes ten cannot set anything off."""
    small = replace(
        programs, genes=programs.genes[:9] + programs.genes[20:], scores=np.empty((9, 0)),
        score_error=np.empty((9, 0)), loadings=np.empty((209, 0)), loading_error=np.empty((209, 0)),
        share=np.empty(0), strength=programs.strength[:1], chance=programs.chance[:1],
        chance_sd=programs.chance_sd[:1], n_setting_off=np.array([4]),
    )  # fmt: skip
    (few,) = findings.program_findings(small, network.screen)
    line = findings.programs_line(small, argen.InferenceConfig())
    for said in (few.evidence, line):
        assert "4 of 9 perturbations set off a response in common; fewer than 10 perturb" in said
        assert "cannot show that it is around the network" in said
        assert "needed" not in said


# --- rates


def false_and_all(network: argen.CausalNetwork, truth: argen.Truth) -> tuple[int, int]:
    """False edges, and all."""
    place = {gene: number for number, gene in enumerate(truth.genes)}
    ends = (network.edges[end].map(place).to_numpy(int) for end in ("source", "target"))
    true = truth.direct[tuple(ends)] != 0.0
    return int((~true).sum()), len(true)


def count_found(model: argen.ScreenModel, n_screens: int) -> int:
    found = 0
    for seed in range(n_screens):
        data, screen = screened(argen.simulate_screen(model, rng=seed)[0])
        found += find_programs(data, *screen.with_own).n_programs > 0
    return found


@pytest.mark.rates
def test_no_program_where_nothing_acts():
    """Hidden factor and states, batches, overdispersed counts: two of 40 may be found."""
    model = argen.ScreenModel(
        n_nodes=20, n_sinks=100, n_parents=0, n_states=3, n_batches=3, dispersion=0.3,
        cells_per_node=60, n_controls=800,
    )  # fmt: skip
    assert count_found(model, 40) <= 2


@pytest.mark.rates
def test_a_network_is_no_program():
    assert count_found(argen.ScreenModel(n_nodes=20, n_sinks=200), 20) == 0


@pytest.mark.rates
@pytest.mark.parametrize(
    ("n_nodes", "n_programs", "program_effect"), [(20, 1, 0.2), (20, 1, 0.4), (30, 2, 0.2)]
)
def test_false_edges_with_programs(n_nodes, n_programs, program_effect):
    """Of all edges of 12 screens 5 % may be false, and two Monte-Carlo errors more.

    With 20 nodes the second of two programs often does not stand out from what weak effects over
    the network can be, and is left in.
    """
    model = replace(
        MODEL,
        n_nodes=n_nodes,
        n_programs=n_programs,
        program_effect=program_effect,
        program_share=0.8,
    )
    false, edges = {}, {}
    for programs, n_screens in (("auto", 12), (0, 6)):
        config, counts = argen.InferenceConfig(programs=programs), []
        for seed in range(n_screens):
            data, truth = argen.simulate_screen(model, rng=seed)
            counts.append(false_and_all(argen.infer_network(data, config), truth))
        false[programs], edges[programs] = np.array(counts).T
    share, without = (false[programs] / edges[programs] for programs in ("auto", 0))
    assert share.mean() <= 0.05 + 2.0 * share.std(ddof=1) / np.sqrt(len(share))
    assert without.mean() > 2.0 * share.mean()
    # Most true edges are still there.
    found, of_all = (edges[programs][:6] - false[programs][:6] for programs in ("auto", 0))
    assert found.sum() > 0.8 * of_all.sum()
