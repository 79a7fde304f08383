"""Options validate themselves."""

import pytest

import argen


def test_levels_follow_alpha_unless_given():
    assert argen.InferenceConfig(alpha=0.1).level_of_screen == 0.1
    config = argen.InferenceConfig(alpha=0.1, screen_alpha=0.001, edge_alpha=0.2)
    assert (config.level_of_screen, config.level_of_edges) == (0.001, 0.2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 0}, "alpha must be a number between 0 and 1, not 0"),
        ({"alpha": None}, "alpha must be a number"),
        ({"edge_alpha": "x"}, "edge_alpha must be a number between 0 and 1, not 'x'"),
        ({"family": "negbin"}, "family must be one of 'poisson', 'nb', not 'negbin'"),
        ({"edge_adjustment": "batchbh"}, "Did you mean 'batch_bh'"),
        ({"threads": 0}, "threads must be a whole number from 1"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(argen.InputError, match=words):
        argen.InferenceConfig(**options)
