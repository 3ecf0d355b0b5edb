"""Events per second, from the marks that copies set while they ran together."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from flashsim_prod.energy.record import CopyCount, Cycle, Response, Window

#: marks must span this part of a run for its steady rate to be taken from them
_MIN_SPAN = 0.5


@dataclass(frozen=True)
class Rate:
    """Events per second of all copies together.

    Attributes
    ----------
    total_hz : float
    window : Window
        When.
    is_steady : bool
        From marks, while all copies ran; else whole events by the whole run, start-up included.
    """

    total_hz: float
    window: Window
    is_steady: bool


def event_rate(cycle: Cycle, response: Response) -> Rate:
    """The rate of a cycle's run.

    While all copies run it is steady: from the first mark after the meter has settled until the first copy's
    last mark. Copies that set too few marks give events by time of the whole run.
    """
    steady = _steady_window(cycle, response)
    if steady is not None:
        hz = sum(_between(copy, steady) for copy in cycle.copies) / steady.length_s
        return Rate(hz, steady, is_steady=True)
    return Rate(sum(copy.events for copy in cycle.copies) / cycle.run.length_s, cycle.run, is_steady=False)


def _steady_window(cycle: Cycle, response: Response) -> Window | None:
    settled_s = cycle.run.start_s + response.settle_s
    starts, ends = [], []
    for copy in cycle.copies:
        times = [mark.t_s for mark in copy.marks if mark.t_s >= settled_s]
        if len(times) < 2:
            return None
        starts.append(times[0])
        ends.append(times[-1])
    if not starts or min(ends) - max(starts) < _MIN_SPAN * cycle.run.length_s:
        return None
    return Window(start_s=max(starts), end_s=min(ends))


def _between(copy: CopyCount, window: Window) -> float:
    return _events_at(copy, window.end_s) - _events_at(copy, window.start_s)


def _events_at(copy: CopyCount, t_s: float) -> float:
    """Events made until `t_s`, between marks by straight lines."""
    times = [mark.t_s for mark in copy.marks]
    right = bisect_left(times, t_s)
    if right == 0:
        return float(copy.marks[0].events)
    if right == len(times):
        return float(copy.marks[-1].events)
    before, after = copy.marks[right - 1], copy.marks[right]
    part = (t_s - before.t_s) / (after.t_s - before.t_s)
    return before.events + part * (after.events - before.events)
