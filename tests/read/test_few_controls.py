"""A warning where there are too few controls, with the number that is needed."""

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import argen


def with_controls(screen, n_controls):
    labels = screen.obs["perturbation"]
    is_control = (labels == "non-targeting").to_numpy()
    kept = ~is_control
    kept[np.flatnonzero(is_control)[:n_controls]] = True
    return screen[kept].copy()


def test_three_control_cells(screen, read):
    words = (
        r"There are 3 control cells, and 60 of a perturbation in the median: 95% of the "
        r"variance .* At least 60 are needed; from 300 on, standard errors are within a tenth"
    )
    with pytest.warns(argen.ArgenWarning, match=words):
        data = read(with_controls(screen, 3))
    assert data.n_controls == 3
    with pytest.raises(argen.InputError, match=words):
        read(with_controls(screen, 3), strict=True)


def test_as_many_controls_as_cells_of_a_perturbation_are_enough(screen, read):
    with pytest.warns(argen.ArgenWarning, match="There are 59 control cells"):
        read(with_controls(screen, 59))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(with_controls(screen, 60), strict=True)


def test_a_hundred_controls_are_enough_for_large_groups(read):
    rng = np.random.default_rng(5)
    labels = np.repeat(["A", "B", "non-targeting"], [300, 300, 100])
    many = AnnData(
        X=rng.poisson(3.0, (700, 3)).astype(np.float32),
        obs=pd.DataFrame({"perturbation": labels}, index=[f"cell{i}" for i in range(700)]),
        var=pd.DataFrame(index=["A", "B", "C"]),
    )
    read(many, strict=True)
    with pytest.warns(
        argen.ArgenWarning, match=r"There are 99 .*At least 100 are needed; from 1,50"
    ):
        read(many[:699])


@pytest.mark.rates
def test_the_numbers_that_the_warning_names():
    # Log ratios of means of counts, with the variance of a mean that is estimated from n cells.
    rng = np.random.default_rng(4)
    n_perturbed, mean, n_runs = 60, 5.0, 20_000

    def log_mean(n_cells):
        return np.log(rng.negative_binomial(5 * n_cells, 0.5, n_runs) / n_cells)

    perturbed = [log_mean(n_perturbed) for _ in range(2)]
    least = perturbed[0].std()
    equal, five_times = log_mean(n_perturbed), log_mean(5 * n_perturbed)
    # Half of the variance, and so half of the correlation of two effects, comes from the controls.
    effects = [values - equal for values in perturbed]
    assert np.corrcoef(*effects)[0, 1] == pytest.approx(0.5, abs=0.02)
    assert effects[0].std() / least == pytest.approx(np.sqrt(2), rel=0.02)
    assert (perturbed[0] - five_times).std() / least == pytest.approx(1.095, rel=0.02)
    assert np.exp(equal).mean() == pytest.approx(mean, rel=0.02)
