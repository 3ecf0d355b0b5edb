"""Standard uncertainties and what is stated of them, as in the GUM (JCGM 100:2008).

Type A: the scatter of k independent cycles, s/sqrt(k). Type B: half-widths of uniform distributions, divided
by sqrt(3). The interval is stated for 95.45 %, "k=2"; few cycles widen it by Student's t with the effective
degrees of freedom of Welch and Satterthwaite.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

#: probability within two standard deviations of a normal distribution
COVERAGE = 0.9544997361036416


@dataclass(frozen=True)
class Estimate:
    """A value and the interval stated for it.

    Attributes
    ----------
    value : float
    type_a : float or None
        Standard uncertainty from scatter; ``None`` for a single cycle.
    type_b : Mapping
        Standard uncertainties by cause.
    cycles : int
        How many cycles scattered.
    """

    value: float
    type_a: float | None
    type_b: Mapping[str, float]
    cycles: int = 1

    @property
    def standard(self) -> float:
        """Both types, combined."""
        return math.hypot(self.type_a or 0.0, *self.type_b.values())

    @property
    def coverage_factor(self) -> float:
        """2 where scatter is small or cycles are many, more for few that scatter."""
        if not self.type_a:
            return 2.0
        return coverage_factor((self.cycles - 1) * (self.standard / self.type_a) ** 4)

    @property
    def expanded(self) -> float:
        """Half-width of the interval stated."""
        return self.coverage_factor * self.standard

    def contains(self, truth: float) -> bool:
        """Whether `truth` is within the interval stated."""
        return abs(self.value - truth) <= self.expanded

    def scaled(self, factor: float) -> Estimate:
        """The same in another unit."""
        return Estimate(
            self.value * factor,
            None if self.type_a is None else self.type_a * factor,
            {cause: u * factor for cause, u in self.type_b.items()},
            self.cycles,
        )

    def without(self, causes: Collection[str]) -> Estimate:
        """The same as if some causes of Type B were none."""
        left = {cause: u for cause, u in self.type_b.items() if cause not in causes}
        return replace(self, type_b=left)


def uniform(half_width: float) -> float:
    """Standard uncertainty of a uniform distribution."""
    return abs(half_width) / math.sqrt(3)


def combine(values: Sequence[float], type_b: Mapping[str, float]) -> Estimate:
    """The mean of independent cycles, with the uncertainties that no repetition shows.

    Parameters
    ----------
    values : sequence of float
        One per cycle, at least one.
    type_b : Mapping
        Standard uncertainties of the mean, by cause.
    """
    type_a = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Estimate(fmean(values), type_a, dict(type_b), len(values))


def coverage_factor(dof: float) -> float:
    """Student's t for the 95.45 % interval; 2 in the limit of many degrees of freedom."""
    from scipy.special import stdtrit

    return 2.0 if math.isinf(dof) or dof > 1e6 else float(stdtrit(dof, (1 + COVERAGE) / 2))


def ratio(top: Estimate, bottom: Estimate, common: Collection[str] = ()) -> tuple[float, float]:
    """A ratio and the half-width of its interval.

    Parameters
    ----------
    common : collection of str
        Causes of Type B that make both wrong by the same factor, so that they cancel, such as the gain of a
        meter that measured both. All others are taken as independent.
    """
    value = top.value / bottom.value
    parts = (one.without(common).expanded / one.value for one in (top, bottom))
    return value, abs(value) * math.hypot(*parts)
