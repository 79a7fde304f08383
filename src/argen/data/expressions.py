"""What a covariate formula and a cell filter may say: text that comes from files is no program.

Both are read by Python's own parser, and only what stands in the tables here is let through:
columns, numbers, text, operators, comparisons, and some functions, none of which reads a file,
writes one, or takes much more memory than its columns do.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from argen.errors import InputError, first_few, first_line, nearest

# Functions of a formula: those of the formula library that compute with their arguments alone.
TRANSFORMS = (
    "C", "I", "Diff", "Helmert", "Poly", "Sum", "Treatment", "bs", "cc", "center", "cr", "cs",
    "exp", "exp10", "exp2", "lag", "log", "log10", "log2", "poly", "scale", "standardize",
)  # fmt: skip
# Functions of numbers, by their name in NumPy: in a formula with and without `np.`, in a filter
# without it.
NUMERIC = (
    "abs", "cos", "exp", "expm1", "floor", "log", "log10", "log1p", "log2", "maximum", "minimum",
    "sign", "sin", "sqrt", "square",
)  # fmt: skip
_CONTRASTS = ("SAS", "diff", "helmert", "poly", "sum", "treatment")
# These make as many columns as they are told.
_MAKES_COLUMNS = ("bs", "cc", "cr", "cs", "poly")
_MOST_COLUMNS = 100
_MOST_TERMS = 1000
# A text, or what a filter may have in another way than Python: a name between backticks, & and |.
_PARTS = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?P<quoted>[^`]*)`""", re.DOTALL)
_OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow,
    ast.BitAnd, ast.BitOr, ast.USub, ast.UAdd, ast.Invert,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip


class NotAllowed(ValueError):  # noqa: N818 - says what an expression may not hold
    """An expression holds what is neither a column nor in the tables of this module."""


