"""The result object: its views, its files, and what it says."""

import json
from dataclasses import fields, replace

import networkx
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad

import argen
from argen.errors import listed

HOSTILE = ("<script>alert(1)</script>", "HLA-A", "Nkx2.5", "a\"b'c&d", "遺伝子\tx", "n" * 200)


def renamed(network: argen.CausalNetwork, names: tuple[str, ...]) -> argen.CausalNetwork:
    """The same network with other gene names."""
    place = dict(zip(network.nodes, names, strict=True))
    candidates = network.candidates.assign(
        source=network.candidates["source"].map(place),
        target=network.candidates["target"].map(place),
    )
    return replace(network, candidates=candidates, screen=replace(network.screen, genes=names))


def test_edges_are_the_selected_candidates(paper_network):
    assert paper_network.edges["selected"].all()
    assert len(paper_network.edges) == paper_network.candidates["selected"].sum()
    expected = "source target effect std_error ci_low ci_high z p_value log10_p p_adjusted batch"
    expected += " level callable p_held selected sink status"
    assert " ".join(paper_network.candidates.columns) == expected


def test_columns_agree_with_each_other(paper_network):
    table = paper_network.candidates
    np.testing.assert_allclose(table["z"], table["effect"] / table["std_error"])
    np.testing.assert_allclose(np.log10(table["p_value"]), table["log10_p"])
    half_width = 1.959963984540054 * table["std_error"]
    np.testing.assert_allclose(table["ci_low"], table["effect"] - half_width)
    np.testing.assert_allclose(table["ci_high"], table["effect"] + half_width)


def test_relatives_of_a_gene(paper_network):
    assert set(paper_network.parents("X3")["source"]) == {"X1", "X2"}
    assert set(paper_network.children("X1")["target"]) == {"X2", "X3"}
    assert {"X1", "X2"} <= set(paper_network.ancestors("X3"))
    with pytest.raises(argen.InputError, match=r"'x3' is not a node.*Did you mean 'X3'"):
        paper_network.parents("x3")
    with pytest.raises(argen.InputError, match=r"'MYC' is not a node.* Nodes: 'X1', 'X2', .*'X6'"):
        paper_network.parents("MYC")


def test_save_and_load_give_the_same_network(paper_network, tmp_path):
    path = argen.save(paper_network, tmp_path / "result")
    assert path.name == "result.npz"
    again = argen.load(path)
    assert argen.load(tmp_path / "result").order == again.order
    pd.testing.assert_frame_equal(again.candidates, paper_network.candidates, check_exact=True)
    pd.testing.assert_frame_equal(
        again.total_effects(), paper_network.total_effects(), check_exact=True
    )
    pd.testing.assert_frame_equal(again.left_out, paper_network.left_out)
    assert again.order == paper_network.order
    assert again.config == paper_network.config
    assert again.provenance == paper_network.provenance
    assert again.summary() == paper_network.summary()


@pytest.mark.parametrize("programs", [1, "auto", 0])
def test_files_keep_response_programs(programs, tmp_path):
    model = argen.ScreenModel(n_nodes=12, n_sinks=60, cells_per_node=60, n_programs=1)
    data, _ = argen.simulate_screen(model, rng=1)
    network = argen.infer_network(data, argen.InferenceConfig(programs=programs))
    again = argen.load(argen.write_results(network, tmp_path))
    assert again.config.programs == programs
    assert [str(said) for said in again.findings()] == [str(said) for said in network.findings()]
    written = {path.name for path in tmp_path.glob("program*.tsv")}
    if programs == 0:
        assert again.programs is None
        assert not written
        return
    assert written == {"programs.tsv", "program_scores.tsv", "program_loadings.tsv"}
    assert again.programs.genes == network.programs.genes
    assert again.programs.nodes == network.nodes
    for field in fields(network.programs):
        values = getattr(again.programs, field.name), getattr(network.programs, field.name)
        np.testing.assert_array_equal(*values)
    frames = {
        "programs": network.programs.to_frame(),
        "program_scores": network.programs.scores_frame(),
        "program_loadings": network.programs.loadings_frame(),
    }
    for name, frame in frames.items():
        table = pd.read_csv(tmp_path / f"{name}.tsv", sep="\t", float_precision="round_trip")
        pd.testing.assert_frame_equal(table, frame, check_dtype=False, check_exact=True)
    if programs == 1:
        assert len(frames["program_scores"]) == 12
        assert len(frames["program_loadings"]) == 72


