"""A fitted model is brought near to another sample: distributions, numbers, what depends on what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import NetworkSize
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tuning.calibration import calibrated
from flashsim_prod.physics.training.tuning.evidence import share_of_base, trusted
from flashsim_prod.physics.training.tuning.holding import Stretches
from flashsim_prod.physics.training.tuning.settings import Done, TuneSettings
from flashsim_prod.physics.training.tuning.tune import tune
from tests.toy_models import toy_model

TOY = replace(
    toy_model(2), size=NetworkSize(width=32, blocks=2, time_frequencies=4, classifier=(16,), knots=4)
)
CALIBRATION = TuneSettings(is_calibration=True)
TUNING = TuneSettings(steps_per_row=0.05)


def _table(n: int, *, shift: float = 0.0, rate: float = 0.5, seed: int = 2) -> Table:
    """The mean of `x` goes with `b`; some sources give two objects."""
    rng = np.random.default_rng(seed)
    conditions = rng.normal(size=(n, 2)).astype(np.float32)
    number = rng.binomial(2, rate, size=n)
    row = np.repeat(np.arange(n), number)
    x = shift + conditions[row, 1] + 0.3 * rng.normal(size=len(row))
    return Table(conditions, number, row, {"x": x, "flag": (rng.random(len(row)) < 0.3).astype(np.int32)})


def _begun(kind: str) -> FittedModel:
    """What knows the distributions of another sample, and of conditions nothing."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    table = _table(4000, shift=-1.0, rate=0.2)
    gaussianisers = tuple(Gaussianiser.fit(table.targets[target.name]) for target in TOY.targets)
    standardiser = Standardiser.fit(table.conditions)
    return FittedModel.untrained(TOY, standardiser, gaussianisers, kind=kind)


@pytest.fixture(scope="module")
def base() -> FittedModel:
    return _begun("flow")


@pytest.fixture(scope="module", params=["flow", "spline"])
def of_any_kind(request: pytest.FixtureRequest) -> FittedModel:
    return _begun(request.param)


def _drawn(fitted: FittedModel, table: Table) -> dict[str, np.ndarray]:
    normals = np.random.default_rng(5).normal(size=(len(table.row), 2))
    return fitted.sample(table.conditions[table.row], normals, Sampling())


def _numbers(fitted: FittedModel, table: Table) -> tuple[float, float]:
    """Mean and mean square of the numbers that are drawn."""
    likely = fitted.probabilities(table.conditions).mean(axis=0)
    return float(likely @ [0, 1, 2]), float(likely @ [0, 1, 4])


def test_distributions_and_numbers_become_those_of_the_sample(of_any_kind: FittedModel) -> None:
    base = of_any_kind
    table = _table(4000, shift=2.0)
    found = calibrated(base, table, CALIBRATION)
    drawn = _drawn(found, table)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    wanted = np.quantile(table.targets["x"], levels)
    assert np.quantile(drawn["x"], levels) == pytest.approx(wanted, abs=0.12)
    assert np.abs(np.quantile(_drawn(base, table)["x"], levels) - wanted).min() > 1
    assert set(drawn["flag"]) == {0.0, 1.0}
    assert drawn["flag"].mean() == pytest.approx(table.targets["flag"].mean(), abs=0.03)
    assert _numbers(found, table) == pytest.approx((table.number.mean(), (table.number**2).mean()), abs=0.01)
    for name, network in base.networks.items():
        if name != "multiplicity":
            assert found.networks[name] is network


def test_what_the_base_draws_otherwise_on_these_sources_is_made_up_for(base: FittedModel) -> None:
    """Of the sources at hand the base thinks otherwise than of all it has seen."""
    networks = dict(base.networks)
    drifting = FittedModel.untrained(TOY, base.standardiser, base.gaussianisers).networks["velocity"]
    with torch.no_grad():
        drifting.leave.bias += 0.8
    networks["velocity"] = drifting
    table = _table(4000)
    found = calibrated(replace(base, networks=networks), table, CALIBRATION)
    assert np.median(_drawn(found, table)["x"]) == pytest.approx(np.median(table.targets["x"]), abs=0.1)


