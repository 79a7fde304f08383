"""How compiled loops are kept, and what becomes of them when the sources change."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import argen
from argen.glm._compile import _Flags, compiled, inner, sources_digest


def double(x):
    return 2 * x


def run_python(code: str, package: Path, **environment: str) -> str:
    """Run a program on a copy of the package; what numba keeps is where it keeps it by itself.

    Python keeps nothing: it would take a module that was edited within a second, and is as long as
    before, for the one that it knows.
    """
    kept = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {"PYTHONPATH": str(package)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path):
    """A package of one kernel and another that it calls, beside a copy of the module tested."""
    folder = tmp_path / "argen" / "glm"
    folder.mkdir(parents=True)
    (tmp_path / "argen" / "__init__.py").touch()
    (folder / "__init__.py").touch()
    shutil.copy(Path(argen.__file__).parent / "glm" / "_compile.py", folder)
    (folder / "callee.py").write_text(
        "from argen.glm._compile import inner\n\n@inner()\ndef callee(x):\n    return 2 * x\n"
    )
    (folder / "caller.py").write_text(
        "from argen.glm._compile import compiled\nfrom argen.glm.callee import callee\n\n"
        "@compiled()\ndef caller(x):\n    return callee(x) + 1\n"
    )
    return tmp_path


CALL = """
from argen.glm._compile import on_compiling
on_compiling(lambda: print("compiling"))
from argen.glm.caller import caller
print(caller(3), caller(4))
"""


@pytest.mark.process
def test_what_is_compiled_is_kept(package):
    """And compiling is told once, however many kernels there are to compile."""
    assert run_python(CALL, package).split() == ["compiling", "7", "9"]
    assert run_python(CALL, package).split() == ["7", "9"]


@pytest.mark.process
def test_an_edited_callee_is_compiled_anew_with_its_callers(package):
    run_python(CALL, package)
    callee = package / "argen" / "glm" / "callee.py"
    callee.write_text(callee.read_text().replace("2 * x", "5 * x"))
    assert run_python(CALL, package).split() == ["compiling", "16", "21"]


@pytest.mark.process
def test_a_callee_that_another_process_compiled_meanwhile_is_called(package):
    run_python(CALL, package)
    other = package / "other"
    shutil.copytree(package / "argen", other / "argen")
    for kept in (other / "argen" / "glm" / "__pycache__").glob("*.nb?"):
        kept.unlink()
    # Names of compiled functions have a number that depends on what was compiled before.
    run_python("from argen.glm._compile import compiled\ncompiled()(lambda: 1)()\n" + CALL, other)
    for kept in (other / "argen" / "glm" / "__pycache__").glob("callee*.nb?"):
        shutil.copy(kept, package / "argen" / "glm" / "__pycache__")
    assert run_python(CALL, package).split() == ["compiling", "7", "9"]
    assert run_python(CALL, package).split() == ["7", "9"]


@pytest.mark.process
def test_a_cache_that_speaks_of_types_that_are_gone_is_compiled_anew(package):
    """As after an upgrade: what is on disk is loaded before its version is looked at."""
    (package / "argen" / "glm" / "kinds.py").write_text(
        "from typing import NamedTuple\n\nclass Old(NamedTuple):\n    x: int\n"
    )
    (package / "argen" / "glm" / "callee.py").write_text(
        "from argen.glm._compile import compiled\nfrom argen.glm.kinds import Old\n\n"
        "@compiled()\ndef callee(old):\n    return 2 * old.x\n"
    )
    call = "from argen.glm.callee import Old, callee\nprint(callee(Old(3)))"
    assert run_python(call, package) == "6"
    for name in ("kinds", "callee"):
        module = package / "argen" / "glm" / f"{name}.py"
        module.write_text(module.read_text().replace("Old", "New"))
    assert run_python(call.replace("Old", "New"), package) == "6"


@pytest.mark.process
def test_a_kernel_of_older_sources_is_not_taken_for_that_of_the_index(package):
    """The index is written before the kernel, and another process may look in between."""
    folder = package / "argen" / "glm"
    assert "7 9" in run_python(CALL, package)
    old = {path: path.read_bytes() for path in folder.rglob("*.nbc")}
    callee = folder / "callee.py"
    callee.write_text(callee.read_text().replace("2 * x", "x + 2 * x"))
    assert "10 13" in run_python(CALL, package)
    for path, kernel in old.items():
        assert path.exists()
        path.write_bytes(kernel)
    assert "10 13" in run_python(CALL, package)


def test_options_are_never_their_own_copy():
    """A kernel whose options numba changed while it was compiled could not be called.

    That befell one whose callers were kept and which was not, after two processes had compiled.
    """
    options, alike = _Flags(), _Flags()
    copied = options.copy()
    assert copied is not options
    assert alike.copy() is copied
    copied.no_compile = True
    assert not options.no_compile


@pytest.mark.process
def test_without_a_place_for_the_cache(package):
    nowhere = package / "file"
    nowhere.touch()
    folder = package / "argen" / "glm" / "__pycache__"
    shutil.rmtree(folder, ignore_errors=True)
    folder.touch()  # no folder can be made here
    found = run_python(CALL, package, HOME=str(nowhere), XDG_CACHE_HOME=str(nowhere))
    assert found.split() == ["compiling", "7", "9"]


def test_the_digest_is_that_of_all_modules(package):
    folder = package / "argen" / "glm"
    before = sources_digest(folder)
    sources_digest.cache_clear()
    assert sources_digest(folder) == before
    (folder / "callee.py").write_text("")
    sources_digest.cache_clear()
    assert sources_digest(folder) != before


def test_python_can_call_what_kernels_call():
    kernel = inner()(double)
    assert [kernel(2), kernel(3)] == [4, 6]


def test_vectors_of_kernels_have_256_bits():
    """A function of no file, which is compiled each time."""
    scope = {}
    exec("def halve(x):\n    return x / 2", scope)  # noqa: S102 (our own)
    kernel = compiled()(scope["halve"])
    assert kernel(3.0) == 1.5
    (made,) = kernel.overloads.values()
    code = made.library.get_llvm_str()
    assert '"prefer-vector-width"="256"' in code
