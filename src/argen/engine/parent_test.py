"""Standard errors and tests of direct effects, from the parts of their variances."""

from __future__ import annotations

import numpy as np

from argen.arrays import FloatArray, StatusArray
from argen.config import ParentTest
from argen.engine.protocol import Effects
from argen.pvalues import critical_value, two_sided

# Standard errors that a candidate must have been moved by: at .05, it has been moved at all.
STRENGTH = critical_value(0.95)


def effects_with_tests(
    effect: FloatArray,
    own: FloatArray,
    of_proxies: FloatArray,
    *,
    test: ParentTest,
    status: StatusArray,
    null: tuple[FloatArray, FloatArray] | None = None,
) -> Effects:
    """Return the effects of the candidates of one target with their errors and p-values.

    Parameters
    ----------
    effect
        (n,); NaN where not identified.
    own
        (n_shares, n): variances that the second stage alone would have, for each of
        ``InferenceConfig.model_shares``; the first is for standard errors, the last for p-values.
    of_proxies
        (n_shares, n, n): [j, k] is what the error of proxy k adds to the variance of effect j for
        each unit of ``effect[k]**2``.
    null
        Effects to test, and the variances that the second stage alone would have, as if each were
        none; ``effect`` and ``own`` when None.
    """
    known = np.nan_to_num(effect)
    std_error = np.sqrt(own[0] + of_proxies[0] @ known**2)
    if test == "wald":
        return Effects(effect, std_error, *two_sided(effect / std_error), status)
    tested, of_stage = (effect, own[-1]) if null is None else null
    variance = null_variances(known, of_stage, of_proxies[-1])
    # Where a perturbation does not move its own gene, given the others, not even the sign of an
    # effect can be known, and Wald's test says so.
    fails = np.diagonal(of_proxies[-1]) * STRENGTH**2 > 1.0
    wald = own[-1] + of_proxies[-1] @ known**2
    z = np.where(fails, effect / np.sqrt(wald), tested / np.sqrt(variance))
    return Effects(effect, std_error, *two_sided(z), status)


def null_variances(effect: FloatArray, own: FloatArray, of_proxies: FloatArray) -> FloatArray:
    """Variance of each effect as if it were none: (n,).

    An effect that is none takes nothing over from the error of its own proxy, so that only the
    other candidates count, each with the square of its effect. That of the estimate is too large
    by its variance s^2; ``effect^4 / (effect^2 + s^2)`` is about ``effect^2 - s^2`` where that is
    well above 0, and never below it.
    """
    squares = effect**2
    variance = own + of_proxies @ squares
    squares = squares * (squares / (squares + np.nan_to_num(variance, nan=1.0)))
    return np.asarray(own + of_proxies @ squares - np.diagonal(of_proxies) * squares)
