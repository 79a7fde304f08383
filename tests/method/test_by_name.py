"""Methods by name."""

from typing import get_args

import pytest

import argen
from argen.method.by_name import METHODS, Method


def test_every_name_has_a_method():
    assert get_args(Method) == tuple(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_results_say_which_method_made_them(method, paper_screen, tmp_path):
    config = argen.InferenceConfig(alpha=0.01)
    network = argen.infer_by(method, paper_screen[0], config, command="a command")
    assert network.provenance["method"] == method
    assert network.provenance["command"] == "a command"
    assert network.config == config
    loaded = argen.load(argen.save(network, tmp_path / "network"))
    assert f"method     {method}\n" in loaded.summary()
    assert loaded.candidates.equals(network.candidates)


def test_unknown_method(paper_screen):
    with pytest.raises(argen.InputError, match="Did you mean 'inverse'"):
        argen.infer_by("invrse", paper_screen[0])
