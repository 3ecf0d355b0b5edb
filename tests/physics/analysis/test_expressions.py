"""The vocabulary of analyses: what it gives, and that there is nothing beside it."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.errors import ConfigError
from flashsim_prod.physics.analysis.expressions import Expression, as_number
from flashsim_prod.physics.analysis.features import CONDITIONS, features, gen_names
from flashsim_prod.physics.events import Collection, Events

EVENTS = Events(
    3,
    {"MET_pt": np.array([10.0, 20.0, 30.0]), "MET_phi": np.zeros(3)},
    {
        "Muon": Collection(
            np.array([2, 0, 1]),
            {
                "pt": np.array([50.0, 40.0, 25.0]),
                "eta": np.array([0.0, 1.0, -2.0]),
                "phi": np.array([0.0, np.pi, 1.0]),
                "mass": np.zeros(3),
                "charge": np.array([1, -1, 1]),
            },
            "Muon",
        )
    },
)


def value(text: str) -> list[float]:
    expression = Expression(text, "x.yaml: variables.v")
    return as_number(expression(EVENTS, {}), EVENTS.n, expression).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count(Muon)", [2, 0, 1]),
        ("Muon.pt[0]", [50, np.nan, 25]),
        ("sum(Muon.pt[Muon.pt > 30])", [90, 0, 0]),
        ("count(Muon[(Muon.pt > 20) & (abs(Muon.eta) < 1.5)])", [2, 0, 0]),
        ("count(Muon[Muon.pt > 20 and not Muon.charge < 0])", [1, 0, 1]),
        ("20 < Muon.pt[0] < 30", [0, 0, 1]),
        ("any(Muon.charge == -1)", [1, 0, 0]),
        ("where(MET_pt > 15, 1, -MET_pt)", [-10, 1, 1]),
        ("MET_pt ** 2 / 10 % 7", [3, 5, 6]),
        ("most(Muon.pt) - least(Muon.pt)", [10, np.nan, 0]),
        ("mass(p4(Muon, 0) + p4(Muon, 1))", [np.sqrt(2 * 50 * 40 * (np.cosh(1) + 1)), np.nan, np.nan]),
        ("pt(transverse(MET_pt, MET_phi))", [10, 20, 30]),
        ("mt(p4(Muon, 0), transverse(MET_pt, MET_phi))", [0, np.nan, np.sqrt(2 * 25 * 30 * (1 - np.cos(1)))]),
        ("count(away_from(Muon, sorted(Muon, Muon.eta), 0.1))", [0, 0, 0]),
        ("sorted(Muon, -Muon.pt).pt[0]", [40, np.nan, 25]),
        # what is undefined passes no cut, whichever way it is asked
        ("(Muon.pt[1] > 1) | (Muon.pt[1] != 1)", [1, 0, 0]),
        ("Muon.pt[1] & (MET_pt > 5)", [1, 0, 0]),
        ("Muon.pt[1] | (MET_pt > 25)", [1, 0, 1]),
        ("where(Muon.pt[1], 1, 2)", [1, 2, 2]),
        ("count(Muon[sqrt(Muon.eta)])", [1, 0, 0]),
        ("count(Muon.pt[sqrt(Muon.eta)])", [1, 0, 0]),
        ("any(sqrt(Muon.eta))", [1, 0, 0]),
        ("3", [3, 3, 3]),
    ],
)
def test_what_it_gives(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(value(text), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Muon.ptt[0]", "did you mean 'pt'"),
        ("MET_ptt", "did you mean 'MET_pt'"),
        ("median(Muon.pt)", "unknown function 'median'"),
        ("__import__('os').system('true')", "unknown function"),
        ("().__class__", "Tuple is not of the vocabulary"),
        ("Muon.__class__", "no column '__class__'"),
        ("(lambda: 1)()", "unknown function"),
        ("[x for x in Muon]", "ListComp is not of the vocabulary"),
        ("'text'", "is no number"),
        ("1j", "is no number"),
        ("f'{MET_pt}'", "JoinedStr is not of the vocabulary"),
        ("Muon.pt + MET_pt[0]", "brackets take"),
        ("Muon[MET_pt > 3]", "brackets take"),
        ("Muon.pt[Muon[Muon.pt > 30].pt > 1]", "of other objects"),
        ("Muon.pt[-1]", "a place is a whole number"),
        ("Muon + 1", "joins numbers, not objects"),
        ("Muon.pt", "not a number for each event"),
        ("p4(Muon, 0)", "gives a vector"),
        ("count(Muon, Muon)", "say count(objects)"),
        ("abs(number=1)", "is not of the vocabulary"),
        ("count", "is a function"),
        ("MET_pt >", "no expression"),
        ("MET_pt := 3", "no expression"),
        ("MET_pt is 3", "not of the vocabulary"),
        ("(" * 70 + "1" + ")" * 70 + "+" + "-" * 80 + "1", "nested too deeply"),
        ("1+" * 2000 + "1", "more than the 2000"),
    ],
)
def test_nothing_but_the_vocabulary(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml: variables\.v: ") as raised:
        value(text)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_huge_powers_take_no_time_and_no_memory() -> None:
    assert value("9 ** 9 ** 9 ** 9")[0] == np.inf


def test_every_feature_is_a_finite_number_of_events_that_have_nothing() -> None:
    empty = {"pt": np.zeros(0), "eta": np.zeros(0), "phi": np.zeros(0), "mass": np.zeros(0)}
    particles = {**empty, "pdgId": np.zeros(0), "status": np.zeros(0), "statusFlags": np.zeros(0)}
    scalars = {name: np.ones(2) for name in ("GenMET_pt", "GenMET_phi")}
    scalars |= {
        f"Pileup_{one}": np.ones(2)
        for one in ("nTrueInt", "nPU", "gpudensity", "pudensity", "sumEOOT", "sumLOOT")
    }
    none = np.zeros(2, dtype=np.int64)
    events = Events(
        2,
        scalars,
        {
            "GenPart": Collection(none, particles),
            "GenJet": Collection(none, {**empty, "hadronFlavour": np.zeros(0)}),
        },
    )
    found = features(events, gen_names(events))
    assert list(found) == [one.name for one in CONDITIONS]
    assert all(np.isfinite(one).all() and one.shape == (2,) for one in found.values())
    assert not any("weight" in name.lower() for name in found)
