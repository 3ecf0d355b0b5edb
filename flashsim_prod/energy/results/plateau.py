"""From raw readings to the mean power of a window: plateau means, never a trapezoid over the edges."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, pstdev

from flashsim_prod.energy.meters.counter import Count, VoidWindowError, counted_w
from flashsim_prod.energy.record import Channel, Window

#: with more missing readings than this a window gives no mean
MAX_MISSING = 0.02
#: with fewer readings than this a window gives no mean
MIN_READINGS = 5
#: counter and polled power that differ by more are remarked on
AGREEMENT = 0.05


@dataclass(frozen=True)
class Mean:
    """Mean power of a channel in a window.

    Attributes
    ----------
    power_w : float
        From the energy counter where there is one, else the mean of polled power [W].
    polled_w : float or None
        Mean of polled power, where both exist [W].
    scatter_w : float
        Standard deviation of single readings of polled power [W]; 0 where there are none.
    """

    power_w: float
    polled_w: float | None
    scatter_w: float

    @property
    def disagreement(self) -> float:
        """Relative difference between polled power and counter; 0 with one of them only."""
        return 0.0 if self.polled_w is None or self.power_w <= 0 else abs(self.polled_w / self.power_w - 1)


def mean_power(channel: Channel, window: Window) -> Mean:
    """The channel's mean power in `window`.

    Raises
    ------
    VoidWindowError
        If there are too few readings, too many are missing, or an energy counter makes no sense.
    """
    inside = [index for index, t_s in enumerate(channel.t_s) if window.start_s <= t_s <= window.end_s]
    power = [channel.power_w[index] for index in inside]
    counter = [(channel.t_s[index], channel.energy_j[index]) for index in inside]
    has_counter = any(energy_j is not None for _, energy_j in counter)
    has_power = any(power_w is not None for power_w in power)
    if not has_counter and not has_power:
        raise VoidWindowError(f"{channel.name} gave no reading")
    polled_w, scatter_w = _polled(channel, power) if has_power else (None, 0.0)
    if has_counter:
        return Mean(_counted(channel, counter), polled_w, scatter_w)
    assert polled_w is not None  # for the type checker: there is power or a counter
    return Mean(polled_w, None, scatter_w)


def _polled(channel: Channel, power: list[float | None]) -> tuple[float, float]:
    there = [power_w for power_w in power if power_w is not None]
    _check(channel, len(there), len(power))
    return fmean(there), pstdev(there)


def _counted(channel: Channel, counter: list[tuple[float, float | None]]) -> float:
    there: list[Count] = [(t_s, energy_j) for t_s, energy_j in counter if energy_j is not None]
    _check(channel, len(there), len(counter))
    return counted_w(channel, there)


def _check(channel: Channel, there: int, asked: int) -> None:
    if asked - there > MAX_MISSING * asked:
        raise VoidWindowError(f"{asked - there} of {asked} readings of {channel.name} are missing")
    if there < MIN_READINGS:
        raise VoidWindowError(f"only {there} readings of {channel.name} in a window")


def is_stuck(channel: Channel) -> bool:
    """Whether the channel said the same through idle, run and idle; one that said nothing is not stuck."""
    if channel.is_silent:
        return False
    power = {power_w for power_w in channel.power_w if power_w is not None}
    energy = {energy_j for energy_j in channel.energy_j if energy_j is not None}
    return len(power) <= 1 and len(energy) <= 1
