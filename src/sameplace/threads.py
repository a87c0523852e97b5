"""How many cores may be used: the affinity of this process and the CPU quota of its container, whichever is less."""

import os
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process may keep busy; SAMEPLACE_THREADS overrides what the system says."""
    wanted = os.environ.get("SAMEPLACE_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, _quota() or affinity))


def _quota(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The whole cores that the control group allows, at least one; None where it sets no limit, or none that can be read."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = (folder / "cpu" / "cpu.cfs_quota_us").read_text(), (folder / "cpu" / "cpu.cfs_period_us").read_text()
        except (OSError, ValueError):
            return None
    try:
        return max(1, int(quota) // int(period)) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):  # "max" is no number
        return None
