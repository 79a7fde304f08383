"""What is said while a file is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Notes:
    """What is said while a file is looked at."""

    missing: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
