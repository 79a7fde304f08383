"""Size of the tests where no gene acts on another, and of direct effects that are none.

Hidden confounders, overdispersed counts, a covariate that decides in part which cell gets which
guide. For the screen every ordered pair of nodes is a null test. The parent search has no
candidates in such screens but false ones, so that it is given some: for each gene the five before
it in an order that has nothing to do with the data. In screens with edges the null tests are those
of true ancestors that are no parents, all true ancestors being candidates. Errors come from how
the screens differ.

    python benchmarks/null_calibration.py       # some 100,000 tests in most rows
    python benchmarks/null_calibration.py --toy
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from scipy.stats import chi2

import argen

MEANS, CELLS = (0.3, 1.0, 5.0), (60, 200)
SCREEN_TESTS, PARENT_TESTS = ("saddlepoint", "wald"), ("null-variance", "wald")
N_CANDIDATES = 5


def screen_p_values(model: argen.ScreenModel, test: str, seed: int) -> np.ndarray:
    """P-values of all ordered pairs of one screen."""
    data, _ = argen.simulate_screen(model, rng=seed)
    screen = argen.screen_descendants(data, argen.InferenceConfig(screen_test=test, threads=1))
    p = screen.p_value[screen.pairs]
    return p[np.isfinite(p)]


def parent_p_values(model: argen.ScreenModel, test: str, seed: int) -> np.ndarray:
    """P-values of the parent search of one screen, its candidates given."""
    data, truth = argen.simulate_screen(model, rng=seed)
    if model.n_parents:
        # In the sequence of the genes' numbers of ancestors each comes after its own.
        given = truth.ancestors
        sequence = np.argsort(given.sum(axis=0), kind="stable")
    else:
        sequence = np.arange(model.n_nodes)
        apart = sequence - sequence[:, None]
        given = (apart > 0) & (apart <= N_CANDIDATES)
    order = argen.CausalOrder(sequence, given, given)
    config = argen.InferenceConfig(parent_test=test, threads=1)
    tests = argen.search_parents(data, order, config)
    p = tests.effects.p_value[truth.direct[tests.source, tests.target] == 0.0]
    return p[np.isfinite(p)]


def share(found: list[np.ndarray], level: float) -> str:
    """Share below a level, and its error over screens, in percent."""
    shares = np.array([100.0 * np.mean(p < level) for p in found])
    return f"{shares.mean():.3f} ({shares.std(ddof=1) / np.sqrt(len(shares)):.3f})"


def main() -> None:
    """Print one row for each kind of tests, mean count, group size and test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="two small screens a row")
    toy = parser.parse_args().toy
    # What is tested, how, by which tests, and in how many screens of how many nodes.
    kinds = [
        ("screen", screen_p_values, SCREEN_TESTS, CELLS[:1], 80, 40, 0),
        ("parents, five false candidates", parent_p_values, PARENT_TESTS, CELLS, 360, 60, 0),
        ("parents, ancestors", parent_p_values, PARENT_TESTS, CELLS, 300, 40, 2),
    ]
    columns = "mean count", "cells each", "test", "null tests", "inflation"
    print(f"| tested | {' | '.join(columns)} | p < .05, % | p < .001, % |")
    print("|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(2 if toy else None) as pool:
        for tested, p_values, tests, sizes, n_screens, n_nodes, n_parents in kinds:
            for mean, n_cells in ((mean, n) for mean in MEANS for n in sizes):
                model = argen.ScreenModel(
                    n_nodes=8 if toy else n_nodes, n_parents=n_parents, cells_per_node=n_cells,
                    group_size_sd=0.3, n_controls=1000, mean_count=mean, dispersion=0.5,
                    n_factors=2, factor_effect=0.7, n_batches=2,
                )  # fmt: skip
                for test in tests:
                    of_screen = partial(p_values, model, test)
                    found = list(pool.map(of_screen, range(2 if toy else n_screens)))
                    p = np.concatenate(found)
                    inflation = chi2.isf(np.median(p), 1) / chi2.isf(0.5, 1)
                    row = [tested, f"{mean:g}", str(n_cells), test, f"{len(p):,}"]
                    row += [f"{inflation:.3f}", share(found, 0.05), share(found, 0.001)]
                    print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
