"""The interface of CausalBench's models."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import argen
from argen.method import CausalBenchModel


@pytest.fixture(scope="module")
def screen(paper_screen):
    """The paper's screen with further genes, as cells have them: most with few counts."""
    adata = argen.simulated_anndata(*paper_screen)
    rng = np.random.default_rng(1)
    further = rng.poisson(rng.lognormal(-1, 1, size=40), size=(adata.n_obs, 40))
    counts = np.hstack([adata.X.toarray(), further])
    names = [*adata.var_names, *(f"other{i}" for i in range(40))]
    return AnnData(counts, obs=adata.obs, var=pd.DataFrame(index=names))


@pytest.fixture(scope="module")
def given(screen):
    """What CausalBench gives: logarithms of normalised counts, labels, and genes."""
    depth = screen.obs["library_size"].to_numpy()
    expression = np.log1p(screen.X / depth[:, None] * np.median(depth)).astype(np.float32)
    return expression, screen.obs["perturbation"].astype(str).to_numpy(), list(screen.var_names)


def test_the_edges_are_those_of_the_raw_counts(given, screen):
    expression, labels, genes = given
    options = argen.ReadOptions(
        target="perturbation", control="non-targeting", library_size="library_size", sinks="all"
    )
    expected = argen.infer_network(argen.read_perturbseq(screen, options)).edges
    edges = CausalBenchModel()(expression, list(labels), genes, "interventional", 1)
    assert edges == list(expected[["source", "target"]].itertuples(index=False, name=None))


def test_genes_without_interventions_are_targets_alone(given):
    expression, labels, genes = given
    hidden = set(genes[:3])
    shown = pd.Series(labels).where(~np.isin(labels, list(hidden)), "excluded")
    edges = CausalBenchModel()(expression, list(shown), genes)
    assert edges
    assert not {source for source, _ in edges} & hidden


def test_the_observational_regime_is_refused(given):
    expression, labels, genes = given
    control = labels == "non-targeting"
    with pytest.raises(argen.InputError, match="No cell has a perturbed gene"):
        CausalBenchModel()(expression[control], list(labels[control]), genes)
