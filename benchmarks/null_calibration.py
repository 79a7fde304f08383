"""Size of the screen's tests where no gene acts on another.

Hidden confounders, overdispersed counts, a covariate that decides in part which cell gets which
guide. Every ordered pair of nodes is a null test; errors come from how the screens differ.

    python benchmarks/null_calibration.py            # 80 screens of 40 nodes in each row
    python benchmarks/null_calibration.py --toy
"""

import argparse

import numpy as np
from scipy.stats import chi2

import argen

MEANS = (0.3, 1.0, 5.0)
TESTS = ("saddlepoint", "wald")


def p_values(model: argen.ScreenModel, test: str, seed: int) -> np.ndarray:
    """P-values of all ordered pairs of one screen."""
    data, _ = argen.simulate_screen(model, rng=seed)
    screen = argen.screen_descendants(data, argen.InferenceConfig(screen_test=test))
    p = screen.p_value[screen.pairs]
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
    n_nodes, n_screens = (5, 2) if toy else (40, 80)
    print("| mean count | test | null tests | inflation | p < .05, % | p < .001, % |")
    print("|---|---|---|---|---|---|")
    for mean in MEANS:
        model = argen.ScreenModel(
            n_nodes=n_nodes, n_parents=0, cells_per_node=60, group_size_sd=0.3, n_controls=1000,
            mean_count=mean, dispersion=0.5, n_factors=2, factor_effect=0.7, n_batches=2,
        )  # fmt: skip
        for test in TESTS:
            found = [p_values(model, test, seed) for seed in range(n_screens)]
            p = np.concatenate(found)
            inflation = chi2.isf(np.median(p), 1) / chi2.isf(0.5, 1)
            row = [f"{mean:g}", test, f"{len(p):,}", f"{inflation:.3f}"]
            print(f"| {' | '.join([*row, share(found, 0.05), share(found, 0.001)])} |", flush=True)


if __name__ == "__main__":
    main()