def test_objects_that_are_drawn_together_are_so_while_they_are_calibrated() -> None:
    base, table = _begun("cloud"), _table(4000, rate=0.9)
    drifting = base.networks["generator"]
    with torch.no_grad():
        for weight in drifting.parameters():
            weight.add_(0.2 * torch.randn(weight.shape))

    def median(fitted: FittedModel, sets: np.ndarray | None) -> float:
        normals = np.random.default_rng(5).normal(size=(len(table.row), 2))
        found = fitted.sample(table.conditions[table.row], normals, Sampling(), sets=sets)
        return float(np.median(found["x"]))

    # what is drawn depends on how many there are
    assert abs(median(base, table.row) - median(base, None)) > 0.15
    found = calibrated(base, table, CALIBRATION)
    assert median(found, table.row) == pytest.approx(np.median(table.targets["x"]), abs=0.07)


@pytest.mark.parametrize(
    ("kind", "stages", "done"),
    [
        ("gan", {"multiplicity"}, Done.NUMBERS_TUNED),
        ("cloud", {"multiplicity"}, Done.NUMBERS_TUNED),
        ("bibae", {"after", "multiplicity"}, Done.TUNED),
    ],
)
def test_what_learned_against_a_critic_stays_and_is_not_called_tuned(
    kind: str, stages: set[str], done: Done
) -> None:
    base = _begun(kind)
    found, told = tune(base, _table(300), replace(TUNING, least_steps=20))
    assert (told.kind, told.stages.keys(), told.done) == (kind, stages, done)
    for name in base.networks.keys() - stages:
        kept = zip(base.networks[name].parameters(), found.networks[name].parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in kept)
    # of one object for each source there is nothing that could be trained on
    always = replace(base, model=replace(TOY, most=0), networks={**base.networks})
    always.networks.pop("multiplicity")
    one = replace(_table(300), number=np.ones(300, np.int64), row=np.arange(300))
    one = replace(one, targets={"x": np.arange(300.0), "flag": np.arange(300) % 2})
    if kind != "bibae":
        assert tune(always, one, replace(TUNING, least_steps=20))[1].done is Done.CALIBRATED


def test_few_objects_move_only_numbers_and_a_few_more_half_of_the_way(base: FittedModel) -> None:
    few = _table(15, shift=3.0)
    assert len(few.row) < 20
    found = calibrated(base, few, TuneSettings())
    assert found.gaussianisers == base.gaussianisers
    some = _table(45, shift=3.0)
    assert 20 <= len(some.row) < 100
    half = TuneSettings(pseudo_objects=float(len(some.row)))
    middle = _drawn(calibrated(base, some, half), some)["x"].mean()
    low, high = _drawn(base, some)["x"].mean(), some.targets["x"].mean()
    assert low + 0.3 * (high - low) < middle < low + 0.7 * (high - low)


def test_numbers_without_evidence_stay_near_to_the_base(base: FittedModel) -> None:
    table = _table(3)
    nothing = replace(
        table,
        number=np.zeros(3, dtype=np.int64),
        row=np.zeros(0, dtype=np.int64),
        targets={name: column[:0] for name, column in table.targets.items()},
    )
    found, done = tune(base, nothing, TuneSettings())
    assert done.done is Done.NUMBERS
    assert 0.1 < _numbers(found, nothing)[0] < _numbers(base, nothing)[0]


def test_rows_count_as_their_weights_say(base: FittedModel) -> None:
    one, other = _table(1000, shift=0.0, rate=0.1), _table(1000, shift=10.0, rate=0.9)
    both = Table.concatenate([one, replace(other, weight=np.full(1000, 1e-4))])
    found = calibrated(base, both, CALIBRATION)
    assert _drawn(found, one)["x"].mean() == pytest.approx(0.0, abs=0.2)
    assert _numbers(found, one)[0] == pytest.approx(one.number.mean(), abs=0.02)


def test_a_target_that_is_lacking_stays_as_it_was_and_networks_with_it(base: FittedModel) -> None:
    table = _table(500, shift=2.0)
    poor = replace(table, targets={"x": table.targets["x"]}, absent=("Toy_flag",))
    found, done = tune(base, poor, TUNING)
    assert (done.done, done.lacking, done.stages) == (Done.CALIBRATED, ("flag",), {})
    assert found.gaussianisers[1] is base.gaussianisers[1]
    assert found.gaussianisers[0] is not base.gaussianisers[0]


