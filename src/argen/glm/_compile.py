"""How loops are compiled: each once, and kept on disk where there is a place for it.

numba takes the code of a function into that of everyone who calls it, and there optimises it
again: four times over for loops three calls deep, which was most of the time that compiling took.
Here the compiled functions of this package, kernels, call each other where they stand. So
there is one version of each, whose bits do not depend on who calls it, nor on what was compiled
in this process and what was loaded from disk.
"""

from __future__ import annotations

import gc
import importlib
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numba as nb
from numba.core import event, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, Flags
from numba.core.registry import CPUDispatcher

Decorator: TypeAlias = Callable[[Callable[..., Any]], Any]

# Symbol of a compiled kernel: its module, its name, and the types of its arguments.
_symbols: dict[str, tuple[str, str, tuple[types.Type, ...]]] = {}


def compiled(**options: Any) -> Decorator:
    """Compile a function that Python calls."""
    options |= {"no_cfunc_wrapper": True}
    return lambda function: _kernel(_Kernel, function, options)


def inner(**options: Any) -> Decorator:
    """Compile a function that kernels call, which needs no wrapper for Python."""
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return lambda function: _kernel(_Inner, function, options)


def loops(**options: Any) -> Decorator:
    """Compile a function that kernels call and that makes no arrays.

    References to its arrays are not counted, which would take as long as a short loop.
    """
    return inner(_nrt=False, **options)


def inlined(**options: Any) -> Decorator:
    """Compile a function into whoever calls it: one so short that the call would tell.

    A call hands on some eight numbers for each array, a hundred for ten of them.

    It makes no arrays, and references to those that it gets are not counted.
    """
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}
    options |= {"_nrt": False}
    return lambda function: _kernel(_Inlined, function, options)


def on_compiling(tell: Callable[[], None]) -> None:
    """Have ``tell`` called before the next kernel is compiled, and then no more.

    That is before the first computation on a machine, since what was compiled is kept.
    """
    event.register("numba:compile", _Telling(tell))


class _Flags(Flags):
    """Options of a compilation: those that are equal are the same object.

    numba looks for the type of every operator under the options in force, and would compare them
    one by one each time: a tenth of the time that compiling took.
    """

    __slots__ = ()
    __eq__, __hash__ = object.__eq__, object.__hash__
    _known: ClassVar[dict[str, Flags]] = {}

    def copy(self) -> Flags:
        """Return the one copy of all that are equal, never itself: numba changes copies."""
        summary = self.summary()
        if summary not in self._known:
            self._known[summary] = super().copy()
        return self._known[summary]


class _Library(JITCodeLibrary):
    """Code of a kernel, which is optimised as a whole, and not function by function before."""

    def add_ir_module(self, ir_module: Any) -> None:
        """Ask for vectors of 256 bits.

        Loops over the cells of a perturbation or the levels of a covariate are short: a vector of
        512 bits would leave more of them over, to be done one by one.
        """
        for function in ir_module.functions:
            if not function.is_declaration:
                # llvmlite knows no attributes with a value, and writes as it stands what is there.
                set.add(function.attributes, '"prefer-vector-width"="256"')
        super().add_ir_module(ir_module)

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        made = self._codegen._module_pass_manager()
        if isinstance(made, tuple):
            passes, builder = made
            passes.run(self._final_module, builder)
        else:  # before numba 0.62
            made.run(self._final_module)


