"""Options validate themselves."""

import json

import numpy as np
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
        ({"alpha": True}, "alpha must be a number between 0 and 1, not True"),
        ({"alpha": float("nan")}, "alpha must be a number between 0 and 1, not nan"),
        ({"threads": 0}, "threads must be a whole number from 1"),
        ({"threads": 1.5}, "threads must be a whole number from 1, not 1.5"),
        ({"threads": True}, "threads must be a whole number from 1, not True"),
        ({"programs": -1}, "programs must be a whole number from 0, or 'auto', not -1"),
        ({"programs": True}, "programs must be a whole number from 0, or 'auto', not True"),
        ({"programs": "x"}, "programs must be a whole number from 0, or 'auto', not 'x'"),
        ({"programs": 1.5}, "programs must be a whole number from 0, or 'auto', not 1.5"),
        ({"threads": "2"}, "threads must be a whole number from 1, not '2'"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(argen.InputError, match=words):
        argen.InferenceConfig(**options)


def test_numbers_of_numpy_are_taken_as_plain_ones():
    config = argen.InferenceConfig(alpha=np.float32(0.5), threads=np.int64(2))
    assert config == argen.InferenceConfig(alpha=0.5, threads=2)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()


def test_programs_follow_the_rule_unless_given():
    assert argen.InferenceConfig().wanted_programs == "auto"
    assert argen.InferenceConfig(rule="published").wanted_programs == 0
    assert argen.InferenceConfig(rule="published", programs="auto").wanted_programs == "auto"
    for programs in (0, 2, np.int64(2)):
        found = argen.InferenceConfig(programs=programs).wanted_programs
        assert found == programs
        assert type(found) is int
