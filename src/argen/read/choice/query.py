"""Queries on the table of cells, computed by walking their tree: a text runs nothing else.

The language is that of pandas queries: columns, numbers and text, comparisons, arithmetic, `and`,
`or` and `not`, also as `&`, `|` and `~`, `in [...]`, and some functions.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from argen.data import NUMERIC, parsed

# As in pandas, & and | bind as weakly as `and` and `or`, so that comparisons need no parentheses.
_WEAK = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`)|([&|])""", re.DOTALL)
_WORDS = {"&": " and ", "|": " or "}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_IS_MISSING = {"isna": True, "isnull": True, "notna": False, "notnull": False}

Value: TypeAlias = Any
"""A column, a number, a text, or a list of these."""


def evaluated(query: str, obs: pd.DataFrame) -> Value:
    """Compute a query on the columns of a table, and its index by the name `index`.

    Raises
    ------
    NameError
        When it names what is no column.
    SyntaxError
        When it is no expression.
    ValueError
        When it holds what is not part of a query.
    Exception
        Whatever pandas raises when columns do not fit what is asked of them.
    """
    weak = _WEAK.sub(lambda part: part[1] or _WORDS[part[2]], query)
    tree, quoted = parsed(weak)
    try:
        return _Query(obs, quoted).value(tree)
    except RecursionError as error:
        raise ValueError("it is too deeply nested") from error


@dataclass(frozen=True, slots=True)
class _Query:
    obs: pd.DataFrame
    quoted: dict[str, str]  # names that stood between backticks

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Name(id=name):
                return self._column(self.quoted.get(name, name))
            case ast.Constant(value=bool() | int() | float() | str()):
                return node.value
            case ast.List() | ast.Tuple() | ast.Set():
                return [_constant(item) for item in node.elts]
            case ast.UnaryOp() | ast.BinOp():
                return self._computed(node)
            case ast.BoolOp():
                return self._joined(node)
            case ast.Compare():
                return self._compared(node)
            case ast.Call():
                return self._called(node)
        raise _not_allowed(node)

    def _column(self, name: str) -> pd.Series:
        if name in self.obs.columns:
            column = self.obs[name]
            if isinstance(column, pd.DataFrame):
                raise ValueError(f"obs has more than one column {name!r}")
            return column
        if name == "index" or (self.obs.index.name is not None and name == self.obs.index.name):
            return pd.Series(self.obs.index, index=self.obs.index)
        raise NameError(f"name {name!r} is not defined")

    def _computed(self, node: ast.UnaryOp | ast.BinOp) -> Value:
        match node:
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                return ~_truth(self.value(node.operand), node.operand)
            case ast.UnaryOp(op=ast.USub()):
                return -self._number(node.operand)
            case ast.UnaryOp():
                return self._number(node.operand)
            case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
                left, right = self._number(node.left), self._number(node.right)
                if isinstance(op, ast.Pow) and not isinstance(left, pd.Series):
                    left = float(left)  # as whole numbers grow without end
                return _ARITHMETIC[type(op)](left, right)
        raise _not_allowed(node)

    def _number(self, node: ast.expr) -> Value:
        """Compute what is calculated with: numbers or columns of them."""
        value = self.value(node)
        if isinstance(value, pd.Series):
            is_number = pd.api.types.is_numeric_dtype(value.dtype)
        else:
            is_number = isinstance(value, int | float)
        if not is_number:
            raise TypeError(f"{ast.unparse(node)!r} holds no numbers to calculate with")
        return value

    def _joined(self, node: ast.BoolOp) -> Value:
        join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
        first, *others = (_truth(self.value(part), part) for part in node.values)  # noqa: PD011 - of the tree
        for other in others:
            first = join(first, other)
        return first

    def _compared(self, node: ast.Compare) -> Value:
        answer, left = None, self.value(node.left)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            if isinstance(op, ast.Is | ast.IsNot):
                raise _not_allowed(node)
            if isinstance(op, ast.In | ast.NotIn) or isinstance(right, list):
                if not (isinstance(left, pd.Series) and isinstance(right, list)):
                    raise TypeError("`in` is for a column and a list, as in lane in ['L1', 'L2']")
                found = left.isin(right)
                found = ~found if isinstance(op, ast.NotIn | ast.NotEq) else found
                if not isinstance(op, ast.In | ast.NotIn | ast.Eq | ast.NotEq):
                    raise TypeError("a column is neither more nor less than a list")
            else:
                found = _COMPARISONS[type(op)](left, right)
            answer, left = found if answer is None else answer & found, right
        return answer

    def _called(self, node: ast.Call) -> Value:
        match node.func, node.args, node.keywords:
            case ast.Name(id=name), [argument], [] if name in NUMERIC:
                with np.errstate(all="ignore"):
                    return getattr(np, name)(self._number(argument))
            case ast.Attribute(value=of, attr=name), [], [] if name in _IS_MISSING:
                column = self._column_of(of)
                return column.isna() if _IS_MISSING[name] else column.notna()
            case ast.Attribute(value=of, attr="isin"), [ast.List() | ast.Tuple() as listed], []:
                return self._column_of(of).isin(self.value(listed))
        raise _not_allowed(node)

    def _column_of(self, node: ast.expr) -> pd.Series:
        column = self.value(node)
        if not isinstance(column, pd.Series):
            raise TypeError(f"{ast.unparse(node)!r} is not a column")
        return column


def _constant(node: ast.expr) -> Value:
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
    raise ValueError(f"{_shown(node)} stands in a list: expected numbers or text in quotes")


def _truth(value: Value, node: ast.expr) -> Value:
    """Take a value that is True or False for each cell, or missing."""
    if isinstance(value, pd.Series):
        if value.dtype == object and set(value.dropna().unique()) <= {True, False}:
            return value.astype("boolean")
        if pd.api.types.is_bool_dtype(value.dtype) and not isinstance(
            value.dtype, pd.CategoricalDtype
        ):
            return value
    elif isinstance(value, bool):
        return np.bool_(value)  # of which ~ is the other one
    raise TypeError(f"{ast.unparse(node)!r} is not True or False for each cell")


def _not_allowed(node: ast.AST) -> ValueError:
    return ValueError(
        f"{_shown(node)} is not part of a query, which has columns, numbers, text in quotes, "
        "comparisons, + - * / // % **, and, or, not, in [...], .isna(), .notna(), .isin([...]), "
        f"and the functions {', '.join(NUMERIC)}"
    )


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node)
    return repr(text if len(text) <= 60 else text[:60] + "...")