@pytest.mark.parametrize("method", ["argen", "naive"])
def test_files_keep_whether_effects_come_from_two_stages(paper_screen, tmp_path, method):
    network = argen.method.infer_by(method, paper_screen[0])
    assert network.two_stages == (method == "argen")
    # It is a fact, and not read from a name.
    renamed = replace(network, provenance=network.provenance | {"method": "by hand"})
    path = argen.save(renamed, tmp_path / "renamed")
    assert argen.load(path).two_stages == network.two_stages
    # Older files do not have it: there the name has to do.
    path = argen.save(network, tmp_path / "older")
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays["header"]))
    del header["two_stages"]
    np.savez(path, **(arrays | {"header": np.array(json.dumps(header))}))
    assert argen.load(path).two_stages == network.two_stages


def test_load_refuses_what_is_no_network(paper_network, tmp_path):
    with pytest.raises(argen.InputError, match="There is no file"):
        argen.load(tmp_path / "absent.npz")
    with pytest.raises(argen.InputError, match=r"holds no network\.npz: expected a results folder"):
        argen.load(tmp_path)
    checked = argen.check(paper_network).write(tmp_path / "checked")
    with pytest.raises(argen.InputError, match=r"holds checks of a network.*argen fit SCREEN"):
        argen.load(checked)
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    with pytest.raises(argen.InputError, match=r"cannot be read \(.*\): expected a network file"):
        argen.load(text)
    np.savez(tmp_path / "other.npz", values=np.arange(3))
    with pytest.raises(argen.InputError, match=r"cannot be read \(.*\): expected a network file"):
        argen.load(tmp_path / "other.npz")
    path = argen.save(paper_network, tmp_path / "newer.npz")
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays["header"])) | {"version": 99}
    np.savez(path, **(arrays | {"header": np.array(json.dumps(header))}))
    with pytest.raises(argen.InputError, match=r"version 99; this argen reads .* up to version 1"):
        argen.load(path)
    for change in ({"genes": None}, {"config": {"beta": 0.1}}):
        header = json.loads(str(arrays["header"])) | change
        np.savez(path, **(arrays | {"header": np.array(json.dumps(header))}))
        with pytest.raises(
            argen.InputError, match=r"expected what this version of argen writes\. Fit again"
        ):
            argen.load(path)
    np.savez(path, **{name: array for name, array in arrays.items() if name != "screen/effect"})
    with pytest.raises(argen.InputError, match=r"'screen/effect'.* this version .* Fit again"):
        argen.load(path)


def test_hostile_names_survive_every_format(paper_network, tmp_path):
    network = renamed(paper_network, HOSTILE)
    folder = argen.write_results(network, tmp_path)
    again = argen.load(folder)
    assert again.nodes == HOSTILE
    edges = pd.read_csv(folder / "edges.tsv", sep="\t", converters={"effect": float})
    assert list(edges["source"]) == list(network.edges["source"])
    np.testing.assert_array_equal(edges["effect"], network.edges["effect"])
    graph = networkx.read_graphml(folder / "network.graphml")
    assert set(graph.nodes) == set(HOSTILE)
    assert "<script>" not in network._repr_html_()


# A bell, an escape sequence, a line that another name seems to be in, the end of a row, what no XML
# may hold, text from right to left, and what the escaped form of another name would be.
CONTROL = ("a\x07b", "a\x1b[31mb", "a\nerror: b", "a\rb\tc", "a\ufffe\x85\u2028b", "a\\x07b")


def test_names_with_control_characters_are_kept_and_shown_escaped(paper_network, tmp_path):
    network = renamed(paper_network, CONTROL)
    folder = argen.write_results(network, tmp_path)
    assert argen.load(folder).nodes == CONTROL
    for name, column in (("order", "gene"), ("knockdown", "node"), ("descendants", "source")):
        table = pd.read_csv(folder / f"{name}.tsv", sep="\t")
        assert set(table[column]) == set(CONTROL)
    edges = pd.read_csv(folder / "edges.tsv", sep="\t", float_precision="round_trip")
    pd.testing.assert_frame_equal(edges, network.edges, check_dtype=False, check_exact=True)
    graph = networkx.read_graphml(folder / "network.graphml")
    places = {CONTROL.index(name) for name in graph.nodes if name in CONTROL}
    assert places == {2, 3, 5}  # which XML can hold
    position = {name: place for place, name in enumerate(network.order, start=1)}
    assert graph.nodes["a\\x07b'"]["position"] == position["a\x07b"]
    assert graph.nodes["a\\x1b[31mb"]["position"] == position["a\x1b[31mb"]
    assert graph.number_of_edges() == len(network.edges)
    for said in (network.summary(), str(network)):
        assert all(c.isprintable() or c == "\n" for c in said)
        assert "\nerror" not in said
    with pytest.raises(argen.InputError) as raised:
        network.parents("a\x1b[31m")
    assert str(raised.value).isprintable()


