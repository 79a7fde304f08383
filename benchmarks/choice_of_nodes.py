"""What the choice of nodes does to a network: found, missed and false edges, by simulation.

Each screen is fitted with the nodes that a rule of ``argen.quality_control`` chooses. A gene that
is left out is hidden, so that an edge is right in two senses: among the nodes of the network, where
an effect through hidden genes is direct, and in the network of all genes. Columns: nodes; edges
called; false ones among the nodes, with the standard error over screens; edges that are not direct
in the whole network; true ones found, of those among the nodes and of all; F1 in both senses; and
false ones of the total effects that the screen of the chosen nodes calls.

Usage: choice_of_nodes.py [--replicates 40] [--settings weak ...]
"""

import argparse

import numpy as np
import pandas as pd

import argen
from argen.qc.choice import reasons_against

BASE = argen.ScreenModel(
    n_nodes=30, cells_per_node=150, n_controls=1500, n_batches=3, factor_effect=0.7
)
SETTINGS = {
    "strong": {},
    "weak": {"knockdown": (0.1, 2.0)},
    "failed": {"failed": 0.3, "knockdown": (0.5, 2.5)},
    "few edges": {"n_parents": 0.3, "knockdown": (0.1, 2.0), "factor_effect": 1.0},
    "no edge": {"n_parents": 0.0, "failed": 0.3, "knockdown": (0.1, 2.0), "factor_effect": 1.0},
}
TOP = 10
RULES = {
    "all": argen.NodeChoice(max_p=1.0),
    "p <= .05": argen.NodeChoice(),
    "and 30 %": argen.NodeChoice(min_knockdown=0.3),
    "and 50 %": argen.NodeChoice(min_knockdown=0.5),
    "and 70 %": argen.NodeChoice(min_knockdown=0.7),
    "top 10 by knock-down": argen.NodeChoice(max_p=1.0, top=TOP),
    "top 10 by descendants": argen.NodeChoice(max_p=1.0, top=TOP, top_by="descendants"),
}
CONFIG = argen.InferenceConfig(threads=1)
Edges = set[tuple[str, str]]


def edges_of(truth: argen.Truth) -> Edges:
    """Direct effects, as pairs of names."""
    return set(truth.to_frame()[["source", "target"]].itertuples(index=False, name=None))


def row_of(data: argen.PerturbSeqData, truth: argen.Truth, nodes: tuple[str, ...]) -> dict:
    """Fit the network of some nodes, and compare it with the truth in both senses."""
    numbers = np.array([data.genes.index(node) for node in nodes])
    other = np.setdiff1d(np.arange(data.n_nodes), numbers)
    cells = np.flatnonzero(data.perturbations[:, other].sum(axis=1) == 0)
    network = argen.infer_network(data.take(cells, numbers), CONFIG)
    kept = truth.keep(nodes)
    called = set(network.edges[["source", "target"]].itertuples(index=False, name=None))
    among, whole, n = edges_of(kept), edges_of(truth), len(called)
    descendants = network.screen.is_descendant
    return {
        "nodes": len(nodes),
        "called": n,
        "false": (n - len(called & among)) / max(n, 1),
        "not direct": (n - len(called & whole)) / max(n, 1),
        "found": len(called & among) / len(among) if among else np.nan,
        "found of all": len(called & whole) / len(whole) if whole else np.nan,
        "F1": 2 * len(called & among) / (n + len(among)) if among else np.nan,
        "F1 of all": 2 * len(called & whole) / (n + len(whole)) if whole else np.nan,
        "false totals": (descendants & ~kept.ancestors).sum() / max(descendants.sum(), 1),
    }


def rows_of(setting: str, seed: int) -> list[dict]:
    """Simulate a screen, and fit it with the nodes that each rule chooses."""
    changes = {**BASE.to_dict(), **SETTINGS[setting]}
    data, truth = argen.simulate_screen(argen.ScreenModel(**changes), rng=1000 + seed)
    rng, found, rows = np.random.default_rng(seed), {}, []
    candidates = argen.quality_control(data, config=CONFIG).candidates
    chosen = {
        name: tuple(candidates.loc[reasons_against(candidates, rule, {}) == "", "candidate"])
        for name, rule in RULES.items()
    }
    at_random = np.sort(rng.choice(data.n_nodes, TOP, replace=False))
    chosen["10 at random"] = tuple(data.nodes[k] for k in at_random)
    for name, nodes in chosen.items():
        if len(nodes) < 2:
            continue
        if nodes not in found:
            found[nodes] = row_of(data, truth, nodes)
        rows.append({"setting": setting, "rule": name, **found[nodes]})
    return rows


def main() -> None:
    """Print a table for each setting, a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=40)
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS))
    options = parser.parse_args()
    for number, setting in enumerate(options.settings):
        table = pd.DataFrame([r for k in range(options.replicates) for r in rows_of(setting, k)])
        groups = table.drop(columns="setting").groupby("rule", sort=False)
        means, errors = groups.mean(), groups["false"].sem().fillna(0.0)
        if number == 0:
            print(f"| setting | rule | {' | '.join(means.columns)} |")
            print(f"| --- | --- |{' ---: |' * len(means.columns)}")
        for rule, values in means.iterrows():
            shown = {name: f"{value:.3f}" for name, value in values.items()}
            shown |= {name: f"{values[name]:.1f}" for name in ("nodes", "called")}
            shown["false"] += f" ± {errors[rule]:.3f}"
            print(f"| {setting} | {rule} | {' | '.join(shown.values())} |", flush=True)


if __name__ == "__main__":
    main()
