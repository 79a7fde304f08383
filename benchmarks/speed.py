"""Time per test of the screen against other engines, one thread each, in one run.

The engines take turns, several rounds of them; a test is one Poisson regression of a response
on a perturbation, covariates and offset. statsmodels and pyfixest (with the categorical covariates
absorbed) compute the same HC0 errors, glum the coefficients alone; "saddlepoint" is argen with the
test of its default rule in place of Wald's. Then the screens are compared with each other, and that
with Wald's test with exact fits of random pairs.

The other engines must be kept to one thread from outside: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.

Usage: speed.py [--nodes 400] [--pairs 2000] [--more-covariates] [--toy]
"""

import argparse
import statistics
import time

import numpy as np
import pandas as pd

import argen
from argen.data import PerturbSeqData
from argen.engine.exact import ExactScreener
from argen.engine.protocol import Effects
from screens import k562_like_screen

N_ROUNDS = 5
N_PYFIXEST = 10


def pair_arrays(data: PerturbSeqData, source: int, target: int):
    """Response, regressors (the perturbation last) and offset of one pair."""
    cells = data.controls | data.perturbed(source)
    regressors = np.column_stack(
        [data.intercept_and_covariates()[cells], data.perturbed(source)[cells]]
    )
    return data.counts.dense(np.array([target]))[0, cells], regressors, data.offset[cells]


def time_statsmodels(data: PerturbSeqData, source: int, target: int) -> float:
    """Seconds of one GLM with HC0 errors."""
    import statsmodels.api as sm

    y, x, offset = pair_arrays(data, source, target)
    start = time.perf_counter()
    sm.GLM(y, x, family=sm.families.Poisson(), offset=offset).fit(cov_type="HC0")
    return time.perf_counter() - start


def time_glum(data: PerturbSeqData, source: int, target: int) -> float:
    """Seconds of one fit without errors."""
    from glum import GeneralizedLinearRegressor

    y, x, offset = pair_arrays(data, source, target)
    model = GeneralizedLinearRegressor(family="poisson", alpha=0, fit_intercept=True)
    start = time.perf_counter()
    model.fit(np.ascontiguousarray(x[:, 1:]), y, offset=offset)
    return time.perf_counter() - start


def pyfixest_fit(data: PerturbSeqData, source: int, target: int):
    """Poisson regression with the categorical covariates absorbed, and its seconds.

    Its heteroskedastic errors without any correction for small samples are HC0.
    """
    import pyfixest

    cells = data.controls | data.perturbed(source)
    block = data.regressors
    table = pd.DataFrame({f"x{k}": column[cells] for k, column in enumerate(block.numeric.T)})
    factors = {f"f{k}": codes[cells] for k, codes in enumerate(block.factors)}
    table = table.assign(
        y=data.counts.dense(np.array([target]))[0, cells],
        d=data.perturbed(source)[cells].astype(float),
        log_size=data.offset[cells],
        **factors,
    )
    numeric = " + ".join(["d", *(f"x{k}" for k in range(block.numeric.shape[1]))])
    formula = f"y ~ {numeric}" + (f" | {' + '.join(factors)}" if factors else "")
    uncorrected = pyfixest.ssc(k_adj=False, G_adj=False)
    start = time.perf_counter()
    fit = pyfixest.fepois(
        formula, table, vcov="hetero", ssc=uncorrected, offset="log_size", iwls_tol=1e-10
    )
    return fit, time.perf_counter() - start


def time_pyfixest(data: PerturbSeqData, source: int, target: int) -> float:
    """Seconds of one fit with HC0 errors."""
    return pyfixest_fit(data, source, target)[1]


