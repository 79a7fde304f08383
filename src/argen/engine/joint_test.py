"""The saddlepoint test of a perturbation in cells that carry several."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr, bdtrc, ndtri

from argen.arrays import BoolArray, FloatArray
from argen.data import PerturbSeqData
from argen.glm import (
    CONSTANT_SHARE,
    FEWEST_COUNTS,
    LARGEST_DISPERSION,
    LEAST_DISPERSION,
    JointDesign,
    JointFit,
    deviates,
)

# Perturbations this far from nothing act on a target, and others are seen beside them.
QUIET_DEVIATE = 3.0
# Cells are of one kind where their weights are within a factor of root 2 of each other. The sum
# over those of less than a sixteenth of the largest weight is as good as normal.
KINDS_OF_A_HALVING, N_KINDS = 2, 8


class JointTest:
    """Compares the log residuals of cells that carry a perturbation with those of all others.

    With mu_i what a Poisson regression on covariates and on all perturbations that act expects of
    cell i, but for the perturbation j that is tested, and psi_i the log residual as in
    ``argen.glm._saddlepoint``, let the least-squares coefficient of D_j be::

        psi ~ 1 + D + x + log C + log(mu + a) + log(mu + a)^2,     S = n_j coefficient_j

    D the indicators of all perturbations. It is a sum over all cells, ``S = sum_i u_i psi_i``, the
    weights u_i being near 1 in the n_j cells that carry j and near 0 in the others; what else the
    cells carry cancels. Without an effect of j the psi_i are residuals r of that regression, drawn
    at random from those of all cells, in cells that carry j multiplied by c, the ratio of standard
    deviations that their means ask for. So the cumulants are known::

        K(t) = sum_i K_0(c_i u_i t) + t^2 v / 2,     K_0(s) = log mean exp(s r)

    with v the normal part: cells of small weights, and the error of the coefficients of
    ``log(mu + a)``, which differ from target to target.

    Perturbations of fewer than three standard errors have no part in mu, where their effects are
    mostly noise; the regression of psi takes what they have.
    """

    def __init__(self, data: PerturbSeqData, design: JointDesign) -> None:
        """Find the weights of all cells, which are the same for every target.

        Parameters
        ----------
        design
            Perturbations and levels of covariates as indicators, intercept and numeric columns.
        """
        self.design = design.with_dense(data.offset - data.offset.mean())
        self.offset, self.exposure = data.offset, np.exp(data.offset)
        self.cell = data.perturbations.indices.astype(np.int64)
        self.start = data.perturbations.indptr.astype(np.int64)
        self.size = np.diff(self.start).astype(np.float64)
        self.node = np.repeat(np.arange(data.n_nodes), np.diff(self.start))
        inverse, identified = self.design.gram
        self.identified = identified[: data.n_nodes]
        self.weight = np.empty(len(self.cell))  # of cells that carry a perturbation
        kinds = []
        for k, size in enumerate(self.size.tolist()):
            own = slice(self.start[k], self.start[k + 1])
            weight = size * self.design.predictor(inverse[k])
            self.weight[own] = weight[self.cell[own]]
            carries = np.zeros(len(weight), dtype=bool)
            carries[self.cell[own]] = True
            kinds.append(kinds_of_cells(weight, carries))
        self.first = np.append(0, np.cumsum([len(kind[0]) for kind in kinds]))
        self.count = np.concatenate([kind[0] for kind in kinds])
        self.kind_weight = np.concatenate([kind[1] for kind in kinds])
        self.carries = np.concatenate([kind[2] for kind in kinds])
        self.rest = np.array([kind[3] for kind in kinds])

    def deviates(self, counts: FloatArray, fit: JointFit) -> FloatArray:
        """Return the normal deviate of every perturbation's effect on a target: (n_nodes,).

        NaN where nothing can be said: a perturbation that the others explain.
        """
        n, total, out = len(self.size), counts.sum(), np.full(len(self.size), np.nan)
        if total < FEWEST_COUNTS:
            # A slope of the mean from so few counts, carried on to other cells, has no limit.
            mean = self.exposure * (total / self.exposure.sum())
            without = mean[self.cell]
        else:
            mean, without = self._means(counts, fit, self._acting(counts, fit))
        a = 1.0 / _dispersion(counts, mean)
        values, null = _columns(counts, mean, a), _columns(counts[self.cell], without, a)
        beta = self.design.gram[0] @ self.design.score(values)
        residual, slopes, inverse = self._residuals(values, beta)
        variance = float(residual @ residual) / len(residual)
        if not variance > 0.0:
            return out
        found = self.size[:, None] * beta[:n]
        found += self._sums((null - values[self.cell]) * self.weight[:, None])
        moved = found[:, 1:]  # log(mu + a), and its square, of cells that carry it
        error = variance * (np.einsum("ka,ab,kb->k", moved, inverse, moved) + self.rest)
        weight = np.where(self.carries, self._scale(mean, without, a), 1.0) * self.kind_weight
        shift = found[:, 0] - moved @ slopes
        deviates(self.first, self.count, weight, shift, error, residual, variance, out)
        out[~self.identified] = np.nan
        return self._limited(out, counts)

    def _acting(self, counts: FloatArray, fit: JointFit) -> BoolArray:
        """Say which perturbations seem to act, next to a mean without any: (n_nodes,)."""
        n = len(self.size)
        mean, _ = self._means(counts, fit, np.zeros(n, dtype=bool))
        a = 1.0 / _dispersion(counts, mean)
        psi, inverse = np.log((counts + a) / (mean + a)), self.design.gram[0]
        beta = inverse @ self.design.score(psi)
        left = psi - self.design.predictor(beta)
        variance = left @ left / max(len(left) - len(beta), 1)
        return np.asarray(beta[:n] ** 2 > QUIET_DEVIATE**2 * variance * np.diagonal(inverse)[:n])

    def _means(
        self, counts: FloatArray, fit: JointFit, acting: BoolArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return what is expected of each cell, and of those of each perturbation without it."""
        n = len(self.size)
        beta = np.append(fit.coefficients, 0.0)  # the library size is in the offset
        empty = fit.empty.copy()
        beta[:n][~acting], empty[:n] = 0.0, empty[:n] & acting
        n_empty = self.design.indicators @ empty.astype(np.float64)
        mean = np.exp(self.design.predictor(beta) + self.offset)
        factor = counts.sum() / mean[n_empty == 0.0].sum()
        without = factor * mean[self.cell] * np.exp(-beta[self.node])
        is_empty = n_empty[self.cell] - empty[self.node] > 0.0
        return np.where(n_empty > 0.0, 0.0, factor * mean), np.where(is_empty, 0.0, without)

    def _residuals(
        self, values: FloatArray, beta: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Regress what is left of psi on what is left of the other two columns.

        Returns the residuals, made longer for what was fitted, the coefficients, and the inverse
        of the products.
        """
        left = values - self.design.predictor(beta)
        products = left.T @ left
        squares = np.diagonal(products)[1:]
        constant = squares <= CONSTANT_SHARE * (len(left) + np.sum(values[:, 1:] ** 2, axis=0))
        length = np.where(constant, np.inf, np.sqrt(squares))  # what is left of these is rounding
        scaled = products[1:, 1:] / np.outer(length, length)
        inverse = np.linalg.pinv(scaled, rcond=1e-9, hermitian=True) / np.outer(length, length)
        slopes = inverse @ products[1:, 0]
        freedom = max(len(left) - len(beta) - 2, 1)
        residual = (left[:, 0] - left[:, 1:] @ slopes) * np.sqrt(len(left) / freedom)
        return residual, slopes, inverse

    def _scale(self, mean: FloatArray, without: FloatArray, a: float) -> FloatArray:
        """Ratio of standard deviations of carriers and of all, for every kind of cells."""
        square = self.weight**2
        spread = self._sums(square * without / (without + a)) / np.maximum(
            self._sums(square), 1e-300
        )
        ratio = np.sqrt(spread / np.mean(mean / (mean + a)))
        return np.repeat(ratio, np.diff(self.first))

    def _sums(self, values: FloatArray) -> FloatArray:
        """Sum over the cells of each perturbation: (n_nodes, ...)."""
        return np.asarray(np.add.reduceat(values, self.start[:-1], axis=0))

    def _limited(self, deviate: FloatArray, counts: FloatArray) -> FloatArray:
        """Limit deviates to those of binomial tests where the other cells have few counts."""
        own, exposure = self._sums(counts[self.cell]), self._sums(self.exposure[self.cell])
        total, share = np.int64(counts.sum()), exposure / self.exposure.sum()
        tail = np.minimum(bdtr(own, total, share), bdtrc(own - 1.0, total, share))
        is_few = total - own < FEWEST_COUNTS
        largest = np.where(is_few, -ndtri(np.minimum(tail, 0.5)), np.inf)
        return np.asarray(np.clip(deviate, -largest, largest))


def kinds_of_cells(
    weight: FloatArray, carries: BoolArray
) -> tuple[FloatArray, FloatArray, BoolArray, float]:
    """Gather cells by weight.

    Returns how many cells there are of each kind, their root mean square weight with its sign, and
    whether they carry the perturbation; and the sum of the squares of all smaller weights.
    """
    size = np.abs(weight)
    with np.errstate(divide="ignore"):
        kind = np.floor(-KINDS_OF_A_HALVING * np.log2(size / size.max()))
    small = kind >= N_KINDS
    code = np.where(small, N_KINDS, kind).astype(np.int64) * 4 + 2 * carries + (weight < 0.0)
    code[small] = 4 * N_KINDS
    count = np.bincount(code, minlength=4 * N_KINDS + 1).astype(np.float64)
    square = np.bincount(code, weights=weight**2, minlength=4 * N_KINDS + 1)
    kept = np.flatnonzero(count[:-1])
    sign = np.where(kept % 2, -1.0, 1.0)
    return count[kept], sign * np.sqrt(square[kept] / count[kept]), kept % 4 >= 2, float(square[-1])


def _dispersion(counts: FloatArray, mean: FloatArray) -> float:
    """By moments, within bounds."""
    excess = np.sum((counts - mean) ** 2 - mean) / np.sum(mean**2)
    return float(np.clip(excess, LEAST_DISPERSION, LARGEST_DISPERSION))


def _columns(counts: FloatArray, mean: FloatArray, a: float) -> FloatArray:
    """Log residuals, log(mu + a) and its square."""
    log_mean = np.log(mean + a)
    return np.column_stack([np.log(counts + a) - log_mean, log_mean, log_mean**2])
