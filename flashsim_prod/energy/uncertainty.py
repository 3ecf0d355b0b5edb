"""Standard uncertainties and what is stated of them, as in the GUM (JCGM 100:2008).

Type A: the scatter of k independent cycles, s/sqrt(k). Type B: half-widths of uniform distributions, divided
by sqrt(3). The interval is stated for 95.45 %, "k=2"; few cycles widen it by Student's t with the effective
degrees of freedom of Welch and Satterthwaite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    standard : float
        Both, combined.
    coverage_factor : float
        2 for many cycles; more for few.
    """

    value: float
    type_a: float | None
    type_b: Mapping[str, float]
    standard: float
    coverage_factor: float

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
            self.standard * factor,
            self.coverage_factor,
        )


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
    systematic = math.hypot(*type_b.values())
    if len(values) < 2:
        return Estimate(values[0], None, dict(type_b), systematic, 2.0)
    type_a = stdev(values) / math.sqrt(len(values))
    standard = math.hypot(type_a, systematic)
    dof = (len(values) - 1) * (standard / type_a) ** 4 if type_a > 0 else math.inf
    return Estimate(fmean(values), type_a, dict(type_b), standard, coverage_factor(dof))


def coverage_factor(dof: float) -> float:
    """Student's t for the 95.45 % interval; 2 in the limit of many degrees of freedom."""
    from scipy.special import stdtrit

    return 2.0 if math.isinf(dof) or dof > 1e6 else float(stdtrit(dof, (1 + COVERAGE) / 2))


def ratio(top: Estimate, bottom: Estimate) -> tuple[float, float]:
    """A ratio and the half-width of its interval, both taken as independent."""
    value = top.value / bottom.value
    return value, abs(value) * math.hypot(top.expanded / top.value, bottom.expanded / bottom.value)
