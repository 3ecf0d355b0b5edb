"""A shift is taken only if it holds on other events, on every file, and for every kind of objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.forms import filled, filled_along, noting_fills
from flashsim_prod.physics.chain.model import Condition, NetworkSize, ObjectModel, Target
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tuning.calibration import calibrated, with_own_draws
from flashsim_prod.physics.training.tuning.evidence import share_of_base
from flashsim_prod.physics.training.tuning.holding import Judged, Stretches, alike, missed_by, ranks
from flashsim_prod.physics.training.tuning.settings import TuneSettings
from flashsim_prod.physics.training.tuning.tune import tune

TOY = ObjectModel(
    name="toy",
    produces="Toy",
    uses=(),
    source=lambda events: pytest.fail("tuning needs no events"),
    conditions=(Condition("a"),),
    targets=(Target("x"),),
    match=lambda events, rows: pytest.fail("tuning needs no events"),
    most=1,
    size=NetworkSize(width=16, blocks=1, time_frequencies=2, classifier=(8,), knots=4),
)
CALIBRATION = TuneSettings(is_calibration=True)


def _table(x: np.ndarray, sample: int = 0, sources_of_nothing: int = 0) -> Table:
    """A source each, with some that give nothing; what is known of a source says nothing of it."""
    n = len(x) + sources_of_nothing
    giving = np.sort(np.random.default_rng(5).permutation(n)[: len(x)])
    conditions = np.random.default_rng(4).normal(size=(n, 1)).astype(np.float32)
    number = np.bincount(giving, minlength=n)
    return Table(conditions, number, giving, {"x": x}, sample=np.full(n, sample))


def _clustered(seed: int, shift: float = 0.0) -> np.ndarray:
    """Normal numbers of 40 events, ten of each, which hardly differ within one."""
    rng = np.random.default_rng(seed)
    return shift + 0.95 * np.repeat(rng.normal(size=40), 10) + 0.31 * rng.normal(size=400)


@pytest.fixture(scope="module")
def base() -> FittedModel:
    """What knows that `x` is normal, and that half of the sources give something."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    gaussianisers = (Gaussianiser.fit(np.random.default_rng(1).normal(size=100_000)),)
    conditions = np.random.default_rng(2).normal(size=(100, 1))
    found = FittedModel.untrained(TOY, Standardiser.fit(conditions), gaussianisers)
    classifier = found.networks["multiplicity"]
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.zero_()
    return found


def _median(fitted: FittedModel, table: Table) -> float:
    normals = np.random.default_rng(6).normal(size=(len(table.row), fitted.n_normals))
    return float(np.median(fitted.sample(table.conditions[table.row], normals, Sampling())["x"]))


def test_a_few_events_without_a_shift_move_almost_nothing(base: FittedModel) -> None:
    stretch, one = np.repeat(np.arange(40), 10), np.ones(400)
    drawn = np.random.default_rng(13).normal(size=20_000)
    samples = [_clustered(seed) for seed in range(12)]
    blind = [share_of_base(x, one, drawn) for x in samples]
    seeing = [share_of_base(x, one, drawn, alike(x, stretch)) for x in samples]
    assert np.mean(blind) < 0.5
    assert np.mean(seeing) > 0.8
    found = [calibrated(base, _table(x), CALIBRATION).gaussianisers[0] for x in samples[:4]]
    assert all(gaussianiser is base.gaussianisers[0] for gaussianiser in found)


def test_a_shift_that_all_events_have_is_followed(base: FittedModel) -> None:
    for size in (0.8, -2.0):
        table = _table(_clustered(3, shift=size))
        moved = _median(calibrated(base, table, CALIBRATION), table)
        assert moved == pytest.approx(float(np.median(table.targets["x"])), abs=0.15)


def test_a_file_that_speaks_against_a_shift_stops_it(base: FittedModel) -> None:
    rng = np.random.default_rng(7)
    strange, usual = _table(rng.normal(size=400) + 2.0), _table(rng.normal(size=400), sample=1)
    both = Table.concatenate([strange, usual])
    assert calibrated(base, both, CALIBRATION).gaussianisers[0] is base.gaussianisers[0]
    agreeing = Table.concatenate([strange, _table(rng.normal(size=400) + 2.0, sample=1)])
    assert _median(calibrated(base, agreeing, CALIBRATION), agreeing) == pytest.approx(2.0, abs=0.3)


def _rate(fitted: FittedModel, table: Table) -> float:
    return float(fitted.probabilities(table.conditions)[:, 1].mean())


def test_numbers_follow_what_all_files_say(base: FittedModel) -> None:
    def of_rate(rate: float, sample: int) -> Table:
        n = round(rate * 300)
        return _table(np.zeros(n), sample, sources_of_nothing=300 - n)

    apart = Table.concatenate([of_rate(0.1, 0), of_rate(0.5, 1)])
    assert _rate(calibrated(base, apart, CALIBRATION), apart) == pytest.approx(0.5)
    alike = Table.concatenate([of_rate(0.15, 0), of_rate(0.2, 1)])
    assert _rate(calibrated(base, alike, CALIBRATION), alike) == pytest.approx(0.175, abs=0.02)


