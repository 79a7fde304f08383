"""Commands on the output of pipelines: from guides in the file to guides compared."""

import pandas as pd
import pytest

import argen
from tests.cli.test_app import run
from tests.read.layouts import screen_parts, write_cell_ranger


@pytest.mark.whole
def test_from_cell_ranger_to_guides_compared(tmp_path, capsys):
    parts = screen_parts()
    outs = write_cell_ranger(tmp_path / "outs", parts)
    columns = [str(outs), "--target", "guides", "--control", "Non-Targeting"]
    assert run("fit", *columns, "--out", str(tmp_path / "network")) == 0
    printed = capsys.readouterr().out
    assert "guides: guides with 5 counts or more in a cell are called" in printed
    assert "read as control by 'Non-Targeting': NT-1 (" in printed
    assert "without a guide (30 cells): no guide was found in them" in printed
    assert argen.load(tmp_path / "network").nodes == ("STAT1", "STAT2", "JAK2")
    null = ["--null-tests", "0", "--held-out", "guides", "--out", str(tmp_path / "check")]
    assert run("check", *columns, *null) == 0
    compared = pd.read_csv(tmp_path / "check" / "guides.tsv", sep="\t")
    assert set(compared["guide"]) == {
        f"{g}-{k}" for g in ("STAT1", "STAT2", "JAK2") for k in (1, 2)
    }
    assert (tmp_path / "check" / "held_out.tsv").is_file()


@pytest.mark.whole
def test_perturbations_held_out_whose_labels_are_guides(tmp_path, capsys):
    """Cells of a gene that is not measured are found by the gene that their guides target."""
    parts = screen_parts()
    outs = write_cell_ranger(tmp_path / "outs", parts)
    columns = [str(outs), "--target", "feature_call", "--control", "Non-Targeting"]
    columns += ["--cells", "num_features > 0", "--null-tests", "0"]
    assert run("check", *columns, "--held-out", "IRF1", "--out", str(tmp_path / "check")) == 0
    printed = capsys.readouterr().out
    assert "held out, without an effect to begin from: IRF1" in printed
    assert run("check", *columns, "--held-out", "IRF2") == 2
    assert "'IRF2': no node and no label. Did you mean 'IRF1'?" in capsys.readouterr().err
