"""The declared grid."""

from collections import Counter

import pytest

import argen
from argen.study import chosen_settings, chosen_variants, declared_grid


def test_sizes_and_names():
    grid = declared_grid()
    assert Counter(setting.model.n_nodes for setting in grid) == {8: 29, 30: 29, 100: 29, 200: 8}
    assert len({setting.name for setting in grid}) == len(grid)
    models = {setting.name: setting.model for setting in grid}
    assert models["p30-hidden-genes"].n_hidden_genes == 15
    assert models["p100-feedback"].n_feedback == 10
    assert models["p8-no-confounding"].n_factors == 0
    assert models["p30-weak-and-escaping"].penetrance == 0.8
    assert models["p30-weak-and-escaping"].n_guides == 3
    assert models["p100-two-programs"].n_sinks == 300


def test_programs_are_all_that_sets_them_apart():
    models = {setting.name: setting.model for setting in declared_grid()}
    for name in ("program", "program-strong", "two-programs"):
        model = models[f"p30-{name}"]
        without = argen.ScreenModel(**(model.to_dict() | {"n_programs": 0, "program_effect": 0.2}))
        assert without == models["p30-no-program"]


def test_chosen_by_name():
    assert [s.name for s in chosen_settings(["p30-deep", "p8-base"])] == ["p30-deep", "p8-base"]
    assert len(chosen_settings()) == len(declared_grid())
    variants = chosen_variants(["oracle-shrunk", "naive"])
    assert variants["oracle-shrunk"].config.errors == "shrunk"
    assert variants["naive"].method == "naive"


def test_unknown_names():
    with pytest.raises(argen.InputError, match=r"settings has 'p8-bas'.*Did you mean 'p8-base'"):
        chosen_settings(["p8-bas"])
    with pytest.raises(argen.InputError, match="methods has 'magic', which is not declared"):
        chosen_variants(["magic"])
