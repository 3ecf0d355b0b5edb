"""Truth of taus and of the jets that they are sought in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.physics.definitions.links import IS_DIRECT_PROMPT_TAU_DECAY, IS_PROMPT
from flashsim_prod.physics.definitions.taus import (
    ELECTRON,
    HADRONS,
    MUON,
    TAU,
    tau_seeds,
    with_gen_taus,
    with_tau_jets,
)
from flashsim_prod.physics.events import Collection, Events


def _one_event(**columns: list[float]) -> Collection:
    n = len(next(iter(columns.values())))
    return Collection(np.array([n]), {name: np.array(column) for name, column in columns.items()})


@pytest.fixture
def events() -> Events:
    """Jets: a tau's, an electron's, a muon's with little of the pt, and a tau's with a hard muon beside."""
    jets = _one_event(pt=[50.0, 60.0, 80.0, 45.0], eta=[0.0, 1.0, 2.0, -1.0], phi=[0.0, 1.0, 2.0, 3.1])
    parts = _one_event(
        pdgId=[11, -13, 13, 22],
        pt=[55.0, 10.0, 44.0, 70.0],
        eta=[1.01, 2.0, -1.1, 0.0],
        phi=[1.0, 2.1, -3.1, 0.0],
        status=[1, 1, 1, 1],
        statusFlags=[IS_PROMPT, 0, IS_DIRECT_PROMPT_TAU_DECAY, IS_PROMPT],
    )
    vis_taus = _one_event(
        pt=[40.0, 30.0], eta=[0.05, -0.98], phi=[0.0, -3.12], status=[10, 1], charge=[-1, 1]
    )
    return Events(1, {}, {"Jet": jets, "GenPart": parts, "GenVisTau": vis_taus})


def test_a_jet_is_what_carries_it(events: Events) -> None:
    seeds = tau_seeds(events)
    assert seeds["kind"].tolist() == [TAU, ELECTRON, HADRONS, TAU]
    assert seeds["vis_tau"].tolist() == [0, -1, -1, 1]
    assert seeds["gen_mode"].tolist() == [10, -1, -1, 1]
    assert seeds["true_charge"].tolist() == [-1, -1, 1, 1]
    assert seeds["expected_pt"] == pytest.approx([40.0, 55.0, 0.65 * 80.0, 30.0])
    assert seeds["axis_eta"] == pytest.approx([0.05, 1.01, 2.0, -0.98])


def test_without_the_tau_the_muon_carries_the_jet(events: Events) -> None:
    none = events.with_collections({"GenVisTau": events["GenVisTau"].select(np.zeros(2, bool))})
    assert tau_seeds(none)["kind"].tolist() == [HADRONS, ELECTRON, HADRONS, MUON]


def test_a_lepton_comes_before_a_hadronic_tau(events: Events) -> None:
    taus = _one_event(pt=[41.0, 54.0, 30.0, 20.0], eta=[0.0, 1.0, -1.05, 2.4], phi=[0.0, 1.0, 3.14, 0.0])
    found = with_gen_taus(taus, events)
    # a hadronic tau, a prompt electron, a muon of a tau, nothing
    assert found["genPartFlav"].tolist() == [5, 1, 4, 0]
    assert found["genPartIdx"].tolist() == [0, 0, 2, -1]
    far = with_gen_taus(taus.with_columns(pt=np.array([81.0, 83.0, 90.0, 20.0])), events)
    assert far["genPartFlav"].tolist() == [0, 0, 0, 0]


def test_two_taus_never_share_a_jet(events: Events) -> None:
    taus = _one_event(pt=[50.0, 40.0], eta=[0.10, 0.02], phi=[0.0, 0.0])
    assert with_tau_jets(taus, events["Jet"])["jetIdx"].tolist() == [-1, 0]


@pytest.mark.parametrize("name", ["dyjets_ul17_v8like", "dyjets_v6like", "ttbar_opendata2015_v9"])
def test_links_are_those_of_real_files(name: str) -> None:
    folder = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not folder:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
    from flashsim_prod.physics.nanoaod.reader import NanoFile

    starts = ("Tau_", "Jet_", "GenPart_", "GenVisTau_")
    with NanoFile(str(Path(folder) / f"{name}.root")) as file:
        real = file.read(sorted(one for one in file.branches if one.startswith(starts)), 0, file.n_entries)
    taus = real["Tau"]
    made = with_tau_jets(with_gen_taus(taus, real), real["Jet"])
    assert np.array_equal(made["jetIdx"], taus["jetIdx"])
    assert np.array_equal(made["genPartFlav"], taus["genPartFlav"])
    # copies of a lepton are equal in the rounding of the file, so that either may be named
    assert np.mean(made["genPartIdx"] == taus["genPartIdx"]) > 0.85
    carried = tau_seeds(real)["kind"][real["Jet"].starts[taus.event_index] + taus["jetIdx"]]
    lepton = np.isin(taus["genPartFlav"], (1, 2, 3, 4))
    assert np.isin(carried[lepton], (ELECTRON, MUON)).all()
    assert (carried[taus["genPartFlav"] == 5] == TAU).all()
