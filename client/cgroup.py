"""What the operating system lets this process use: processor affinity, and Linux control groups, version 1 and 2.

Source: Linux kernel documentation, admin-guide/cgroup-v2.rst (cpu.max, memory.max) and scheduler/sched-bwc.rst
(cpu.cfs_quota_us, cpu.cfs_period_us). A limit of any ancestor binds, so all of them are read.
"""

import os
from collections.abc import Iterator
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Processors this process may run on, and no more than its quota of time is worth; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_limit()
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def cpu_limit(mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> float | None:
    """Processors' worth of time this process may use; None where nothing limits it."""
    quotas = [_quota(folder) for folder in _folders(mount, membership, "cpu")]
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit_bytes(mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> int | None:
    """Bytes of memory this process may use; None where nothing limits it."""
    limits = [
        _number(folder / name)
        for folder in _folders(mount, membership, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return min((limit for limit in limits if limit is not None), default=None)


def _quota(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").partition(" ")  # version 2: "max 100000" or "150000 100000"
    if quota.isdecimal() and period.isdecimal():
        return int(quota) / int(period)
    micros, period_micros = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return micros / period_micros if micros and period_micros else None


def _folders(mount: Path, membership: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of all groups above it, in both versions.

    Inside a container the group's path may not exist under the mount; the mount itself is then the group.
    """
    for line in _text(membership).splitlines():
        number, controllers, path = line.split(":", 2)
        root = mount if number == "0" else mount / controller
        if number == "0" or controller in controllers.split(","):
            folder = root / path.strip("/")
            yield from (above for above in (folder, *folder.parents) if above.is_relative_to(root))


def _number(path: Path) -> int | None:
    """A non-negative number; 'max', -1 and an absent file are no limit."""
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
