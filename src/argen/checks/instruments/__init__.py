"""Whether perturbations move their genes, and tell candidates apart."""

from argen.checks.instruments.checking import check_instruments, check_knockdowns
from argen.checks.instruments.strength import knockdown_findings, knockdown_table

__all__ = ["check_instruments", "check_knockdowns", "knockdown_findings", "knockdown_table"]
