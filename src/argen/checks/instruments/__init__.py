"""Whether perturbations move their genes, and tell candidates apart."""

from argen.checks.instruments.checking import check_instruments, check_knockdowns

__all__ = ["check_instruments", "check_knockdowns"]
