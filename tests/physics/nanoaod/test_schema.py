"""The schema is complete, consistent, and that of centrally produced files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import uproot

import flashsim_prod
from flashsim_prod.errors import EventsError, RequestError
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod import schema
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.merger import merge_files
from flashsim_prod.physics.nanoaod.precision import as_stored
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema, known_versions
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")

#: attributes of the collections of NanoAODv9
V9_SIZES = {
    "Jet": 44,
    "Muon": 57,
    "Electron": 58,
    "Photon": 34,
    "FatJet": 58,
    "SubJet": 16,
    "Tau": 30,
    "SV": 16,
    "FsrPhoton": 6,
    "GenPart": 8,
    "GenJet": 6,
    "GenJetAK8": 6,
    "GenVisTau": 7,
}


@pytest.mark.parametrize(("name", "size"), V9_SIZES.items())
def test_collections_have_the_attributes_of_v9(name: str, size: int) -> None:
    assert len(V9.attributes(name)) == size
    assert name in V9.collections


def test_a_branch_knows_its_collection_type_and_meaning() -> None:
    jet_id = V9.branch("Jet_jetId")
    assert (jet_id.collection, jet_id.attribute, jet_id.dtype) == ("Jet", "jetId", np.int32)
    assert jet_id.legal == (0, 2, 6)
    assert V9.branch("MET_pt").collection is None
    assert V9.branch("MET_pt").attribute == "MET_pt"
    assert V9.branch("GenPart_genPartIdxMother").links == ("GenPart",)
    assert V9.branch("Tau_genPartIdx").links == ("GenPart", "GenVisTau")
    assert V9.branch("Jet_partonFlavour").legal == (-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 21)
    assert V9.branch("FlashSim_genEvent").dtype == np.uint64
    assert [V9.branch(name).unit for name in ("Jet_pt", "Muon_dxy", "Jet_jetId")] == ["GeV", "cm", ""]


def test_details_suit_the_types() -> None:
    for one in V9.branches.values():
        assert one.title
        assert (one.dtype.kind == "f") or one.precision is None
        assert one.legal is None or one.dtype.kind in "iu"
        assert ("Idx" in one.name) == bool(one.links)
        assert set(one.links) <= V9.collections.keys()


def test_an_unknown_branch_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(EventsError, match=r"'Jet_ptt' is no branch.*did you mean 'Jet_pt'"):
        V9.branch("Jet_ptt")


def test_central_files_have_these_types_and_keep_no_more_bits(samples: list[Path]) -> None:
    """What central files of version 9 and before hold is not changed by being stored again."""
    # files with candidates are made by others' software, with wider integers
    central = [path for path in samples if "pfnano" not in path.name]
    for path in (path for path in central if "v9" in path.name or "v8" in path.name):
        with NanoFile(str(path)) as file:
            names = [name for name in V9.branches if name in file.branches]
            events = file.read(names, 0, file.n_entries)
        assert len(names) > 400
        columns = dict(events.scalars)
        columns |= {
            f"{name}_{key}": c for name, one in events.collections.items() for key, c in one.columns.items()
        }
        for name, column in columns.items():
            assert column.dtype == V9.branch(name).dtype, name
            np.testing.assert_array_equal(as_stored(V9.branch(name), column), column, err_msg=name)
            assert V9.branch(name).legal is None or set(column.tolist()) <= set(
                V9.branch(name).legal or ()
            ), name


#: a version of its own: narrower, without most of v9, and with a collection whose name holds an underscore
OTHER = Schema.parse(
    "v99",
    [
        """
plain
run                u32  -      run number
luminosityBlock    u32  -      luminosity section
event              u64  -      event number
genWeight          f32  full   weight
group FlashSim
genEvent           u64  -      generated event
fold               i32  -      copy
oversample         i32  -      copies
""",
        """
