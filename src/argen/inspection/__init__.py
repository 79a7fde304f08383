"""Inspection of a file: what is in it, what it looks like, and how to fit it."""

from argen.inspection.inspecting import inspect
from argen.inspection.result import Guess, Inspection
from argen.inspection.words import flags, visible

__all__ = ["Guess", "Inspection", "flags", "inspect", "visible"]
