"""Standard errors of the parent search: three kinds, given the true ancestors.

Murphy and Topel take the two stages, and the first stages of different candidates, as uncorrelated.
The joint sandwich squares the whole influence of each cell on the second stage instead::

    s_i = u_2i x_2i - sum_k theta_k G A_k^-1 x_1i u_ki,    Cov = A_2^-1 (sum_i s_i s_i') A_2^-1

Shrunk errors are Murphy-Topel's with half of each squared residual replaced by what a common
overdispersion of the gene expects (``errors="shrunk"``).

Bias is the median error away from zero; ratios are medians, over Murphy-Topel errors.

Usage: variances.py [--replicates 40] [--settings p8-base ...]
"""

import argparse

import numpy as np

import argen
from argen.data import PerturbSeqData
from argen.glm.regression import fit_regressions, prepare_responses
from argen.steps.order import causal_order
from argen.study import chosen_settings

SETTINGS = (
    "p8-base", "p8-no-confounding", "p8-strong-confounding", "p8-overdispersed", "p8-cell-states",
    "p8-few-cells", "p8-many-cells", "p8-shallow", "p8-incomplete-penetrance", "p30-base",
    "p30-strong-confounding", "p30-overdispersed", "p30-incomplete-penetrance",
)  # fmt: skip
SHRUNK = argen.InferenceConfig(rule="published", errors="shrunk")
CRITICAL = 1.96


def both_errors(data: PerturbSeqData, target: int, candidates: np.ndarray) -> np.ndarray:
    """Effects, Murphy-Topel and joint standard errors: (3, n_candidates)."""
    exogenous, offset = data.intercept_and_covariates(), data.offset
    factors = data.regressors.factors
    instruments = np.column_stack([data.perturbed(k) for k in candidates]).astype(float)
    counts = data.counts.dense(np.append(candidates, target))

    def fitted(rows, regressors, by_levels):
        responses = prepare_responses(rows, offset=offset, factors=by_levels, groups=instruments)
        return fit_regressions(responses, regressors, offset).coefficients

    first = np.column_stack([exogenous, instruments])
    pi = fitted(counts[:-1], first, factors)
    own = data.own_perturbation(target)
    second = np.column_stack([exogenous, own, first @ pi.T])
    beta = fitted(counts[-1:], second, np.vstack([factors, own.T.astype(np.int64)]))[0]
    effect = beta[-len(candidates) :]
    mean = np.exp(second @ beta + offset)
    cross = second.T @ (mean[:, None] * first)
    parts = [(counts[-1] - mean)[:, None] * second]
    for k, row in enumerate(pi):
        mean_k = np.exp(first @ row + offset)
        information = first.T @ (mean_k[:, None] * first)
        influence = np.linalg.solve(information, cross.T)
        parts.append(-effect[k] * ((counts[k] - mean_k)[:, None] * first) @ influence)
    inverse = np.linalg.inv(second.T @ (mean[:, None] * second))
    whole = sum(parts)
    meats = sum(part.T @ part for part in parts), whole.T @ whole
    errors = [np.sqrt(np.diag(inverse @ meat @ inverse))[-len(candidates) :] for meat in meats]
    return np.array([effect, *errors])


def rows_of(data: argen.PerturbSeqData, truth: argen.Truth) -> list:
    """Return true effect, estimate and its errors of each pair of ancestor and descendant."""
    data, found = data, []
    order = causal_order(truth.ancestors, np.where(truth.ancestors, 0.0, 1.0))
    tests = argen.search_parents(data, order, SHRUNK)
    shrunk = np.full(truth.direct.shape, np.nan)
    shrunk[tests.source, tests.target] = tests.effects.std_error
    for target in range(data.n_nodes):
        candidates = order.candidates(target)
        groups = [data.perturbed(k) for k in (*candidates, target)]
        counts = data.counts.dense(np.append(candidates, target))
        if not len(candidates) or any((counts[:, g].sum(axis=1) == 0).any() for g in groups):
            continue  # a group without counts has no sandwich
        estimates = both_errors(data, target, candidates)
        errors = shrunk[candidates, target]
        found += zip(truth.direct[candidates, target], *estimates, errors, strict=True)
    return found


def main() -> None:
    """Simulate, fit, and print one line for true and one for null effects."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=40)
    parser.add_argument("--settings", nargs="*", default=SETTINGS)
    options = parser.parse_args()
    models = [setting.model for setting in chosen_settings(options.settings)]
    screens = {
        "paper, two hidden": lambda seed: argen.simulate_paper_screen(
            rng=seed, hidden=("X7", "X8")
        ),
        **{
            name: lambda seed, model=model: argen.simulate_screen(model, rng=seed)
            for name, model in zip(options.settings, models, strict=True)
        },
    }
    print(
        "| setting | effects | n | bias | Murphy-Topel covers | joint covers | shrunk covers | "
        "ratio of joint | ratio of shrunk |"
    )
    print(f"| --- | --- |{' ---: |' * 7}")
    for name, simulate in screens.items():
        rows = np.array([row for k in range(options.replicates) for row in rows_of(*simulate(k))])
        for kind, some in (("true", rows[:, 0] != 0), ("null", rows[:, 0] == 0)):
            true, effect, separate, *others = rows[some].T
            error = effect - true
            bias = np.median(error * np.where(true < 0, -1.0, 1.0))
            covers = [np.mean(np.abs(error) <= CRITICAL * se) for se in (separate, *others)]
            ratios = [np.median(se / separate) for se in others]
            numbers = [f"{share:.3f}" for share in covers] + [f"{ratio:.2f}" for ratio in ratios]
            print(
                f"| {name} | {kind} | {len(true):,} | {bias:+.3f} | {' | '.join(numbers)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
