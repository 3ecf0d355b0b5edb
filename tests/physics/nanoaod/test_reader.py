"""Reading files of other makers, damaged ones, and in pieces."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod import reader
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema, conform
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")

Make = Callable[..., Events]
NAMES = ["genWeight", "run", "Jet_pt", "Jet_jetId", "GenPart_pdgId", "OtherPV_z"]


@pytest.fixture
def foreign_file(tmp_path: Path) -> Path:
    """A file with one counter for each branch, as ROOT's Snapshot writes it, and types of later versions."""
    path = tmp_path / "foreign.root"
    with uproot.recreate(path) as file:
        types = {"Jet_pt": "var * float32", "Jet_jetId": "var * uint8", "event": "uint64", "other": "float64"}
        tree = file.mktree("Events", types)
        for number in (1, 2):
            jets = ak.Array([[], [20.0 * number], [30.0, 40.0]])
            tree.extend(
                {
                    "Jet_pt": ak.values_astype(jets, "float32"),
                    "Jet_jetId": ak.values_astype(jets > 25, "uint8"),
                    "event": np.arange(3, dtype=np.uint64),
                    "other": np.zeros(3),
                }
            )
    return path


def test_one_counter_for_each_branch(foreign_file: Path) -> None:
    with NanoFile(str(foreign_file)) as file:
        assert {"nJet_pt", "nJet_jetId", "Jet_pt", "event"} <= file.branches
        assert file.n_entries == 6
        events = file.read(["Jet_pt", "event", "Jet_jetId"], 1, 5)
    assert events["Jet"].counts.tolist() == [1, 2, 0, 1]
    assert events["Jet"]["pt"].tolist() == [20, 30, 40, 40]
    assert events["Jet"]["jetId"].dtype == np.uint8
    assert events.scalars["event"].tolist() == [1, 2, 0, 1]


def test_conform_gives_v9_types_and_leaves_strangers(foreign_file: Path) -> None:
    with NanoFile(str(foreign_file)) as file:
        events = conform(file.read(["Jet_jetId", "Jet_pt", "event", "other"], 0, 6), V9)
    assert events["Jet"]["jetId"].dtype == np.int32
    assert events["Jet"]["jetId"].tolist() == [0, 1, 1, 1, 1, 1]
    assert events.scalars["other"].dtype == np.float64


def test_any_range_in_any_order(
    every_branch: Events, every_branch_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_READ_AHEAD", 25)
    whole = every_branch["Jet"]
    with NanoFile(str(every_branch_file)) as file:
        for start, stop in [(0, 10), (10, 20), (20, 70), (70, 75), (3, 4), (80, 500), (90, 95), (50, 50)]:
            part = file.read(["Jet_nConstituents", "event"], start, stop)
            assert part.scalars["event"].tolist() == every_branch.scalars["event"][start:stop].tolist()
            expected = whole.slice(start, min(stop, 90))
            assert part["Jet"].counts.tolist() == expected.counts.tolist()
            assert part["Jet"]["nConstituents"].tolist() == expected["nConstituents"].tolist()
        assert file.read(NAMES, 0, 5).scalars["run"].tolist() == [1] * 5


def test_a_missing_branch_is_named(foreign_file: Path) -> None:
    with NanoFile(str(foreign_file)) as file, pytest.raises(InputError, match=r"foreign\.root.*'genWeight'"):
        file.read(["Jet_pt", "genWeight"], 0, 1)


def test_lengths_that_differ_within_a_collection(tmp_path: Path) -> None:
    path = tmp_path / "odd.root"
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {"Jet_pt": "var * float32", "Jet_eta": "var * float32"})
        tree.extend({"Jet_pt": ak.Array([[1.0], [2.0]]), "Jet_eta": ak.Array([[1.0, 2.0], []])})
    with NanoFile(str(path)) as file, pytest.raises(InputError, match="'Jet_eta' has other lengths"):
        file.read(["Jet_pt", "Jet_eta"], 0, 2)


def test_a_collection_with_an_underscore_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "protons.root"
    jagged = {"Proton_singleRP_xi": [[0.1], [0.2, 0.3]], "Proton_multiRP_t_err": [[1.0, 2.0], []]}
    jagged["Jet_pt"] = [[], [30.0]]
    counts = {"nProton_singleRP": [1, 2], "nProton_multiRP": [2, 0], "nJet": [0, 1]}
    with uproot.recreate(path) as file:
        types = dict.fromkeys(jagged, "var * float32") | dict.fromkeys(counts, "int32")
        file.mktree("Events", types).extend(
            {name: ak.Array(values) for name, values in jagged.items()}
            | {name: np.array(values, np.int32) for name, values in counts.items()}
        )
    with NanoFile(str(path)) as file:
        events = file.read(list(jagged), 0, 2)
    assert events["Proton_singleRP"].counts.tolist() == [1, 2]
    assert events["Proton_multiRP"]["t_err"].tolist() == [1.0, 2.0]
    assert events["Jet"]["pt"].tolist() == [30.0]


