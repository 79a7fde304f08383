"""Edges against known pairs: tables by hand, planted and absent evidence, files of all kinds."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact, mannwhitneyu

import argen
from argen.analysis import evidence, places
from argen.cli.app import main
from tests.networks import HOSTILE, made_up_network

MODEL = argen.ScreenModel(n_nodes=20, n_parents=1.5, mean_count=5.0)


@pytest.fixture(scope="module")
def fitted():
    """A screen, its network and the truth."""
    data, truth = argen.simulate_screen(MODEL, rng=1)
    return data, argen.infer_network(data), truth


def known_pairs(rows, *, directed=True) -> evidence.KnownPairs:
    return evidence.KnownPairs(
        pd.DataFrame(rows, columns=["source", "target", "sign"]), directed, "made up"
    )


def test_reads_the_usual_tables(tmp_path):
    cases = {
        "signor.txt.gz": ("entity1,entity2\nHLA-A,Nkx2.5\nA,\n", [("HLA-A", "Nkx2.5", 0)], False),
        "trrust.tsv": (
            "AATF\tBAX\tRepression\t22909821\nAATF\tKLK3\tUnknown\t1;2\nAATF\tBAX\tRepression\t7\n",
            [("AATF", "BAX", -1), ("AATF", "KLK3", 0)],
            True,
        ),
        "dorothea.tsv": (
            "tf\tconfidence\ttarget\tmor\nADNP\tD\tATF7IP\t1\nA\tA\tNA\t-1\nA\tA\tNA\t1\n",
            [("A", "NA", 0), ("ADNP", "ATF7IP", 1)],
            True,
        ),
        "own.csv": ("source,target,sign\n<b>,x y,-0.3\n", [("<b>", "x y", -1)], True),
    }
    for name, (text, expected, directed) in cases.items():
        path = tmp_path / name
        content = text.encode()
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        found = evidence.read_pairs(path)
        assert sorted(found.table.itertuples(index=False, name=None)) == expected
        assert found.directed == directed
        assert found.name == name.split(".")[0]
    with pytest.raises(argen.InputError, match="has no column 'tgt'"):
        evidence.read_pairs(tmp_path / "dorothea.tsv", target="tgt")
    with pytest.raises(argen.InputError, match=r"There is no file .*: expected a table of pairs"):
        evidence.read_pairs(tmp_path / "absent.tsv")


def test_tables_are_those_of_a_double_loop():
    network = made_up_network(30, 60, names=HOSTILE)
    rng = np.random.default_rng(2)
    rows = [(*rng.choice(network.genes, 2, replace=False), int(rng.integers(-1, 2)))
            for _ in range(150)]  # fmt: skip
    known = known_pairs(rows, directed=False)
    found = evidence.compare(network, known, alternative="two-sided").set_index("group")
    called = set(network.edges[["source", "target"]].itertuples(index=False, name=None))
    either = {(a, b) for a, b, _ in rows} | {(b, a) for a, b, _ in rows}
    table = np.zeros((2, 2), dtype=int)
    for a in network.genes:
        for b in network.genes:
            if a != b:
                table[int((a, b) not in called), int((a, b) not in either)] += 1
    odds_ratio, p_value = fisher_exact(table)
    assert found.loc["called", "n_known"] == table[0, 0]
    assert found.loc["called", "odds_ratio"] == pytest.approx(odds_ratio)
    assert found.loc["called", "p_value"] == pytest.approx(p_value)
    assert found.loc["random", "n_pairs"] == len(called)
    assert (found["p_adjusted"] >= found["p_value"]).all()


def test_finds_the_truth_and_nothing_in_noise(fitted):
    data, network, truth = fitted
    true = truth.to_frame()
    rows = [(a, b, int(np.sign(e))) for a, b, e in true[["source", "target", "effect"]].to_numpy()]
    naive = argen.method.infer_naive(data)
    found = evidence.compare(network, known_pairs(rows), others={"naive": naive})
    table = found.set_index("group")
    assert table.loc["called", "odds_ratio"] > 20
    assert table.loc["called", "p_adjusted"] < 1e-10
    assert table.loc["called", "same_sign"] == 1.0
    assert table.loc["called", "share_known"] > table.loc["naive", "share_known"]
    ranked = evidence.ranking(network, known_pairs(rows)).iloc[0]
    assert ranked["auprc"] == pytest.approx(argen.evaluate(network, truth).auprc)
    assert ranked["precision_at_10"] == 1.0
    rng, p_values = np.random.default_rng(5), []
    for _ in range(60):
        noise = [(*rng.choice(network.genes, 2, replace=False), 0) for _ in range(40)]
        p_values.append(evidence.compare(network, known_pairs(noise)).loc[0, "p_value"])
    assert np.mean(np.array(p_values) < 0.05) < 0.15


def test_random_pairs_are_matched_for_expression(fitted):
    _, network, _ = fitted
    level = pd.Series(np.geomspace(0.01, 100, 20), index=list(network.genes))
    rng = np.random.default_rng(1)
    pairs = network.screen.pairs
    called = np.zeros_like(pairs)
    called[15:17, 17:20] = True
    free = evidence._matched(network, called, pairs, level, rng)
    source, target = np.nonzero(free)
    assert len(source) == 6
    assert not (free & called).any()
    assert min(source.min(), target.min()) >= 12
    with pytest.raises(argen.InputError, match="expression lacks 1 genes"):
        evidence._matched(network, called, pairs, level.iloc[1:], rng)


def test_classes_by_place(tmp_path, fitted):
    _, network, _ = fitted
    genes = list(network.genes)
    bed = tmp_path / "sites.bed"
    lines = [f"chr{1 + k % 2}\t{1000 * k}\t{1000 * k + 500}\t{g}\t0\t{'+-'[k % 2]}"
             for k, g in enumerate(genes[:-1])]  # fmt: skip
    bed.write_text("\n".join(lines), encoding="utf-8")
    sites = places.start_sites(bed)
    assert sites["site"].tolist()[:3] == [0, 1500, 2000]
    gtf = tmp_path / "genes.gtf"
    gtf.write_text(
        '#!x\nchr1\th\tgene\t101\t900\t.\t-\t.\tgene_id "E1"; gene_name "<g>";\n'
        'chr1\th\texon\t101\t300\t.\t-\t.\tgene_id "E1"; gene_name "<g>";\n',
        encoding="utf-8",
    )
    assert places.start_sites(gtf).to_numpy().tolist() == [["<g>", "chr1", 900]]
    where = sites.set_index("gene")
    found = places.distance_classes(network, sites, bounds=(3000, 10_000))
    for a, b, kind in found.itertuples(index=False, name=None):
        if a not in where.index or b not in where.index:
            assert kind == "unknown"
        elif where.loc[a, "chromosome"] != where.loc[b, "chromosome"]:
            assert kind == "other chromosome"
        else:
            gap = abs(where.loc[a, "site"] - where.loc[b, "site"])
            assert kind == ("below 3e+03" if gap < 3000 else "below 1e+04" if gap < 10_000
                            else "1e+04 or more")  # fmt: skip
    tads = pd.DataFrame({"chromosome": ["chr1", "chr1"], "start": [0, 9000], "end": [9000, 30_000],
                         "name": "", "strand": "."})  # fmt: skip
    assert set(places.region_classes(network, sites, tads)["class"]) <= {
        "same region", "different regions", "outside",
    }  # fmt: skip
    thirds = pd.concat([tads, tads.assign(chromosome="chr2")], ignore_index=True)
    compartments = places.region_classes(network, sites, thirds.assign(name=["A", "B", "A", "B"]))
    assert set(compartments["class"]) <= {"A-A", "A-B", "B-B", "A-none", "B-none"}
    narrow = tmp_path / "x.narrowPeak"
    narrow.write_text("chr1\t0\t2500\tp\t9\t.\t1\t2\t3\t4\n", encoding="utf-8")
    at_peak = places.shared_peaks(network, sites, places.read_intervals(narrow), window=100)
    near = set(where[(where["chromosome"] == "chr1") & (where["site"] < 2600)].index)
    for a, b, kind in at_peak.itertuples(index=False, name=None):
        expected = {(1, 1): "both", (1, 0): "source", (0, 1): "target", (0, 0): "neither"}
        assert kind == expected[(int(a in near), int(b in near))]
    with pytest.raises(argen.InputError, match=r"cannot be read .*: expected intervals"):
        places.read_intervals(gtf)


def test_strength_between_classes():
    network = made_up_network(30, 80)
    edges = network.edges
    large = edges["effect"].abs() > edges["effect"].abs().median()
    classes = edges[["source", "target"]].assign(**{"class": np.where(large, "near", "far")})
    table = evidence.compare_strength(network, classes, alternative="greater").set_index("class")
    sizes = edges["effect"].abs()
    expected = mannwhitneyu(sizes[large], sizes[~large], alternative="greater")
    assert table.loc["near", "p_value"] == pytest.approx(expected.pvalue)
    assert table.loc["near", "p_adjusted"] < 0.001
    assert table.loc["far", "p_value"] > 0.99
    with pytest.raises(argen.InputError, match="classes lacks the columns 'class'"):
        evidence.compare_strength(network, edges[["source", "target"]])


def test_command(tmp_path, capsys, fitted):
    _, network, truth = fitted
    path = argen.save(network, tmp_path / "network")
    truth.to_frame().to_csv(tmp_path / "true.tsv", sep="\t", index=False)
    with pytest.raises(SystemExit) as ended:
        main(["evidence", str(path), str(tmp_path / "true.tsv"), "--out", str(tmp_path / "out")])
    assert ended.value.code in (0, None)
    assert "edges are known" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "evidence.tsv", sep="\t")
    assert table["group"].tolist() == ["called", "tested, not called", "random"]
    assert (tmp_path / "out" / "ranking.tsv").is_file()