def test_a_table_of_another_run_is_said(paper_network, tmp_path):
    folder = argen.write_results(paper_network, tmp_path)
    (folder / "edges.tsv").write_text("of another run")
    with pytest.warns(argen.ArgenWarning, match=r"1 of the files in .*'edges.tsv'"):
        argen.load(folder)
    argen.write_results(paper_network, tmp_path)
    argen.load(folder)
    argen.save(replace(paper_network, two_stages=False), folder / "network.npz")
    assert not argen.load(folder).two_stages  # without a word: the list has been told


def test_results_folder(paper_network, tmp_path):
    folder = argen.write_results(paper_network, tmp_path / "new" / "folder")
    written = {path.name for path in folder.iterdir()}
    assert written == {
        "edges.tsv",
        "candidates.tsv",
        "descendants.tsv",
        "order.tsv",
        "knockdown.tsv",
        "left_out.tsv",
        "unusual_fits.tsv",
        "programs.tsv",
        "program_scores.tsv",
        "program_loadings.tsv",
        "network.graphml",
        "network.npz",
        "run.json",
        "argen_files.json",
    }
    record = json.loads((folder / "run.json").read_text())
    assert record["config"]["alpha"] == 0.05
    assert record["versions"]["argen"] == argen.__version__
    assert len(record["input_sha256"]) == 64
    assert pd.read_csv(folder / "order.tsv", sep="\t")["gene"].tolist() == paper_network.order


def test_networkx_graph(paper_network):
    graph = argen.to_networkx(paper_network)
    assert networkx.is_directed_acyclic_graph(graph)
    assert set(graph.edges) == set(
        paper_network.edges[["source", "target"]].itertuples(index=False, name=None)
    )
    edge = paper_network.edges.iloc[0]
    assert graph.edges[edge["source"], edge["target"]]["effect"] == edge["effect"]
    everything = argen.to_networkx(paper_network, candidates=True)
    assert everything.number_of_edges() == len(paper_network.candidates)


def test_anndata_keys(paper_network, tmp_path):
    genes = ["other", *reversed(paper_network.nodes)]
    adata = AnnData(X=np.zeros((2, 7), dtype=np.float32), var=pd.DataFrame(index=genes))
    annotated = argen.to_anndata(paper_network, adata)
    assert "argen" not in adata.uns
    direct = pd.DataFrame(
        annotated.varp["argen_direct_effect"].toarray(), index=genes, columns=genes
    )
    for edge in paper_network.edges.itertuples():
        assert direct.loc[edge.source, edge.target] == edge.effect
    assert (direct != 0).sum().sum() == len(paper_network.edges)
    assert np.isnan(annotated.var.loc["other", "argen_position"])
    annotated.write_h5ad(tmp_path / "annotated.h5ad")
    again = read_h5ad(tmp_path / "annotated.h5ad")
    assert list(again.uns["argen"]["order"]) == paper_network.order
    with pytest.raises(argen.InputError, match="lacks 1 of the network's genes: 'X6'"):
        argen.to_anndata(paper_network, adata[:, [g for g in genes if g != "X6"]])


def test_printed_it_is_the_summary_and_among_others_one_line(paper_network):
    assert str(paper_network) == paper_network.summary()
    assert repr([paper_network]) == "[<CausalNetwork: 6 genes, 0 sinks, 6 edges of 9 candidates>]"


def test_summary_says_what_matters(paper_network):
    text = paper_network.summary()
    assert "6 genes" in text
    assert "X1" in text
    assert "descendants at bh < 0.05" in text


