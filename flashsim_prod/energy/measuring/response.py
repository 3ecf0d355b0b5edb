"""How fast a meter follows: the time between new readings, and how far they lag behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean, median

from flashsim_prod.energy.meters.base import Clock, Meter
from flashsim_prod.energy.meters.recorder import Recorder
from flashsim_prod.energy.record import Channel, Response, Window
from flashsim_prod.errors import MeasurementError

#: intervals at which a meter that refuses to be asked often is tried [s]
_PATIENCE_S = (0.2, 1.0, 2.0, 5.0, 10.0)
#: new readings needed to tell how often there are new ones
_MIN_CHANGES = 4


def tolerated_interval(meters: Sequence[Meter], clock: Clock) -> float:
    """The shortest interval at which the meters answer three times in a row [s].

    Raises
    ------
    MeasurementError
        If they do not even at the longest; the line is the meter's own.
    """
    reason = ""
    for interval_s in _PATIENCE_S:
        troubles = []
        for _ in range(3):
            clock.sleep(interval_s)
            readings = [reading for meter in meters for reading in meter.read()]
            troubles += [reading.trouble or "no reading" for reading in readings if reading.is_missing]
        if not troubles:
            return interval_s
        reason = troubles[0]
    raise MeasurementError(f"the meter does not answer reliably, however slowly it is asked: {reason}")


def probe(
    recorder: Recorder,
    clock: Clock,
    load: Callable[[bool], None],
    *,
    interval_s: float,
    phase_s: float,
) -> tuple[tuple[Channel, ...], Window]:
    """Record idle, a load, and idle again, `phase_s` each; `load` switches the load on and off.

    Returns
    -------
    tuple of Channel
        All that was read.
    Window
        When the load was on.
    """
    recorder.poll_until(recorder.now_s() + phase_s, interval_s)
    on_s = recorder.now_s()
    load(True)
    try:
        recorder.poll_until(on_s + phase_s, interval_s)
    finally:
        load(False)
    off_s = recorder.now_s()
    recorder.poll_until(off_s + phase_s, interval_s)
    return recorder.channels(), Window(start_s=on_s, end_s=off_s)


def measure_response(channel: Channel, on: Window, interval_s: float) -> Response:
    """Refresh and lag of a channel of polled power from its answer to a load that was on in `on`.

    The refresh is the median time between two readings that differ. The lag follows from the area between
    the steps and the readings, which noise hardly moves; see `_area_s`.

    Raises
    ------
    MeasurementError
        If the readings do not follow the load.
    """
    readings = [(t_s, power_w) for t_s, power_w in zip(channel.t_s, channel.power_w, strict=True) if power_w]
    changes = [later[0] for earlier, later in pairwise(readings) if later[1] != earlier[1]]
    if not changes:
        raise MeasurementError(
            f"{channel.name} is stuck: it said {readings[0][1]:g} W all the time, with and without load"
            if readings
            else f"{channel.name} gave no reading at all"
        )
    if len(changes) <= _MIN_CHANGES:
        span_s = readings[-1][0] - readings[0][0]
        raise MeasurementError(
            f"{channel.name} changed only {len(changes)} times in {span_s:.0f} s, too seldom "
            " to tell its refresh; give --refresh and --lag, or a longer --probe"
        )
    gaps = [later - earlier for earlier, later in pairwise(changes)]
    refresh_s = max(median(gaps), interval_s)
    areas_s = _areas_s(readings, on)
    holds_s = [_hold_s(changes, step_s, refresh_s, interval_s) for step_s in (on.start_s, on.end_s)]
    lag_s = _lag_s(areas_s, holds_s, refresh_s)
    return Response(refresh_s=round(refresh_s, 3), lag_s=round(lag_s, 3), source="measured")


def _areas_s(readings: list[tuple[float, float]], on: Window) -> list[float]:
    """Areas between the step up and the readings, and the step down, in units of the step [s]."""
    low_before = _level(readings, 0.0, on.start_s)
    high = _level(readings, (on.start_s + on.end_s) / 2, on.end_s)
    end_s = readings[-1][0]
    low_after = _level(readings, (on.end_s + end_s) / 2, end_s)
    step_w = high - (low_before + low_after) / 2
    noise_w = max(1.0, abs(low_before - low_after))
    if step_w < 5 * noise_w:
        raise MeasurementError(
            f"the reading rose by only {max(step_w, 0):.0f} W with a load on every core, too little to tell "
            "its lag: others are at work, or it is another machine's meter; give --refresh and --lag"
        )
    off = Window(start_s=on.end_s, end_s=end_s)
    return [_delay_s(readings, on, low_before, high), _delay_s(readings, off, high, low_after)]


def _hold_s(changes: list[float], step_s: float, refresh_s: float, interval_s: float) -> float:
    """Time from a step to the next new reading [s]; a change is seen half a poll late on average."""
    before = [change_s for change_s in changes if change_s <= step_s]
    if not before:
        return refresh_s / 2
    return refresh_s - (step_s - before[-1] + interval_s / 2) % refresh_s


def _lag_s(areas_s: list[float], holds_s: list[float], refresh_s: float) -> float:
    """The lag for which the areas come out as they did, by bisection; 0 if they are too short."""
    low_s, high_s = 0.0, sum(areas_s)
    while high_s - low_s > 1e-3:
        lag_s = (low_s + high_s) / 2
        if sum(_area_s(hold_s, refresh_s, lag_s) for hold_s in holds_s) > sum(areas_s):
            high_s = lag_s
        else:
            low_s = lag_s
    return low_s if low_s > 1e-2 else 0.0


def _area_s(hold_s: float, refresh_s: float, lag_s: float) -> float:
    """Area between a step of 1 and a first-order answer that is read after `hold_s`, then every refresh [s].

    The geometric series of ``refresh exp(-t/lag)`` over the readings, after nothing at all for `hold_s`.
    """
    return hold_s + refresh_s * math.exp(-hold_s / lag_s) / -math.expm1(-refresh_s / lag_s)


def _level(readings: list[tuple[float, float]], start_s: float, end_s: float) -> float:
    inside = [power_w for t_s, power_w in readings if start_s <= t_s < end_s]
    if not inside:
        raise MeasurementError("the meter gave too few readings to tell its lag; give --refresh and --lag")
    return fmean(inside)


def _delay_s(readings: list[tuple[float, float]], window: Window, old_w: float, new_w: float) -> float:
    """Area between the new level and the readings, in units of the step [s]."""
    inside = [(t_s, power_w) for t_s, power_w in readings if window.start_s <= t_s < window.end_s]
    missing = fmean((new_w - power_w) / (new_w - old_w) for _, power_w in inside)
    return missing * window.length_s
