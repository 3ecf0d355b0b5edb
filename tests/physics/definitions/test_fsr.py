"""Photons and the muons that radiated them: NanoAOD's selection, and links that hold both ways."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.definitions import fsr, links
from flashsim_prod.physics.events import Collection


def _collection(counts: list[int], **columns: list[float]) -> Collection:
    return Collection(
        np.array(counts), {name: np.array(values, dtype=np.float32) for name, values in columns.items()}
    )


def _muons() -> Collection:
    """Two muons in the first event, a soft one in the second, one in the third."""
    return _collection([2, 1, 1], pt=[50, 30, 19, 40], eta=[0, 1, 0, 2.3], phi=[0, 0, 0, 3.1])


def _photons(
    counts: list[int], pt: list[float], eta: list[float], phi: list[float], iso: float = 0.1
) -> Collection:
    return _collection(counts, pt=pt, eta=eta, phi=phi, relIso03=[iso] * len(pt))


def test_the_nearest_hard_muon_is_the_one() -> None:
    photons = _photons([2, 1, 1], [5, 4, 5, 5], [0.2, 0.9, 0.0, 2.3], [0, 0, 0, -3.1])
    kept = fsr.select_photons(photons, _muons())
    # the second event's muon is below 20 GeV; across phi = pi the distance is short
    assert kept.counts.tolist() == [2, 0, 1]
    assert kept["muonIdx"].tolist() == [0, 1, 0]
    assert kept["dROverEt2"] == pytest.approx([0.2 / 25, 0.1 / 16, (2 * np.pi - 6.2) / 25], rel=1e-4)


@pytest.mark.parametrize(
    ("pt", "eta", "iso"),
    [(1.9, 0.01, 0.1), (2.1, 0.3, 0.1), (40.0, -0.6, 0.1), (5.0, 0.1, 2.1)],
    ids=["soft", "far for its energy", "far", "not isolated"],
)
def test_what_nanoaod_would_not_keep_is_dropped(pt: float, eta: float, iso: float) -> None:
    assert fsr.select_photons(_photons([1, 0, 0], [pt], [eta], [0], iso), _muons()).n_objects == 0
    assert fsr.select_photons(_photons([1, 0, 0], [5.0], [0.1], [0], 1.9), _muons()).n_objects == 1


def test_a_muon_points_to_its_hardest_and_nearest_photon() -> None:
    photons = fsr.select_photons(_photons([3, 0, 0], [3, 20, 6], [0.05, 0.3, 1.05], [0, 0, 0]), _muons())
    assert photons["pt"].tolist() == [20, 6, 3]
    muons = fsr.with_fsr_photons(_muons(), photons)
    # 0.3 / 400 is less than 0.05 / 9
    assert muons["fsrPhotonIdx"].tolist() == [0, 1, -1, -1]
    forward = links.flat(muons["fsrPhotonIdx"], muons, photons)
    linked = np.flatnonzero(forward >= 0)
    assert np.array_equal(links.flat(photons["muonIdx"], photons, muons)[forward[linked]], linked)


def test_without_photons_or_muons() -> None:
    nothing = _photons([0, 0, 0], [], [], [])
    assert fsr.select_photons(nothing, _muons()).n_objects == 0
    assert (
        fsr.with_fsr_photons(_muons(), fsr.select_photons(nothing, _muons()))["fsrPhotonIdx"].tolist()
        == [-1] * 4
    )
    no_muons = _collection([0, 0, 0], pt=[], eta=[], phi=[])
    photons = fsr.select_photons(_photons([1, 0, 0], [5], [0], [0]), no_muons)
    assert photons.n_objects == 0
    assert fsr.with_fsr_photons(no_muons, photons).n_objects == 0
