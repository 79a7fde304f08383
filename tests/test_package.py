"""What is said of the package in several places is the same in all of them."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import argen

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
RECIPE = yaml.safe_load((ROOT / "packaging" / "recipe.yaml").read_text("utf-8"))
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))


def test_one_version():
    assert RECIPE["context"]["version"] == CITATION["version"] == argen.__version__


def test_conda_asks_for_what_pip_asks_for():
    python, *others = RECIPE["requirements"]["run"]
    oldest = RECIPE["context"]["python_min"]
    assert python == "python >=${{ python_min }}"
    assert PROJECT["requires-python"] == f">={oldest}"
    assert sorted(r.replace(" ", "") for r in others) == sorted(PROJECT["dependencies"])


def test_one_summary_licence_and_address():
    about = RECIPE["about"]
    assert about["summary"] == PROJECT["description"]
    assert about["license"] == CITATION["license"] == PROJECT["license"]
    paper = PROJECT["urls"]["Paper"]
    assert about["homepage"] == CITATION["preferred-citation"]["url"] == paper
    assert paper in (ROOT / "README.md").read_text("utf-8")


def test_every_python_of_the_classifiers_is_tested():
    path = ROOT / ".github" / "workflows" / "test.yml"
    if not path.exists():
        pytest.skip("the source distribution has no workflow")
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    said = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert said == jobs["quick"]["strategy"]["matrix"]["python"]
