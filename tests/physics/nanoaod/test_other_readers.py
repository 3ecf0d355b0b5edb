"""ROOT and coffea read the files as NANOAOD."""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.merger import merge_files
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")

#: prints entries, titles, types and sums of all columns as ROOT sees them
ROOT_SCRIPT = """
import json, sys
import ROOT
frame = ROOT.RDataFrame("Events", sys.argv[1])
names = [str(name) for name in frame.GetColumnNames()]
sums = {name: frame.Define("one_sum", f"double(ROOT::VecOps::Sum(ROOT::VecOps::RVec<double>({name}.begin(),"
        f" {name}.end())))").Sum("one_sum") if "RVec" in frame.GetColumnType(name) else frame.Sum(name)
        for name in names}
file = ROOT.TFile(sys.argv[1])
tree = file.Get("Events")
print(json.dumps({
    "entries": tree.GetEntries(),
    "titles": {name: tree.GetBranch(name).GetTitle() for name in names},
    "types": {name: str(frame.GetColumnType(name)) for name in names},
    "sums": {name: float(value.GetValue()) for name, value in sums.items()},
    "sumw": float(ROOT.RDataFrame("Runs", sys.argv[1]).Sum("genEventSumw").GetValue()),
    "provenance": ["".join(row.software).rstrip(chr(0)) for row in file.Get("MetaData")],
}))
"""
#: as in centrally produced files, which count by signed numbers from v12 on
COUNTERS = {"v9": "UInt_t", "v15": "Int_t"}
ROOT_TYPES = {
    "float32": "float",
    "int16": "short",
    "int32": "int",
    "uint8": "uchar",
    "uint16": "ushort",
    "uint32": "uint",
    "uint64": "ulong64",
    "bool": "bool",
}


@pytest.mark.slow
def test_root_reads_every_branch(every_branch_file: Path, root_python: str) -> None:
    _root_reads(V9, every_branch_file, root_python)


@pytest.mark.slow
def test_root_reads_every_branch_of_v15(every_branch_of_v15: tuple[Events, Path], root_python: str) -> None:
    _root_reads(Schema.load("v15"), every_branch_of_v15[1], root_python)


def _root_reads(schema: Schema, path: Path, root_python: str) -> None:
    done = subprocess.run(
        [root_python, "-W", "ignore", "-c", ROOT_SCRIPT, path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    with NanoFile(str(path)) as file:
        events = file.read(sorted(schema.branches), 0, file.n_entries)
    assert seen["entries"] == events.n
    assert seen["titles"] == {
        **{name: one.title for name, one in schema.branches.items()},
        **{f"n{name}": title for name, title in schema.collections.items()},
    }
    for name, one in schema.branches.items():
        column = events[one.collection][one.attribute] if one.collection else events.scalars[name]
        assert seen["sums"][name] == pytest.approx(column.sum(dtype=np.float64), rel=1e-6, abs=1e-3), name
        assert ROOT_TYPES[str(one.dtype)] in seen["types"][name].lower(), name
    for name in schema.collections:
        assert seen["sums"][f"n{name}"] == events[name].n_objects
        assert seen["types"][f"n{name}"] == COUNTERS[schema.version]
    assert seen["sumw"] == events.scalars["genWeight"].sum(dtype=np.float64)
    assert seen["provenance"] == ["flashsim-prod"]


@pytest.mark.filterwarnings("ignore:Missing cross-reference", "ignore:Branch Photon_")
@pytest.mark.parametrize("merged", [False, True])
def test_coffea_follows_the_links(
    merged: bool, every_branch: Events, every_branch_file: Path, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    path, copies = every_branch_file, 1
    if merged:
        path, copies = tmp_path / "merged.root", 2
        merge_files([every_branch_file] * copies, path, schema=V9)
    nano = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema).events()
    assert len(nano) == every_branch.n * copies
    assert nano.Jet.pt.__doc__ == V9.branches["Jet_pt"].title
    _links_hold(nano, every_branch, copies)


@pytest.mark.filterwarnings("ignore:Missing cross-reference", "ignore:Branch Photon_")
def test_coffea_follows_the_links_of_v15(every_branch_of_v15: tuple[Events, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    events, path = every_branch_of_v15
    nano = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema).events()
    assert "int16" in str(nano.Jet.genJetIdx.type)
    _links_hold(nano, events, 1)


def _links_hold(nano: ak.Array, events: Events, copies: int) -> None:
    for collection, index, target, attribute, reference in [
        ("Jet", "genJetIdx", "GenJet", "hadronFlavour", "matched_gen"),
        ("Tau", "jetIdx", "Jet", "nConstituents", "matched_jet"),
        ("Muon", "genPartIdx", "GenPart", "pdgId", "matched_gen"),
        ("GenPart", "genPartIdxMother", "GenPart", "pdgId", "parent"),
        ("FatJet", "genJetAK8Idx", "GenJetAK8", "hadronFlavour", "matched_gen"),
    ]:
        one, other = events[collection], events[target]
        linked = one[index] >= 0
        assert linked.any()
        expected = np.full(one.n_objects, -999, np.int64)
        expected[linked] = other[attribute][(other.starts[one.event_index] + one[index])[linked]]
        found = ak.fill_none(ak.flatten(getattr(nano[collection], reference)[attribute]), -999)
        np.testing.assert_array_equal(ak.to_numpy(found), np.tile(expected, copies))