class _ForCallers(_Library):
    """Code that callers take in, where it is optimised and made to run."""

    def _optimize_final_module(self) -> None:
        """Do nothing."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _Compiler(Compiler):
    """numba's steps, with options and a library that take less time."""

    def compile_extra(self, function: Callable[..., Any]) -> Any:
        flags: Any = _Flags(self.state.flags)
        self.state.flags = flags
        kind = _ForCallers if flags.forceinline else _Library
        flags.no_compile = bool(flags.forceinline)
        self.state.library = kind(self.state.targetctx.codegen(), function.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(function)


class _Kernel(CPUDispatcher):
    """A compiled function, which compiled code calls rather than takes in."""

    def enable_caching(self) -> None:
        """Keep what is compiled; without a place for it, every process compiles anew.

        A read-only installation and a home that cannot be written, as in some containers,
        must not keep the package from being imported.
        """
        try:
            self._cache = _Cache(self.py_func)
        except RuntimeError:
            return

    def compile(self, sig: Any) -> Any:
        with _collector_paused():
            return super().compile(sig)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        # One version for all numbers, rather than one for each that the code names.
        return super().get_call_template([types.unliteral(arg) for arg in args], kws)

    def add_overload(self, cres: Any) -> None:
        super().add_overload(cres)
        function, context = self.py_func, cres.target_context
        # Without its library there is nothing that a caller could take in.
        context.remove_user_function(cres.entry_point)
        context.insert_user_function(cres.entry_point, cres.fndesc)
        place = function.__module__, function.__name__, cres.signature.args
        _symbols[cres.fndesc.mangled_name] = place


class _Inner(_Kernel):
    """A kernel without a wrapper for Python, made for it where Python calls it, as tests do."""

    def _insert(self, *_: Any, **__: Any) -> None:
        """Keep from Python what it cannot call."""

    def _compile_for_args(self, *_: Any, **__: Any) -> Any:
        return self._called_from_python

    @cached_property
    def _called_from_python(self) -> Any:
        kernel = self
        return nb.njit(lambda *arguments: kernel(*arguments))


class _Inlined(_Inner):
    """A function that callers take in, so that nothing of it need be kept."""

    def enable_caching(self) -> None:
        """Keep nothing."""

    def add_overload(self, cres: Any) -> None:
        # Nothing to run was made of it, so that anything serves as its name.
        cres = cres._replace(entry_point=object())
        cres.target_context.insert_user_function(cres.entry_point, cres.fndesc, [cres.library])
        CPUDispatcher.add_overload(self, cres)


def _kernel(kind: type[_Kernel], function: Callable[..., Any], options: dict[str, Any]) -> _Kernel:
    # A division by zero gives infinity; loops that had to raise would use no vector instructions.
    always = {"nopython": True, "nogil": True, "boundscheck": None, "error_model": "numpy"}
    # What is not said would be as in the kernel that happens to call it first.
    always |= {"fastmath": False, "forceinline": False, "_nrt": True}
    options = always | options
    kernel = kind(py_func=function, targetoptions=options, pipeline_class=_Compiler)
    kernel.enable_caching()
    return kernel


class _Kept(CompileResultCacheImpl):
    """A compiled kernel on disk, with the kernels that it calls."""

    def reduce(self, cres: Any) -> Any:
        functions = [f.name for f in cres.library._final_module.functions if f.is_declaration]
        called = {name: _symbols[name] for name in functions if name in _symbols}
        return called, super().reduce(cres)

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        """Load what it calls, and then itself; nothing where two processes compiled at once."""
        called, own = payload
        for symbol, (module, name, args) in called.items():
            getattr(importlib.import_module(module), name).compile(args)
            if symbol not in _symbols:
                return None
        return super().rebuild(target_context, own)


class _Index(IndexDataCacheFile):
    """What is on disk; nothing where it is, or speaks of types, of another version of argen.

    While a process has named a kernel in the index and not yet written it, the file of an older one
    can be in its place. So kernels have the stamp of their sources, as the index has.
    """

    def _save_data(self, name: str, data: Any) -> None:
        super()._save_data(name, (self._source_stamp, self._dump(data)))

    def _load_data(self, name: str) -> Any:
        try:
            stamp, data = super()._load_data(name)
        except (AttributeError, ImportError, TypeError, ValueError):
            return None
        return pickle.loads(data) if stamp == self._source_stamp else None  # noqa: S301 (our own)

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except (AttributeError, ImportError):
            return {}


class _Cache(FunctionCache):
    """Kernels on disk, which hold as long as no kernel has been edited."""

    _impl_class = _Kept

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp(), sources_digest(Path(__file__).parent)
        self._cache_file = _Index(self._cache_path, self._impl.filename_base, stamp)


@cache
def sources_digest(folder: Path) -> str:
    """Digest of all modules of a folder: constants of one may be compiled into another."""
    digest = sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _Telling(event.Listener):
    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell: Callable[[], None] | None = tell

    def on_start(self, event: event.Event) -> None:
        if self.tell is not None and isinstance(event.data["dispatcher"], _Kernel):
            tell, self.tell = self.tell, None
            tell()

    def on_end(self, event: event.Event) -> None:
        """Do nothing."""


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Spare numba's many objects, of which hardly any is garbage: a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
