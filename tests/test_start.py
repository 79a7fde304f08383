"""What a start loads: public names when they are used, and nothing heavy before."""

import json
import subprocess
import sys

import pytest

import argen
from argen.cli.app import COMMANDS, STUDIES

HEAVY = {
    "anndata", "bokeh", "formulaic", "h5py", "jinja2", "matplotlib", "networkx", "numba", "numpy",
    "online_fdr", "pandas", "scipy", "zarr",
}  # fmt: skip
# What a run needs from the start; the rest waits until it is used.
OF_A_RUN = {"numba", "numpy", "pandas", "scipy"}


def loaded_by(code: str) -> set[str]:
    """Modules in a process that has run some code."""
    shown = f"{code}\nimport json, sys\nprint('loaded', json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", shown]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1].removeprefix("loaded ")))


@pytest.mark.process
@pytest.mark.parametrize(
    "code",
    [
        "import argen",
        "import argen; argen.InferenceConfig(); argen.__version__; dir(argen)",
        "from argen.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass",
        "from argen.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    ],
)
def test_a_start_loads_nothing_heavy(code):
    assert not loaded_by(code) & HEAVY


@pytest.mark.process
@pytest.mark.parametrize(
    "code", ["import argen; argen.infer_network", "import argen.cli.fit", "import argen.cli.check"]
)
def test_a_run_loads_what_it_needs_when_it_needs_it(code):
    loaded = loaded_by(code)
    assert not loaded & (HEAVY - OF_A_RUN)
    assert not loaded & {"scipy.stats", "scipy.optimize"}


def test_every_public_name_is_there():
    for name in argen.__all__:
        found = getattr(argen, name)
        assert name == "__version__" or found.__name__.rpartition(".")[2] == name
    assert set(argen.__all__) <= set(dir(argen))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands_says_what_their_help_says(command):
    module = __import__(f"argen.cli.{command}", fromlist=[command])
    says = getattr(module, command).__doc__.split("\n\n")[0]
    assert " ".join(says.split()) == COMMANDS[command]


@pytest.mark.parametrize("study", STUDIES)
def test_the_list_of_studies_says_what_their_help_says(study):
    module = __import__("argen.cli.study", fromlist=[study])
    says = getattr(module, study).__doc__.split("\n\n")[0]
    assert " ".join(says.split()) == STUDIES[study]
