"""What is reported of an object model, and the verdicts on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from flashsim_prod.physics.validation.statistics.distances import ChiSquare, Curve, Measured


class Light(StrEnum):
    """A verdict by the thresholds below."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


#: area under the ROC curve, up to which a property model is green, and amber
AUC_LIMITS = (0.65, 0.80)
#: chi2/ndf below which a multiplicity model is green, and amber
CHI2_LIMITS = (1.5, 3.0)
#: chance that one of a true model's conditions counts as missed
_BY_CHANCE = 0.01


def light(figure: float, limits: tuple[float, float]) -> Light:
    """The verdict on a figure that is the better the smaller."""
    if figure <= limits[0]:
        return Light.GREEN
    return Light.AMBER if figure <= limits[1] else Light.RED


def chi2_light(per_ndf: float) -> Light:
    """The verdict on a chi2/ndf."""
    return light(per_ndf, CHI2_LIMITS)


def worst(lights: list[Light]) -> Light:
    """The worst of some verdicts."""
    order = list(Light)
    return max(lights, key=order.index, default=Light.GREEN)


@dataclass(frozen=True)
class Attribute:
    """One attribute, as the flow draws it, against held-out objects.

    Attributes
    ----------
    wasserstein : float
        1-Wasserstein distance in units of the reference's standard deviation.
    wasserstein_floor : float
        The same between two samples of the reference, scaled to their size.
    ks : float
        Kolmogorov-Smirnov distance.
    chi2 : ChiSquare, optional
        Between the two samples' values, for discrete attributes.
    auc : float
        Area of a small classifier that sees only this attribute and the conditions, on part of the objects.
    importance : float
        How much the area of the classifier that sees all attributes falls when this one is shuffled.
    """

    name: str
    wasserstein: float
    wasserstein_floor: float
    ks: float
    chi2: ChiSquare | None
    auc: float
    importance: float

    @property
    def visibility(self) -> float:
        """How visible it is, by itself or through its relations to others: what the worst come first by."""
        return max(self.auc - 0.5, self.importance)


@dataclass(frozen=True)
class Correlations:
    """Rank correlations of drawn objects less those of held-out ones.

    Attributes
    ----------
    rows, columns : tuple of str
        Attributes, and attributes followed by conditions.
    difference : tuple of rows of float
    largest, frobenius : float
        Largest entry and Frobenius norm of the part between attributes.
    largest_with_conditions : float
        Largest entry of the part between attributes and conditions.
    floor_largest, floor_frobenius : float
        The same between two halves of the held-out objects.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    difference: tuple[tuple[float, ...], ...]
    largest: float
    frobenius: float
    largest_with_conditions: float
    floor_largest: float
    floor_frobenius: float


@dataclass(frozen=True)
class Properties:
    """Fidelity of a property model.

    Attributes
    ----------
    objects : int
        Held-out objects, with one draw for each.
    auc, floor : Measured
        Classifier two-sample test with the conditions, and the same between two reconstructions of the
        held-out generator events (between two halves of the objects, where there is one reconstruction).
    attributes : tuple of Attribute
        Worst first.
    """

    objects: int
    auc: Measured
    floor: Measured
    attributes: tuple[Attribute, ...]
    correlations: Correlations

    @property
    def light(self) -> Light:
        """Verdict on the classifier's area."""
        return light(self.auc.value, AUC_LIMITS)

    @property
    def median_wasserstein(self) -> float:
        """Median of all attributes' distances."""
        return float(np.median([attribute.wasserstein for attribute in self.attributes]))

    @property
    def largest_wasserstein(self) -> Attribute:
        """The attribute with the largest distance; the page names it."""
        return max(self.attributes, key=lambda attribute: attribute.wasserstein)


@dataclass(frozen=True)
class MultiplicityFidelity:
    """Fidelity of an efficiency, or of a model of numbers.

    Attributes
    ----------
    most : int
        Most objects of one source; 1 for an efficiency.
    rows : int
        Held-out sources.
    predicted, observed : float
        Mean number of objects per source.
    calibration : Curve
        Along the predicted number, in deciles.
    curves : tuple of Curve
        Along the kinematics of the source and pileup.
    conditions : tuple of Curve
        Along what else the model sees of its sources, in its own scale.
    """

    most: int
    rows: int
    predicted: float
    observed: float
    calibration: Curve
    curves: tuple[Curve, ...]
    conditions: tuple[Curve, ...] = ()

    @property
    def worst_curve(self) -> Curve:
        """The curve with the largest chi2/ndf; the calibration only if there is no other."""
        found = (*self.curves, *self.missed_conditions)
        return max(found or (self.calibration,), key=lambda curve: curve.chi2.per_ndf)

    @property
    def missed_conditions(self) -> list[Curve]:
        """Those of the conditions that are missed by more than chance makes of so many, worst first."""
        rare = _BY_CHANCE / max(1, len(self.conditions))
        found = [one for one in self.conditions if one.chi2.chance_above(one.chi2.per_ndf) < rare]
        return sorted(found, key=lambda curve: -curve.chi2.per_ndf)

    @property
    def largest_chi2(self) -> float:
        """Largest chi2/ndf of the curves."""
        return self.worst_curve.chi2.per_ndf

    def along(self, axis: str) -> Curve | None:
        """The curve along `axis`, if the source has it."""
        return next((curve for curve in self.curves if curve.axis == axis), None)

    @property
    def light(self) -> Light:
        """Verdict on the worst curve."""
        return chi2_light(self.largest_chi2)


@dataclass(frozen=True)
class SetFigure:
    """A distance of drawn sets from held-out ones, and the same between two halves of the latter."""

    name: str
    value: Measured
    floor: Measured


@dataclass(frozen=True)
class Sets:
    """Fidelity of a model that draws sets, as sets; `sets` is their number."""

    sets: int
    figures: tuple[SetFigure, ...]


@dataclass(frozen=True)
class ModelFidelity:
    """Fidelity of one object model; parts that it lacks, or that had too few rows, are None."""

    name: str
    produces: str
    parameters: int
    properties: Properties | None
    multiplicity: MultiplicityFidelity | None
    notes: tuple[str, ...] = ()
    sets: Sets | None = None

    @property
    def light(self) -> Light:
        """The worse of its networks' verdicts."""
        return worst([part.light for part in (self.properties, self.multiplicity) if part is not None])
