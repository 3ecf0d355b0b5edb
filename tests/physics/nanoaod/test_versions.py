"""What the versions of NanoAOD call what, how files are told apart, and how events are written as another."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import uproot

from flashsim_prod.errors import EventsError, RequestError
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.precision import as_stored
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import TABLES, Schema, known_versions
from flashsim_prod.physics.nanoaod.versions import names
from flashsim_prod.physics.nanoaod.versions.derived import DERIVED
from flashsim_prod.physics.nanoaod.versions.draft import draft, used_bits, write_draft
from flashsim_prod.physics.nanoaod.versions.names import (
    default_version,
    find_dialect,
    version_of,
    writing,
)

V9, V15 = Schema.load("v9"), Schema.load("v15")
#: of the public files, by the beginning of their names
VERSIONS = {
    "darkphotons_v9": "v9",
    "dyjets_rntuple": "v6",
    "dyjets_ul17_v8like": "v8",
    "dyjets_v6like": "v6",
    "ggH_v13": "v13",
    "gjet_v11": "v11",
    "tt2l2nu_ul18_v9": "v9",
    "ttH_v7": "v7",
    "ttbar_opendata2015_v9": "v9",
    "ttbar_ul18_v9_pfnano": "v9",
    "ttbar_v12": "v12",
    "ttbar_v15": "v15",
}


def test_the_names_are_those_of_the_tables() -> None:
    for first, last, own, declared in names._names().renamed:
        assert declared in V9.branches, declared
        assert 9 < first <= last
        if last >= 15:
            assert own in V15.branches, own
            kind = V15.branch(own).dtype.kind
            assert kind == V9.branch(declared).dtype.kind
    for version in ("v11", "v12", "v15"):
        own = Counter(find_dialect(version).renamed.values())
        assert set(own.values()) == {1}
    marks = [mark for its in names._names().marks.values() for mark in its]
    assert len(marks) == len(set(marks))
    for _, owner, before, after in names._names().otherwise:
        assert owner in V9.collections
        assert before
        assert after
    assert set(DERIVED) <= V15.branches.keys() - V9.branches.keys()
    assert {need for one in DERIVED.values() for need in one.needs} <= V9.branches.keys()


def test_all_tables_are_of_one_form() -> None:
    for version in known_versions():
        schema = Schema.load(version)
        for one in schema.branches.values():
            assert one.title
            assert "?" not in one.title
            assert (one.dtype.kind == "f") or one.precision is None
            assert ("Idx" in one.name) == bool(one.links), one.name
            assert set(one.links) <= schema.collections.keys()
        mine = [one for one in schema.branches if one.startswith("FlashSim_")]
        assert mine == [one for one in V9.branches if one.startswith("FlashSim_")]


def test_public_files_are_told_apart(samples: list[Path]) -> None:
    for path in samples:
        with NanoFile(str(path)) as file:
            assert file.version == VERSIONS[path.stem], path.name


def test_few_branches_do_not_tell_and_one_of_another_version_changes_nothing() -> None:
    assert version_of({"event", "GenPart_pt"}) == ""
    old = {"Jet_pt", "Muon_pt", "SV_charge", "Muon_isStandalone"}
    assert version_of(old) == "v9"
    assert version_of(old | {"Muon_bsConstrainedPt"}) == "v9"
    assert version_of(old | {"PFMET_pt", "TrkMET_pt"}) == "v15"


def test_the_tables_of_v15_are_those_of_a_real_file(samples: list[Path]) -> None:
    path = next(path for path in samples if path.stem == "ttbar_v15")
    with NanoFile(str(path)) as file:
        theirs = [name for name in V15.branches if not name.startswith("FlashSim_")]
        assert set(theirs) <= file.branches
        events = file.read(theirs, 0, file.n_entries)
        for name in V15.collections:
            assert file.typename(f"n{name}") == f"{V15.counter_dtype}_t" == "int32_t"
    for name in theirs:
        one, column = V15.branch(name), events.branch(name)[0]
        assert column.dtype == one.dtype, name
        assert (one.collection in events.collections) == (one.collection is not None)
        np.testing.assert_array_equal(as_stored(one, column), column, err_msg=name)
        assert one.legal is None or set(column.tolist()) <= set(one.legal), name


def test_a_draft_of_the_tables_is_made_of_a_file(samples: list[Path]) -> None:
    path = next(path for path in samples if path.stem == "ttbar_v15")
    drafted = Schema.parse("v15", draft(str(path), "v15").values())
    assert list(drafted.branches) == list(V15.branches)
    assert drafted.counter_dtype == V15.counter_dtype
    for name, one in V15.branches.items():
        assert (drafted.branch(name).dtype, drafted.branch(name).links) == (one.dtype, one.links), name


def test_a_draft_says_what_it_does_not_know(every_branch_of_v15: tuple[Events, Path], tmp_path: Path) -> None:
    _, path = every_branch_of_v15
    write_draft(str(path), "v15", tmp_path / "v15")
    texts = [(tmp_path / "v15" / f"{table}.txt").read_text() for table in TABLES]
    assert {one.dtype for one in Schema.parse("v15", texts).branches.values()} == {
        one.dtype for one in V15.branches.values()
    }
    with pytest.raises(RequestError, match="v15 exists"):
        write_draft(str(path), "v15", tmp_path / "v15")


@pytest.mark.parametrize(
    ("values", "bits"), [([1.0, 2.0, -4.0], 0), ([1.5], 1), ([1.0, 1 + 2.0**-10], 10), ([0.1], 23), ([], 0)]
)
def test_used_bits_are_counted(values: list[float], bits: int) -> None:
    assert used_bits(np.array(values, np.float32)) == bits


def test_names_that_came_to_mean_another_thing_are_not_taken_for_the_old_one() -> None:
    there = {"FatJet_particleNet_QCD", "FatJet_particleNetWithMass_QCD", "FatJet_pt"}
    found = find_dialect("v12").in_file(there)
    assert found == {
        "FatJet_particleNet_QCD": "FatJet_particleNetWithMass_QCD",
        "FatJet_pt": "FatJet_pt",
    }
    assert find_dialect("v9").in_file(there) == {name: name for name in there}


def _file(path: Path, branches: dict[str, np.ndarray]) -> str:
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: column.dtype for name, column in branches.items()}).extend(branches)
    return str(path)


def test_a_file_is_read_under_the_names_that_models_declare(tmp_path: Path) -> None:
    marks = {"PFMET_pt": np.float32([1, 2]), "TrkMET_pt": np.float32([3, 4])}
    rho = {"Rho_fixedGridRhoFastjetAll": np.float32([20, 30]), "PV_npvs": np.uint8([200, 7])}
    url = _file(tmp_path / "a.root", marks | rho)
    with NanoFile(url) as file:
        assert file.version == "v15"
        assert "PFMET_pt" in file.branches
        assert "MET_pt" not in file.branches
    with NanoFile(url, V9, declared=True) as file:
        assert "PFMET_pt" not in file.branches
        events = file.read(["MET_pt", "TkMET_pt", "fixedGridRhoFastjetAll", "PV_npvs"], 0, 2)
        assert file.typename("MET_pt") == "float"
        assert file.version == "v15"
    assert events.scalars["MET_pt"].tolist() == [1, 2]
    assert events.scalars["fixedGridRhoFastjetAll"].tolist() == [20, 30]
    assert events.scalars["PV_npvs"].dtype == np.int32


def test_a_file_says_its_version_itself_if_this_software_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    for told, version in (
        ({"software": "flashsim-prod 0.1.0"}, "v9"),
        ({"software": "flashsim-prod 0.1.0", "nano": "v15"}, "v15"),
        ({"software": "flashsim-prod 0.1.0", "nano": "../x"}, "v9"),
        ({"software": "other"}, ""),
    ):
        with uproot.recreate(path) as file:
            file.mktree("Events", {"Muon_eta": "float32"}).extend({"Muon_eta": np.float32([1])})
            file.mktree("MetaData", dict.fromkeys(told, "string")).extend({k: [v] for k, v in told.items()})
        with NanoFile(str(path)) as opened:
            assert opened.version == version, told


@pytest.mark.parametrize(
    ("energy_tev", "made_for", "version"),
    [(13.0, "v9", "v9"), (13.6, "v9", "v15"), (13.0, "v15", "v15"), (13.6, "v12", "v15"),
     (13.0, "v12", "v15"), (8.0, "v8", "v9"), (14.0, "v9", "v15"), (13.6, "v16", "v15")],
)  # fmt: skip
def test_the_version_goes_with_energy_and_models(energy_tev: float, made_for: str, version: str) -> None:
    assert default_version(energy_tev, made_for) == version


@pytest.fixture
def two_events() -> Events:
    electrons = {
        "pt": np.float32([20, 30, 40]),
        "eta": np.float32([0.5, -1.0, 2.0]),
        "deltaEtaSC": np.float32([0.01, -0.02, 0.0]),
        "cutBased": np.int32([1, 2, 4]),
        "jetIdx": np.int32([0, -1, 0]),
        "mvaTTH": np.float32([0, 0, 0]),
    }
    jets = {"pt": np.float32([50, 60]), "jetId": np.int32([6, 6]), "puIdDisc": np.float32([0, 0])}
    scalars = {
        "run": np.uint32([1, 1]),
        "luminosityBlock": np.uint32([1, 1]),
        "event": np.uint64([1, 2]),
        "genWeight": np.float32([1, 1]),
        "fixedGridRhoFastjetAll": np.float32([10, 20]),
        "MET_pt": np.float32([30, 40]),
        "MET_phi": np.float32([0, 0]),
        "MET_MetUnclustEnUpDeltaX": np.float32([3, 0]),
        "MET_MetUnclustEnUpDeltaY": np.float32([0, 30]),
        "ChsMET_pt": np.float32([1, 1]),
        "PV_npvs": np.int32([30, 40]),
        "LHE_HT": np.float32([5, 6]),
    }
    return Events(
        2,
        scalars,
        {
            "Electron": Collection(np.array([2, 1]), electrons),
            "Jet": Collection(np.array([1, 1]), jets),
            "LHEPdfWeight": Collection(np.array([1, 0]), {"": np.float32([1])}),
        },
    )


def test_events_are_written_under_the_names_of_another_version(two_events: Events) -> None:
    written = writing("v9", "v15").written(two_events)
    assert written["Electron"].columns.keys() == {"pt", "eta", "deltaEtaSC", "jetIdx", "superclusterEta"}
    np.testing.assert_allclose(written["Electron"]["superclusterEta"], [-1.02, 0.51, 2.0], rtol=1e-6)
    assert written["Jet"].columns.keys() == {"pt"}
    assert written["LHEPdfWeight"][""].tolist() == [1]
    scalars = written.scalars
    assert scalars["Rho_fixedGridRhoFastjetAll"].tolist() == [10, 20]
    assert scalars["PFMET_pt"].tolist() == [30, 40]
    np.testing.assert_allclose(scalars["PFMET_ptUnclusteredUp"], [33, 50])
    np.testing.assert_allclose(scalars["PFMET_phiUnclusteredUp"], [0, np.arctan2(30, 40)])
    assert not {"MET_pt", "ChsMET_pt", "fixedGridRhoFastjetAll"} & scalars.keys()
    assert {"LHE_HT", "run", "PV_npvs"} <= scalars.keys()


def test_working_points_are_bits_or_their_number(two_events: Events) -> None:
    taus = Collection(np.array([3, 0]), {"idAntiMu": np.uint8([0, 1, 3])})
    written = writing("v9", "v15").written(two_events.with_collections({"Tau": taus}))
    assert written["Tau"]["idAntiMu"].tolist() == [0, 1, 2]
    assert writing("v9", "v9").written(Events(2, {}, {"Tau": taus}))["Tau"]["idAntiMu"].tolist() == [0, 1, 3]
    dialect = find_dialect("v11")
    levels = np.arange(9, dtype=np.uint8)
    bits = dialect.as_declared("Tau_idDeepTau2017v2p1VSjet", levels)
    assert bits.tolist() == [0, 1, 3, 7, 15, 31, 63, 127, 255]
    assert bits.dtype == np.uint8
    assert dialect.as_own("Tau_idDeepTau2017v2p1VSjet", bits).tolist() == levels.tolist()
    assert dialect.as_declared("Tau_decayMode", levels) is levels


def test_values_of_public_files_are_legal_as_models_know_them(samples: list[Path]) -> None:
    for path in samples:
        # one with candidates has what others' software made; the jets of one of v12 pass the lepton veto
        # without the rest, as v12 is known to have it
        if "pfnano" in path.name:
            continue
        with NanoFile(str(path), declared=True) as file:
            found = [name for name, one in V9.branches.items() if one.legal and name in file.branches]
            events = file.read(found, 0, file.n_entries)
        for name in found:
            odd = set(events.branch(name)[0].tolist()) - set(V9.branch(name).legal or ())
            assert not odd or (path.stem, name, odd) == ("ttbar_v12", "Jet_jetId", {4}), (path, name)


def test_nothing_is_done_to_events_of_the_version_itself(two_events: Events) -> None:
    assert writing("v9", "v9").written(two_events) is two_events
    # of models that were fitted to it, the meaning is its own
    assert "cutBased" in writing("v15", "v15").written(two_events)["Electron"]
    assert "cutBased" not in writing("v15", "v9").written(two_events)["Electron"]


def test_titles_say_what_is_not_quite_the_version_s() -> None:
    made_for_v9, own = writing("v9", "v15").schema, writing("v15", "v15").schema
    assert own == V15
    assert own.collections["Jet"] == V15.collections["Jet"]
    assert made_for_v9.collections["Jet"] == V9.collections["Jet"] != V15.collections["Jet"]
    assert made_for_v9.branch("Jet_pt").dtype == V15.branch("Jet_pt").dtype


def test_models_of_a_newer_version_are_written_into_an_older_one(two_events: Events) -> None:
    back = writing("v15", "v9")
    assert (
        back.otherwise["Jet"]
        == "PUPPI jets, where this version has jets without charged pileup hadrons (CHS)"
    )
    assert "where this version has PUPPI jets" in writing("v9", "v15").otherwise["Jet"]
    assert back.schema.collections["Jet"] == V15.collections["Jet"] != V9.collections["Jet"]
    assert back.schema.collections["Muon"] == V9.collections["Muon"]
    assert back.why_not("Jet_btagPNetB") == "v9 has no such branch"
    jets = two_events["Jet"].with_columns(btagPNetB=np.float32([0.1, 0.9]))
    written = back.written(two_events.with_collections({"Jet": jets}))
    assert written["Jet"].columns.keys() == {"pt", "jetId"}
    assert written.scalars["MET_pt"].tolist() == [30, 40]
    assert "LHE_HT" in written.scalars


def test_why_something_is_not_written_is_told() -> None:
    way = writing("v9", "v15")
    assert way.why_not("Jet_pt") == way.why_not("LHE_HT") == ""
    assert way.why_not("Jet_btagCSVV2") == "v15 has no such branch"
    assert "another training" in way.why_not("Photon_mvaID")
    with pytest.raises(RequestError, match="no schema of NanoAOD 'v12'; known: v9, v15"):
        writing("v9", "v12")


def test_a_number_that_the_narrower_type_cannot_hold_is_refused() -> None:
    with pytest.raises(EventsError, match="PV_npvs: 300 does not fit the type uint8"):
        as_stored(V15.branch("PV_npvs"), np.int32([3, 300]))


def test_clusters_of_electrons_are_where_v15_has_them(samples: list[Path]) -> None:
    path = next(path for path in samples if path.stem == "ttbar_v15")
    one = DERIVED["Electron_superclusterEta"]
    with NanoFile(str(path)) as file:
        events = file.read([*one.needs, "Electron_superclusterEta"], 0, file.n_entries)
    found = one.formula({name: events.branch(name)[0] for name in one.needs})
    stored = events["Electron"]["superclusterEta"]
    assert len(stored) > 50
    assert np.abs(found - stored).max() < 2e-3


def test_what_is_asked_for_by_the_names_of_a_version_is_found_with_what_it_follows_from() -> None:
    asked = ("PFMET_pt", "Jet_pt", "nJet", "Electron_superclusterEta", "Electron_eta")
    assert find_dialect("v15").made_of(asked) == (
        *("MET_pt", "Jet_pt", "nJet"),
        *("Electron_eta", "Electron_deltaEtaSC"),
    )
    assert find_dialect("v9").made_of(("MET_pt", "Jet_pt")) == ("MET_pt", "Jet_pt")