def test_summary_says_in_how_many_cells_guides_work(escaping_network):
    share = 100 * escaping_network.penetrance.share
    said = f"  penetrance {np.median(share):.0f} % of the cells (median; {share.min():.0f} to "
    said += f"{share.max():.0f} %), corrected in 15 of 15 perturbations, "
    said += f"{escaping_network.penetrance.borrowed.sum()} of them only by what the others have"
    assert said in escaping_network.summary().splitlines()
    found, none = escaping_network.penetrance, np.zeros(15, dtype=bool)
    work = replace(found, corrected=none, share=np.ones(15), screen_p_value=0.31)
    for penetrance, line in (
        (work, "all cells (no sign of escape, p = 0.31)"),
        (replace(work, p_value=np.full(15, np.nan)), "not known: too few genes are lowered, or"),
    ):
        network = replace(escaping_network, penetrance=penetrance)
        assert f"  penetrance {line}" in network.summary()
        assert not [f for f in network.findings() if f.assumption.startswith("penetrance")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"penetrance": "full"}, "not looked for, as the options say"),
        ({"rule": "published"}, "not looked for, as the options say"),
        ({"family": "nb"}, "not looked for: the family is not 'poisson'"),
        ({}, "not looked for: cells carry several perturbations, or the method has none"),
    ],
)
def test_summary_is_silent_of_shares_that_were_not_looked_for(paper_network, options, said):
    network = replace(paper_network, penetrance=None, config=argen.InferenceConfig(**options))
    assert network.penetrance_line() == said
    assert "penetrance " not in network.summary()
    assert list(network.knockdowns()) == list(network.screen.knockdown_frame())


def test_a_finding_says_that_cells_escape(escaping_network):
    [finding] = [f for f in escaping_network.findings() if f.assumption.startswith("penetrance")]
    least = escaping_network.knockdowns().sort_values("penetrance").iloc[0]
    assert finding.severity == "note"
    assert "Cells escape in 15 of 15 perturbations: in 4 by their own cells, " in finding.evidence
    low, high = 100 * least["penetrance_low"], 100 * least["penetrance_high"]
    said = f"{least['node']} {100 * least['penetrance']:.0f} % ({low:.0f} to {high:.0f} %)"
    assert said in finding.evidence
    assert 'penetrance="full"' in finding.advice


def test_shares_that_rest_on_other_perturbations_are_named(escaping_network):
    found = escaping_network.penetrance
    named = escaping_network.knockdowns().query("penetrance_borrowed")["node"]
    assert set(named) == {escaping_network.nodes[k] for k in np.flatnonzero(found.ci_high == 1.0)}
    [finding] = [f for f in escaping_network.findings() if f.assumption.startswith("penetrance")]
    assert "in 4 by their own cells, in 11 only by what the others have" in finding.evidence
    ascending = named.index[found.share[named.index].argsort()]
    assert f"({listed(named.loc[ascending], 10)})" in finding.evidence
    own = replace(escaping_network, penetrance=replace(found, ci_high=np.full(15, 0.9)))
    [finding] = [f for f in own.findings() if f.assumption.startswith("penetrance")]
    assert "Cells escape in 15 of 15 perturbations. The guide works" in finding.evidence
    assert own.penetrance_line().endswith("15 of 15 perturbations")


def test_shares_and_lowered_genes_are_saved(escaping_network, tmp_path):
    found = escaping_network.penetrance
    missing = [None, *found.lowered[1:]]
    network = replace(escaping_network, penetrance=replace(found, lowered=missing))
    again = argen.load(argen.save(network, tmp_path / "network")).penetrance
    for field in fields(found):
        if field.name != "lowered":
            was, now = getattr(found, field.name), getattr(again, field.name)
            np.testing.assert_array_equal(now, was)
            assert np.asarray(now).dtype == np.asarray(was).dtype
    assert isinstance(again.screen_p_value, float)
    assert again.lowered[0] is None
    for was, now in zip(missing[1:], again.lowered[1:], strict=True):
        for field in fields(was):
            np.testing.assert_array_equal(getattr(now, field.name), getattr(was, field.name))


def test_a_file_without_shares_has_none(escaping_network, paper_network, tmp_path):
    path = argen.save(escaping_network, tmp_path / "network")
    with np.load(path) as archive:
        old = {name: archive[name] for name in archive.files if "penetrance/" not in name}
    header = json.loads(str(old["header"]))
    del header["sha256"]
    np.savez(path, **(old | {"header": np.array(json.dumps(header))}))
    assert argen.load(path).penetrance is None
    # Nothing lowered that could tell: there are no pairs.
    again = argen.load(argen.save(paper_network, tmp_path / "paper"))
    assert again.penetrance.lowered == [None] * 6


