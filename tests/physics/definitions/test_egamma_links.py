"""Truth and links of electrons and photons, on events made by hand."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions.egamma_links import link, with_electron_truth, with_photon_truth
from flashsim_prod.physics.events import Collection, Events

PROMPT, FROM_TAU = 1 << 0, 1 << 5


def _objects(*rows: tuple[float, float, float], **columns: list[int]) -> Collection:
    """pt, eta and phi of the objects of one event."""
    values = np.array(rows, dtype=np.float32).reshape(-1, 3)
    kinematics = {name: values[:, place] for place, name in enumerate(("pt", "eta", "phi"))}
    return Collection(np.array([len(rows)]), kinematics | {k: np.array(v) for k, v in columns.items()})


def _particles() -> Collection:
    """b hadron, its electron; prompt electron, tau's electron, prompt photon, photon of the b hadron."""
    rows = [
        *((60, 0.0, 0.0), (20, 0.05, 0.0), (40, 1.0, 1.0)),
        *((15, -1.0, 2.0), (30, 2.0, -2.0), (25, 0.0, 0.5)),
    ]
    return _objects(
        *rows,
        pdgId=[521, 11, -11, 11, 22, 22],
        status=[2, 1, 1, 1, 1, 1],
        statusFlags=[0, 0, PROMPT, FROM_TAU, PROMPT, 0],
        genPartIdxMother=[-1, 0, -1, -1, -1, 0],
    )


NEAR = [(41, 1.0, 1.01), (31, 2.0, -2.01), (26, 0.0, 0.51), (21, 0.05, 0.01), (16, -1.0, 2.0), (9, 0.0, -3.0)]


def test_electrons_know_what_they_came_of() -> None:
    found = with_electron_truth(_objects(*NEAR), _particles())
    assert found["genPartIdx"].tolist() == [2, 4, 5, 1, 3, -1]
    assert found["genPartFlav"].tolist() == [1, 22, 5, 5, 15, 0]
    assert found["cleanmask"].all()


def test_photons_know_what_they_came_of() -> None:
    found = with_photon_truth(_objects(*NEAR), _particles())
    assert found["genPartIdx"].tolist() == [2, 4, 5, 1, 3, -1]
    assert found["genPartFlav"].tolist() == [11, 1, 0, 0, 11, 0]


def test_a_particle_is_matched_once_within_half_its_pt() -> None:
    found = with_electron_truth(_objects((41, 1.1, 1.0), (40, 1.0, 1.0), (70, 2.0, -2.0)), _particles())
    # the nearer of the first two takes the electron; the third has more than twice the photon's pt
    assert found["genPartIdx"].tolist() == [-1, 2, -1]


def _linked() -> Events:
    jets = _objects((50, 0.0, 0.0), (30, 2.0, 2.0), cleanmask=[1, 1])
    electrons = _objects(
        (30, 0.05, 0.0), (20, -0.3, 0.0), (10, -2.0, 0.0), convVeto=[1, 1, 1], lostHits=[0, 1, 0]
    )
    photons = _objects((29, 0.05, 0.0), (19, -0.3, 0.0), (12, 2.0, 2.1), electronIdx=[0, 1, -1])
    return link(Events(1, {}, {"Jet": jets, "Electron": electrons, "Photon": photons}))


def test_links_agree_both_ways() -> None:
    events = _linked()
    assert events["Electron"]["jetIdx"].tolist() == [0, 0, -1]
    assert events["Jet"]["electronIdx1"].tolist() == [0, -1]
    assert events["Jet"]["electronIdx2"].tolist() == [1, -1]
    assert events["Jet"]["nElectrons"].tolist() == [2, 0]
    assert events["Jet"]["cleanmask"].tolist() == [0, 1]
    assert events["Electron"]["photonIdx"].tolist() == [0, 1, -1]
    assert events["Photon"]["jetIdx"].tolist() == [0, 0, 1]


def test_the_electron_veto_spares_conversions() -> None:
    """The second electron misses a hit; the third photon has no electron."""
    assert _linked()["Photon"]["electronVeto"].tolist() == [False, True, True]


def test_what_is_not_there_is_not_linked() -> None:
    photons = _objects((12, 2.0, 2.1), electronIdx=[-1])
    assert "jetIdx" not in link(Events(1, {}, {"Photon": photons}))["Photon"]
