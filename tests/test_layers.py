"""The three layers: kernels, steps, shell. Arrows point one way, to the left."""

import ast
from pathlib import Path

import pytest

import argen

PACKAGE = Path(argen.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in PACKAGE.rglob("*.py")
}
KERNELS = {"_arrays", "errors", "glm", "order", "fdr"}
SHELL = {"data", "scale", "progress", "study", "plot", "report"}
SHELL |= {
    "cli",
    "cli_analysis",
    "cli_check",
    "cli_evidence",
    "cli_figures",
    "cli_options",
    "cli_predict",
    "cli_study",
    "__main__",
    "__init__",
}
FOREIGN_TO_KERNELS = {"anndata", "dask", "matplotlib", "pandas", "rich"}


def layer(module: str) -> int:
    """0 kernels, 1 steps, 2 shell."""
    top = module.split(".")[0]
    return 0 if top in KERNELS else 2 if top in SHELL else 1


def imports(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it; type-checking blocks do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_arrows_point_to_lower_layers(module):
    imported = imports(MODULES[module])
    own = {name.removeprefix("argen.") for name in imported if name.startswith("argen.")}
    wrong = {name for name in own if layer(name) > layer(module)}
    assert not wrong, f"{module} must not import {sorted(wrong)}"
    if layer(module) == 0:
        foreign = {name.split(".")[0] for name in imported} & FOREIGN_TO_KERNELS
        assert not foreign, f"the kernel {module} must not import {sorted(foreign)}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_dask_is_imported_in_one_place(module):
    uses = {name.split(".")[0] for name in imports(MODULES[module])} & {
        "cloudpickle",
        "dask",
        "distributed",
    }
    assert not uses or module == "scale"


def test_only_the_command_line_exits_or_prints():
    for module, path in MODULES.items():
        source = path.read_text(encoding="utf-8")
        if module != "cli":
            assert "sys.exit" not in source, module