def parsed(text: str) -> tuple[ast.expr, dict[str, str]]:
    """Return the tree of an expression, and the columns that stand between backticks in it.

    Each of these has become a name that Python can read.

    Raises
    ------
    SyntaxError
        When it is no expression.
    """
    columns: dict[str, str] = {}

    def replaced(part: re.Match[str]) -> str:
        if part["quoted"] is None:
            return part[0]
        name = f"_column_{len(columns)}_"
        while name in text:
            name += "_"
        columns[name] = part["quoted"]
        return f" {name} "

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of escapes in a text
            tree = ast.parse(_PARTS.sub(replaced, text).strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else first_line(error)
        raise SyntaxError(why) from error
    return tree.body, columns


def formula_columns(formula: str, columns: Iterable[object]) -> list[str]:
    """Return the columns that a formula names, in its order.

    Raises
    ------
    InputError
        When the formula cannot be read; when it holds anything else than columns, numbers,
        operators and the functions of this module, or expands to very many terms; when it names
        no column, or one that is not there.
    """
    known = [str(name) for name in columns]
    needed = list(dict.fromkeys(_read(formula)))
    for name in needed:
        if name not in known:
            raise InputError(
                f"There is no column {name!r} in obs for the covariate formula {formula!r}."
                f"{nearest(name, known)} Columns: {first_few(known, 15)}. Put names with spaces "
                "or dots between backticks."
            )
    if not needed:
        raise InputError(f"The covariate formula {formula!r} names no column.")
    return needed


def _read(formula: str) -> list[str]:
    """Read a formula; returns every name in it that should be a column."""
    from formulaic import Formula
    from formulaic.parser import DefaultFormulaParser
    from formulaic.parser.algos.tokenize import tokenize

    try:
        # The tokens first, since the parser already looks functions up.
        names = [name for token in tokenize(formula) for name in _names_of(token)]
        n_terms = _most_terms(DefaultFormulaParser().get_ast(formula, context={}))
        if n_terms <= _MOST_TERMS:
            Formula(formula)
    except NotAllowed as error:
        raise InputError(f"The covariate formula {formula!r} {error}") from error
    except Exception as error:  # the parser raises errors of its own and of Python's
        raise InputError(
            f"The covariate formula {formula!r} cannot be read: {first_line(error)}. Write, for "
            "example, '~ p_mito + C(lane)', with names with spaces between backticks."
        ) from error
    if n_terms > _MOST_TERMS:
        raise InputError(
            f"The covariate formula {formula!r} expands to more than {_MOST_TERMS:,} terms. Name "
            "those that are needed."
        )
    return names


def _names_of(token: Any) -> Iterator[str]:
    """Columns that a token of a formula names."""
    kind = token.kind.value
    if kind == "name":
        yield token.token
    if kind == "python":
        tree, quoted = parsed(token.token)
        for name in _checked(tree, f"in {token.token!r}"):
            yield quoted.get(name, name)


def _checked(node: ast.AST, where: str) -> Iterator[str]:
    """Names of columns in an expression of a formula; refuses what is not in the tables."""
    match node:
        case ast.Name():
            yield node.id
        case ast.Constant(value=value) if isinstance(value, int | float | str | None):
            if "`" in str(value):  # so that none can be read in two ways
                raise NotAllowed(f"has a backtick within a text, {where}. Leave it out.")
        case ast.List() | ast.Tuple():
            for item in node.elts:
                yield from _checked(item, where)
        case ast.UnaryOp() | ast.BinOp():
            yield from _computed(node, where)
        case ast.Compare(ops=[op]) if isinstance(op, _OPERATORS):
            yield from _checked(node.left, where)
            yield from _checked(node.comparators[0], where)
        case ast.Call():
            yield from _call(node, where)
        case _:
            raise _not_allowed(node, where)


def _computed(node: ast.UnaryOp | ast.BinOp, where: str) -> Iterator[str]:
    if not isinstance(node.op, _OPERATORS):
        raise _not_allowed(node, where)
    operands = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
    found = [name for operand in operands for name in _operand(operand, where)]
    if isinstance(node.op, ast.Pow) and not found:
        raise NotAllowed(f"has a power of numbers alone, {where}. Write the number.")
    yield from found


def _operand(node: ast.expr, where: str) -> list[str]:
    """Names in what is computed with: numbers, or something made of columns."""
    names = list(_checked(node, where))
    only_numbers = all(
        isinstance(part, ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop)
        or (isinstance(part, ast.Constant) and isinstance(part.value, int | float))
        for part in ast.walk(node)
    )
    if not names and not only_numbers:
        raise NotAllowed(f"computes with {_shown(node)}, {where}: expected columns or numbers.")
    return names


def _not_allowed(node: ast.AST, where: str) -> NotAllowed:
    return NotAllowed(
        f"has {_shown(node)}, {where}, which no formula may: expected columns, numbers, operators "
        "(+ - * / // % ** & | ~), one comparison at a time, and functions. Put names with spaces "
        "or dots between backticks."
    )


def _call(node: ast.Call, where: str) -> Iterator[str]:
    name = ast.unparse(node.func)
    if not _is_function(node.func):
        raise NotAllowed(
            f"calls {name!r}, which is not a function of formulas: expected one of "
            f"{', '.join(TRANSFORMS)}, one of NumPy as np.sqrt ({', '.join(NUMERIC)}), or contr."
            f"{', contr.'.join(_CONTRASTS)}."
        )
    if any(keyword.arg is None or keyword.arg.startswith("_") for keyword in node.keywords):
        raise NotAllowed(f"calls {name!r} with an argument that no formula may give, {where}.")
    arguments = [*node.args, *[keyword.value for keyword in node.keywords]]
    if name in _MAKES_COLUMNS:
        for argument in [*node.args[1:], *_sizes(node)]:
            if not _is_small(argument):
                raise NotAllowed(
                    f"asks {name!r} for {_shown(argument)}: expected a number up to "
                    f"{_MOST_COLUMNS}, or a list of knots."
                )
    for argument in arguments:
        yield from _checked(argument, where)


def _is_function(function: ast.expr) -> bool:
    match function:
        case ast.Name(id=name):
            return name in TRANSFORMS or name in NUMERIC
        case ast.Attribute(value=ast.Name(id="np"), attr=name):
            return name in NUMERIC
        case ast.Attribute(value=ast.Name(id="contr"), attr=name):
            return name in _CONTRASTS
    return False


def _sizes(node: ast.Call) -> list[ast.expr]:
    return [keyword.value for keyword in node.keywords if keyword.arg in ("df", "degree")]


def _is_small(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=value) if isinstance(value, int | float):
            return float(value) <= _MOST_COLUMNS
        case ast.Constant(value=str() | None) | ast.List():
            return True
    return False


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node)
    return repr(text if len(text) <= 60 else text[:60] + "...")


def _most_terms(node: Any) -> float:
    """Return how many terms there are at most once all operators of a formula are applied."""
    if not hasattr(node, "operator"):
        return 1.0
    left, *others = map(_most_terms, node.args) if node.args else [0.0]
    right = others[0] if others else 0.0
    symbol = node.operator.symbol
    if symbol in ("**", "^"):
        times = float(str(getattr(node.args[1], "token", "inf")))
        return math.inf if times * math.log(max(left, 1.0)) > 50.0 else left**times
    if symbol in ("*", "/", "%in%", ":"):
        return left + right + left * right
    return left + right
