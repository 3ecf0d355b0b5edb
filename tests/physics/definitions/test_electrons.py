"""Identification of electrons and photons from their attributes, by hand and against real files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.physics.definitions.egamma import (
    by_uncalibrated_pt,
    energy_shifts,
    raw_score,
    smeared,
    supercluster_eta,
)
from flashsim_prod.physics.definitions.electrons import (
    HEEP_BITS,
    TRACK_ETA,
    TRACK_PHI,
    electron_flags,
    heep_bits,
    track_class,
    track_classes,
)
from flashsim_prod.physics.definitions.photons import LEVELS, calibrated, photon_flags, photon_levels
from flashsim_prod.physics.events import Collection, Column
from flashsim_prod.physics.nanoaod.reader import NanoFile

SAMPLES = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
#: what the calibration of electrons and photons is seen by
_CALIBRATION = ("pt", "eta", "phi", "mass", "r9", "eCorr", "dEscaleUp", "dEscaleDown", "dEsigmaUp")


def _good_electron(**changes: float) -> dict[str, Column]:
    """One electron that passes everything."""
    values = {
        **{"pt": 50.0, "eta": 0.5, "charge": -1, "deltaEtaSC": 0.0, "scEtOverPt": 0.0, "r9": 0.96},
        **{"sieie": 0.009, "hoe": 0.0, "eInvMinusPInv": 0.0, "pfRelIso03_all": 0.0, "pfRelIso03_chg": 0.0},
        **{"convVeto": True, "lostHits": 0, "dxy": 0.0, "eCorr": 1.0, "trackEta": 5, "trackPhi": 5},
        **{"mvaFall17V2Iso": 1.0, "mvaFall17V2noIso": 1.0, "dr03TkSumPtHEEP": 0.0},
        **{"dr03EcalRecHitSumEt": 0.0, "dr03HcalDepth1TowerSumEt": 0.0, **dict.fromkeys(HEEP_BITS, True)},
    }
    return {name: np.array([value]) for name, value in (values | changes).items()}


def _flags(**changes: float) -> dict[str, Column]:
    return {
        name: column[0]
        for name, column in electron_flags(_good_electron(**changes), np.array([20.0])).items()
    }


def test_a_good_electron_passes_everything() -> None:
    flags = _flags()
    assert flags["cutBased"] == 4
    assert flags["vidNestedWPBitmap"] == 0b100_100_100_100_100_100_100_100_100_100
    assert flags["cutBased_HEEP"]
    assert flags["pdgId"] == 11
    assert all(flags[f"mvaFall17V2{kind}_{point}"] for kind in ("Iso", "noIso") for point in ("WPL", "WP80"))


@pytest.mark.parametrize(
    ("change", "point"),
    [
        ({"sieie": 0.0105}, 3),
        ({"sieie": 0.0110}, 2),
        ({"sieie": 0.0120}, 1),
        ({"sieie": 0.0130}, 0),
        ({"eta": 2.0, "sieie": 0.03}, 4),
        ({"pfRelIso03_all": 0.05}, 3),
        ({"pfRelIso03_all": 0.30}, 0),
        ({"pt": 5.0, "pfRelIso03_all": 0.10}, 4),
        ({"lostHits": 2}, 1),
        ({"lostHits": 3}, 0),
        ({"convVeto": False}, 0),
        ({"eta": 2.6}, 0),
        ({"trackEta": 0}, 0),
        ({"eInvMinusPInv": -0.2}, 1),
    ],
)
def test_the_worst_cut_decides(change: dict[str, float], point: int) -> None:
    assert _flags(**change)["cutBased"] == point


@pytest.mark.parametrize(
    ("change", "bit"),
    [({"pt": 30.0}, 0), ({"dxy": -0.03}, 9), ({"lostHits": 2}, 10), ({"dr03TkSumPtHEEP": 6.0}, 7)]
    + [({name: False}, bit) for name, bit in HEEP_BITS.items() if name != "heepCaloIso"],
)
def test_the_high_energy_identification_has_a_bit_for_each_cut(change: dict[str, float], bit: int) -> None:
    flags = _flags(**change)
    assert flags["vidNestedWPBitmapHEEP"] == 4095 - (1 << bit)
    assert not flags["cutBased_HEEP"]


@given(
    st.floats(0, 0.3), st.floats(0, 0.3), st.tuples(*[st.booleans()] * 3), st.sampled_from([0.3, -1.2, 1.9])
)
def test_classes_survive_the_bitmaps(d_eta: float, d_phi: float, bits: tuple[bool, ...], eta: float) -> None:
    barrel = np.array([abs(eta) < 1.479])
    classes = {
        "trackEta": int(track_class(np.array([d_eta]), barrel, TRACK_ETA)[0]),
        "trackPhi": int(track_class(np.array([d_phi]), barrel, TRACK_PHI)[0]),
    }
    hidden = dict(zip(HEEP_BITS, bits, strict=True))
    # calorimeter isolation is stored, not hidden, above 35 GeV
    electron = _good_electron(**classes, **hidden, eta=eta, pt=20.0)
    flags = electron_flags(electron, np.array([20.0]))
    assert {name: int(value[0]) for name, value in track_classes(flags).items()} == classes
    assert {name: bool(value[0]) for name, value in heep_bits(flags).items()} == hidden


@given(st.tuples(*[st.integers(0, 3)] * 4), st.floats(-2.9, 2.9))
def test_levels_of_photons_survive_the_bitmaps(levels: tuple[int, ...], eta: float) -> None:
    named = dict(zip((*LEVELS, "oldLevel"), levels, strict=True))
    photon = {
        **{
            "pt": 40.0,
            "eta": eta,
            "sieie": 0.009,
            "pfRelIso03_chg": 0.0,
            "mvaID": 0.5,
            "r9": 0.9,
            "eCorr": 1.0,
        },
        **named,
    }
    flags = photon_flags({name: np.array([value]) for name, value in photon.items()}, np.array([eta]))
    assert {name: int(value[0]) for name, value in photon_levels(flags).items()} == named
    expected = min(levels[:3]) if abs(eta) < 2.5 else 0
    assert flags["cutBased"][0] == expected


@given(st.floats(-2.5, 2.5), st.floats(-15, 15))
def test_clusters_shift_with_the_vertex(eta: float, z: float) -> None:
    direction = np.array([eta])
    assert supercluster_eta(direction, np.zeros(1))[0] == pytest.approx(eta, abs=1e-12)
    shift = supercluster_eta(direction, np.array([z]))[0] - eta
    # a vertex micrometres away shifts by less than the rounding of eta
    assert shift * np.sign(z) >= -1e-12
    assert abs(shift) < 0.15


def test_scores_have_a_raw_value_even_where_they_saturate() -> None:
    assert np.tanh(raw_score(np.array([-0.3, 0.0, 0.9], np.float32))) == pytest.approx([-0.3, 0.0, 0.9])
    assert np.isfinite(raw_score(np.array([-1.0, 1.0], np.float32))).all()


def test_energies_shift_by_per_mille_and_by_what_was_smeared() -> None:
    for eta, r9, uncertainty in ((0.0, 0.97, 0.007274), (0.0, 0.95, 0.003985), (-2.2, 0.97, 0.005303)):
        shifts = energy_shifts(np.array([100.0]), np.array([eta]), np.array([r9]), np.array([1.02]))
        assert shifts["dEsigmaUp"][0] == pytest.approx(-uncertainty * 100 * (1 - 1 / 1.02))
        assert shifts["dEsigmaDown"][0] == -shifts["dEsigmaUp"][0]
        # simulation has no uncertainty of the scale of data
        assert shifts["dEscaleUp"][0] == shifts["dEscaleDown"][0] == 0.0


def test_soft_electrons_move_little_with_their_clusters() -> None:
    soft, hard = smeared(np.array([1.01, 1.01]), np.array([7.0, 80.0])) - 1.0
    assert 0.0 < soft < 0.2 * hard < 0.2 * 0.012
    # another cluster's energy is no smearing
    assert smeared(np.array([1.5]), np.array([80.0]))[0] - 1.0 < 0.01


def test_photons_beyond_the_tracker_are_not_calibrated_and_masses_are_what_rounding_leaves() -> None:
    rng = np.random.default_rng(4)
    n = 4000
    columns = {"pt": 10.0 + rng.exponential(20.0, n), "eta": rng.uniform(-3, 3, n)}
    columns |= {"phi": rng.uniform(-np.pi, np.pi, n), "eCorr": rng.normal(1.0, 0.01, n)}
    photons = calibrated(Collection(np.array([n]), columns), columns["eta"])
    beyond = np.abs(columns["eta"]) > 2.5
    assert (photons["eCorr"][beyond] == 1.0).all()
    assert np.array_equal(photons["eCorr"][~beyond], columns["eCorr"][~beyond])
    size = np.abs(photons["mass"]) / (columns["pt"] * np.cosh(columns["eta"]))
    inside = size[~beyond]
    assert 0.08 < (inside == 0.0).mean() < 0.25
    assert 1e-8 < np.median(inside) < 1.7e-8
    assert size.max() < 4e-8
    assert 0.3 < (photons["mass"] < 0).mean() < 0.6


@pytest.mark.skipif(not SAMPLES, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
@pytest.mark.parametrize("sample", ["tt2l2nu_ul18_v9", "ttbar_ul18_v9_pfnano", "darkphotons_v9"])
def test_calibration_of_real_photons_follows_the_same_rules(sample: str) -> None:
    with NanoFile(str(Path(SAMPLES or "") / f"{sample}.root")) as file:
        names = [f"{kind}_{name}" for kind in ("Photon", "Electron") for name in _CALIBRATION]
        events = file.read([*names, "PV_z"], 0, file.n_entries)
    for kind in ("Photon", "Electron"):
        objects = events[kind]
        assert not objects["dEscaleUp"].any()
        assert not objects["dEscaleDown"].any()
        ordered = by_uncalibrated_pt(objects)
        assert np.array_equal(ordered["phi"], objects["phi"])
    photons = events["Photon"]
    cluster_eta = supercluster_eta(photons["eta"], events.scalars["PV_z"][photons.event_index])
    # near the ends of the rings the cluster, which is not stored, may be in the next one
    inside = (np.abs(np.abs(cluster_eta)[:, None] - (1.0, 1.2, 1.5, 2.0, 2.5)) > 0.02).all(axis=1)
    energy = photons["pt"] * np.cosh(photons["eta"].astype(np.float64))
    shifts = energy_shifts(energy, cluster_eta, photons["r9"], photons["eCorr"])
    near = np.isclose(shifts["dEsigmaUp"], photons["dEsigmaUp"], rtol=0.02, atol=1e-4)
    assert near[inside].mean() > 0.98
    own = calibrated(photons, cluster_eta)["mass"]
    for quantile in (25, 50, 75, 95):
        ours, real = (np.percentile(np.abs(mass) / energy, quantile) for mass in (own, photons["mass"]))
        assert ours == pytest.approx(real, rel=0.25)


@pytest.mark.skipif(not SAMPLES, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
@pytest.mark.parametrize("sample", ["dyjets_ul17_v8like", "ttbar_opendata2015_v9"])
def test_flags_of_real_files_follow_from_their_attributes(sample: str) -> None:
    with NanoFile(str(Path(SAMPLES or "") / f"{sample}.root")) as file:
        names = [name for name in file.branches if name.startswith(("Electron_", "Photon_", "PV_z", "fixed"))]
        events = file.read(names, 0, file.n_entries)
    electrons, photons = events["Electron"], events["Photon"]
    columns = {"eCorr": np.ones(electrons.n_objects)} | electrons.columns
    columns |= track_classes(columns) | heep_bits(columns)
    rho = events.scalars["fixedGridRhoFastjetAll"][electrons.event_index]
    for name, flag in electron_flags(columns, rho).items():
        if name in electrons and name != "vidNestedWPBitmapHEEP":
            assert np.mean(flag == electrons[name]) > 0.94, name
    columns = {"eCorr": np.ones(photons.n_objects)} | photons.columns
    columns |= photon_levels(columns)
    cluster_eta = supercluster_eta(photons["eta"], events.scalars["PV_z"][photons.event_index])
    for name, flag in photon_flags(columns, cluster_eta).items():
        if name in photons:
            assert np.array_equal(flag, photons[name]), name
