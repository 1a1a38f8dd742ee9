"""How many processors there are for this process."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux keeps what a container may use."""


def cores() -> int:
    """Processors that this process may use, at least 1: the machine's, its affinity's or its container's quota.

    >>> cores() >= 1
    True
    """
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    n = len(allowed(0)) if allowed else os.cpu_count() or 1
    quota = _quota()
    return n if quota is None else max(1, min(n, math.ceil(quota)))


def _quota() -> float | None:
    """Processors' worth of time that the container is given; None where it is not limited."""
    try:
        if (both := CGROUPS / "cpu.max").is_file():  # version 2
            quota, period = both.read_text().split()
        else:
            quota, period = (
                (CGROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
            )
        return float(quota) / float(period) if quota not in ("max", "-1") else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
