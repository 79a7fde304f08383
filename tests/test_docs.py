"""The documentation names what the package has, and its examples run."""

import doctest
import importlib
import json
import re
from pathlib import Path

import pandas as pd
import pytest

import argen

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

MODULES = [argen, argen.analysis, argen.method, argen.checks, argen.plot, argen.study]
# Handed out to the rooms above, not to users.
FOR_OTHER_ROOMS = {
    "check_cells", "check_knockdowns", "compare_strength", "FEEDBACK", "FEWEST_MOVED_MORE",
    "guide_effects", "highest_percent", "idle_findings", "intervention_table",
    "knockdown_findings", "knockdown_table", "MEDIAN_CHI2", "Method", "method_of", "NEGATIVE",
    "NEUTRAL", "new_figure", "not_looked_at", "OTHER", "others_of", "OWN_EFFECT_ALPHA",
    "own_effects", "POSITIVE", "shown_name", "slope_and_agreement", "stability_table",
    "transcript_findings", "undisputed", "put_in_doubt", "write_grid_figure",
    "write_grid_page", "write_paper_figures",
}  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_api_page_has_every_public_name(module):
    page = (DOCS / "api.md").read_text("utf-8")
    documented = set(re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)$", page, re.M))
    rooms = {other.__name__.removeprefix("argen.") for other in MODULES}
    assert set(module.__all__) - rooms - FOR_OTHER_ROOMS <= documented


def test_gallery_draws_every_figure():
    page = (DOCS / "gallery.md").read_text("utf-8")
    figures = {name for name in argen.plot.__all__ if name.startswith("draw_")}
    assert figures == set(re.findall(r"plot\.(draw_\w+)\(", page))


def test_howto_explains_every_status():
    page = (DOCS / "howto.md").read_text("utf-8")
    explained = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.M))
    assert explained == {status.name for status in argen.FitStatus}


@pytest.mark.whole
def test_formats_page_has_every_file_and_column(tmp_path):
    data, _ = argen.simulate_paper_screen(rng=1, n_cells=2000)
    folder = argen.write_results(argen.infer_network(data), tmp_path)
    page = (DOCS / "formats.md").read_text("utf-8")
    named = set(re.findall(r"`([\w.]+)`", page))
    for file in folder.iterdir():
        assert file.name in named
        if file.suffix == ".tsv":
            assert set(pd.read_csv(file, sep="\t").columns) <= named
    assert "input_sha256" in json.loads((folder / "run.json").read_text("utf-8"))


@pytest.mark.whole
@pytest.mark.parametrize(
    "module",
    [
        "read.reading",
        "method.pipeline",
        "steps.descendants",
        "iv",
        "network.prediction",
        "simulate.screen",
        "analysis.evaluate",
        "checks.checking",
        "checks.weak_points",
        "qc.quality",
        "checks.again.stability",
        "checks.again.sensitivity",
    ],
)
def test_docstring_examples_run(module):
    outcome = doctest.testmod(importlib.import_module(f"argen.{module}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_readme_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulated = argen.simulate_paper_screen(rng=1, n_cells=2000, hidden=("X7", "X8"))
    argen.simulated_anndata(*simulated).write_h5ad("screen.h5ad")
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102
    assert (tmp_path / "results" / "edges.tsv").is_file()
