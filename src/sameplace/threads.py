"""How many cores may be used, by the affinity of this process and its container's CPU quota, and which lie on one memory node."""

import os
from contextlib import suppress
from pathlib import Path

NODES = Path("/sys/devices/system/node")


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


def nodes(folder: Path = NODES) -> tuple[frozenset[int], ...]:
    """The cores of each memory node (NUMA) that this process may use; none where it has one node, or the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = os.sched_getaffinity(0)
    found = []
    try:
        for file in sorted(folder.glob("node*/cpulist")):
            found.append(_cores(file.read_text()) & allowed)
    except (OSError, ValueError):
        return ()
    usable = tuple(frozenset(cores) for cores in found if cores)
    return usable if len(usable) > 1 else ()


def stay_on_a_node(turn: int, folder: Path = NODES) -> None:
    """Keep the calling thread on the cores of one memory node, nodes by turns, so that what it works on lies near it."""
    if among := nodes(folder):
        with suppress(OSError):  # forbidden: slower, and no less right
            os.sched_setaffinity(0, among[turn % len(among)])


def _cores(listed: str) -> set[int]:
    """Cores as the system lists them: "0-3,8"."""
    cores: set[int] = set()
    for part in listed.strip().split(","):
        if part:  # a node of memory alone has none
            first, _, last = part.partition("-")
            cores.update(range(int(first), int(last or first) + 1))
    return cores
