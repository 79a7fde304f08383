"""Null screens: whether p-values hold where nothing acts on anything."""

from argen.checks.null.checking import check_null_screens
from argen.checks.null.weak_points import (
    inflated_edges,
)

__all__ = [
    "check_null_screens",
    "inflated_edges",
]
