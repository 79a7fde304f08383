"""Results in the formats of other tools."""

from argen.interchange.cx2 import to_cx2
from argen.interchange.exporting import Kind, export

__all__ = ["Kind", "export", "to_cx2"]