def test_what_depends_on_conditions_is_learned_and_the_best_is_kept(of_any_kind: FittedModel) -> None:
    base = of_any_kind
    table = _table(1500, shift=2.0)
    found, done = tune(base, table, replace(TuneSettings(), least_steps=90, steps_per_row=0.0, looks=6))
    assert done.done is Done.TUNED
    assert done.stages.keys() == {base.kind.name, "multiplicity"}
    flow, numbers = done.stages[base.kind.name], done.stages["multiplicity"]
    assert flow.best < flow.start - 0.05
    assert numbers.best <= numbers.start < numbers.base
    b = table.conditions[table.row, 1]
    before, after = (np.corrcoef(b, _drawn(one, table)["x"])[0, 1] for one in (base, found))
    assert abs(before) < 0.1 < 0.5 < after
    assert done.rates is not None
    assert done.rates.sample == pytest.approx(done.rates.tuned, abs=0.03)
    assert np.median(_drawn(found, table)["x"]) == pytest.approx(np.median(table.targets["x"]), abs=0.15)


def test_weights_are_held_near_to_their_start(base: FittedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    # whether what few steps give is of any use is not the question
    monkeypatch.setattr(Stretches, "hold", lambda self, *gained: True)
    table, name = _table(300), next(name for name in base.networks if name != "multiplicity")

    def moved(pull: float) -> float:
        found, _ = tune(base, table, replace(TUNING, pull=pull, least_steps=40, looks=1, rate=5e-3))
        pairs = zip(found.networks[name].parameters(), base.networks[name].parameters(), strict=True)
        return sum(float((now - then).detach().square().sum()) for now, then in pairs)

    assert moved(100.0) < 0.2 * moved(0.0)


def test_the_same_sample_and_seed_give_the_same_weights(base: FittedModel) -> None:
    table, settings = _table(300), replace(TUNING, least_steps=20)
    first, second = (tune(base, table, settings)[0].tensors() for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("objects", "done"), [(0, Done.NUMBERS), (20, Done.BLENDED), (100, Done.TUNED), (10_000_000, Done.TUNED)]
)
def test_what_is_done_goes_by_the_objects(objects: int, done: Done) -> None:
    assert TuneSettings().done_with(objects) is done
    assert TuneSettings().steps(objects) <= 12_000


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    """Between two cumulative distributions, squared."""
    places = np.sort(np.concatenate((first, second)))
    below = (np.searchsorted(np.sort(one), places, side="right") / len(one) for one in (first, second))
    return float(np.mean(np.subtract(*below) ** 2))


def test_a_base_that_is_right_already_is_not_made_worse_by_a_small_sample(base: FittedModel) -> None:
    truth = np.random.default_rng(1).normal(size=200_000)
    normals = np.random.default_rng(2).normal(size=20_000)
    right = replace(base, gaussianisers=(Gaussianiser.fit(truth), base.gaussianisers[1]))
    after, alone = [], []
    for seed in range(3):
        # an untrained flow draws what its knots say
        x = np.random.default_rng(10 + seed).normal(size=150)
        table = _table(150, seed=seed)
        row = table.row[:150]
        few = replace(table, row=row, targets={"x": x[: len(row)], "flag": table.targets["flag"][: len(row)]})
        found = calibrated(right, few, CALIBRATION).gaussianisers[0]
        after.append(_distance(found.from_normal(normals), truth))
        alone.append(_distance(x, truth))
    assert sum(after) < 0.7 * sum(alone)


def test_a_sample_that_is_far_or_has_a_spike_is_believed() -> None:
    rng = np.random.default_rng(3)
    drawn, one = rng.normal(size=20_000), np.ones(200)
    assert share_of_base(rng.normal(size=200), one, drawn) > 0.15
    assert share_of_base(rng.normal(size=200) + 2.0, one, drawn) < 0.02
    spike = np.where(np.arange(200) < 30, 0.001, rng.normal(size=200))
    assert share_of_base(spike, one, drawn) < 0.1
    # not as much of it as of as many that count little
    assert share_of_base(rng.normal(size=200) + 2.0, np.where(np.arange(200) < 5, 1.0, 1e-6), drawn) > 0.02


def test_shifts_of_numbers_are_believed_by_what_they_explain() -> None:
    assert trusted(0.0, 2) == 0
    assert trusted(2.0, 2) == pytest.approx(0.5)
    assert trusted(200.0, 2) > 0.98
