"""The floors of the house: what each room may use, and what no module may do."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import argen

PACKAGE = Path(argen.__file__).parent

# From the ground up: a room may use those before it. Names without a folder are files.
FLOORS = (
    "errors", "arrays", "config", "machine", "files", "pvalues", "glm", "iv", "data", "read",
    "inspection", "engine", "run", "steps", "corrections", "network", "simulate", "method",
    "analysis", "checks", "qc", "plot", "interchange", "report", "study", "cli", "__main__",
)  # fmt: skip
# Rooms within a room, from the ground up; what else is in the room comes before or after them all.
INNER_FLOORS = {
    "read": (
        "tables", "stored", "formats", "counts", "options", "choice", "selection", "look",
        "reading", "columns",
    ),
    "checks": (
        "findings", "cells", "guides", "instruments", "null", "edges", "again", "weak_points",
        "checking",
    ),
}  # fmt: skip
ROOT_FILES = {"__init__", "__main__", "arrays", "config", "errors", "iv", "machine"}
FOREIGN_TO_KERNELS = {"anndata", "dask", "distributed", "matplotlib", "networkx", "pandas", "rich"}


# Every module by its dotted name below the package, with its text.
SOURCES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text("utf-8")
    for path in PACKAGE.rglob("*.py")
}


def imports(source: str) -> list[tuple[str, str | None, bool]]:
    """All imports of a file, wherever they stand: module, name (if one), and whether at the top."""
    tree, found = ast.parse(source), []
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, None, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [(module, alias.name, id(node) in top) for alias in node.names]
    return found


def room(module: str) -> tuple[str, ...]:
    """The room that a module is in, and the inner room where that has floors of its own."""
    outer, *rest = module.removesuffix(".__init__").split(".")
    return (outer, rest[0]) if outer in INNER_FLOORS and rest else (outer,)


def faults(modules: dict[str, str]) -> list[str]:
    """Everything that is against the rules of the house, in words."""
    found, arrows = [], {}
    for module, source in modules.items():
        outer = room(module)[0]
        if "." not in module and module not in ROOT_FILES:
            found.append(f"{module} stands at the root and is not listed")
        if outer not in FLOORS and module != "__init__":
            found.append(f"{module} is in no room that the floors know")
            continue
        arrows[module] = set()
        for imported, name, at_top in imports(source):
            if imported.startswith("."):
                found.append(f"{module} imports {imported} relative to itself")
            if imported.split(".")[0] != "argen":
                continue
            target = imported.removeprefix("argen").removeprefix(".")
            if not target and name in modules | {f"{name}.__init__": 0 for name in FLOORS}:
                target = name
            if not at_top:
                found.append(f"{module} imports {imported} elsewhere than at its top")
            found += _wrong_arrow(module, target, name, modules)
            arrows[module] |= _files_of(target, name, modules)
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        found.append(f"circle: {' <- '.join(error.args[1])}")
    return found


def _files_of(target: str, name: str | None, modules: dict[str, str]) -> set[str]:
    for file in (f"{target}.{name}", f"{target}.{name}.__init__", target, f"{target}.__init__"):
        if file in modules:
            return {file}
    return set()


def _wrong_arrow(module: str, target: str, name: str | None, modules: dict[str, str]) -> list[str]:
    own, other = room(module), room(target)
    if module == "__init__" or not target:
        return []
    if other[0] not in FLOORS:
        return [f"{module} imports {target}, which is in no room"]
    if FLOORS.index(other[0]) > FLOORS.index(own[0]):
        return [f"{module} imports {target}, which is on a floor above it"]
    if other[0] != own[0]:
        door = f"{other[0]}.__init__"
        if door in modules and target != other[0]:
            return [f"{module} imports past the door of {other[0]}: {target}"]
        if door in modules and name not in _public(modules[door]):
            return [f"{module} takes {name}, which {other[0]} does not hand out"]
        return []
    if own[0] in INNER_FLOORS and own != other and len(own) == len(other) == 2:
        floors = INNER_FLOORS[own[0]]
        if floors.index(other[1]) > floors.index(own[1]):
            return [f"{module} imports {target}, which is on a floor above it"]
        door = ".".join((*other, "__init__"))
        if (door in modules and (target, name) == (target, None)) or (
            door in modules and target != ".".join(other)
        ):
            return [f"{module} imports past the door of {'.'.join(other)}: {target}"]
    return []


def _public(source: str) -> set[str]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_the_house_keeps_its_rules():
    assert not faults(SOURCES)


def test_the_root_is_small():
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT_FILES
    assert len(ROOT_FILES) <= 8


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("glm.planted", "from argen.data import Design", "floor above"),
        ("network.planted", "def f():\n    from argen.config import InferenceConfig", "at its top"),
        (
            "data.planted",
            "if TYPE_CHECKING:\n    from argen.pvalues import adjust",
            "at its top",
        ),
        ("engine.planted", "from argen.glm.regression import fit_regressions", "past the door"),
        ("engine.planted", "from argen.glm import _add_outer", "does not hand out"),
        ("engine.planted", "import argen.glm.regression", "past the door"),
        ("planted", "", "stands at the root"),
        ("attic.planted", "", "in no room"),
        ("network.planted", "from . import result", "relative"),
        ("checks.cells.planted", "from argen.checks.again import stability", "floor above"),
        ("checks.again.planted", "from argen.checks.cells.balance import x", "past the door"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(module, line, said):
    found = faults(SOURCES | {module: line})
    assert len(found) >= 1
    assert any(said in fault and "planted" in fault for fault in found), found


def test_a_planted_circle_is_found():
    planted = {
        "glm.one": "from argen.glm.other import x",
        "glm.other": "from argen.glm.one import y",
    }
    assert any("circle" in fault for fault in faults(SOURCES | planted))


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_foreign_packages_stay_where_they_belong(module):
    foreign = {imported.split(".")[0] for imported, _, _ in imports(SOURCES[module])}
    if room(module)[0] in {"glm", "arrays", "errors"}:
        assert not foreign & FOREIGN_TO_KERNELS
    if module != "run.dask":
        assert not foreign & {"cloudpickle", "dask", "distributed"}
    if not module.startswith("cli."):
        assert "cyclopts" not in foreign


def exits_or_prints(source: str) -> set[str]:
    """What a file does that ends the process or writes to the terminal."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {"print", "exit", "quit", "sys.exit", "os._exit", "SystemExit"} or (
                called.startswith(("sys.stdout.", "sys.stderr."))
            ):
                found.add(called)
        elif isinstance(node, ast.Raise) and node.exc and "SystemExit" in ast.unparse(node.exc):
            found.add("SystemExit")
    return found


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_only_the_command_line_exits_or_prints(module):
    assert module.startswith("cli.") or not exits_or_prints(SOURCES[module])


@pytest.mark.parametrize(
    "line",
    ["print(1)", "import sys\nsys.exit(1)", "raise SystemExit", "import sys\nsys.stdout.write('')"],
)
def test_a_planted_print_or_exit_is_found(line):
    assert exits_or_prints(f"def f():\n    {line.splitlines()[-1]}")
