"""Type B uncertainties: what no repetition shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from flashsim_prod.energy.record import Channel, Configuration, Cycle, Measurement, MeterAccuracy
from flashsim_prod.energy.results.conventions import Subtraction
from flashsim_prod.energy.results.figures import CycleFigures, counted_channels, unused_gpus
from flashsim_prod.energy.results.uncertainty import uniform

#: readings that scatter by more than this part of a step are rounded at random: what rounding adds to their
#: mean is then below 0.2 % of a step, 1/pi exp(-2 pi^2 s^2) with s^2 less the rounding's own 1/12
_DITHERED = 0.6
#: an error of gain makes all powers of a meter wrong by one factor
GAIN = "meter gain"


class Budget:
    """Type B uncertainties of the powers of one configuration [W]."""

    def __init__(
        self,
        cycle: Cycle,
        configuration: Configuration,
        measurement: Measurement,
        figures: Sequence[CycleFigures],
    ) -> None:
        self._figures = figures
        self._counted = {
            channel.name: self._accuracy(channel, measurement) for channel in counted_channels(cycle)
        }
        self._unused = [self._accuracy(channel, measurement) for channel in unused_gpus(cycle, configuration)]
        self._interval_s = measurement.schedule.interval_s

    def of_power(self, subtraction: Subtraction) -> dict[str, float]:
        """Of the net power: errors of gain and offset are common to all channels of a meter, so they add."""
        on_load, on_idle = 1 - subtraction.added, subtraction.added - subtraction.idle
        net_w = fmean(abs(subtraction.net_w(one.power)) for one in self._figures)
        unseen_w = fmean(one.unseen * one.added_w for one in self._figures)
        return {
            GAIN: uniform(self._gain() * net_w),
            "meter offset": uniform(self._offset_w() * abs(on_load + on_idle)),
            "rounding": math.hypot(self._rounding_w(0) * on_load, self._rounding_w(1) * on_idle),
            "idle drift": self._drift_w() * abs(on_idle),
            "start of the run": uniform(unseen_w) * abs(on_load),
            "idle GPUs": uniform(sum(one.offset_w for one in self._unused)) * subtraction.gpus,
        }

    def of_idle(self) -> dict[str, float]:
        """Of the idle power."""
        idle_w = fmean(one.power.idle_w for one in self._figures)
        return {
            GAIN: uniform(self._gain() * idle_w),
            "meter offset": uniform(self._offset_w()),
            "rounding": self._rounding_w(1),
            "idle drift": self._drift_w(),
        }

    def of_rate(self) -> float:
        """Of the rate, relative to it.

        Marks are seen up to one polling interval late, at either end of a steady span: the difference of two
        uniform ones has a variance of interval^2 / 6, and cycles average it. The end of a run is always seen
        late, which they do not.
        """
        rates = [one.rate for one in self._figures if one.rate]
        late = fmean(self._interval_s / rate.window.length_s for rate in rates)
        if all(rate.is_steady for rate in rates):
            return late / math.sqrt(6 * len(rates))
        return uniform(late)

    def _gain(self) -> float:
        return max(one.gain for one in self._counted.values())

    def _offset_w(self) -> float:
        return sum(one.offset_w for one in self._counted.values())

    def _drift_w(self) -> float:
        """Of the mean idle power; what moves to and fro is scatter, and in Type A."""
        return uniform(fmean(one.moved_w for one in self._figures) / 2)

    def _rounding_w(self, phase: int) -> float:
        """Under load (0) or idle (1), of channels whose readings scatter too little to hide their steps."""
        parts = []
        for name, accuracy in self._counted.items():
            scatter_w = min(one.scatter_w[name][phase] for one in self._figures)
            if scatter_w <= _DITHERED * accuracy.quantum_w:
                parts.append(uniform(accuracy.quantum_w / 2))
        return math.hypot(*parts)

    def _accuracy(self, channel: Channel, measurement: Measurement) -> MeterAccuracy:
        return measurement.meters[channel.meter]
