"""Time per test of the screen against other engines, one thread each, in one run.

The engines take turns, several rounds of them; a test is one Poisson regression of a response
on a perturbation, covariates and offset. statsmodels computes the same HC0 errors, glum the
coefficients alone. Then the screen is compared with exact fits of random pairs.

The other engines must be kept to one thread from outside: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.

Usage: speed.py [--nodes 400] [--pairs 2000] [--more-covariates] [--toy]
"""

import argparse
import statistics
import time

import numpy as np

import argen
from argen.design import Design, build_design
from argen.engine.exact import ExactScreener
from argen.engine.protocol import Effects
from screens import k562_like_screen

N_ROUNDS = 5


def pair_arrays(design: Design, source: int, target: int):
    """Response, regressors (the perturbation last) and offset of one pair."""
    cells = design.controls | design.perturbed(source)
    regressors = np.column_stack(
        [design.intercept_and_covariates()[cells], design.perturbed(source)[cells]]
    )
    return design.counts.dense(np.array([target]))[0, cells], regressors, design.offset[cells]


def time_statsmodels(design: Design, source: int, target: int) -> float:
    """Seconds of one GLM with HC0 errors."""
    import statsmodels.api as sm

    y, x, offset = pair_arrays(design, source, target)
    start = time.perf_counter()
    sm.GLM(y, x, family=sm.families.Poisson(), offset=offset).fit(cov_type="HC0")
    return time.perf_counter() - start


def time_glum(design: Design, source: int, target: int) -> float:
    """Seconds of one fit without errors."""
    from glum import GeneralizedLinearRegressor

    y, x, offset = pair_arrays(design, source, target)
    model = GeneralizedLinearRegressor(family="poisson", alpha=0, fit_intercept=True)
    start = time.perf_counter()
    model.fit(np.ascontiguousarray(x[:, 1:]), y, offset=offset)
    return time.perf_counter() - start


OTHERS = {"statsmodels": time_statsmodels, "glum": time_glum}


def available() -> dict:
    """Return the other engines that are installed."""
    found = {}
    for name, run in OTHERS.items():
        try:
            __import__(name)
        except ImportError:
            print(f"{name} is not installed: left out")
        else:
            found[name] = run
    return found


def largest_disagreement(
    design: Design, screen: argen.DescendantScreen, n_pairs: int
) -> tuple[float, float]:
    """Largest difference in effect, and in log10 p relatively, from exact fits of random pairs."""
    rng = np.random.default_rng(1)
    exact = ExactScreener(design, None)
    found = Effects.missing(design.n_nodes, 1)
    worst_effect, worst_log10_p = 0.0, 0.0
    for _ in range(n_pairs):
        source, target = rng.choice(design.n_nodes, 2, replace=False)
        exact.fill(found, int(source), np.array([target]), np.array([0]))
        at = source, target
        if np.isfinite(screen.effect[at]):
            difference = abs(screen.effect[at] - found.effect[source, 0])
            worst_effect = max(worst_effect, float(difference))
        log10_p = found.log10_p[source, 0]
        difference = abs(screen.log10_p[at] - log10_p) / max(abs(log10_p), 1.0)
        worst_log10_p = max(worst_log10_p, float(difference))
    return worst_effect, worst_log10_p


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--more-covariates", action="store_true")
    parser.add_argument("--toy", action="store_true", help="seconds in place of minutes")
    options = parser.parse_args()
    n_nodes, n_pairs = (20, 20) if options.toy else (options.nodes, options.pairs)
    n_controls = 1000 if options.toy else 10_000

    data = k562_like_screen(n_nodes, n_controls=n_controls, more_covariates=options.more_covariates)
    design = build_design(data)
    config = argen.InferenceConfig(threads=1)
    screen = argen.screen_descendants(data, config)  # compiles
    others = available()
    seconds = {name: [] for name in ("argen", *others)}
    rng = np.random.default_rng(0)
    for _ in range(N_ROUNDS):
        start = time.perf_counter()
        argen.screen_descendants(data, config)
        seconds["argen"].append((time.perf_counter() - start) / n_nodes**2)
        source, target = rng.choice(n_nodes, 2, replace=False)
        for name, run in others.items():
            run(design, int(source), int(target))
            seconds[name].append(run(design, int(source), int(target)))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{n_nodes} nodes, {data.n_controls:,} controls, {N_ROUNDS} rounds; fits {screen.fits}")
    for name, value in median.items():
        spread = f"{1e6 * min(seconds[name]):.3g} to {1e6 * max(seconds[name]):.3g}"
        ratio = value / median["argen"]
        print(f"{name:12} {1e6 * value:12.3g} us a test ({spread}), {ratio:,.0f} x argen")
    effect, log10_p = largest_disagreement(design, screen, n_pairs)
    print(
        f"largest disagreement with exact fits over {n_pairs} pairs: "
        f"{effect:.1e} in effect, {log10_p:.1e} in log10 p (relative, absolute below 1)"
    )


if __name__ == "__main__":
    main()
