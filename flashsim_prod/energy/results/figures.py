"""What one cycle says: its mean powers and its rate, or why it is void."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from statistics import median

from flashsim_prod.core.choices import Mode
from flashsim_prod.energy.meters.counter import VoidWindowError
from flashsim_prod.energy.record import Channel, Configuration, Cycle, Response, Schedule, Scope, Window
from flashsim_prod.energy.results.conventions import Power
from flashsim_prod.energy.results.plateau import Mean, is_stuck, mean_power
from flashsim_prod.energy.results.rates import Rate, event_rate

#: what a server's meter covers
WHOLE = "whole server"
#: idle before and after may differ by this part of load - idle, or by this power [W]
DRIFT_PART, DRIFT_W = 0.25, 5.0
#: a quarter of the plateau may differ from the others by this part of load - idle, or by `DRIFT_W`
UNSTEADY_PART = 0.15
#: a GPU that draws this much more under load is not unused [W]; meters are good to 5 W
UNUSED_GPU_W = 10.0
#: remarks of a meter that are quoted, at most
_CAUSES = 3
#: work that adds less to an idle machine cannot be told from it [W]
LEAST_W = 1.0


@dataclass(frozen=True)
class CycleFigures:
    """What one cycle says.

    Attributes
    ----------
    power : Power
    before_w, after_w : float
        Idle power before and after [W].
    rate : Rate or None
        ``None`` for work that counts no events.
    plateau : Window
        Where the mean under load was taken.
    unseen : float
        Part of the time counted in which the meter had not yet followed, 0 to 1.
    unsteady_w : float
        How far the worst quarter of the plateau is from the others, where the rate is steady [W].
    scatter_w : dict
        By channel, the scatter of single readings under load and idle [W].
    disagreement : float
        Largest relative difference between a GPU's energy counter and its polled power.
    busy_gpus : tuple of str
        GPUs that drew more under load although the work is said not to use them.
    """

    power: Power
    before_w: float
    after_w: float
    rate: Rate | None
    plateau: Window
    unseen: float
    unsteady_w: float
    scatter_w: dict[str, tuple[float, float]] = field(default_factory=dict)
    disagreement: float = 0.0
    busy_gpus: tuple[str, ...] = ()

    @property
    def added_w(self) -> float:
        """What the work adds to the idle machine [W]."""
        return self.power.load_w - self.power.idle_w

    @property
    def moved_w(self) -> float:
        """How far idle moved during the cycle, with its sign [W]."""
        return self.after_w - self.before_w


def counted_channels(cycle: Cycle) -> list[Channel]:
    """The channels that make up the power: the server alone, or else all GPUs and CPUs that say something."""
    server = [channel for channel in cycle.channels if channel.scope is Scope.SERVER]
    return server or [channel for channel in cycle.channels if not channel.is_silent]


def unused_gpus(cycle: Cycle, configuration: Configuration) -> list[Channel]:
    """The GPUs that say something and that the work does not use."""
    return [
        one
        for one in cycle.channels
        if one.scope is Scope.GPU and one.name not in configuration.gpus and not one.is_silent
    ]


def silent_channels(cycle: Cycle) -> dict[str, str]:
    """Parts of the machine that never gave a number in `cycle`, and why, as their meter says."""
    said = {trouble.channel: trouble.text for trouble in reversed(cycle.troubles)}
    return {
        channel.name: said.get(channel.name, "it gave no reading")
        for channel in cycle.channels
        if channel.is_silent and channel.scope is not Scope.SERVER
    }


def covers(cycle: Cycle) -> str:
    """What the counted channels cover, for people; without a server meter a lower bound."""
    scopes = {channel.scope for channel in counted_channels(cycle)}
    if Scope.SERVER in scopes:
        return WHOLE
    parts = " and ".join(name for scope, name in ((Scope.GPU, "GPU"), (Scope.CPU, "CPU")) if scope in scopes)
    without = ", ".join(silent_channels(cycle))
    return f"lower bound: {parts} only" + (f", without {without}" if without else "")


def left_out(cycle: Cycle) -> list[str]:
    """What is not in the figures of `cycle` though this machine has it, and why, in sentences."""
    is_whole = covers(cycle) == WHOLE
    sentences = []
    for name, why in silent_channels(cycle).items():
        missing = (
            "counted only as a part of the server: whether it worked is not known, and 'table' does not "
            "subtract it"
            if is_whole
            else "not in the figure"
        )
        sentences.append(f"{name} is {missing} ({why}){_way_out(cycle, name)}")
    return sentences


def _way_out(cycle: Cycle, name: str) -> str:
    """How to do without the meter of a channel, if there is another."""
    meter = next((channel.meter for channel in cycle.channels if channel.name == name), None)
    others = dict.fromkeys(channel.meter for channel in cycle.channels if channel.meter != meter)
    chosen = " ".join(f"--meter {other}" for other in others)
    return f"; {chosen} measures without {meter}" if meter and chosen else ""


def void_reason(
    cycle: Cycle,
    configuration: Configuration,
    response: Response,
    schedule: Schedule,
    expected: Collection[str] = (),
) -> str | None:
    """Why `cycle` gives no number, or ``None``.

    Parameters
    ----------
    expected : collection of str
        Channels that give numbers in this measurement: all of its cycles must cover the same.
    """
    foreign = max(cycle.foreign_cores.values(), default=0.0)
    if foreign > schedule.foreign_limit_cores:
        return f"others kept {foreign:.2f} CPU cores busy (limit {schedule.foreign_limit_cores:g})"
    gone = _gone(cycle, configuration, expected)
    if gone:
        return gone
    stuck = _stuck_channel(cycle, configuration)
    if stuck:
        return f"{stuck} is stuck: it said the same through idle, run and idle"
    try:
        figures = cycle_figures(cycle, configuration, response)
    except VoidWindowError as error:
        return f"{error}" + _causes(cycle, str(error))
    return _doubt(figures, configuration)


def _causes(cycle: Cycle, error: str) -> str:
    """What meters said meanwhile, of the channel that `error` names if it names one, and what can be done."""
    named = [one.name for one in cycle.channels if re.search(rf"\b{re.escape(one.name)}\b", error)]
    told = [one for one in cycle.troubles if one.channel in named or not named]
    told.sort(key=lambda one: -one.times)
    causes = "; ".join(f"{one.text} ({one.times} times)" for one in told[:_CAUSES])
    causes += f"; {len(told) - _CAUSES} other remarks" if len(told) > _CAUSES else ""
    parts = [one for one in cycle.channels if one.name in named and one.scope is not Scope.SERVER]
    return (f": {causes}" if causes else "") + (_way_out(cycle, parts[0].name) if parts else "")


def _gone(cycle: Cycle, configuration: Configuration, expected: Collection[str]) -> str | None:
    """Why `cycle` cannot do without the channels that are silent, or ``None``."""
    silent = silent_channels(cycle)
    heard = {channel.name for channel in cycle.channels if not channel.is_silent}
    fell = next((name for name in expected if name not in heard), None)
    if fell is not None and (fell in silent or fell not in {channel.name for channel in cycle.channels}):
        why = silent.get(fell, "it is not there any more")
        return f"{fell} gave no reading here, but did before or after: {why}{_way_out(cycle, fell)}"
    if covers(cycle) == WHOLE:
        return None
    used = next((name for name in configuration.gpus if name in silent), None)
    if used is not None:
        return f"{used} does the work but gave no reading, and nor is there a server's: {silent[used]}"
    if not counted_channels(cycle):
        return f"no meter gave a reading: {'; '.join(silent.values()) or 'there is none'}"
    return None


def _stuck_channel(cycle: Cycle, configuration: Configuration) -> str | None:
    if configuration.mode is Mode.IDLE:
        return None
    # GPUs that are not used may well say the same all the time
    busy = [
        one for one in counted_channels(cycle) if one.scope is not Scope.GPU or one.name in configuration.gpus
    ]
    return next((channel.name for channel in busy if is_stuck(channel)), None)


def _doubt(figures: CycleFigures, configuration: Configuration) -> str | None:
    """What makes the figures of a cycle doubtful, or ``None``."""
    load_w, idle_w = figures.power.load_w, figures.power.idle_w
    if figures.busy_gpus:
        return f"{', '.join(figures.busy_gpus)} worked though said to be unused; name it with --gpus"
    drift_w = abs(figures.moved_w)
    if drift_w > max(DRIFT_W, DRIFT_PART * abs(figures.added_w)):
        return f"idle moved from {figures.before_w:.1f} W to {figures.after_w:.1f} W"
    if configuration.mode is not Mode.IDLE and figures.added_w <= max(LEAST_W, drift_w):
        return f"the power under load ({load_w:.1f} W) is not clearly above idle ({idle_w:.1f} W)"
    if figures.unsteady_w > max(DRIFT_W, UNSTEADY_PART * figures.added_w):
        return f"a quarter of the run is {figures.unsteady_w:.1f} W away from the rest of it ({load_w:.1f} W)"
    return None


def cycle_figures(cycle: Cycle, configuration: Configuration, response: Response) -> CycleFigures:
    """The mean powers and the rate of one cycle; `VoidWindowError` if it gives none."""
    rate = event_rate(cycle, response) if configuration.counts_events else None
    span = rate.window if rate else cycle.run
    plateau = Window(start_s=max(span.start_s, cycle.run.start_s + response.settle_s), end_s=span.end_s)
    counted = counted_channels(cycle)
    load, before, after = (
        [mean_power(channel, window) for channel in counted]
        for window in (plateau, cycle.before, cycle.after)
    )
    before_w, after_w = _sum_w(before), _sum_w(after)
    unused_w, busy = _unused_gpus(cycle, configuration, plateau)
    return CycleFigures(
        power=Power(load_w=_sum_w(load), idle_w=(before_w + after_w) / 2, unused_gpus_w=unused_w),
        before_w=before_w,
        after_w=after_w,
        rate=rate,
        plateau=plateau,
        unseen=(plateau.start_s - span.start_s) / span.length_s,
        unsteady_w=_unsteady_w(counted, plateau) if rate and rate.is_steady else 0.0,
        scatter_w={
            channel.name: (on.scatter_w, min(one.scatter_w, two.scatter_w))
            for channel, on, one, two in zip(counted, load, before, after, strict=True)
        },
        disagreement=max(one.disagreement for one in load),
        busy_gpus=busy,
    )


def _sum_w(means: Sequence[Mean]) -> float:
    return sum(mean.power_w for mean in means)


def _unused_gpus(
    cycle: Cycle, configuration: Configuration, plateau: Window
) -> tuple[float, tuple[str, ...]]:
    """Power of the GPUs that are not used [W], and those among them that worked."""
    gpus = unused_gpus(cycle, configuration)
    under_load_w = {gpu.name: mean_power(gpu, plateau).power_w for gpu in gpus}
    resting_w = {gpu.name: mean_power(gpu, cycle.before).power_w for gpu in gpus}
    busy = tuple(name for name, power_w in under_load_w.items() if power_w > resting_w[name] + UNUSED_GPU_W)
    return sum(under_load_w.values()), busy


def _unsteady_w(channels: Sequence[Channel], plateau: Window) -> float:
    """How far the worst quarter is from the quarters' median [W]; a meter that stood still shows up here."""
    step_s = plateau.length_s / 4
    quarters = [
        Window(start_s=plateau.start_s + part * step_s, end_s=plateau.start_s + (part + 1) * step_s)
        for part in range(4)
    ]
    try:
        powers_w = [_sum_w([mean_power(channel, quarter) for channel in channels]) for quarter in quarters]
    except VoidWindowError:
        # too few readings in a quarter of a short run
        return 0.0
    return max(abs(power_w - median(powers_w)) for power_w in powers_w)
