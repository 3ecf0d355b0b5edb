"""Energy counters: what one gained, or why what it says makes no sense."""

from __future__ import annotations

from itertools import pairwise

from flashsim_prod.energy.meters.base import LIMITS_W
from flashsim_prod.energy.record import Channel, Window

#: a counter is written some time before it is asked for; two such times may differ by this much [s]
_SLACK_S = 0.5

Count = tuple[float, float]


class VoidWindowError(Exception):
    """Internal: this stretch of time gives no number; the message says why."""


def limit_of(channel: Channel) -> float:
    """What the channel cannot plausibly draw more than [W]."""
    return channel.limit_w or LIMITS_W[channel.scope]


def counts_of(channel: Channel, window: Window | None = None) -> list[Count]:
    """Times [s] and counts [J] of a channel, in a window or all."""
    return [
        (t_s, energy_j)
        for t_s, energy_j in zip(channel.t_s, channel.energy_j, strict=True)
        if energy_j is not None and (window is None or window.start_s <= t_s <= window.end_s)
    ]


def counted_w(channel: Channel, counts: list[Count]) -> float:
    """Mean power from the first count to the last [W].

    Raises
    ------
    VoidWindowError
        If the counter was reset, jumped or stood still.
    """
    gained_j = sum(step_j(channel, before, after) for before, after in pairwise(counts))
    span_s = counts[-1][0] - counts[0][0] if len(counts) > 1 else 0.0
    if span_s <= 0:
        raise VoidWindowError(f"the energy counter of {channel.name} was read only once")
    if gained_j <= 0:
        raise VoidWindowError(
            f"the energy counter of {channel.name} stood still for {span_s:.0f} s, which would be 0 W"
        )
    return gained_j / span_s


def step_j(channel: Channel, before: Count, after: Count) -> float:
    """What a counter gained between two readings [J], although it may have wrapped around.

    A reset looks like a wrap, but for the power that it would mean.

    Raises
    ------
    VoidWindowError
        If it was reset, gained more than the channel can draw, or was not read for so long that it may have
        wrapped around more often than once.
    """
    seconds, gained_j = after[0] - before[0], after[1] - before[1]
    name, limit_w, range_j = f"the energy counter of {channel.name}", limit_of(channel), channel.range_j
    how = f"from {before[1]:.1f} J to {after[1]:.1f} J in {seconds:.2f} s"
    if range_j and seconds * limit_w > range_j:
        raise VoidWindowError(
            f"{name} was not read for {seconds:.0f} s, in which it may have wrapped around more than once"
        )
    if gained_j < 0 and not range_j:
        raise VoidWindowError(
            f"{name} went backwards, {how}, and does not say where it wraps around: it was reset"
        )
    if gained_j < 0 and range_j:
        gained_j += range_j
    if not 0 <= gained_j <= limit_w * (seconds + _SLACK_S):
        raise VoidWindowError(
            f"{name} went {how}, which would be {gained_j / max(seconds, 1e-3):,.0f} W where no more than "
            f"{limit_w:,.0f} W is plausible: it was reset or jumped"
        )
    return gained_j
