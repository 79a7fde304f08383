"""Size of the tests where no gene acts on another.

Hidden confounders, overdispersed counts, a covariate that decides in part which cell gets which
guide. For the screen every ordered pair of nodes is a null test. The parent search has no
candidates in such screens but false ones, so that it is given some: for each gene the fifteen
before it in an order that has nothing to do with the data. Errors come from how the screens
differ.

    python benchmarks/null_calibration.py       # 80 or 240 screens of 40 nodes in each row
    python benchmarks/null_calibration.py --toy
"""

import argparse

import numpy as np
from scipy.stats import chi2

import argen

MEANS = (0.3, 1.0, 5.0)
SCREEN_TESTS, ERRORS = ("saddlepoint", "wald"), ("robust", "shrunk")
N_CANDIDATES = 15


def screen_p_values(model: argen.ScreenModel, test: str, seed: int) -> np.ndarray:
    """P-values of all ordered pairs of one screen."""
    data, _ = argen.simulate_screen(model, rng=seed)
    screen = argen.screen_descendants(data, argen.InferenceConfig(screen_test=test))
    p = screen.p_value[screen.pairs]
    return p[np.isfinite(p)]


def parent_p_values(model: argen.ScreenModel, errors: str, seed: int) -> np.ndarray:
    """P-values of the parent search of one screen, its candidates given."""
    data, _ = argen.simulate_screen(model, rng=seed)
    apart = np.arange(model.n_nodes) - np.arange(model.n_nodes)[:, None]
    given = (apart > 0) & (apart <= N_CANDIDATES)
    order = argen.CausalOrder(np.arange(model.n_nodes), given, given)
    p = argen.search_parents(data, order, argen.InferenceConfig(errors=errors)).effects.p_value
    return p[np.isfinite(p)]


def share(found: list[np.ndarray], level: float) -> str:
    """Share below a level, and its error over screens, in percent."""
    shares = np.array([100.0 * np.mean(p < level) for p in found])
    return f"{shares.mean():.3f} ({shares.std(ddof=1) / np.sqrt(len(shares)):.3f})"


def main() -> None:
    """Print one row for each mean count and test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="two small screens a row")
    toy = parser.parse_args().toy
    n_nodes = 5 if toy else 40
    kinds = [(f"screen, {test}", screen_p_values, test, 80) for test in SCREEN_TESTS]
    kinds += [(f"parents, {errors}", parent_p_values, errors, 240) for errors in ERRORS]
    print("| mean count | test | null tests | inflation | p < .05, % | p < .001, % |")
    print("|---|---|---|---|---|---|")
    for mean in MEANS:
        model = argen.ScreenModel(
            n_nodes=n_nodes, n_parents=0, cells_per_node=60, group_size_sd=0.3, n_controls=1000,
            mean_count=mean, dispersion=0.5, n_factors=2, factor_effect=0.7, n_batches=2,
        )  # fmt: skip
        for name, p_values, option, n_screens in kinds:
            found = [p_values(model, option, seed) for seed in range(2 if toy else n_screens)]
            p = np.concatenate(found)
            inflation = chi2.isf(np.median(p), 1) / chi2.isf(0.5, 1)
            row = [f"{mean:g}", name, f"{len(p):,}", f"{inflation:.3f}"]
            print(f"| {' | '.join([*row, share(found, 0.05), share(found, 0.001)])} |", flush=True)


if __name__ == "__main__":
    main()
