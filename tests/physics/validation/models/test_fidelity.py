"""A true model passes; a broken one is found, and what is broken about it is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.flow import KIND
from flashsim_prod.physics.chain.model import (
    Condition,
    NetworkSize,
    ObjectModel,
    Relation,
    Rows,
    Target,
)
from flashsim_prod.physics.chain.transforms import Standardiser
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.training.finite import LeftOut
from flashsim_prod.physics.training.tables import Table
from flashsim_prod.physics.validation.models.fidelity import assess
from flashsim_prod.physics.validation.models.figures import Light, ModelFidelity, MultiplicityFidelity
from flashsim_prod.physics.validation.models.held_out import HeldOut, axes_of

_SIZE = NetworkSize(width=8, blocks=1, time_frequencies=2, classifier=(4,))
TOY = ObjectModel(
    name="toy",
    produces="Toy",
    uses=(),
    source=lambda events: pytest.fail("nothing is read here"),
    conditions=(Condition("pt"), Condition("eta")),
    targets=(Target("x", Relation.RATIO), Target("y"), Target("flag")),
    match=lambda events, rows: pytest.fail("nothing is read here"),
    size=_SIZE,
)

Draw = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]


def true_efficiency(conditions: np.ndarray) -> np.ndarray:
    """Rises with pt."""
    return 1 / (1 + np.exp(-(conditions[:, 0] - 15) / 8))


def true_draw(conditions: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
    """The width of x falls with pt, y goes with eta and with x, the flag with both."""
    x = 1 + noise[:, 0] * (0.1 + 1 / (1 + conditions[:, 0]))
    y = conditions[:, 1] + 0.7 * noise[:, 0] + 0.7 * noise[:, 1]
    return {"x": x, "y": y, "flag": (noise[:, 2] + conditions[:, 1] > 0).astype(np.float64)}


@dataclass(frozen=True)
class ExactModel(FittedModel):
    """A fitted model that draws by a formula instead of by its network."""

    draw: Draw = true_draw
    efficiency: Callable[[np.ndarray], np.ndarray] = true_efficiency

    def sample(
        self, conditions: np.ndarray, normals: np.ndarray, sampling: Sampling, *, sets: np.ndarray
    ) -> dict[str, np.ndarray]:
        return self.draw(conditions, normals)

    def probabilities(self, conditions: np.ndarray) -> np.ndarray:
        p = self.efficiency(conditions)
        return np.stack((1 - p, p), axis=1)


def toy_model(draw: Draw = true_draw, efficiency=true_efficiency) -> ExactModel:
    return ExactModel(
        TOY,
        KIND,
        _SIZE,
        Standardiser(np.zeros(2), np.ones(2)),
        (),
        KIND.networks(TOY, _SIZE),
        draw=draw,
        efficiency=efficiency,
    )


def toy_rows(n: int = 6000, *, folds: int = 2, seed: int = 1) -> HeldOut:
    """`n` sources, four an event, each event reconstructed `folds` times."""
    rng = np.random.default_rng(seed)
    each = n // folds
    one = np.stack((5 + rng.exponential(25, each), rng.uniform(-2.5, 2.5, each)), axis=1)
    conditions = np.tile(one, (folds, 1)).astype(np.float32)
    number = (rng.uniform(size=len(conditions)) < true_efficiency(conditions)).astype(np.int64)
    row = np.flatnonzero(number)
    drawn = true_draw(conditions[row].astype(np.float64), rng.normal(size=(len(row), 3)))
    targets = drawn | {"flag": drawn["flag"].astype(np.int32)}
    return HeldOut(
        Table(conditions, number, row, targets),
        {"pt": conditions[:, 0], "eta": conditions[:, 1]},
        np.tile(np.arange(each) // 4, folds),
        np.repeat(np.arange(folds), each),
        Rows(row, row, {"x": np.ones(len(row))}),
        targets,
    )


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return toy_rows()


def _assess(model: ExactModel, held_out: HeldOut) -> ModelFidelity:
    return assess(model, held_out, Schema.default(), Sampling(), seed=3)[0]


@pytest.fixture(scope="module")
def true(held_out: HeldOut) -> ModelFidelity:
    return _assess(toy_model(), held_out)


def test_a_true_model_is_green(true, held_out):
    found = true.properties
    assert found.objects == held_out.n_objects
    assert found.auc.value == pytest.approx(0.5, abs=0.04)
    assert found.floor.value == pytest.approx(0.5, abs=0.04)
    assert found.median_wasserstein < 0.05
    for attribute in found.attributes:
        assert attribute.wasserstein < 4 * attribute.wasserstein_floor
    assert found.correlations.largest < 3 * found.correlations.floor_largest
    assert true.light is Light.GREEN


def test_a_true_efficiency_is_green(true):
    found = true.multiplicity
    assert found.light is Light.GREEN
    assert found.predicted == pytest.approx(found.observed, rel=0.02)
    assert [curve.axis for curve in found.curves] == ["pt", "eta"]
    # deciles, those of the surest sources joined
    assert 6 <= len(found.calibration.rows) <= 10
    assert sum(found.calibration.rows) == found.rows


def _with_shift(conditions: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
    drawn = true_draw(conditions, noise)
    return drawn | {"y": drawn["y"] + 1.5}


def _blind_to_conditions(conditions: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
    """y has its right distribution, but of another source."""
    drawn = true_draw(conditions, noise)
    return drawn | {"y": np.random.default_rng(5).permutation(drawn["y"])}


def _flag_too_often(conditions: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
    drawn = true_draw(conditions, noise)
    return drawn | {"flag": np.maximum(drawn["flag"], noise[:, 2] > -0.5)}


@pytest.mark.parametrize(
    ("draw", "name", "wasserstein"),
    [(_with_shift, "y", 0.8), (_blind_to_conditions, "y", 0.0), (_flag_too_often, "flag", 0.2)],
)
def test_a_broken_attribute_is_named(held_out, draw, name, wasserstein):
    found = _assess(toy_model(draw), held_out)
    assert found.properties.light is not Light.GREEN
    worst = found.properties.attributes[0]
    assert worst.name == name
    assert worst.auc > 0.6
    assert worst.wasserstein >= wasserstein
    assert all(other.auc < 0.55 for other in found.properties.attributes[1:])
    # the numbers are still right
    assert found.multiplicity.light is Light.GREEN


def test_a_lost_correlation_shows_where_single_attributes_do_not(held_out):
    def independent(conditions: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
        other = np.random.default_rng(6).normal(size=noise.shape)
        return true_draw(conditions, noise) | {"y": true_draw(conditions, other)["y"]}

    found = _assess(toy_model(independent), held_out).properties
    assert all(attribute.auc < 0.55 for attribute in found.attributes)
    assert found.auc.value > found.floor.value + 0.1
    assert {found.attributes[0].name, found.attributes[1].name} == {"x", "y"}
    difference = np.array(found.correlations.difference)
    assert difference.shape == (3, 5)
    assert np.abs(difference[0, 1]) == pytest.approx(found.correlations.largest, abs=1e-4)
    assert found.correlations.largest > 5 * found.correlations.floor_largest


def test_a_wrong_efficiency_is_red_and_the_properties_are_not(held_out):
    found = _assess(toy_model(efficiency=lambda c: 0.9 * true_efficiency(c)), held_out)
    assert found.multiplicity.light is Light.RED
    assert found.properties.light is Light.GREEN
    assert found.light is Light.RED


def test_an_efficiency_that_ignores_pt_is_wrong_along_pt_only(held_out):
    mean = true_efficiency(held_out.table.conditions.astype(np.float64)).mean()
    found = _assess(toy_model(efficiency=lambda c: np.full(len(c), mean)), held_out).multiplicity
    assert found.worst_curve.axis == "pt"
    assert found.along("pt").chi2.per_ndf > 10
    assert found.along("eta").chi2.per_ndf < 2


def test_numbers_that_ignore_a_condition_are_wrong_though_right_along_all_axes(held_out):
    # in every other bin of pt and eta alike, so that only the third condition tells
    third = (np.arange(len(held_out.table.number)) % 2).astype(np.float32)
    number = held_out.table.number * (third == 0)
    table = replace(
        held_out.table,
        conditions=np.column_stack((held_out.table.conditions, third)),
        number=number,
        row=np.flatnonzero(number),
        targets={
            name: column[third[held_out.table.row] == 0] for name, column in held_out.table.targets.items()
        },
    )
    kept = third[held_out.table.row] == 0
    seen = replace(
        held_out,
        table=table,
        sources=held_out.sources.take(np.flatnonzero(kept)),
        attributes={name: column[kept] for name, column in held_out.attributes.items()},
    )
    three = replace(TOY, conditions=(*TOY.conditions, Condition("third")))

    def numbers(efficiency: Callable[[np.ndarray], np.ndarray]) -> MultiplicityFidelity:
        return _assess(replace(toy_model(efficiency=efficiency), model=three), seen).multiplicity

    blind = numbers(lambda c: 0.5 * true_efficiency(c))
    assert max(curve.chi2.per_ndf for curve in blind.curves) < 2
    assert [curve.axis for curve in blind.missed_conditions] == ["third"]
    assert blind.worst_curve.axis == "third"
    assert blind.light is Light.RED
    true = numbers(lambda c: true_efficiency(c) * (c[:, 2] == 0))
    assert not true.missed_conditions
    assert true.light is Light.GREEN


def test_fakes_of_jets_are_seen_along_the_pt_of_the_jet():
    place, pt = np.arange(3), np.array([20.0, 30.0, 40.0])
    fakes = Rows(place, place, {"pt": np.ones(3), "jet_pt": pt, "in_jet": np.ones(3), "x": pt})
    assert axes_of(fakes)["pt"] is pt
    assert axes_of(Rows(place, place, {"pt": pt, "eta": pt, "x": pt})).keys() == {"pt", "eta"}


def test_discrete_attributes_have_a_chi2(true):
    chi2 = {attribute.name: attribute.chi2 for attribute in true.properties.attributes}
    assert chi2["x"] is None
    assert chi2["y"] is None
    assert chi2["flag"].ndf == 1
    assert chi2["flag"].per_ndf < 10


def test_a_single_reconstruction_has_a_floor_too():
    found = _assess(toy_model(), toy_rows(4000, folds=1)).properties
    assert found.floor.value == pytest.approx(0.5, abs=0.06)


def test_too_few_objects_are_noted_not_judged():
    found = _assess(toy_model(), toy_rows(240))
    assert found.properties is None
    assert found.multiplicity is not None
    assert "objects" in found.notes[0]


def test_draws_that_are_not_finite_are_refused(held_out):
    def diverged(conditions: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
        return true_draw(conditions, noise) | {"x": np.full(len(noise), np.nan)}

    with pytest.raises(BundleError, match=r"toy .* x "):
        _assess(toy_model(diverged), held_out)


def test_what_is_not_finite_is_left_out_and_said(held_out):
    x = held_out.attributes["x"].copy()
    x[:3] = np.nan
    conditions = held_out.table.conditions.copy()
    # a source without an object, and one with
    without = int(np.flatnonzero(held_out.table.number == 0)[0])
    conditions[[without, held_out.table.row[-1]], 0] = np.inf
    table = replace(held_out.table, conditions=conditions)
    holed = replace(held_out, table=table, attributes={**held_out.attributes, "x": x})
    found, counts = holed.finite()
    assert counts == {"x": 3, "conditions of sources": 2}
    n_lost = 3 + int(held_out.table.number[held_out.table.row[-1]])
    assert found.n_objects == held_out.n_objects - n_lost
    assert len(found.table.number) == len(held_out.table.number) - 2
    # objects still belong to the same sources
    lost = np.isin(held_out.table.row, [without, held_out.table.row[-1]])
    kept = held_out.table.conditions[held_out.table.row[~lost][3:]]
    np.testing.assert_array_equal(found.table.conditions[found.table.row], kept)
    assessed = _assess(toy_model(), holed)
    assert "not finite, left out: x, 3 times" in assessed.notes
    assert np.isfinite(assessed.properties.auc.value)
    assert all(np.isfinite(one.wasserstein) for one in assessed.properties.attributes)
    # and what was left out when the rows were made of the file
    before = LeftOut(1, 2, {"Toy_y": 3})
    table = replace(table, left_out=before)
    for rows in (
        replace(held_out, table=replace(held_out.table, left_out=before)),
        replace(holed, table=table),
    ):
        said = "left out: objects 2, sources 1; not finite: Toy_y (3)"
        assert said in _assess(toy_model(), rows).notes
    assert not any("left out" in note for note in _assess(toy_model(), held_out).notes)
    same, none = held_out.finite()
    assert same is held_out
    assert none == {}


def test_a_head_keeps_rows_and_objects_together(held_out):
    head = held_out.head(1000)
    rows = len(head.table.number)
    assert 990 <= head.n_objects <= 1000
    assert np.array_equal(np.bincount(head.table.row, minlength=rows), head.table.number)
    assert np.array_equal(head.table.targets["x"], held_out.table.targets["x"][: head.n_objects])
    assert len(head.gen_event) == len(head.fold) == len(head.axes["pt"]) == rows
    assert held_out.head(held_out.n_objects) is held_out