OTHERS = {"statsmodels": time_statsmodels, "glum": time_glum, "pyfixest": time_pyfixest}


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
    data: PerturbSeqData, screen: argen.DescendantScreen, n_pairs: int
) -> tuple[float, float]:
    """Largest difference in effect, and in log10 p relatively, from exact fits of random pairs."""
    rng = np.random.default_rng(1)
    exact = ExactScreener(data, None)
    found = Effects.missing(data.n_nodes, 1)
    worst_effect, worst_log10_p = 0.0, 0.0
    for _ in range(n_pairs):
        source, target = rng.choice(data.n_nodes, 2, replace=False)
        exact.fill(found, int(source), np.array([target]), np.array([0]))
        at = source, target
        if np.isfinite(screen.effect[at]):
            difference = abs(screen.effect[at] - found.effect[source, 0])
            worst_effect = max(worst_effect, float(difference))
        log10_p = found.log10_p[source, 0]
        difference = abs(screen.log10_p[at] - log10_p) / max(abs(log10_p), 1.0)
        worst_log10_p = max(worst_log10_p, float(difference))
    return worst_effect, worst_log10_p


def from_pyfixest(data: PerturbSeqData, screen: argen.DescendantScreen) -> tuple[float, float]:
    """Largest difference in effect and standard error, relative, from pyfixest."""
    rng, worst = np.random.default_rng(2), np.zeros(2)
    for _ in range(N_PYFIXEST):
        source, target = rng.choice(data.n_nodes, 2, replace=False)
        fit, _ = pyfixest_fit(data, int(source), int(target))
        ours = np.array([screen.effect[source, target], screen.std_error[source, target]])
        theirs = np.array([fit.coef()["d"], fit.se()["d"]])
        if np.isfinite(ours).all():
            worst = np.maximum(worst, np.abs(ours / theirs - 1.0))
    return float(worst[0]), float(worst[1])


def compare_effects(screen: argen.DescendantScreen, fitted: argen.DescendantScreen) -> str:
    """Effects and errors of the default screen beside those of the fits of all pairs."""
    known = np.isfinite(fitted.effect) & np.isfinite(screen.effect)
    std_error = fitted.std_error[known]
    difference = (screen.effect[known] - fitted.effect[known]) / std_error
    low, middle, high = 100 * (np.quantile(screen.std_error[known] / std_error, [0, 0.5, 1]) - 1)
    return (
        f"effects of the default screen and of pair fits, {known.sum():,} pairs: "
        f"{np.abs(difference).max():.2g} std_error apart at most, root mean square "
        f"{np.sqrt(np.mean(difference**2)):.2g}; std_error {low:+.1f} to {high:+.1f} %, median "
        f"{middle:+.1f} %; fits {screen.fits}"
    )


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
    config = argen.InferenceConfig(screen_test="wald", threads=1)  # as the others test
    saddlepoint = argen.InferenceConfig(threads=1)
    default = argen.screen_descendants(data, saddlepoint)  # compiles
    screen = argen.screen_descendants(data, config)  # compiles
    others = available()
    seconds = {name: [] for name in ("argen", "saddlepoint", *others)}
    rng = np.random.default_rng(0)
    for _ in range(N_ROUNDS):
        start = time.perf_counter()
        argen.screen_descendants(data, config)
        seconds["argen"].append((time.perf_counter() - start) / n_nodes**2)
        start = time.perf_counter()
        argen.screen_descendants(data, saddlepoint)
        seconds["saddlepoint"].append((time.perf_counter() - start) / n_nodes**2)
        source, target = rng.choice(n_nodes, 2, replace=False)
        for name, run in others.items():
            run(data, int(source), int(target))
            seconds[name].append(run(data, int(source), int(target)))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{n_nodes} nodes, {data.n_controls:,} controls, {N_ROUNDS} rounds; fits {screen.fits}")
    for name, value in median.items():
        spread = f"{1e6 * min(seconds[name]):.3g} to {1e6 * max(seconds[name]):.3g}"
        ratio = value / median["argen"]
        print(f"{name:12} {1e6 * value:12.3g} us a test ({spread}), {ratio:,.0f} x argen")
    if "pyfixest" in others:
        print(
            f"largest disagreement with pyfixest over {N_PYFIXEST} pairs: "
            "{:.1e} in effect, {:.1e} in std_error".format(*from_pyfixest(data, screen))
        )
    print(compare_effects(default, screen))
    effect, log10_p = largest_disagreement(data, screen, n_pairs)
    print(
        f"largest disagreement with exact fits over {n_pairs} pairs: "
        f"{effect:.1e} in effect, {log10_p:.1e} in log10 p (relative, absolute below 1)"
    )


if __name__ == "__main__":
    main()
