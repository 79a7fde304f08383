"""What is lost where guides are weak and cells escape, by oracles: F1 and false discoveries.

Screens of the setting ``p30-weak-and-escaping`` of the study, and what becomes of them

    without corrections, and by the default;
    without the cells that escape, which no method knows one by one;
    in a screen of the same network in which no cell escapes, with .64 times as many cells for each
    perturbation: effects on means of groups of which .8 works are .8 as large, and worth as much.

Means over screens, with the standard error of the difference from the first row.

Usage: weak_and_escaping.py [--replicates 80]
"""

import argparse
from dataclasses import replace
from multiprocessing import Pool

import numpy as np
import pandas as pd

import argen
from argen.simulate.screen import planned
from argen.study import chosen_settings, chosen_variants

MODEL = chosen_settings(["p30-weak-and-escaping"])[0].model
DEFAULT, OFF = (way.config for way in chosen_variants(["argen", "no-corrections"]).values())


def rows_of(seed: int) -> list[dict]:
    """Simulate a screen, and say how well each way does."""
    data, truth = argen.simulate_screen(MODEL, rng=seed)
    works = planned(MODEL, np.random.default_rng(seed), None, None).works()
    working = data.take(np.flatnonzero(data.controls | works))
    n_cells = round(MODEL.penetrance**2 * MODEL.cells_per_node)
    fewer = replace(MODEL, penetrance=1.0, cells_per_node=n_cells)
    alike, truth_of_alike = argen.simulate_screen(fewer, rng=seed)
    ways = {
        "no corrections": (data, truth, OFF),
        "default": (data, truth, DEFAULT),
        "without cells that escape": (working, truth, OFF),
        "the same, guides weighed": (working, truth, DEFAULT),
        f"none escapes, {n_cells} cells": (alike, truth_of_alike, OFF),
        "the same, weighed": (alike, truth_of_alike, DEFAULT),
    }
    rows = []
    for way, (screen, network, config) in ways.items():
        found = argen.evaluate(argen.infer_network(screen, config), network)
        rows.append(
            {"way": way, "F1": found.f1, "false discoveries": found.false_discovery_proportion}
        )
    return rows


def main() -> None:
    """Print one line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=80)
    seeds = range(parser.parse_args().replicates)
    with Pool() as pool:
        table = pd.DataFrame([row for rows in pool.imap(rows_of, seeds) for row in rows])
    shown = table.groupby("way", sort=False).mean()
    f1 = np.stack([rows["F1"] for _, rows in table.groupby("way", sort=False)])
    rise = f1 - f1[0]
    shown["rise"], shown["error"] = rise.mean(axis=1), rise.std(axis=1) / np.sqrt(len(seeds) - 1)
    print(shown.round(3).to_string())


if __name__ == "__main__":
    main()