def test_a_counter_of_one_branch_makes_no_collection(tmp_path: Path) -> None:
    path = tmp_path / "own.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"Jet_pt": "var * float32", "Jet_pt_raw": "var * float32"}).extend(
            {"Jet_pt": ak.Array([[1.0], []]), "Jet_pt_raw": ak.Array([[2.0], []])}
        )
    with NanoFile(str(path)) as file:
        assert "nJet_pt" in file.branches
        assert file.read(["Jet_pt_raw"], 0, 2)["Jet"]["pt_raw"].tolist() == [2.0]


def test_a_branch_that_was_not_read_is_named(foreign_file: Path) -> None:
    with NanoFile(str(foreign_file)) as file:
        events = file.read(["Jet_pt"], 0, 1)
    for ask, name in (
        (lambda: events["Jet"].select(np.ones(events["Jet"].n_objects, bool))["qgl"], "branch Jet_qgl"),
        (lambda: events["Muon"], "collection Muon"),
        (lambda: events.scalars["PV_z"], "branch PV_z"),
    ):
        with pytest.raises(InputError) as told:
            ask()
        assert str(told.value) == f"the events have no {name}"


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def _without_events(path: Path) -> None:
    with uproot.recreate(path) as file:
        file.mktree("Runs", {"run": "uint32"}).extend({"run": [1]})


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("no, I am a text"), "is no ROOT file"),
        (lambda path: _cut(path, 20), "is truncated"),
        (lambda path: _cut(path, path.stat().st_size // 2), "is truncated"),
        (lambda path: _cut(path, path.stat().st_size - 1), "is truncated"),
        (_without_events, "holds no tree 'Events'"),
        (lambda path: (path.unlink(), path.mkdir()), "it is a folder, no file"),
    ],
)
def test_unusable_files_are_refused_in_one_line(
    damage: Callable[[Path], object], problem: str, foreign_file: Path
) -> None:
    damage(foreign_file)
    with pytest.raises(InputError, match=problem) as caught:
        NanoFile(str(foreign_file))
    assert str(foreign_file) in str(caught.value)
    assert "\n" not in str(caught.value)


def _reading_fails(path: Path) -> bool:
    """Whether reading raises `InputError`; anything else that it raises goes through."""
    try:
        with NanoFile(str(path)) as file:
            file.read([name for name in NAMES if name in file.branches], 0, file.n_entries)
    except InputError:
        return True
    return False


def test_damaged_bytes_never_raise_anything_else(tmp_path: Path, make_events: Make) -> None:
    path = tmp_path / "damaged.root"
    with NanoWriter(path, schema=V9, provenance={}) as writer:
        writer.write(make_events(9, multiplicity={"OtherPV": 3}, scalars=lambda name: False))
    intact = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(40):
        damaged = intact.copy()
        damaged[rng.integers(4, len(damaged), 20)] = rng.integers(0, 256, 20)
        path.write_bytes(damaged.tobytes())
        refused += _reading_fails(path)
    assert refused > 10


def test_unknown_schemes_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    # as where the extra is not installed
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "root", raising=False)
    for name in ("fsspec_xrootd", "fsspec_xrootd.xrootd"):
        monkeypatch.setitem(sys.modules, name, None)
    wanted = (
        r"^root://nowhere\.invalid/a\.root needs another Python package to be read: pip install '.*opendata"
    )
    with pytest.raises(RequestError, match=wanted):
        NanoFile("root://nowhere.invalid/a.root")


def test_all_versions_of_central_files(samples: list[Path]) -> None:
    for path in samples:
        with NanoFile(str(path)) as file:
            names = [name for name in V9.branches if name in file.branches]
            events = conform(file.read(names, 0, file.n_entries), V9)
        assert events.n == file.n_entries > 0
        assert events["GenPart"]["pdgId"].dtype == np.int32
        # gone from version 15 on
        assert "jetId" not in events["Jet"] or events["Jet"]["jetId"].dtype == np.int32
        assert len(events["Jet"]["pt"]) == events["Jet"].n_objects > 0
