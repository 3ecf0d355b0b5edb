"""Distributions as tables of quantiles, and what is moved by them."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.chain.model import Rows
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.detector.retuning.curves import Curve
from flashsim_prod.physics.detector.retuning.retuned import moved, shipped
from flashsim_prod.physics.detector.retuning.table import Source, kept, parse, parts, written
from flashsim_prod.physics.validation.detector.quantiles import correlations


def test_values_move_to_the_quantiles_of_another_sample_and_keep_their_order() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=4000), rng.exponential(size=3000)
    found = Curve.of(after).at(Curve.of(before).below(rng, before))
    for quantile in (5, 25, 50, 75, 95):
        assert np.percentile(found, quantile) == pytest.approx(
            np.percentile(after, quantile), rel=0.1, abs=0.01
        )
    order = np.argsort(before)
    assert (np.diff(found[order]) >= 0).all()
    assert found.min() >= after.min() - 1e-4


def test_spikes_keep_their_share_and_nothing_lies_beside_them() -> None:
    rng = np.random.default_rng(2)
    before = np.where(rng.random(5000) < 0.5, 0.0, 1.0 + rng.random(5000))
    after = np.where(rng.random(5000) < 0.2, -10.0, rng.random(5000))
    found = Curve.of(after).at(Curve.of(before).below(rng, before))
    assert (found == -10.0).mean() == pytest.approx((after == -10.0).mean(), abs=0.02)
    assert not ((found > -10.0) & (found < after[after > -10.0].min() - 1e-4)).any()


def test_few_values_come_out_as_they_are() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.integers(0, 3, 900), rng.choice([0, 2, 7], 900, p=[0.7, 0.2, 0.1])
    found = Curve.of(after).at(Curve.of(before).below(rng, before.astype(float)))
    assert set(np.unique(found)) == {0.0, 2.0, 7.0}
    for value in (0, 2, 7):
        assert (found == value).mean() == pytest.approx((after == value).mean(), abs=0.06)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_a_table_rounds_up_is_known_as_what_it_is(dtype: type) -> None:
    """Areas are whole numbers of ghosts, of a size that no five digits tell."""
    rng = np.random.default_rng(6)
    ghosts = (rng.integers(45, 55, 6000) * (0.2 * np.pi / 63)).astype(dtype)
    share = Curve.of(ghosts).below(rng, ghosts.astype(np.float64))
    assert np.histogram(share, 10, (0.0, 1.0))[0] / len(share) == pytest.approx(0.1, abs=0.015)


def _pair(rng: np.random.Generator, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    first, other = rng.normal(size=(2, 4000))
    return first, correlation * first + np.sqrt(1 - correlation**2) * other


def _table(rng: np.random.Generator) -> Source:
    sides = [_pair(rng, correlation) for correlation in (0.0, -0.8)]
    before = {"pt": Curve.of(sides[0][0]), "hoe": Curve.of(sides[0][1])}
    matrices = [correlations(side) for side in sides]
    return Source(("pt", "hoe"), before, {"hoe": Curve.of(np.exp(sides[1][1]))}, (matrices[0], matrices[1]))


def test_pairs_get_the_correlation_of_the_other_sample() -> None:
    rng = np.random.default_rng(4)
    source = _table(rng)
    pt, hoe = _pair(rng, 0.0)
    found = moved(rng, {"hoe": hoe}, {"pt": pt}, source)
    assert set(found) == {"hoe"}
    assert correlations([pt, found["hoe"]])[0, 1] == pytest.approx(-0.8, abs=0.04)
    assert np.median(found["hoe"]) == pytest.approx(1.0, abs=0.1)


def test_a_table_comes_back_from_its_text() -> None:
    source = _table(np.random.default_rng(5))
    again = parse(written({"photon_from_jet": source}, "made up"))["photon_from_jet"]
    assert again.names == source.names
    assert set(again.after) == {"hoe"}
    assert again.before["pt"].value == pytest.approx(source.before["pt"].value, rel=1e-4)
    for side in (0, 1):
        np.testing.assert_allclose(again.correlations[side], source.correlations[side], atol=0.006)


Columns = dict[str, np.ndarray]

#: of six jets: bottom, light, a muon, no tracks, forward without and with tracks
_ETA = np.array([0.1, -1.0, 0.5, 1.5, 3.0, 2.6])
_FLAVOUR = np.array([5, 0, 0, 5, 5, 0])
_TARGETS = {
    "btagDeepCvB": np.array([0.2, 0.6, 0.5, -1.0, -1.0, 0.5]),
    "muEF_share": np.array([0.0, 0.0, 0.9, 0.0, 0.0, 0.0]),
    "chEmEF_share": np.array([0.1, 0.0, 0.0, 0.2, 0.0, 0.4]),
    "abs_eta": np.abs(_ETA),
}


def _parts(
    model: str, columns: dict[str, np.ndarray], targets: dict[str, np.ndarray]
) -> dict[str, list[int]]:
    rows = Rows(np.arange(6), np.zeros(6, np.int64), columns)
    found = parts(find_model(model), rows, targets)
    assert np.array_equal(np.sum(list(found.values()), axis=0), np.ones(6))
    return {name: np.flatnonzero(mask).tolist() for name, mask in found.items()}


def test_jets_without_tracks_and_jets_that_are_a_lepton_are_told_apart() -> None:
    columns = {"eta": _ETA, "hadronFlavour": _FLAVOUR}
    assert _parts("jet_from_genjet", columns, _TARGETS) == {
        "jet_from_genjet.trackless": [3],
        "jet_from_genjet.forward": [4],
        "jet_from_genjet.lepton": [2],
        "jet_from_genjet.bottom": [0],
        "jet_from_genjet.light": [1, 5],
    }
    assert _parts("jet_from_pileup", {}, _TARGETS) == {
        "jet_from_pileup.trackless": [3],
        "jet_from_pileup.forward": [4],
        "jet_from_pileup": [0, 1, 2, 5],
    }


def test_without_the_older_taggers_jets_are_bottom_light_and_forward() -> None:
    others = {name: column for name, column in _TARGETS.items() if name != "btagDeepCvB"}
    assert _parts("jet_from_genjet", {"eta": _ETA, "hadronFlavour": _FLAVOUR}, others) == {
        "jet_from_genjet.forward": [4, 5],
        "jet_from_genjet.lepton": [],
        "jet_from_genjet.bottom": [0, 3],
        "jet_from_genjet.light": [1, 2],
    }
    assert _parts("jet_from_pileup", {}, others) == {"jet_from_pileup": [0, 1, 2, 3, 4, 5]}


def test_the_table_of_the_package_moves_no_kinematics_and_no_masses_of_fat_jets() -> None:
    table = shipped()
    assert len(table) > 15
    for name, source in table.items():
        assert not set(source.after) & kept(find_model(name.partition(".")[0]))
        assert np.isfinite(source.turn).all()
    assert "mass" not in table["fatjet_from_genjet"].after
    first, second = table["fatjet_from_genjet"].correlations
    assert np.array_equal(first, second)
