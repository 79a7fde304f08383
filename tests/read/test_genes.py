"""Names of genes: identifiers, symbols, and names that break careless code."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import argen

ENSEMBL = [f"ENSG{i:011d}" for i in range(6)]
HOSTILE = [
    "HLA-DRA",
    "AC012.3",
    "my gene",
    "Ü-Gen-β1",
    "<script>alert(1)</script>",
    "a\"b'c&d",
    "G" * 200,
    "nan",
    "None",
    "A+B",
    "1.0",
    "=cmd()",
    "a,b;c|d",
    "line\nbreak",
    "\\1",
    "{0}%s",
]


def with_ensembl_ids(screen):
    """The same screen with Ensembl identifiers and the names as symbols."""
    screen.var["symbol"] = list(screen.var_names)
    screen.var.index = ENSEMBL
    return screen


def rename(screen, names):
    """Give the nodes STAT1 and STAT2 other names, as genes and as labels."""
    new = dict(zip(["STAT1", "STAT2"], names, strict=True))
    screen.var.index = [new.get(gene, gene) for gene in screen.var_names]
    labels = screen.obs["perturbation"].astype(object)
    screen.obs["perturbation"] = [new.get(label, label) for label in labels]
    return screen


def test_repeated_gene_names(screen, read, tmp_path):
    genes = ["STAT1", "STAT2", "JAK2", "STAT1", "STAT2", "GAPDH"]
    with pytest.warns(UserWarning, match="Variable names are not unique"):
        bad = AnnData(X=screen.X, obs=screen.obs, var=pd.DataFrame(index=genes))
    words = r"2 gene names occur more than once: 'STAT1', 'STAT2'\. Make them unique, for example"
    with pytest.raises(argen.InputError, match=words):
        read(bad)
    bad.write_h5ad(tmp_path / "bad.h5ad")
    with pytest.raises(argen.InputError, match=words):
        read(tmp_path / "bad.h5ad")


@pytest.mark.parametrize("first", HOSTILE)
def test_hostile_names(screen, read, tmp_path, first):
    expected = read(screen)
    second = f"{first} 2"
    screen = rename(screen, [first, second])
    data = read(screen, nodes=["JAK2", second, first])
    assert data.nodes == (first, second, "JAK2")
    np.testing.assert_array_equal(data.node_of_cell, expected.node_of_cell)
    assert data.left_out["name"].tolist() == ["IRF1"]
    screen.write_h5ad(tmp_path / "screen.h5ad")
    assert read(tmp_path / "screen.h5ad").sha256 == data.sha256
    with pytest.raises(argen.InputError, match="in the list of nodes, is not a measured gene"):
        read(screen, nodes=[first, "absent"])


def test_control_label_that_is_a_hostile_name(screen, read):
    expected = read(screen)
    screen.obs["perturbation"] = screen.obs["perturbation"].replace({"non-targeting": "nan"})
    assert read(screen, control="nan").sha256 == expected.sha256


def test_labels_may_be_identifiers_or_symbols(screen, read):
    expected = read(screen)
    screen = with_ensembl_ids(screen)
    by_symbol = read(screen, gene_symbols="symbol")
    assert by_symbol.nodes == ("STAT1", "STAT2", "JAK2")
    assert by_symbol.sha256 == expected.sha256

    identifier = dict(zip(screen.var["symbol"], screen.var_names, strict=True))
    symbols = screen.obs["perturbation"].astype(object)
    screen.obs["perturbation"] = [identifier.get(label, label) for label in symbols]
    assert read(screen, gene_symbols="symbol").sha256 == expected.sha256
    assert read(screen).nodes == tuple(ENSEMBL[:3])


@pytest.mark.parametrize("dtype", [object, "category", "string"])
def test_symbols_of_every_text_type(screen, read, dtype):
    expected = read(screen)
    screen = with_ensembl_ids(screen)
    screen.var["symbol"] = screen.var["symbol"].astype(dtype)
    assert read(screen, gene_symbols="symbol").sha256 == expected.sha256


def test_list_of_nodes_by_either_name(screen, read):
    screen = with_ensembl_ids(screen)
    by_either = read(screen, gene_symbols="symbol", nodes=["STAT1", ENSEMBL[2]])
    assert by_either.nodes == ("STAT1", "JAK2")
    with pytest.raises(argen.InputError, match="is there by its other name too"):
        read(screen, gene_symbols="symbol", nodes=["STAT1", ENSEMBL[0]])
    with pytest.raises(argen.InputError, match=r"not a measured gene\. Did you mean 'STAT1'\?"):
        read(screen, gene_symbols="symbol", nodes=["STAT11", "STAT2"])


def test_labels_that_mean_the_same_gene(screen, read):
    screen = with_ensembl_ids(screen)
    labels = screen.obs["perturbation"].astype(object)
    labels[labels.index[labels == "STAT1"][:20]] = ENSEMBL[0]
    screen.obs["perturbation"] = labels
    words = rf"The labels '{ENSEMBL[0]}', 'STAT1' mean the same gene\. Use one name per gene"
    with pytest.raises(argen.InputError, match=words):
        read(screen, gene_symbols="symbol")


def test_shared_symbols(screen, read):
    screen = with_ensembl_ids(screen)
    screen.var["symbol"] = ["STAT1", "STAT2", "JAK2", "MYC", "STAT1", "STAT1"]
    data = read(screen, gene_symbols="symbol")
    assert data.nodes == ("STAT2", "JAK2")
    reasons = data.left_out.set_index("name")["reason"]
    assert reasons["STAT1"] == "a symbol that 3 measured genes share"
    with pytest.raises(argen.InputError, match=r"'STAT1', .*, is a symbol that 3 measured"):
        read(screen, gene_symbols="symbol", nodes=["STAT1", "JAK2"])

    labels = screen.obs["perturbation"].astype(object)
    screen.obs["perturbation"] = labels.replace({"STAT1": ENSEMBL[0]})
    assert read(screen, gene_symbols="symbol").nodes == (ENSEMBL[0], "STAT2", "JAK2")


@pytest.mark.parametrize("dtype", [object, "category", "string"])
@pytest.mark.parametrize("label", ["nan", "<NA>", "None"])
def test_missing_symbols(screen, read, dtype, label):
    screen = with_ensembl_ids(screen)
    symbols = pd.Series([None, "STAT2", "JAK2", None, None, "GAPDH"], index=ENSEMBL)
    screen.var["symbol"] = symbols.astype(dtype)
    labels = screen.obs["perturbation"].astype(object)
    screen.obs["perturbation"] = labels.replace({"STAT1": ENSEMBL[0], "IRF1": label})
    data = read(screen, gene_symbols="symbol")
    assert data.nodes == (ENSEMBL[0], "STAT2", "JAK2")
    assert data.left_out["name"].tolist() == [label]


def test_a_symbol_that_is_the_identifier_of_another_gene(screen, read):
    screen.var["symbol"] = ["JAK2", "STAT2", None, "MYC", "ACTB", "GAPDH"]
    data = read(screen, gene_symbols="symbol")
    assert data.nodes == ("STAT1", "STAT2", "JAK2")
    assert data.sha256 == read(screen).sha256


def test_symbols_that_are_numbers(screen, read):
    screen.var["entrez"] = [6772, 6773, 3717, 4609, 60, 2597]
    labels = screen.obs["perturbation"].astype(object)
    screen.obs["perturbation"] = labels.replace({"STAT1": "6772"})
    assert read(screen, gene_symbols="entrez").nodes == ("6772", "6773", "3717")


def test_column_of_symbols_that_is_not_there(screen, read):
    with pytest.raises(argen.InputError, match=r"in var for the gene symbols\. Columns: none\.$"):
        read(screen, gene_symbols="symbols")
    words = r"no column 'symbols' in var for the gene symbols\. Did you mean 'symbol'\?"
    with pytest.raises(argen.InputError, match=words):
        read(with_ensembl_ids(screen), gene_symbols="symbols")


def test_repeated_column_of_symbols(screen, read):
    screen = with_ensembl_ids(screen)
    screen.var = pd.concat([screen.var, screen.var], axis=1)
    with pytest.raises(argen.InputError, match="var has more than one column 'symbol'"):
        read(screen, gene_symbols="symbol")
    with pytest.raises(argen.InputError, match="name it as gene_symbols"):
        read(screen)


def test_symbols_that_were_not_named(screen, read):
    words = r"none is\..*The labels occur in var\['symbol'\]: name it as gene_symbols"
    with pytest.raises(argen.InputError, match=words):
        read(with_ensembl_ids(screen))


def test_permuted_genes_give_the_same_screen(screen, read):
    expected = read(screen, panel=0)
    permuted = screen[:, ["GAPDH", "STAT1", "ACTB", "STAT2", "MYC", "JAK2"]]
    data = read(permuted, panel=0)
    assert data.sha256 == expected.sha256
