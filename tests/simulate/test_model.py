"""Options that cannot be are refused, each in one sentence."""

import pytest

import argen


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_nodes": 1}, "n_nodes must be a whole number from 2, not 1"),
        ({"n_controls": 10.5}, "n_controls must be a whole number from 2, not 10.5"),
        ({"n_sinks": True}, "n_sinks must be a whole number"),
        ({"failed": 1.5}, "failed must be a number from 0 to 1, not 1.5"),
        ({"noise": float("nan")}, "noise must be a number from 0, not nan"),
        ({"noise": "0.5"}, "noise must be a number from 0, not '0.5'"),
        ({"effect": 0.5}, "effect must be two numbers, the least and the largest"),
        ({"knockdown": (3, 2)}, "knockdown must be two numbers, the least and the largest"),
        ({"graph": "scale-fre"}, "Did you mean 'scale-free'?"),
        ({"mean_count": 0}, "mean_count must be above 0"),
        ({"n_guides": 0}, "n_guides must be a whole number from 1, not 0"),
        ({"n_programs": -1}, "n_programs must be a whole number from 0, not -1"),
        ({"program_share": 2}, "program_share must be a number from 0 to 1, not 2"),
        ({"doublets": 1.1}, "doublets must be a number from 0 to 1, not 1.1"),
        ({"ambient": 1.1}, "ambient must be a number from 0 to 1, not 1.1"),
        ({"penetrance_sd": -1}, "penetrance_sd must be a number from 0, not -1"),
        ({"saturation": 0.5, "n_feedback": 1}, "saturation must be 0 with feedback"),
        ({"n_nodes": 3}, "n_parents must be at most 1, half the other genes"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(argen.InputError) as refused:
        argen.ScreenModel(**options)
    assert words in str(refused.value)


def test_options_as_plain_values():
    model = argen.ScreenModel(effect=[1, 2])
    assert argen.ScreenModel(**model.to_dict()) == model
    assert model.effect == (1.0, 2.0)
