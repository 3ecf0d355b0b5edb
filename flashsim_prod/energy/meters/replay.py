"""A meter that plays a recording: the instrument of those who have none."""

from __future__ import annotations

import csv
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path

from flashsim_prod.energy.meters.base import Accuracy, Clock, Meter, Reading, Scope, SystemClock
from flashsim_prod.errors import InputError
from flashsim_prod.files import read_text


class ReplayMeter(Meter):
    """Power of the server [W] from a table of ``t_s,watts``, from its beginning when first read."""

    name = "replay"
    accuracy = Accuracy(gain=0.03, offset_w=0.0, quantum_w=1.0)

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._start_s: float | None = None
        points = _points(path)
        self._t_s = [point[0] for point in points]
        self._power_w = [point[1] for point in points]

    def read(self) -> tuple[Reading, ...]:
        now_s = self._clock.now_s()
        if self._start_s is None:
            self._start_s = now_s - self._t_s[0]
        t_s = now_s - self._start_s
        if t_s > self._t_s[-1]:
            return (Reading("server", Scope.SERVER, trouble="the recording has come to its end"),)
        power_w = self._power_w[bisect_right(self._t_s, t_s) - 1]
        if not 0 < power_w <= self.limit_w(Scope.SERVER):
            return (Reading("server", Scope.SERVER, trouble=f"{power_w:g} W is no power of a server"),)
        return (Reading("server", Scope.SERVER, power_w=power_w),)


def _points(path: Path) -> list[tuple[float, float]]:
    try:
        rows = [
            row
            for row in csv.reader(read_text(path).splitlines())
            if row and not row[0].startswith(("#", "t_s"))
        ]
        points = [(float(row[0]), float(row[1])) for row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this recording cannot be read: {error}") from error
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: a recording has lines of t_s,watts: {error}") from error
    if len(points) < 2 or any(later[0] <= earlier[0] for earlier, later in pairwise(points)):
        raise InputError(f"{path}: a recording has at least two lines, their times growing")
    return points
