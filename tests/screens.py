"""Small screens from arrays, for tests of steps and engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

import argen
from argen.data.counts import GeneCounts
from argen.data.guides import Guides
from argen.data.perturbseq import left_out_table, perturbations_of
from argen.engine import Effects, Engine, SharedEngine
from argen.engine.exact import ExactScreener

PUBLISHED = argen.InferenceConfig(rule="published")


def screen_of(
    counts, perturbed, covariates=None, library_size=None, n_nodes=None
) -> argen.PerturbSeqData:
    """Data from arrays: counts (n_cells, n_genes), and what each cell carries.

    ``perturbed`` is one node (or -1) per cell, or indicators (n_cells, n_nodes).
    """
    n_cells, n_genes = counts.shape
    n_nodes = n_nodes or n_genes
    perturbed = np.asarray(perturbed)
    if perturbed.ndim == 1:
        perturbations = perturbations_of(perturbed, n_nodes)
    else:
        perturbations = sparse.csc_array(perturbed.astype(np.int8))
    return argen.PerturbSeqData(
        counts=GeneCounts.from_matrix(counts),
        genes=tuple(f"g{k}" for k in range(n_genes)),
        n_nodes=n_nodes,
        n_measured=n_genes,
        cells=pd.RangeIndex(n_cells),
        perturbations=perturbations,
        library_size=np.ones(n_cells) if library_size is None else library_size,
        library_size_source="test",
        covariates=pd.DataFrame(index=range(n_cells)) if covariates is None else covariates,
        formula=None,
        left_out=left_out_table([]),
        source="test",
    )


def guided(data: argen.PerturbSeqData, labels) -> argen.PerturbSeqData:
    """Return a screen with the guide of each cell, "" where none is known."""
    guides = Guides.of_labels(np.asarray(labels, dtype=object), data.node_of_cell)
    return replace(data, guides=guides)


def effects_of(data: argen.PerturbSeqData, source: int, engine: Engine | None = None) -> Effects:
    """Total effects of one perturbation on every gene: (n_genes,) each."""
    targets = np.arange(data.n_genes)
    screener = (engine or SharedEngine()).screen(data, PUBLISHED)
    if isinstance(screener, ExactScreener):  # which can do one source without the others
        found = Effects.missing(data.n_nodes, len(targets))
        screener.fill(found, source, targets, targets)
    else:
        found = screener.total_effects(targets).effects
    fields = ("effect", "std_error", "p_value", "log10_p", "status")
    return Effects(**{name: getattr(found, name)[source] for name in fields})


def dense_screen(n_controls: int = 400) -> argen.PerturbSeqData:
    """Ten genes, 60 cells each and controls, in which most genes act on those after them."""
    rng = np.random.default_rng(7)
    node_of_cell = np.repeat(np.arange(-1, 10), [n_controls, *[60] * 10])
    n_cells = len(node_of_cell)
    covariates = pd.DataFrame(
        {"x": rng.normal(size=n_cells), "lane": rng.choice(list("abc"), n_cells)}
    )
    effects = np.triu(rng.normal(0.0, 0.7, (10, 10)), 1) - 2.0 * np.eye(10)
    log_mean = 0.5 + 0.3 * covariates[["x"]].to_numpy()
    log_mean = log_mean + np.vstack([effects, np.zeros(10)])[node_of_cell]
    counts = rng.poisson(np.exp(log_mean))
    return screen_of(counts, node_of_cell, covariates, rng.gamma(8, 1 / 8, n_cells))


def assert_same_network(left: argen.CausalNetwork, right: argen.CausalNetwork) -> None:
    """Compare every number of two results, bit for bit."""
    pd.testing.assert_frame_equal(left.candidates, right.candidates, check_exact=True)
    for name in ("effect", "std_error", "p_value", "log10_p", "p_adjusted", "status"):
        np.testing.assert_array_equal(getattr(left.screen, name), getattr(right.screen, name))
    for name in ("effect", "std_error", "p_value", "log10_p", "status"):
        np.testing.assert_array_equal(
            getattr(left.screen.knockdown, name), getattr(right.screen.knockdown, name)
        )
    np.testing.assert_array_equal(left.causal_order.order, right.causal_order.order)
    assert left.screen.fits == right.screen.fits
    assert left.provenance["parent_fits"] == right.provenance["parent_fits"]
