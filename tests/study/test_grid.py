"""A toy grid: its table, its errors, and that it can be ended and go on."""

import json

import numpy as np
import pandas as pd
import pytest

import argen
from argen.study import Setting, Variant, grid_summary, run_grid
from argen.study.grid import MEASURES

TINY = argen.ScreenModel(n_nodes=4, n_parents=1, cells_per_node=60, n_controls=200, mean_count=5)
SETTINGS = (
    Setting(name="tiny", model=TINY),
    Setting(name="deep", model=argen.ScreenModel(**(TINY.to_dict() | {"mean_count": 20.0}))),
)
ONE = {"argen": Variant()}
TWO = ONE | {"screen": Variant(method="screen")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    return folder, run_grid(folder, SETTINGS, TWO, n_replicates=3, workers=1)


def same_numbers(left: pd.DataFrame, right: pd.DataFrame) -> None:
    dropped = ["seconds"]
    pd.testing.assert_frame_equal(
        left.drop(columns=dropped), right.drop(columns=dropped), check_exact=True
    )


def test_one_row_per_setting_replicate_and_method(finished):
    folder, table = finished
    keys = list(table[["setting", "replicate", "method"]].itertuples(index=False, name=None))
    expected = [(s, r, m) for s in ("tiny", "deep") for r in range(3) for m in ("argen", "screen")]
    assert keys == expected
    assert set(MEASURES) <= set(table.columns)
    assert (table.loc[table["setting"] == "deep", "mean_count"] == 20).all()
    assert (table["error"] == "").all()
    assert len(pd.read_csv(folder / "grid.tsv", sep="\t")) == 12


def test_summary_has_means_and_monte_carlo_errors(finished):
    folder, table = finished
    summary = pd.read_csv(folder / "summary.tsv", sep="\t")
    row = summary.query("setting == 'deep' and method == 'screen' and measure == 'f1'").iloc[0]
    values = [r.f1 for r in table.itertuples() if r.setting == "deep" and r.method == "screen"]
    assert row["mean"] == pytest.approx(sum(values) / 3)
    assert row["error"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert (row["n"], row["n_failed"]) == (3, 0)


@pytest.mark.process
def test_workers_change_nothing(finished, tmp_path):
    same_numbers(run_grid(tmp_path, SETTINGS, TWO, n_replicates=3, workers=2), finished[1])


def test_goes_on_with_what_is_missing(finished, tmp_path, monkeypatch):
    run_grid(tmp_path, SETTINGS[:1], ONE, n_replicates=2, workers=1)
    made = []
    real = argen.study.grid.infer_by

    def counted(method, data, config):
        made.append(method)
        return real(method, data, config)

    monkeypatch.setattr("argen.study.grid.infer_by", counted)
    same_numbers(run_grid(tmp_path, SETTINGS, TWO, n_replicates=3, workers=1), finished[1])
    assert made.count("argen") == 6 - 2
    assert made.count("screen") == 6
    made.clear()
    run_grid(tmp_path, SETTINGS, TWO, n_replicates=3, workers=1)
    assert made == []


def test_a_half_written_file_is_no_file(finished, tmp_path):
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "tiny.0.unfinished").write_text('{"made_of"', encoding="utf-8")
    same_numbers(run_grid(tmp_path, SETTINGS, TWO, n_replicates=3, workers=1), finished[1])


def test_a_method_that_fails_is_a_line(tmp_path, monkeypatch):
    def failing(method, data, config):
        raise np.linalg.LinAlgError("Singular matrix\nand more")

    monkeypatch.setattr("argen.study.grid.infer_by", failing)
    table = run_grid(tmp_path, SETTINGS[:1], ONE, n_replicates=2, workers=1)
    assert (table["error"] == "LinAlgError: Singular matrix").all()
    summary = grid_summary(table)
    assert summary["measure"].tolist() == list(MEASURES)
    assert (summary["n_failed"] == 2).all()
    assert (summary["n"] == 0).all()
    assert json.loads((tmp_path / "rows" / "tiny.1.json").read_text())["rows"]["argen"]


@pytest.mark.parametrize(
    ("settings", "variants", "seed", "words"),
    [
        (SETTINGS, TWO, 2, "another seed"),
        ((Setting(name="tiny", model=SETTINGS[1].model),), TWO, 1, "another model"),
        (
            SETTINGS,
            {"argen": Variant(config=argen.InferenceConfig(alpha=0.1, threads=1))},
            1,
            r"another argen \(method\)",
        ),
    ],
)
def test_rows_of_another_run_are_refused(finished, settings, variants, seed, words):
    with pytest.raises(argen.InputError, match=words):
        run_grid(finished[0], settings, variants, n_replicates=1, seed=seed, workers=1)