def test_networks_that_do_not_hold_on_held_out_events_are_not_kept(
    base: FittedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(8)
    table = _table(rng.normal(size=300), sources_of_nothing=300)
    # what is learned of the conditions is true, and holds
    true = replace(table, targets={"x": 3.0 * table.conditions[table.row, 0] + 0.1 * rng.normal(size=300)})
    settings = replace(TuneSettings(), least_steps=24, looks=2, steps_per_row=0.0, rate=0.03, average=0.5)
    flow = tune(base, true, settings)[1].stages[base.kind.name]
    assert flow.best < flow.start
    monkeypatch.setattr(Stretches, "hold", lambda self, *gained: False)
    found, done = tune(base, true, settings)
    assert all(stage.best == stage.start for stage in done.stages.values())
    then, now = base.tensors(), found.tensors()
    assert all(np.array_equal(then[name], now[name]) for name in then)


def test_what_only_those_like_that_taught_it_is_not_kept(base: FittedModel) -> None:
    rng = np.random.default_rng(16)
    quick = replace(TuneSettings(), least_steps=12, looks=3, steps_per_row=0.0, average=0.5)
    eager = replace(quick, rate=0.1, fast_rate=0.1, pull=0.0, numbers_pull=0.0)
    nothing = _table(rng.normal(size=120), sources_of_nothing=120)
    _, done = tune(base, nothing, eager)
    assert all(stage.best == stage.start for stage in done.stages.values())

    torch.manual_seed(1)
    fresh = FittedModel.untrained(TOY, base.standardiser, base.gaussianisers)

    def of_rate(sign: float, sample: int) -> Table:
        """Where the one file has many, the other one has few."""
        conditions = rng.normal(size=(300, 1)).astype(np.float32)
        number = (rng.random(300) < 0.5 + 0.45 * sign * np.sign(conditions[:, 0])).astype(np.int64)
        row = np.flatnonzero(number)
        return Table(conditions, number, row, {"x": rng.normal(size=len(row))}, sample=np.full(300, sample))

    def learns(*tables: Table) -> bool:
        numbers = tune(fresh, Table.concatenate(tables), eager)[1].stages["multiplicity"]
        return numbers.best < numbers.start

    assert learns(of_rate(1.0, 0), of_rate(0.8, 1))
    assert not learns(of_rate(1.0, 0), of_rate(-0.4, 1))


def test_what_was_not_seen_is_not_missed() -> None:
    table = replace(_table(np.array([1.0, 2.0, 3.0])), unknown={"x": np.array([False, True, False])})
    drawn = {"x": np.array([[1.0, 9.0, 0.0], [1.0, -9.0, 0.0]])}
    judged, everything = Judged.by(table, drawn), np.ones(3, dtype=bool)
    missed = judged.missed(drawn, everything)
    assert missed[0] == missed[1] == 0 < missed[2]
    some = np.array([False, False, True])
    assert judged.missed({"x": drawn["x"][:, some]}, some) == missed[some]


def test_stretches_are_of_one_file_and_parts_hold_out_some_of_each() -> None:
    table = Table.concatenate([_table(np.zeros(100)), _table(np.zeros(7), sample=1)])
    found = Stretches.of_table(table, seed=1)
    assert np.all(np.diff(found.of) >= 0)
    assert len(found.sample) == 47
    assert np.array_equal(found.sample[found.of], table.sample)
    judged = np.stack([judged for _, judged in found.parts()])
    assert np.all(judged.sum(axis=0) == 1)
    assert np.all((judged[:, 100:].sum(axis=1) > 0) & (judged[:, :100].sum(axis=1) > 20))


def test_a_gain_holds_if_it_is_more_than_stretches_differ_and_nobody_loses() -> None:
    table = Table.concatenate([_table(np.zeros(200)), _table(np.zeros(200), sample=1)])
    found, source = Stretches.of_table(table, seed=1), np.arange(400)
    rng = np.random.default_rng(9)
    assert found.hold(1.0 + rng.normal(size=400), source)
    assert not found.hold(-1.0 + rng.normal(size=400), source)
    # the same number for all of a stretch is one number
    assert not found.hold(0.05 + rng.normal(size=80)[found.of] - rng.normal(size=80).mean(), source)
    one_loses = np.where(source < 200, 5.0, -1.0) + 0.1 * rng.normal(size=400)
    assert not found.hold(one_loses, source)
    few_lose = np.where(source % 20 == 0, -5.0, 1.0) + 0.1 * rng.normal(size=400)
    assert found.hold(few_lose, source)
    assert not found.hold(few_lose[:0], source[:0])
    # a gain of 1.5 and one of 2.5 errors of 80 stretches
    scatter = np.repeat(rng.normal(size=80), 5)
    scatter = (scatter - scatter.mean()) / scatter.std()
    assert not found.hold(scatter + 1.5 / np.sqrt(80), source)
    assert found.hold(scatter + 2.5 / np.sqrt(80), source)


def test_many_parts_and_errors_of_few_stretches_refuse_nothing_by_chance() -> None:
    rng, n = np.random.default_rng(14), 40
    tables = [_table(np.zeros(n), sample) for sample in range(12)]
    found, source = Stretches.of_table(Table.concatenate(tables), seed=1), np.arange(12 * n)
    held = [found.hold(0.2 + rng.normal(size=12 * n), source) for _ in range(100)]
    assert sum(held) > 70
    # a right shift of a few stretches of many files
    few = Stretches.of_table(Table.concatenate([_table(np.zeros(3), sample) for sample in range(12)]), seed=1)
    held = [few.hold(0.8 + rng.normal(size=36), np.arange(36)) for _ in range(100)]
    assert sum(held) > 70


def test_objects_of_one_event_are_worth_fewer() -> None:
    rng, stretch = np.random.default_rng(12), np.repeat(np.arange(40), 10)
    assert alike(rng.normal(size=400), stretch) < 1.5
    assert 6 < alike(_clustered(1), stretch) < 14
    assert alike(np.ones(400), stretch) == 1


def test_distances_are_smallest_for_what_draws_rightly() -> None:
    rng = np.random.default_rng(10)
    seen = rng.normal(size=4000)
    among = np.sort(rng.normal(size=4000))

    def missed(shift: float, width: float) -> float:
        drawn = shift + width * rng.normal(size=(10, 4000))
        return float(missed_by((ranks(among, drawn) - ranks(among, seen))[..., None]).mean())

    right = missed(0.0, 1.0)
    assert right < min(missed(0.4, 1.0), missed(0.0, 0.6), missed(0.0, 1.6))
    # each attribute may be right alone, and what they have to do with each other not
    both = np.stack((seen, seen), axis=-1)
    drawn = rng.normal(size=(2, 10, 4000))
    together, apart = drawn[[0, 0]], drawn
    assert (
        missed_by(np.moveaxis(together, 0, -1) - both).mean()
        < missed_by(np.moveaxis(apart, 0, -1) - both).mean()
    )
    assert ranks(np.array([1.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 4.0])).tolist() == [0.0, 0.25, 1.0]


def test_what_stands_in_for_unknown_values_is_noted() -> None:
    values, known = np.arange(6.0), np.array([True, False, True, True, False, True])
    with noting_fills() as fills:
        columns = {
            "some": filled(values, known),
            "along": filled_along(values, known, values),
            "all": filled(values, np.ones(6, dtype=bool)),
            "other": values,
        }
    assert {name: one.tolist() for name, one in fills.of(columns).items()} == {
        "some": (~known).tolist(),
        "along": (~known).tolist(),
    }


def test_a_table_keeps_what_is_unknown(tmp_path: Path) -> None:
    unknown = {"x": np.array([True, False, True])}
    table = replace(_table(np.array([1.0, 2.0, 3.0])), unknown=unknown)
    table.save(tmp_path / "one.safetensors")
    found = Table.load(tmp_path / "one.safetensors")
    assert found.unknown["x"].tolist() == [True, False, True]
    both = Table.concatenate([_table(np.zeros(2)), found])
    assert both.is_known("x").tolist() == [True, True, False, True, False]
    some = both.of_objects(np.array([True, False, True, True, False]))
    assert (some.is_known("x").tolist(), some.targets["x"].tolist()) == ([True, False, True], [0.0, 1.0, 2.0])
    odd = replace(found, targets={"x": np.array([np.nan, 2.0, 3.0])}).finite()
    assert odd.unknown["x"].tolist() == [False, True]
    assert _table(np.zeros(2)).is_known("x").all()


def test_copies_of_a_few_values_are_no_evidence(base: FittedModel) -> None:
    rng = np.random.default_rng(11)
    few = rng.normal(size=15) + 1.0
    table = replace(_table(np.resize(few, 600)), unknown={"x": np.arange(600) >= 15})
    assert calibrated(base, table, CALIBRATION).gaussianisers[0] is base.gaussianisers[0]
    drawn = with_own_draws(base, table, seed=1).targets["x"]
    assert np.array_equal(drawn[:15], few)
    assert len(np.unique(drawn[15:])) > 500
    assert np.median(drawn[15:]) == pytest.approx(0.0, abs=0.2)
    # as many that were seen are
    seen = _table(rng.normal(size=600) + 1.0)
    assert calibrated(base, seen, CALIBRATION).gaussianisers[0] is not base.gaussianisers[0]
