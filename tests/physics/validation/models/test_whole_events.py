"""Quantities of whole events: computed by hand, and compared."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.validation.models.figures import Light
from flashsim_prod.physics.validation.models.whole_events import Derived, compare_quantity, generator_level
from flashsim_prod.physics.validation.quantities import QUANTITIES
from flashsim_prod.physics.validation.statistics.clustered import Entries

BY_NAME = {quantity.name: quantity for quantity in QUANTITIES}
RNG = np.random.default_rng(8)


def _collection(*events: list[tuple], names: str) -> Collection:
    rows = np.array([row for event in events for row in event], dtype=np.float64).T
    columns = dict(zip(names.split(), rows, strict=True))
    return Collection(np.array([len(event) for event in events]), columns)


@pytest.fixture
def events() -> Events:
    """A dimuon event of 90 GeV with three jets, one of like charges with a jet, and an empty one."""
    back_to_back = [
        (45.0, 0.0, 0.0, 1, 0.1, True),
        (45.0, 0.0, np.pi, -1, 0.1, True),
        (30.0, 1.0, 1.0, 1, 0.9, True),
    ]
    like = [(45.0, 0.0, 0.0, 1, 0.1, True), (45.0, 0.0, np.pi, 1, 0.1, True)]
    muons = _collection(back_to_back, like, [], names="pt eta phi charge pfRelIso04_all mediumId")
    jets = _collection(
        [(100.0, 0.0, 0.0, 0.0, 0.9), (50.0, 1.0, 1.0, 0.0, 0.1), (40.0, 0.0, np.pi, 0.0, 0.5)],
        [(26.0, 3.0, 0.0, 0.0, 0.9)],
        [],
        names="pt eta phi mass btagDeepFlavB",
    )
    scalars = {
        "MET_pt": np.array([10.0, 20.0, 30.0]),
        "MET_phi": np.array([0.0, np.pi / 2, np.pi]),
        "GenMET_pt": np.array([4.0, 20.0, 30.0]),
        "GenMET_phi": np.array([0.0, 0.0, np.pi]),
        "genWeight": np.ones(3),
    }
    return Events(3, scalars, {"Muon": muons, "Jet": jets, "GenJet": Collection(np.zeros(3, dtype=np.int64))})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m(ll) at Z", [90.0]),
        ("m(bb)", [np.sqrt(4 * 100 * 40)]),
        ("HT", [190, 0, 0]),
        ("leading jet pt", [100, 26]),
        ("jets", [3, 1, 0]),
        ("b jets", [2, 0, 0]),
        ("MET", [10, 20, 30]),
        ("MET x resolution", [6, -20, 0]),
        ("MET y resolution", [0, 20, 0]),
    ],
)
def test_values(events, name, expected):
    found = BY_NAME[name].per_event(events)
    assert found[~np.isnan(found)] == pytest.approx(np.array(expected, dtype=float), abs=1e-3)


def test_no_events_have_no_values(events):
    nothing = events.slice(0, 0)
    assert all(len(quantity.per_event(nothing)) == 0 for quantity in QUANTITIES)


def test_nothing_reconstructed_is_left_at_generator_level(events):
    gen = generator_level(events)
    assert gen.collections.keys() == {"GenJet"}
    assert gen.scalars.keys() == {"GenMET_pt", "GenMET_phi", "genWeight"}


def _compare(name: str, drawn: np.ndarray, reference: np.ndarray, *, paired: bool = False) -> Derived:
    """With an entry for each generator event, which the samples have in common if `paired`."""
    gen = np.arange(len(drawn)), np.arange(len(reference)) + (0 if paired else len(drawn))
    entries = [
        Entries(values, which, np.ones(len(values)))
        for values, which in zip((drawn, reference), gen, strict=True)
    ]
    return compare_quantity(BY_NAME[name], *entries)


@pytest.mark.parametrize(
    ("mean", "width", "light"),
    [
        (100, 10, Light.GREEN),
        (104, 10, Light.GREEN),
        (107, 10, Light.AMBER),
        (120, 10, Light.RED),
        (100, 13, Light.RED),
    ],
)
def test_mean_and_width_decide(mean, width, light):
    reference = RNG.normal(100, 10, 40_000)
    found = _compare("HT", RNG.normal(mean, width, 40_000), reference)
    assert found.mean_ratio.value == pytest.approx(mean / 100, abs=0.005)
    assert found.width_ratio.value == pytest.approx(width / 10, rel=0.03)
    assert found.light is light


def test_few_events_leave_it_open():
    found = _compare("HT", RNG.normal(100, 12, 60), RNG.normal(100, 10, 60))
    assert found.width_ratio.error > 0.1
    assert found.light is not Light.RED


def test_the_mean_of_a_resolution_is_measured_in_widths():
    found = _compare("MET x resolution", RNG.normal(2, 20, 40_000), RNG.normal(0, 20, 40_000))
    assert found.mean_ratio.value == pytest.approx(1.1, abs=0.02)
    assert found.mean_ratio.error == pytest.approx(np.sqrt(2 / 40_000), rel=0.05)
    assert found.light is not Light.GREEN


def test_what_both_samples_share_of_their_generator_events_cancels():
    """Errors are the scatter of many comparisons, whether the generator events are the same or not."""
    for paired in (True, False):
        ratios = []
        for _ in range(200):
            truth = RNG.normal(100, 20, 300)
            other = truth if paired else RNG.normal(100, 20, 300)
            drawn, reference = truth + RNG.normal(0, 5, 300), other + RNG.normal(0, 5, 300)
            ratios.append(_compare("HT", drawn, reference, paired=paired).mean_ratio)
        scatter = np.std([ratio.value for ratio in ratios])
        assert np.mean([ratio.error for ratio in ratios]) == pytest.approx(scatter, rel=0.2)
        # 5 of detector beside 20 of generator events
        expected = 5 if paired else np.hypot(5, 20)
        assert scatter == pytest.approx(expected * np.sqrt(2 / 300) / 100, rel=0.2)


def test_folds_of_one_generator_event_are_not_independent():
    truth = RNG.normal(100, 20, 200)
    gen = np.repeat(np.arange(200), 10)
    folds = Entries(truth[gen], gen, np.ones(2000))
    one = Entries(truth, np.arange(200), np.ones(200))
    other = Entries(RNG.normal(100, 20, 200), np.arange(200, 400), np.ones(200))
    errors = [compare_quantity(BY_NAME["HT"], sample, other).mean_ratio.error for sample in (folds, one)]
    assert errors[0] == pytest.approx(errors[1])
