"""Whether perturbations move their genes, and tell candidates apart."""

from argen.checks.instruments.checking import check_instruments, check_knockdowns
from argen.checks.instruments.strength import knockdown_findings, knockdown_table
from argen.checks.instruments.transcripts import FEWEST_MOVED_MORE, transcript_findings
from argen.checks.instruments.weak_points import (
    at_carriers,
    escaping_cells,
    few_cells,
    hidden_effects,
    mostly_program,
    small_knockdowns,
    transcripts_that_stay,
    uncertain_sizes,
    unseen_knockdowns,
    weak_perturbations,
)

__all__ = [
    "FEWEST_MOVED_MORE",
    "at_carriers",
    "check_instruments",
    "check_knockdowns",
    "escaping_cells",
    "few_cells",
    "hidden_effects",
    "knockdown_findings",
    "knockdown_table",
    "mostly_program",
    "small_knockdowns",
    "transcript_findings",
    "transcripts_that_stay",
    "uncertain_sizes",
    "unseen_knockdowns",
    "weak_perturbations",
]
