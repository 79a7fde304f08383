"""Whatever text an option holds, the answer is a screen or an InputError."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import argen

COLUMNS = ["perturbation", "total_umi", "p_mito", "lane", "cycling", "confident"]
WORDS = st.sampled_from([*COLUMNS, "STAT1", "non-targeting", "L1", "C(", "log(", "np.", "poly("])
SIGNS = st.sampled_from([*"~+-*/:|&()[]{}`'\"=<>,.@%^! 01", "==", "**", "not ", " in "])
TEXT = st.text(max_size=12) | st.lists(WORDS | SIGNS, max_size=8).map("".join)

# The same examples in every run, so that a failure is never a matter of luck.
many = settings(max_examples=100, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def read_shared(shared_screen):
    def read(**options):
        labels = {"target": "perturbation", "control": "non-targeting"}
        with contextlib.suppress(argen.InputError):
            asked = argen.ReadOptions(**(labels | options))
            assert len(argen.read_perturbseq(shared_screen, asked).nodes) >= 2

    return read


@pytest.mark.parametrize(
    "option", ["target", "control", "library_size", "covariates", "layer", "cells", "gene_symbols"]
)
@many
@given(text=TEXT)
def test_text(read_shared, option, text):
    read_shared(**{option: text})


@many
@given(text=TEXT)
def test_formula(read_shared, text):
    read_shared(covariates=f"~ {text}")


@pytest.mark.parametrize("option", ["control", "covariates", "nodes"])
@many
@given(names=st.lists(TEXT | st.none() | st.integers(), max_size=4))
def test_list(read_shared, option, names):
    read_shared(**{option: names})
