"""A dataset of another version of NanoAOD, from the command line to what coffea reads of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.production.home import Home

from ..conftest import Cli


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Missing cross-reference", "ignore:Branch Photon_")
def test_a_dataset_of_run_3_is_of_v15(cli: Cli, home: Home) -> None:
    asked = ("--energy", "13.6", "--events", "60", "--oversample", "5", "--seed", "1", "--name", "a")
    made = cli("request", "ttbar", *asked, "--bundle", "reference", "--yes", "--json")
    assert made.code == 0, made.err
    (path,) = (home.path / "store").rglob("*.root")
    v15 = Schema.load("v15")
    with uproot.open(path) as file:
        about = file["MetaData"].arrays(library="np")
        assert (about["nano"][0], about["made_for_nano"][0]) == ("v15", "v9")
        events = file["Events"]
        assert {"PFMET_pt", "Rho_fixedGridRhoFastjetAll", "Electron_superclusterEta"} <= set(events.keys())
        assert {"MET_pt", "Jet_jetId", "Electron_cutBased", "Tau_cleanmask"}.isdisjoint(events.keys())
        assert events["PV_npvs"].typename == "uint8_t"
        assert events["GenPart_statusFlags"].typename == "uint16_t[]"
        assert "without charged pileup hadrons" in events["nJet"].title
        assert set(events.keys()) <= v15.branches.keys() | v15.counters.keys()
    assert cli("validate", "check", "a").code == 0
    # a file by its path, of which no request is known, is of the version that it says
    assert cli("validate", "check", str(path)).code == 0
    _coffea_follows_links(path)


def _coffea_follows_links(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    nano = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema).events()
    assert len(nano) == 60
    response = ak.drop_none(ak.flatten(nano.Jet.pt / nano.Jet.matched_gen.pt))
    assert 0.8 < np.median(ak.to_numpy(response)) < 1.3
    assert ak.all(ak.flatten(nano.Muon.matched_gen.pdgId == nano.Muon.pdgId, axis=None))
    assert ak.sum(ak.num(nano.FatJet.subjets, axis=2)) >= ak.sum(ak.num(nano.FatJet))
