"""What is said of a dataset next to a reference, and the verdicts on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flashsim_prod.physics.validation.models.figures import AUC_LIMITS, Light, light, worst
from flashsim_prod.physics.validation.models.whole_events import Derived
from flashsim_prod.physics.validation.statistics.clustered import ClusteredRates, Test
from flashsim_prod.physics.validation.statistics.distances import Measured

#: distances between distributions, in standard deviations (W1) or shares (KS): green and amber up to these
SHAPE_LIMITS = (0.05, 0.15)
#: mean distances between two efficiencies
RATE_LIMITS = (0.02, 0.06)
#: largest differences of rank correlations
CORRELATION_LIMITS = (0.10, 0.25)
#: a difference that chance makes more often than this is no difference
SIGNIFICANCE = 1e-3
#: generator events with values far beyond the reference's from which an attribute is not green
FAR_OUT = 2


def judged(size: float, limits: tuple[float, float], p_value: float) -> Light:
    """Green unless a difference is both significant and large enough to matter."""
    return Light.GREEN if p_value >= SIGNIFICANCE else light(size, limits)


@dataclass(frozen=True)
class Shape:
    """The distribution of one attribute in both samples.

    Attributes
    ----------
    branch : str
    entries : (int, int)
    mean : (float, float)
    wasserstein : float
        1-Wasserstein distance in the reference's standard deviations.
    ks : float
        Kolmogorov-Smirnov distance.
    test : Test
        Chi2 of the shapes, generator events taken as what is independent; ndf 0 if there are too few.
    discrete : bool
    ranges : ((float, float), (float, float))
        Smallest and largest value in either sample.
    far_out : int
        Generator events with values that lie outside the reference's range by more than its width.
    not_finite : (int, int)
        Values of either sample that are left out of all this, since they are not finite.
    """

    branch: str
    entries: tuple[int, int]
    mean: tuple[float, float]
    wasserstein: float
    ks: float
    test: Test
    discrete: bool
    ranges: tuple[tuple[float, float], tuple[float, float]]
    far_out: int
    not_finite: tuple[int, int] = (0, 0)

    @property
    def size(self) -> float:
        """The larger of the two distances."""
        return max(self.wasserstein, self.ks)

    @property
    def light(self) -> Light | None:
        """The verdict; none where there are too few entries for one."""
        if not self.test.ndf:
            return None
        found = judged(self.size, SHAPE_LIMITS, self.test.p_value)
        return worst([found, Light.AMBER]) if self.far_out >= FAR_OUT else found


@dataclass(frozen=True)
class CorrelationDifference:
    """Rank correlations between the attributes of a collection, sample less reference.

    Attributes
    ----------
    names : tuple of str
    difference : tuple of rows of float
    largest : float
    pair : (str, str)
        Where it is largest.
    floor : float
        The largest between two halves of the reference, scaled to the samples' sizes.
    left_out : (int, int)
        Objects of either sample with an attribute that is not finite.
    """

    names: tuple[str, ...]
    difference: tuple[tuple[float, ...], ...]
    largest: float
    pair: tuple[str, str]
    floor: float
    left_out: tuple[int, int] = (0, 0)

    @property
    def light(self) -> Light:
        """The verdict: what two halves of the reference differ by does not count."""
        return light(self.largest - self.floor, CORRELATION_LIMITS)


@dataclass(frozen=True)
class NamedRates:
    """An efficiency, or another fraction, along an axis.

    Attributes
    ----------
    title : str
    quantity : str
        What kind of fraction it is.
    axis : str
        The branch that it is shown along.
    rates : Rates
    """

    title: str
    quantity: str
    axis: str
    rates: ClusteredRates

    @property
    def light(self) -> Light | None:
        """The verdict; none where there are too few entries for one."""
        test = self.rates.test
        return judged(self.rates.difference, RATE_LIMITS, test.p_value) if test.ndf else None


@dataclass(frozen=True)
class ToldApart:
    """How well boosted trees tell the two samples apart by all attributes together.

    Attributes
    ----------
    rows : (int, int)
        Objects, or events, of either sample.
    auc : Measured
        Area under the ROC curve, generator events taken as what is independent; 0.5 if they cannot.
    floor : Measured
        The same between two halves of the reference.
    importance : tuple of (str, float)
        By how much the area falls when an attribute is shuffled, the most telling first.
    """

    rows: tuple[int, int]
    auc: Measured
    floor: Measured
    importance: tuple[tuple[str, float], ...]

    @property
    def interval(self) -> tuple[float, float]:
        """What holds the area with 95 % confidence."""
        return self.auc.value - 1.96 * self.auc.error, min(1.0, self.auc.value + 1.96 * self.auc.error)

    @property
    def light(self) -> Light:
        """The verdict: on what the area is at least."""
        return light(self.interval[0], AUC_LIMITS)


@dataclass(frozen=True)
class Precision:
    """Bits behind the leading one that the values of an attribute are stored with, in either sample."""

    branch: str
    bits: tuple[int, int]

    @property
    def light(self) -> Light:
        """Amber where they differ: no analysis notices, any classifier does."""
        return Light.GREEN if self.bits[0] == self.bits[1] else Light.AMBER


@dataclass(frozen=True)
class Spike:
    """A value that many objects have exactly.

    Attributes
    ----------
    branch : str
    value : float
    share : (float, float)
        Of the objects of either sample.
    p_value : float
        That chance makes the shares differ as much.
    """

    branch: str
    value: float
    share: tuple[float, float]
    p_value: float

    @property
    def light(self) -> Light:
        """The verdict on the difference of the shares."""
        return judged(abs(self.share[0] - self.share[1]), RATE_LIMITS, self.p_value)


@dataclass(frozen=True)
class Group:
    """A collection, or the scalars that belong together.

    Attributes
    ----------
    shapes : tuple of Shape
        Worst first; of a collection the number of its objects is one of them.
    rates : tuple of NamedRates
    correlations : CorrelationDifference, optional
    told : ToldApart, optional
        Of a collection with enough objects.
    precisions : tuple of Precision
        Where they differ.
    spikes : tuple of Spike
        Worst first.
    """

    name: str
    shapes: tuple[Shape, ...]
    rates: tuple[NamedRates, ...]
    correlations: CorrelationDifference | None
    told: ToldApart | None = None
    precisions: tuple[Precision, ...] = ()
    spikes: tuple[Spike, ...] = ()

    @property
    def lights(self) -> list[Light]:
        """All verdicts that there are."""
        return _there(found for found, _ in self._named)

    @property
    def _named(self) -> list[tuple[Light | None, str]]:
        """Every verdict, and what it is on."""
        named: list[tuple[Light | None, str]] = []
        if self.told is not None:
            named.append((self.told.light, f"told apart with an AUC of {self.told.auc.value:.2f}"))
        named += [(one.light, one.branch) for one in self.shapes]
        named += [(one.light, f"{one.title} along {one.axis}") for one in self.rates]
        named += [(one.light, f"{one.branch} exactly {one.value:.6g}") for one in self.spikes]
        named += [(one.light, f"stored precision of {one.branch}") for one in self.precisions]
        if self.correlations is not None:
            named.append((self.correlations.light, f"correlation of {' and '.join(self.correlations.pair)}"))
        return named

    @property
    def light(self) -> Light | None:
        """The worst of all; none if nothing could be judged."""
        return worst(self.lights) if self.lights else None

    @property
    def farthest(self) -> Shape | None:
        """The attribute with the largest distance, of those that could be judged; the page names it."""
        return max((one for one in self.shapes if one.light), key=lambda one: one.size, default=None)

    def count(self, colour: str) -> int:
        """How many verdicts are of this colour."""
        return sum(one == colour for one in self.lights)

    @property
    def complaints(self) -> list[str]:
        """What is not green, the worst first."""
        return [name for colour in (Light.RED, Light.AMBER) for found, name in self._named if found is colour]


@dataclass(frozen=True)
class DatasetFidelity:
    """All figures of a dataset.

    Attributes
    ----------
    groups : tuple of Group
        Worst first.
    derived : tuple of Derived
        Quantities of whole events.
    only_in_one : tuple of str
        Reconstructed branches that just one of the samples has.
    told : ToldApart, optional
        Whole events, by their kinematics; where there are enough.
    """

    groups: tuple[Group, ...]
    derived: tuple[Derived, ...]
    only_in_one: tuple[str, ...]
    told: ToldApart | None = None

    @property
    def not_finite(self) -> dict[str, tuple[int, int]]:
        """Branches with values that are not finite: how many in either sample."""
        shapes = (shape for group in self.groups for shape in group.shapes)
        return {shape.branch: shape.not_finite for shape in shapes if any(shape.not_finite)}

    @property
    def is_judged(self) -> bool:
        """Whether there is a verdict on anything: there is none on what has too few entries."""
        return bool(self._lights)

    @property
    def light(self) -> Light:
        """The worst of all."""
        return worst(self._lights)

    @property
    def _lights(self) -> list[Light]:
        of_events = [one.light for one in self.derived] + ([self.told.light] if self.told else [])
        return [*_there(one.light for one in self.groups), *of_events]

    @property
    def red_of_events(self) -> list[str]:
        """What is red of whole events, by name."""
        named = [one.name for one in self.derived if one.light is Light.RED]
        told = self.told is not None and self.told.light is Light.RED
        return [
            *([f"told apart with an AUC of {self.told.auc.value:.2f}"] if told and self.told else []),
            *named,
        ]


def _there(lights: Iterable[Light | None]) -> list[Light]:
    return [one for one in lights if one is not None]
