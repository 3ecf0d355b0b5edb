"""Working points of Run 3: by hand, and on central files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.physics.definitions.electrons import RUN2, electron_flags
from flashsim_prod.physics.definitions.photons import photon_flags, photon_levels
from flashsim_prod.physics.definitions.points import run3
from flashsim_prod.physics.definitions.taus import tau_flags
from flashsim_prod.physics.validation.flags import agreements


def _electron(**changes: float) -> dict[str, np.ndarray]:
    values = {
        **{
            "pt": 50.0,
            "eta": 0.3,
            "deltaEtaSC": 0.0,
            "scEtOverPt": 0.0,
            "charge": 1,
            "eCorr": 1.0,
            "r9": 0.98,
        },
        **{"sieie": 0.0102, "hoe": 0.0, "eInvMinusPInv": 0.0, "pfRelIso03_all": 0.0, "pfRelIso03_chg": 0.0},
        **{"lostHits": 0, "convVeto": 1, "trackEta": 5, "trackPhi": 5, "heepShape": 1, "heepCaloIso": 1},
        **{"ecalDriven": 1, "dxy": 0.0, "dr03EcalRecHitSumEt": 0.0, "dr03HcalDepth1TowerSumEt": 0.0},
        **{"dr03TkSumPtHEEP": 0.0, "mvaFall17V2Iso": 0.9999, "mvaFall17V2noIso": 0.9999},
    }
    return {name: np.array([value]) for name, value in {**values, **changes}.items()}


def test_a_shower_width_between_the_cuts_of_two_runs_passes_in_one() -> None:
    electron, rho = _electron(sieie=0.0105), np.array([20.0])
    assert electron_flags(electron, rho, RUN2)["cutBased"] == 3
    assert electron_flags(electron, rho, run3.ELECTRONS)["cutBased"] == 2
    # the classes of tracks are nested with the high-energy cuts otherwise
    far = _electron(sieie=0.009, trackPhi=3)
    assert electron_flags(far, rho, run3.ELECTRONS)["vidNestedWPBitmap"] >> 9 & 7 == 3
    assert electron_flags(far, rho, RUN2)["vidNestedWPBitmap"] >> 9 & 7 == 2
    assert not electron_flags(far, rho, run3.ELECTRONS)["cutBased_HEEP"]


def test_scores_are_cut_as_they_are_stored() -> None:
    for score, passes in ((0.99980, False), (0.99983, True)):
        flags = electron_flags(_electron(mvaFall17V2Iso=score), np.array([20.0]), run3.ELECTRONS)
        assert flags["mvaFall17V2Iso_WP90"] == passes
        assert not flags["mvaFall17V2Iso_WP80"]
    assert "mvaFall17V2Iso_WPL" not in flags


def test_flags_of_run_3_follow_from_those_of_run_2() -> None:
    rho = np.array([20.0])
    for changes in ({}, {"trackEta": 2}, {"trackPhi": 3, "sieie": 0.0103}):
        hidden = _electron(**changes)
        kept = {key: one for key, one in hidden.items() if not key.startswith(("track", "heep", "ecalDr"))}
        stored = {**kept, **electron_flags(hidden, rho, RUN2)}
        again = run3.electrons_again(stored, rho)
        assert again["cutBased"] == electron_flags(hidden, rho, run3.ELECTRONS)["cutBased"]
        assert (
            again["vidNestedWPBitmapHEEP"]
            == (electron_flags(hidden, rho, run3.ELECTRONS)["vidNestedWPBitmapHEEP"])
        )


def test_the_levels_of_photons_change_their_places_and_back() -> None:
    rng = np.random.default_rng(1)
    levels = rng.integers(0, 4, (7, 50))
    bitmap = np.sum([one << 2 * place for place, one in enumerate(levels)], axis=0)
    found = photon_levels(
        {
            "vidNestedWPBitmap": run3.in_order_of_run2(bitmap),
            "cutBased_Fall17V1Bitmap": np.zeros(50, np.int32),
        }
    )
    for name, place in (("hoeLevel", 3), ("photonLevel", 5), ("neutralLevel", 6)):
        assert np.array_equal(found[name], levels[place])


def test_photons_are_cut_by_the_numbers_of_run_3() -> None:
    photon = {
        name: np.array([value])
        for name, value in {
            **{"pt": 50.0, "eta": 0.3, "sieie": 0.0105, "pfRelIso03_chg": 0.01, "mvaID": 0.03, "r9": 0.95},
            **{"eCorr": 1.0, "hoeLevel": 3, "neutralLevel": 3, "photonLevel": 3, "oldLevel": 3},
        }.items()
    }
    flags = photon_flags(photon, np.array([0.3]), run3.PHOTONS)
    assert (flags["cutBased"], bool(flags["mvaID_WP90"])) == (1, False)
    assert photon_flags(photon, np.array([0.3]))["mvaID_WP90"]


def test_taus_and_muons_are_cut_by_the_numbers_of_run_3() -> None:
    scores = {f"rawDeepTau2017v2p1VS{name}": np.array([0.45]) for name in ("jet", "e", "mu")}
    flags = tau_flags({**scores, "decayMode": np.array([0])}, run3.TAUS)
    assert [int(flags[f"idDeepTau2017v2p1VS{name}"][0]) for name in ("jet", "e", "mu")] == [1, 7, 1]
    assert run3.muon_mva_points(np.array([0.05, 0.1, 0.5])).tolist() == [0, 1, 2]


@pytest.mark.parametrize("file", ["ttbar_v12", "ggH_v13", "ttbar_v15"])
def test_central_files_of_run_3_agree_with_the_working_points(file: str) -> None:
    folder = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not folder:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
    found = {one.flag: one for one in agreements(str(Path(folder) / f"{file}.root"))}
    cuts = [name for name in found if name.startswith(("Electron_cutBased", "Electron_mva", "Photon_mva"))]
    cuts += [name for name in found if name.startswith(("Photon_cut", "Photon_vid", "Tau_idDeepTau"))]
    assert len(cuts) >= 5
    for name in (*cuts, "Electron_vidNestedWPBitmap"):
        assert found[name].share > 0.97, found[name]
