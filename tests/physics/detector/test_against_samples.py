"""The reference detector beside real CMS simulation, from the same generator-level events."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from distances import distances as distances_of

from flashsim_prod.physics.definitions.jets_muons import jet_id, pileup_id
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")

SAMPLES = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
pytestmark = pytest.mark.skipif(
    not SAMPLES, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files"
)
#: detector folds of each generator event
FOLDS = 10


@cache
def _both(name: str) -> tuple[Events, Events]:
    """The file's own events, and the reference detector's from their generator level."""
    with NanoFile(str(Path(SAMPLES or "") / f"{name}.root")) as file:
        wanted = [branch for branch in V9.branches if branch in file.branches and _compared(branch)]
        real = file.read(wanted, 0, file.n_entries)
    generated = Events(
        real.n,
        {name: values for name, values in real.scalars.items() if name.startswith(("Gen", "Pileup"))},
        {name: real[name] for name in ("GenPart", "GenJet")},
    )
    return ReferenceDetector().simulate(generated.repeat(FOLDS), seed=1), real


def _compared(branch: str) -> bool:
    starts = (
        "GenPart_",
        "GenJet_",
        "GenMET_",
        "GenVtx_",
        "Pileup_",
        "Jet_",
        "Muon_",
        "Electron_",
        "Photon_",
        "MET_",
        "PuppiMET_",
        "PV_",
    )
    return branch.startswith((*starts, "fixedGridRho", "SoftActivityJetHT"))


def _distances(produced: Events, real: Events, names: list[str]) -> dict[str, float]:
    return distances_of(produced, real, names)


def _chosen(events: Events, name: str, mask: np.ndarray) -> Events:
    return events.with_collections({name: events[name].select(mask)})


@pytest.mark.parametrize(
    ("name", "origin", "median"),
    [
        ("tt2l2nu_ul18_v9", "hard event", 0.03),  # equal samples of 2,700 real jets would show 0.017
        ("tt2l2nu_ul18_v9", "pileup", 0.05),
        ("darkphotons_v9", "pileup", 0.08),  # 390 real jets, of which the detector's table knows nothing
        ("dyjets_ul17_v8like", "hard event", 0.11),
    ],
)
def test_jets_resemble_real_ones(name: str, origin: str, median: float) -> None:
    def of_origin(events: Events) -> Events:
        return _chosen(events, "Jet", (events["Jet"]["genJetIdx"] < 0) == (origin == "pileup"))

    produced, real = _both(name)
    distances = _distances(of_origin(produced), of_origin(real), ["Jet"])
    assert len(distances) > 38
    assert np.median(list(distances.values())) < median
    loose = {"Jet_partonFlavour", "Jet_area"}  # another definition in 2017; rounded when it is written
    assert max(distance for name, distance in distances.items() if name not in loose) < 0.30


@pytest.mark.parametrize(("origin", "least"), [((1, 15), 30), ((4, 5), 30)])
@pytest.mark.parametrize("name", ["ttbar_v12"])
def test_muons_resemble_real_ones(name: str, origin: tuple[int, int], least: int) -> None:
    def of_origin(events: Events) -> Events:
        return _chosen(events, "Muon", np.isin(events["Muon"]["genPartFlav"], origin))

    produced, real = _both(name)
    assert of_origin(real)["Muon"].n_objects > least
    distances = _distances(of_origin(produced), of_origin(real), ["Muon"])
    # about 70 real muons: equal samples would show 0.1
    assert np.median(list(distances.values())) < 0.11
    loose = {"Muon_mass"}  # one value, rounded when it is written
    assert max(distance for key, distance in distances.items() if key not in loose) < 0.35


@pytest.mark.parametrize(("name", "flavours"), [("Electron", (1, 15)), ("Photon", (11,))])
def test_electrons_and_their_clusters_resemble_those_of_2017(name: str, flavours: tuple[int, ...]) -> None:
    def genuine(events: Events) -> Events:
        return _chosen(events, name, np.isin(events[name]["genPartFlav"], flavours))

    produced, real = _both("dyjets_ul17_v8like")
    distances = _distances(genuine(produced), genuine(real), [name])
    # about 60 real ones: equal samples would show 0.11
    assert np.median(list(distances.values())) < 0.13
    loose = {f"n{name}", "Photon_mass"}  # zero, but for rounding
    assert max(distance for key, distance in distances.items() if key not in loose) < 0.35
    shares = [genuine(events)[name].n_objects / events.n for events in (produced, real)]
    assert shares[0] == pytest.approx(shares[1], rel=0.2)


@pytest.mark.parametrize("flavour", [4, 5])
def test_heavy_flavour_tagging_resembles_the_real_one(flavour: int) -> None:
    def of_flavour(events: Events) -> Events:
        return _chosen(events, "Jet", events["Jet"]["hadronFlavour"] == flavour)

    produced, real = _both("ttbar_v12")
    distances = _distances(of_flavour(produced), of_flavour(real), ["Jet"])
    for score in ("B", "CvB", "CvL", "QG"):
        assert distances[f"Jet_btagDeepFlav{score}"] < 0.20, score


@pytest.mark.parametrize("name", ["dyjets_ul17_v8like", "ttbar_v12"])
def test_event_scalars_resemble_real_ones(name: str) -> None:
    produced, real = _both(name)
    distances = {
        branch: distance
        for branch, distance in distances_of(produced, real).items()
        if branch.startswith(("MET_", "PV_", "fixedGrid", "SoftActivityJetHT"))
    }
    # another year, another beam spot
    distances = {key: value for key, value in distances.items() if key not in ("PV_x", "PV_y", "PV_z")}
    assert np.median(list(distances.values())) < 0.15
    assert max(distances.values()) < 0.30


@pytest.mark.parametrize("name", ["tt2l2nu_ul18_v9", "ttbar_ul18_v9_pfnano", "darkphotons_v9"])
def test_jets_are_as_many_as_in_2018(name: str) -> None:
    produced, real = _both(name)
    for fake in (True, False):
        shares = [((events["Jet"]["genJetIdx"] < 0) == fake).sum() / events.n for events in (produced, real)]
        assert shares[0] == pytest.approx(shares[1], rel=0.15)


@pytest.mark.parametrize("name", ["dyjets_ul17_v8like", "ttbar_opendata2015_v9"])
def test_jets_of_the_hard_event_are_as_many_as_in_other_years(name: str) -> None:
    """Jets of pileup are not: 2017 had noise in its endcaps."""
    produced, real = _both(name)
    shares = [(events["Jet"]["genJetIdx"] >= 0).sum() / events.n for events in (produced, real)]
    assert shares[0] == pytest.approx(shares[1], rel=0.2)


@pytest.mark.parametrize("name", ["Muon", "Electron", "Photon"])
def test_leptons_and_photons_are_as_many_as_in_2018(name: str) -> None:
    produced, real = _both("tt2l2nu_ul18_v9")
    shares = [events[name].n_objects / events.n for events in (produced, real)]
    assert shares[0] == pytest.approx(shares[1], rel=0.1)


def test_jet_identification_is_recomputed_from_real_attributes() -> None:
    _, real = _both("dyjets_ul17_v8like")
    assert (jet_id(real["Jet"]) == real["Jet"]["jetId"]).mean() > 0.99


@pytest.mark.parametrize("name", ["dyjets_ul17_v8like", "ttbar_opendata2015_v9"])
def test_pileup_identification_is_that_of_real_files(name: str) -> None:
    jets = _both(name)[1]["Jet"]
    found = pileup_id(jets["puIdDisc"], jets["pt"], np.abs(jets["eta"]))
    np.testing.assert_array_equal(found, jets["puId"])
