"""A dataset by models of Run 3, from the command line to what coffea and ROOT read of it, links included."""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from flashsim_prod.core.names import NANO_RUN3
from flashsim_prod.physics.chain.bundle import DEFAULT_OF, shipped_bundles
from flashsim_prod.physics.chain.registry import models_of
from flashsim_prod.physics.detector.eras import ERAS
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.generator.pythia import PythiaSource
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.library import find_card

from ..conftest import Cli

V15 = Schema.load(NANO_RUN3)
#: what coffea calls what an index points to
COFFEA = {
    **{"Jet_genJetIdx": "matched_gen", "FatJet_genJetAK8Idx": "matched_gen"},
    "GenPart_genPartIdxMother": "parent",
    **{f"{lepton}_genPartIdx": "matched_gen" for lepton in ("Muon", "Electron", "Photon")},
    **{f"{owner}_jetIdx": "matched_jet" for owner in ("Muon", "Electron", "Photon", "Tau")},
    **{"Electron_photonIdx": "matched_photon", "Photon_electronIdx": "matched_electron"},
}  # fmt: skip
#: the same of two indices that give one list
LISTS = {
    ("Jet_electronIdx1", "Jet_electronIdx2"): "matched_electrons",
    ("Jet_muonIdx1", "Jet_muonIdx2"): "matched_muons",
    ("FatJet_subJetIdx1", "FatJet_subJetIdx2"): "subjets",
}
#: prints the number of links and the pt behind them, of indices and the collections that these point into
ROOT_SCRIPT = """
import json, sys
import ROOT
frame = ROOT.RDataFrame("Events", sys.argv[1])
found = {}
for index, target in json.loads(sys.argv[2]).items():
    frame = frame.Define(f"linked_{index}", f"ROOT::VecOps::RVec<int>({index}.begin(), {index}.end())")
    frame = frame.Define(f"behind_{index}", f"Take({target}_pt, linked_{index}[linked_{index} >= 0])")
    frame = frame.Define(f"number_{index}", f"double(behind_{index}.size())")
    total = f"double sum = 0; for (double pt : behind_{index}) sum += pt; return sum;"
    frame = frame.Define(f"sum_{index}", total)
    found[index] = [frame.Sum(f"number_{index}"), frame.Sum(f"sum_{index}")]
print(json.dumps({index: [one.GetValue() for one in its] for index, its in found.items()}))
"""


@pytest.fixture(scope="module")
def bundle_of_run3(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Words that choose it: none where one is shipped, else those for one that has learned nothing."""
    if DEFAULT_OF[NANO_RUN3] in shipped_bundles():
        return ()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2]))
        from untrained import untrained_bundle

    source = PythiaSource(find_card("ttbar"), 13.6, n_events=60, seed=11, pileup_seed=12)
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 500, "job_gen_first": 0}
    folds = fold_events(next(iter(source.chunks(60))), oversample=4, gen_first=0, **numbering)
    era = ERAS["Run3_2022"]
    events = ReferenceDetector(era=era).simulate(folds, seed=4)
    folder = tmp_path_factory.mktemp("run3")
    made = untrained_bundle(models_of(era.nano), events, folder, version=era.nano, era=era.name)
    return ("--bundle", str(made))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Missing cross-reference", "ignore:Branch Photon_")
def test_a_dataset_by_models_of_run_3(
    cli: Cli, home: Home, bundle_of_run3: tuple[str, ...], root_python: str
) -> None:
    asked = ("--energy", "13.6", "--events", "100", "--oversample", "5", "--seed", "1", "--name", "a")
    made = cli("request", "ttbar", *asked, *bundle_of_run3, "--yes", "--json")
    assert made.code == 0, made.err
    assert cli("validate", "check", "a").code == 0
    (path,) = (home.path / "store").rglob("*.root")
    with uproot.open(path) as file:
        assert file["MetaData"].arrays(library="np")["nano"][0] == NANO_RUN3
        events = file["Events"]
        assert {"Jet_btagPNetB", "Muon_pnScore_prompt", "Electron_mvaIso_WP90"} <= set(events.keys())
        for name in events.keys():  # noqa: SIM118
            assert events[name].title == V15.titles[name]
        assert events["nJet"].typename == "int32_t"
        links = {
            name: one.links[0]
            for name, one in V15.branches.items()
            if len(one.links) == 1 and name in events and f"{one.links[0]}_pt" in events
        }
        behind = {name: _behind(events, name, target) for name, target in links.items()}
    assert sum(len(one) > 0 for one in behind.values()) > 12
    _coffea_follows(path, behind)
    _root_follows(path, behind, links, root_python)


def _behind(events: Any, index: str, target: str) -> np.ndarray:
    """The pt of all that an index points to, event by event."""
    places, pt = events[index].array(), events[f"{target}_pt"].array()
    return ak.to_numpy(ak.flatten(pt[places[places >= 0]]))


def _coffea_follows(path: Path, behind: dict[str, np.ndarray]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    nano = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema).events()
    found = {(index,): name for index, name in COFFEA.items()} | LISTS
    for indices, name in found.items():
        owner = indices[0].partition("_")[0]
        pt = ak.drop_none(ak.flatten(getattr(nano[owner], name).pt, axis=None))
        # of two indices the list goes object by object
        expected = np.sort(np.concatenate([behind[index] for index in indices]))
        np.testing.assert_array_equal(np.sort(ak.to_numpy(pt)), expected, err_msg=name)


def _root_follows(path: Path, behind: dict[str, np.ndarray], links: dict[str, str], python: str) -> None:
    done = subprocess.run(
        [python, "-W", "ignore", "-c", ROOT_SCRIPT, path, json.dumps(links)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == behind.keys()
    for index, (number, total) in found.items():
        assert number == len(behind[index]), index
        assert total == pytest.approx(behind[index].sum(dtype=np.float64), rel=1e-6), index
