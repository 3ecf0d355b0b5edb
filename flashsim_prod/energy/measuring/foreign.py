"""Watching what else runs: CPU time that is not the measured work's."""

from __future__ import annotations

from contextlib import suppress

import psutil


class ForeignLoad:
    """Mean number of CPU cores that other processes keep busy.

    All busy time of the machine, less that of this process and of its descendants: the living ones', and
    what those that ended have left with their parents.
    """

    def __init__(self) -> None:
        self._start = (0.0, 0.0, 0.0)
        self.restart(0.0)

    def restart(self, now_s: float) -> None:
        """Count from here on."""
        self._start = (now_s, *busy_s())

    def cores(self, now_s: float) -> float:
        """Mean number of cores that others kept busy since the start."""
        start_s, all_s, own_s = self._start
        if now_s <= start_s:
            return 0.0
        all_now_s, own_now_s = busy_s()
        return max(0.0, (all_now_s - all_s) - (own_now_s - own_s)) / (now_s - start_s)


def busy_s() -> tuple[float, float]:
    """CPU time used so far by everything and by this process with its descendants [s]."""
    times = psutil.cpu_times()
    kinds = ("user", "nice", "system", "irq", "softirq")
    everything = sum(getattr(times, kind, 0.0) for kind in kinds)
    own = psutil.Process()
    total = _used_s(own)
    for child in own.children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += _used_s(child)
    return everything, total


def _used_s(one: psutil.Process) -> float:
    times = one.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)