collection Proton_multiRP  Protons
t                  f32  4      momentum transfer [GeV2]
jetIdx             u8   ->Jet  a jet
collection Jet  Jets
jetId              u8   {0..6} identification
""",
    ],
)


def test_a_schema_is_read_once_and_cannot_be_changed() -> None:
    assert Schema.load("v9") is V9
    assert Schema.default() is V9
    assert len({V9, Schema.load("v9"), OTHER}) == 2
    assert V9 != OTHER
    with pytest.raises(AttributeError):
        V9.version = "v8"  # type: ignore[misc]
    with pytest.raises(TypeError):
        V9.branches["Jet_new"] = V9.branch("Jet_pt")  # type: ignore[index]


@pytest.mark.parametrize("version", ["v10", "9", "", "../tables/v9", "v9/"])
def test_an_unknown_version_is_refused_with_those_that_there_are(version: str) -> None:
    with pytest.raises(RequestError) as caught:
        Schema.load(version)
    assert (
        str(caught.value)
        == f"there is no schema of NanoAOD '{version}'; known: {', '.join(known_versions())}"
    )


def test_every_version_has_all_of_its_tables() -> None:
    folder = Path(schema.__file__).with_name("tables")
    assert {path.name for path in folder.iterdir()} == set(known_versions())
    for version in known_versions():
        tables = {path.stem for path in (folder / version).iterdir()}
        assert tables - set(schema.OPTIONAL_TABLES) == set(schema.TABLES)
        assert Schema.load(version).version == version


def test_one_place_names_a_version() -> None:
    package = Path(flashsim_prod.__file__).parent
    named = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"v\d+", node.value)
    }
    assert named == {"core/names.py"}


def test_counters_titles_links_and_order() -> None:
    assert OTHER.counters == {"nProton_multiRP": "Protons", "nJet": "Jets"}
    assert OTHER.titles["Proton_multiRP_t"] == "momentum transfer [GeV2]"
    assert OTHER.titles["nJet"] == "Jets"
    assert OTHER.links("Proton_multiRP") == {"jetIdx": ("Jet",)}
    assert OTHER.links("Muon") == {}
    assert OTHER.attributes("Muon") == ()
    assert [one.attribute for one in OTHER.attributes("Proton_multiRP")] == ["t", "jetIdx"]
    assert OTHER.in_order(["Jet_jetId", "Proton_multiRP_t", "run"]) == [
        "run",
        "Proton_multiRP_t",
        "Jet_jetId",
    ]
    with pytest.raises(ValueError, match="cannot read this line of the schema: pt f99"):
        Schema.parse("v99", ["plain\npt f99 - what"])


def test_what_is_like_no_branch_does_not_list_them_all() -> None:
    with pytest.raises(EventsError, match=r"^'\?!' is no branch of the NANOAOD schema v9$"):
        V9.branch("?!")


def _protons(n: int) -> Events:
    numbers = np.arange(n)
    scalars = {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": np.ones(n, np.uint32),
        "event": (numbers + 1).astype(np.uint64),
        "genWeight": np.ones(n, np.float32),
        "FlashSim_genEvent": numbers.astype(np.uint64),
        "FlashSim_fold": np.zeros(n, np.int32),
        "FlashSim_oversample": np.ones(n, np.int32),
    }
    protons = {"t": np.linspace(0, 1, 2 * n), "jetIdx": np.zeros(2 * n)}
    jets = Collection(np.ones(n, int), {"jetId": np.full(n, 6)})
    return Events(n, scalars, {"Proton_multiRP": Collection(np.full(n, 2), protons), "Jet": jets})


def test_files_are_written_checked_merged_and_read_by_the_schema_that_is_given(tmp_path: Path) -> None:
    path, merged = tmp_path / "a.root", tmp_path / "merged.root"
    with NanoWriter(path, schema=OTHER, provenance={}) as writer:
        writer.write(_protons(5))
    assert check_file(path, schema=OTHER).events == 5
    with pytest.raises(EventsError, match=r"unknown branch 'Proton_multiRP_jetIdx'"):
        check_file(path, schema=V9)
    assert merge_files([path], merged, schema=OTHER, tool="uproot") == "uproot"
    assert check_file(merged, schema=OTHER).events == 5
    with uproot.open(merged) as file:
        titles = {branch.name: branch.title for branch in file["Events"].branches}
    assert titles == {name: OTHER.titles[name] for name in titles}
    names = ["Jet_jetId", "Proton_multiRP_t", "Proton_multiRP_jetIdx"]
    for given, dtype in ((None, np.uint8), (OTHER, np.uint8), (V9, np.int32)):
        with NanoFile(str(merged), given) as file:
            events = file.read(names, 0, 5)
        assert events["Jet"]["jetId"].dtype == dtype
        assert events["Proton_multiRP"]["jetIdx"].dtype == np.uint8
    no_branch = "'Proton_multiRP_t' is no branch of the NANOAOD schema v9"
    with (
        pytest.raises(EventsError, match=no_branch),
        NanoWriter(path, schema=V9, provenance={}) as writer,
    ):
        writer.write(_protons(5))
    assert not path.exists()


def test_links_are_checked_by_the_schema_that_is_given(tmp_path: Path) -> None:
    events, path = _protons(5), tmp_path / "a.root"
    wrong = events["Proton_multiRP"].with_columns(jetIdx=np.arange(10) // 9)
    with NanoWriter(path, schema=OTHER, provenance={}) as writer:
        writer.write(events.with_collections({"Proton_multiRP": wrong}))
    with pytest.raises(EventsError, match="Proton_multiRP_jetIdx = 1 points to no Jet"):
        check_file(path, schema=OTHER)
