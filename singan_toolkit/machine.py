"""How many trainings this machine can do at a time."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

TRAINING_BYTES = 1.5 * 2**30
"""What a training takes, with all that torch loads: a generous figure for pictures of 1,000 pixels."""
GPU_JOBS = 4
"""A small network keeps a GPU waiting, so several share it. Not measured."""


def default_jobs(device_type: str) -> int:
    """On the CPU one training a core, on anything else four; in both cases no more than fit into memory."""
    wanted = cores() if device_type == "cpu" else GPU_JOBS
    return int(max(1, min(wanted, memory() // TRAINING_BYTES)))


def cores() -> int:
    """The cores that this process may use. Two threads of one core count once where the system tells of them."""
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
    physical = len({_siblings(cpu) for cpu in allowed})
    return max(1, math.ceil(min(physical, _quota())))


def memory() -> float:
    """Bytes that can still be had, infinitely many where the system does not tell."""
    return min(_memory(), default=math.inf)


def give_back_memory() -> None:
    """Have the C library give what is free back to the system, where it can, lest a process of many jobs grow.

    Large blocks that are taken and freed in turn leave gaps, which glibc keeps.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def _memory() -> Iterator[float]:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield float(line.split()[1]) * 1024
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))  # of a container
    if limit.isdecimal() and used.isdecimal():
        yield float(max(0, int(limit) - int(used)))


def _siblings(cpu: int) -> str:
    return _read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)


def _quota() -> float:
    """Cores' worth of time that a container is given."""
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else math.inf


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
