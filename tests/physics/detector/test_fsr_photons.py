"""Photons radiated by muons in the reference detector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flashsim_prod.physics.definitions import fsr, links
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")


def _with_photons(gen: Events, pt: float, distance: float) -> Events:
    """`gen` with a photon of `pt` at `distance` from every generator muon."""
    parts = gen["GenPart"]
    muons = parts.select((np.abs(parts["pdgId"]) == 13) & (parts["status"] == 1))
    photons = muons.with_columns(
        pdgId=np.full(muons.n_objects, 22, np.int32),
        pt=np.full(muons.n_objects, pt, np.float32),
        eta=(muons["eta"] + distance).astype(np.float32),
    )
    return gen.with_collections({"GenPart": Collection.join([parts, photons])})


@pytest.fixture(scope="module")
def reco(gen: Events) -> Events:
    return ReferenceDetector().simulate(_with_photons(gen, 12.0, 0.1), seed=5)


def test_columns_and_types_are_those_of_nanoaod(reco: Events) -> None:
    expected = {one.attribute: one.dtype for one in V9.branches.values() if one.collection == "FsrPhoton"}
    assert {name: column.dtype for name, column in reco["FsrPhoton"].columns.items()} == expected


def test_every_photon_passes_nanoaods_selection(reco: Events) -> None:
    photons, muons = reco["FsrPhoton"], reco["Muon"]
    assert photons.n_objects > 500
    assert photons["pt"].min() > fsr.MIN_PT
    assert 0 < photons["dROverEt2"].max() < fsr.MAX_DR_OVER_ET2
    assert 0 <= photons["relIso03"].min() <= photons["relIso03"].max() < fsr.MAX_RELATIVE_ISOLATION
    muon = links.flat(photons["muonIdx"], photons, muons)
    assert (muon >= 0).all()
    assert muons["pt"][muon].min() >= fsr.MIN_MUON_PT
    distance = links.delta_r(photons, muons, np.arange(photons.n_objects), muon)
    assert photons["dROverEt2"] * photons["pt"].astype(float) ** 2 == pytest.approx(
        distance, rel=1e-3, abs=1e-5
    )


def test_links_agree_both_ways(reco: Events) -> None:
    photons, muons = reco["FsrPhoton"], reco["Muon"]
    forward = links.flat(muons["fsrPhotonIdx"], muons, photons)
    back = links.flat(photons["muonIdx"], photons, muons)
    linked = np.flatnonzero(forward >= 0)
    assert np.array_equal(back[forward[linked]], linked)
    assert set(linked) == set(back)


def test_radiated_photons_are_found_with_their_energy(reco: Events) -> None:
    photons = reco["FsrPhoton"]
    parts = reco["GenPart"]
    gen = parts.select((parts["pdgId"] == 22) & (parts["status"] == 1))
    nearest, _ = links.nearest(photons, gen, 0.02)
    ratio = photons["pt"][nearest >= 0] / 12.0
    assert np.median(ratio) == pytest.approx(0.98, abs=0.01)
    assert 0.02 < np.std(ratio) < 0.08


@pytest.mark.parametrize(("pt", "low", "high"), [(1.2, 0.0, 0.15), (12.0, 0.6, 0.95)])
def test_the_efficiency_turns_on(
    gen_events: Callable[..., Events], pt: float, low: float, high: float
) -> None:
    gen = gen_events(1500, seed=4, jets=0.0, pileup=0.0)
    reco = ReferenceDetector().simulate(_with_photons(gen, pt, 0.05), seed=6)
    muons = reco["Muon"]
    isolated = fsr.may_radiate(muons) & np.isin(muons["genPartFlav"], (1, 15))
    found = (muons["fsrPhotonIdx"][isolated] >= 0).mean()
    assert low <= found < high


def test_more_pileup_more_photons_by_chance(gen_events: Callable[..., Events]) -> None:
    numbers = []
    for pileup in (5.0, 60.0):
        gen = gen_events(2500, seed=3, pileup=pileup)
        reco = ReferenceDetector().simulate(gen, seed=8)
        numbers.append(reco["FsrPhoton"].n_objects / fsr.may_radiate(reco["Muon"]).sum())
    assert 0 < numbers[0] < 0.7 * numbers[1] < 0.2
