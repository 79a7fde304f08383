"""Whether the assumptions behind a network hold, with the evidence."""

from argen.diagnostics.checking import check
from argen.diagnostics.findings import Diagnostics, Finding

__all__ = ["Diagnostics", "Finding", "check"]
