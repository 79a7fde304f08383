"""The options of reading: one form for whatever way they are given in."""

from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import argen
from argen.read.options import _FORMS

GIVEN = {
    "target": "gene",
    "control": ["NT", "safe"],
    "covariates": " ~ L + C(lane) ",
    "nodes": pd.Index(["A", "B"]),
    "sinks": (name for name in "CD"),
    "min_sink_mean": np.float32(0.5),
    "min_cells": np.int64(20),
    "target_names": np.array(["A", "B", "C"], dtype=object),
    "memory": "4 GB",
    "scratch": "folder",
    "strict": np.True_,
    "obs": "cells.csv",
    "guides": {"A-1": "A", "B-1": "B"},
    "aliases": Path("aliases.tsv"),
    "min_guide_counts": np.int32(5),
}


def test_every_field_has_one_form():
    options = argen.ReadOptions(**GIVEN)
    assert options == argen.ReadOptions(
        target="gene",
        control=("NT", "safe"),
        covariates="~ L + C(lane)",
        nodes=("A", "B"),
        sinks=("C", "D"),
        min_sink_mean=0.5,
        min_cells=20,
        target_names=("A", "B", "C"),
        memory=4 * 10**9,
        scratch=Path("folder"),
        strict=True,
        obs=Path("cells.csv"),
        guides=(("A-1", "A"), ("B-1", "B")),
        aliases=Path("aliases.tsv"),
        min_guide_counts=5,
    )
    types = {type(value) for value in asdict(options).values()}
    assert types == {str, tuple, float, int, type(Path()), bool, type(None)}
    assert hash(options) == hash(replace(options))


@pytest.mark.parametrize("option", ["control", "covariates", "nodes", "sinks"])
def test_one_name_is_a_list_of_one(option):
    one = argen.ReadOptions(target="gene", **{option: "all genes"})
    assert getattr(one, option) == ("all genes",)


def test_text_that_is_no_name_stays_text():
    options = argen.ReadOptions(target="gene", covariates="~ L", sinks="all", target_names="names")
    assert (options.covariates, options.sinks, options.target_names) == ("~ L", "all", "names")


def test_options_do_not_change():
    options = argen.ReadOptions(target="gene")
    with pytest.raises(FrozenInstanceError):
        options.min_cells = 0
    with pytest.raises(argen.InputError, match="min_cells must be a whole number from 1, not 0"):
        replace(options, min_cells=0)


def test_no_folder_is_made_before_it_is_used(tmp_path):
    argen.ReadOptions(target="gene", scratch=tmp_path / "scratch")
    assert not list(tmp_path.iterdir())


def test_options_of_another_kind(screen):
    with pytest.raises(argen.InputError, match=r"^Expected options, ReadOptions.*, not dict\.$"):
        argen.read_perturbseq(screen, {"target": "perturbation"})
    with pytest.raises(argen.InputError, match=r"strict must be True or False, not 1 \(int\)"):
        argen.ReadOptions(target="gene", strict=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"guide_pattern": "(STAT1"}, r"guide_pattern '\(STAT1' is not a regular expression: "),
        ({"guide_pattern": "STAT1g1"}, r"has no group: put what is the gene in parentheses"),
        ({"guide_pattern": 3}, r"guide_pattern must be text, not 3 \(int\)"),
        ({"guides": 3}, r"guides must be the path of a table or a mapping .*, not 3 \(int\)"),
        ({"guides": {}}, "guides must be the path of a table or a mapping"),
        ({"aliases": {"A": 1}}, "aliases must be the path of a table or a mapping from text to"),
        ({"guides": {"a": "b"}, "guide_pattern": "(.)"}, "both say what guides target"),
        ({"match_genes": "fuzzy"}, r"match_genes must be 'exact' or 'close', not 'fuzzy'"),
        ({"min_guide_counts": 0}, "min_guide_counts must be a whole number from 1, not 0"),
        ({"obs": 3}, "obs must be the path of a table, not 3"),
    ],
)
def test_options_of_guides_and_names(options, words):
    with pytest.raises(argen.InputError, match=words):
        argen.ReadOptions(target="gene", **options)


def test_every_option_has_a_form():
    assert set(_FORMS) == {field.name for field in fields(argen.ReadOptions)}
