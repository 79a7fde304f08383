"""Null screens: whether p-values hold where nothing acts on anything."""

from argen.checks.null.checking import check_null_screens

__all__ = ["check_null_screens"]
