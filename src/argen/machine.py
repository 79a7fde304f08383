"""How many cores and how much memory this process may use."""

from __future__ import annotations

import contextlib
import math
import os
import re
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def usable_cores() -> int:
    """Cores that this process may use: of its affinity mask and its control group's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS and Windows
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota())))


def _quota() -> float:
    """Cores that the control group grants, as container and batch systems set it."""
    try:
        if (CGROUP / "cpu.max").is_file():  # version 2
            granted, period = (CGROUP / "cpu.max").read_text().split()
        else:
            folder = CGROUP / "cpu"
            granted, period = (
                (folder / f"cpu.cfs_{what}_us").read_text().strip() for what in ("quota", "period")
            )
        return float(granted) / float(period) if float(granted) > 0 else math.inf
    except (OSError, ValueError):  # no control groups here, or "max": no limit
        return math.inf


def free_memory() -> int:
    """Bytes that this process may still take: of the machine and of its control group."""
    free = [2**33]
    if MEMINFO.is_file():
        available = re.search(r"MemAvailable:\s+(\d+) kB", MEMINFO.read_text())
        free = [1024 * int(available[1])] if available else free
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    with contextlib.suppress(OSError, ValueError):  # no control groups, or no limit
        free.append(int(limit.read_text()) - int(used.read_text()))
    return max(0, min(free))