def test_the_table_of_knock_downs_has_the_shares(escaping_network, tmp_path):
    folder = argen.write_results(escaping_network, tmp_path)
    table = pd.read_csv(folder / "knockdown.tsv", sep="\t")
    new = [
        "penetrance", "penetrance_low", "penetrance_high", "penetrance_p_value", "n_telling_genes",
        "escape_corrected", "penetrance_borrowed",
    ]  # fmt: skip
    assert list(table)[-7:] == new
    found = escaping_network.penetrance
    np.testing.assert_allclose(table["penetrance"], found.share)
    silent = replace(
        found, corrected=np.zeros(15, dtype=bool), share=np.ones(15),
        p_value=np.append(np.nan, found.p_value[1:]),
    ).to_frame()  # fmt: skip
    assert silent.loc[0, new[:4]].isna().all()
    assert silent.loc[0, "n_telling_genes"] == 0
    np.testing.assert_array_equal(silent.loc[1:, "penetrance"], 1.0)
    np.testing.assert_array_equal(silent.loc[1:, "penetrance_low"], found.ci_low[1:])


def test_summary_says_which_programs_were_taken_out(program_network):
    share = 100 * program_network.programs.share[0]
    said = f"  programs   1 taken out, {share:.0f} % of the variance of total effects"
    assert said in program_network.summary().splitlines()
    programs = program_network.programs
    twice = replace(
        programs, scores=np.hstack([programs.scores] * 2), share=np.array([0.251, 0.02])
    )
    two = replace(program_network, programs=twice).programs_line()
    assert two == "2 taken out, 25 % and 2 % of the variance of total effects"


@pytest.mark.parametrize(
    ("strength", "n_setting_off", "said"),
    [
        ([15.2], [0], "none found (strength 15.2, needed 23.2)"),
        (
            [40.0],
            [6],
            "none taken out (6 of 20 perturbations set off a response in common; 10 would show "
            "that it is around the network)",
        ),
        ([], [], "not looked for: 8 other genes, 50 needed"),
    ],
)
def test_summary_says_why_there_is_no_program(program_network, strength, n_setting_off, said):
    n = len(strength)
    none = replace(
        program_network.programs,
        scores=np.empty((20, 0)), score_error=np.empty((20, 0)), loadings=np.empty((140, 0)),
        loading_error=np.empty((140, 0)), share=np.empty(0), n_other_genes=8,
        strength=np.array(strength), chance=np.full(n, 14.5), chance_sd=np.full(n, 2.9),
        n_setting_off=np.array(n_setting_off),
    )  # fmt: skip
    network = replace(program_network, programs=none)
    assert f"  programs   {said}" in network.summary().splitlines()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"programs": 0}, "not looked for, as the options say"),
        ({"rule": "published"}, "not looked for, as the options say"),
        ({"family": "nb"}, "not looked for: the family is not 'poisson'"),
        ({}, "not looked for: cells carry several perturbations, or the method has none"),
    ],
)
def test_summary_is_silent_of_programs_that_were_not_looked_for(paper_network, options, said):
    network = replace(paper_network, programs=None, config=argen.InferenceConfig(**options))
    assert network.programs_line() == said
    assert "programs  " not in network.summary()


@pytest.mark.parametrize(
    ("n_pairs", "words"),
    [(1, "1 pair of genes affect each other both ways"), (2, "2 pairs of genes affect each other")],
)
def test_summary_names_pairs_that_affect_each_other(paper_network, n_pairs, words):
    screen = paper_network.screen
    is_descendant = screen.is_descendant.copy()
    for source, target in np.argwhere(is_descendant)[:n_pairs]:
        is_descendant[target, source] = True
    network = replace(paper_network, screen=replace(screen, is_descendant=is_descendant))
    assert words in network.summary()


def test_provenance_names_the_run(paper_screen):
    data = paper_screen[0]
    network = argen.infer_network(data, command="argen fit somewhere")
    assert network.provenance["command"] == "argen fit somewhere"
    assert network.provenance["input_sha256"] == data.sha256
    assert set(network.provenance["seconds"]) == {"screen", "corrections", "order", "parents"}


def test_edges_whose_interval_holds_zero_are_explained():
    model = argen.ScreenModel(n_nodes=30, cells_per_node=60, mean_count=1.0)
    data, _ = argen.simulate_screen(model, rng=0)
    network = argen.infer_network(data)
    edges = network.edges
    held = edges[(edges["ci_low"] <= 0) & (edges["ci_high"] >= 0)]
    assert len(held) > 1
    first = f"{held['source'].iloc[0]} -> {held['target'].iloc[0]}"
    assert f"The intervals of {len(held)} edges hold 0" in network.summary()
    assert first in network.summary()
    assert "argen check --every-edge has intervals" in network.summary()
    wald = argen.infer_network(data, argen.InferenceConfig(parent_test="wald"))
    assert "hold 0" not in wald.summary()
