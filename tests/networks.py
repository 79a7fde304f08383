"""Networks made up without any screen, of any size and with any names."""

import numpy as np
import pandas as pd
from scipy.special import log_ndtr

import argen
from argen.engine import Effects
from argen.errors import FitStatus

HOSTILE = (
    "<script>alert(1)</script>", "HLA-A", "Nkx2.5", "a\"b'c&d", "n" * 200, "ген-Å-遺伝子",
    "$x_1$", "_hidden", "=1+1", "</style><img src=x onerror=alert(2)>", "C1orf112\\n", "%s{x}",
)  # fmt: skip


def made_up_network(n_nodes: int, n_edges: int, *, names=(), seed: int = 1) -> argen.CausalNetwork:
    """Scale-free edges along the order of the columns; half as many candidates are no edges."""
    rng = np.random.default_rng(seed)
    nodes = tuple(names) + tuple(f"GENE{i}" for i in range(len(names), n_nodes))
    weight = 1 / (1 + rng.permutation(n_nodes))
    pairs = [(a, b) for a in range(n_nodes) for b in range(a + 1, min(a + 120, n_nodes))]
    chance = np.array([weight[a] for a, _ in pairs])
    n_candidates = min(len(pairs), n_edges + n_edges // 2)
    picked = rng.choice(len(pairs), n_candidates, replace=False, p=chance / chance.sum())
    at = np.array(pairs)[np.sort(picked)]
    selected = np.zeros(n_candidates, dtype=bool)
    selected[rng.permutation(n_candidates)[:n_edges]] = True
    error = rng.uniform(0.02, 0.08, n_candidates)
    z = np.where(selected, rng.normal(0, 4, n_candidates) + 4, rng.normal(0, 1, n_candidates))
    log10_p = (log_ndtr(-np.abs(z)) + np.log(2)) / np.log(10)
    candidates = pd.DataFrame(
        {
            "source": np.array(nodes, dtype=object)[at[:, 0]],
            "target": np.array(nodes, dtype=object)[at[:, 1]],
            "effect": z * error, "std_error": error, "ci_low": (z - 1.96) * error,
            "ci_high": (z + 1.96) * error, "z": z, "p_value": 10**log10_p, "log10_p": log10_p,
            "p_adjusted": np.nan, "batch": at[:, 1] + 1, "level": 0.01, "callable": True,
            "p_held": np.nan, "selected": selected, "sink": False, "status": "OK",
        }
    )  # fmt: skip
    possible = np.zeros((n_nodes, n_nodes), dtype=bool)
    possible[at[:, 0], at[:, 1]] = True
    effect = rng.normal(0, 0.02, (n_nodes, n_nodes))
    effect[at[:, 0], at[:, 1]] = -candidates["effect"]
    np.fill_diagonal(effect, np.nan)
    p_value = np.where(possible, 1e-6, 0.5) + 0 * effect
    own = rng.uniform(-3, 0.1, n_nodes)
    screen = argen.DescendantScreen(
        genes=nodes, effect=effect, std_error=np.full_like(effect, 0.05), p_value=p_value,
        log10_p=np.log10(p_value), p_adjusted=p_value, is_descendant=possible,
        status=np.full((n_nodes, n_nodes), FitStatus.OK),
        knockdown=Effects(
            effect=own, std_error=np.full(n_nodes, 0.1), p_value=np.full(n_nodes, 1e-3),
            log10_p=np.full(n_nodes, -3.0), status=np.full(n_nodes, FitStatus.OK),
        ),
        fits={"series": n_nodes * (n_nodes - 1)},
    )  # fmt: skip
    order = argen.CausalOrder(np.arange(n_nodes), possible, possible)
    return argen.CausalNetwork(
        candidates=candidates, screen=screen, causal_order=order, config=argen.InferenceConfig(),
        left_out=pd.DataFrame(
            [("node", nodes[0] + "*", 3, "fewer than 10 perturbed cells")],
            columns=["kind", "name", "n_cells", "reason"],
        ),
        provenance={
            "versions": {"argen": argen.__version__}, "method": "argen",
            "time": "2026-01-01T00:00:00+00:00",
            "command": None, "source": "<b>made up</b>", "input_sha256": "0" * 64,
            "n_cells": 1000, "n_controls": 100, "n_nodes": n_nodes, "library_size": "row sums",
            "covariates": ["batch"], "seconds": {"screen": 1.0},
        },
    )  # fmt: skip
