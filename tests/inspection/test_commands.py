"""``argen inspect``, and ``argen fit`` without options of the input."""

from pathlib import Path

import pytest

import argen
from argen.cli import main
from tests.inspection import files

SCREENS = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return end.value.code or 0


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "screen.h5ad"
    files.virtual_cell_challenge().write_h5ad(file)
    return file


def test_inspect_prints_the_summary(path, capsys):
    assert run("inspect", str(path)) == 0
    assert capsys.readouterr().out == f"{argen.inspect(path)}\n"


def test_inspect_refuses_what_is_no_file(tmp_path, capsys):
    assert run("inspect", str(tmp_path / "none.h5ad")) == 2
    assert "error: " in capsys.readouterr().err


def test_fit_takes_what_is_recognised_and_says_so(path, tmp_path, capsys):
    out = [tmp_path / "one", tmp_path / "other"]
    assert run("fit", str(path), "--out", str(out[0]), "--no-report") == 0
    command = argen.inspect(path).command()
    printed = capsys.readouterr().out
    assert printed.startswith(f"Taken as recognised (argen inspect says why):\n{command}\n")
    options = ["--target", "target_gene", "--control", "non-targeting", "--covariates", "batch"]
    options += ["--guide", "guide_id", "--quiet", "--no-report"]
    assert run("fit", str(path), *options, "--out", str(out[1])) == 0
    one, other = map(argen.load, out)
    assert one.candidates.equals(other.candidates)
    assert one.provenance["command"].endswith(
        "--target target_gene --control non-targeting --covariates batch --guide guide_id"
    )
    assert one.provenance["input_sha256"] == other.provenance["input_sha256"]


def test_other_commands_take_what_is_recognised(path, tmp_path, capsys):
    said = f"Taken as recognised (argen inspect says why):\n{argen.inspect(path).command()}\n"
    out = tmp_path / "out"
    quick = {"check": ["--null-tests", "0"], "stability": ["--resamples", "2"], "qc": []}
    for command, options in quick.items():
        assert run(command, str(path), *options, "--out", str(out / command)) == 0
        assert capsys.readouterr().out.startswith(said)
    assert run("fit", str(path), "--out", str(out / "fit"), "--quiet", "--no-report") == 0
    first, second = argen.load(out / "fit").nodes[:2]
    ends = ["--result", str(out / "fit"), "--parent", first, "--child", second]
    assert run("expression", str(path), *ends, "--out", str(out / "expression")) == 0
    assert capsys.readouterr().out.startswith(said)


def test_fit_with_some_options_wants_the_target(path, tmp_path, capsys):
    assert run("fit", str(path), "--covariates", "batch", "--out", str(tmp_path / "out")) == 2
    assert "--target requires an argument. argen inspect FILE says" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "roles", "n_nodes"),
    [
        ("papalexi2021_thp1_eccite",
         {"target": "perturbation", "control": "non-targeting", "guide": "guide",
          "depth": "total_umi", "mito": "p_mito", "batch": "bio_rep"}, 9),
        ("hill2018_mcf10a_cropseq",
         {"target": "perturbation", "control": "non-targeting", "guide": "guide",
          "depth": "total_umi", "mito": "p_mito"}, 25),
        ("dixit2016_bmdc_24tf",
         {"target": "perturbation", "control": "non-targeting", "depth": "total_umi"}, 8),
        ("gasperini2019_k562_highmoi",
         {"target": "grna_target_indicator", "depth": "total_umi", "mito": "p_mito",
          "batch": "batch"}, 10),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::argen.ArgenWarning")
def test_proposals_for_published_screens_run(name, roles, n_nodes):
    path = SCREENS / f"{name}.h5ad"
    if not path.exists():
        pytest.skip(
            f"{path.name} is not distributed with argen; it is looked for beside the checkout"
        )
    found = argen.inspect(path)
    assert {role: found.guess(role) for role in roles} == roles
    assert not found.questions
    assert not found.missing
    data = argen.read_perturbseq(path, found.options)
    assert len(data.nodes) == n_nodes
    controls = found.controls.loc[found.controls["taken"], "n_cells"].sum()
    assert abs(data.n_controls - controls) <= 11  # cells of no counts are left out
