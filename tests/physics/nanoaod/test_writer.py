"""What is written is what is read back, in the same bytes each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashsim_prod.errors import EventsError, NoSpaceError, StorageError
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod import trees
from flashsim_prod.physics.nanoaod.precision import as_stored
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")

Same = Callable[[Events, Events], None]
Make = Callable[..., Events]


def write(path: Path, *batches: Events, provenance: dict[str, str] | None = None) -> Path:
    with NanoWriter(path, schema=V9, provenance=provenance or {}) as writer:
        for batch in batches:
            writer.write(batch)
    return path


def read(path: Path, events: Events) -> Events:
    """The branches that `events` has, from the file."""
    names = [*events.scalars]
    names += [f"{name}_{key}" for name, one in events.collections.items() for key in one.columns]
    with NanoFile(str(path)) as file:
        return file.read(names, 0, file.n_entries)


def no_scalars(name: str) -> bool:
    return False


def stored(events: Events) -> Events:
    """`events` as they are after rounding."""
    return Events(
        events.n,
        {name: as_stored(V9.branch(name), column) for name, column in events.scalars.items()},
        {
            name: Collection(
                one.counts, {key: as_stored(V9.branch(f"{name}_{key}"), c) for key, c in one.columns.items()}
            )
            for name, one in events.collections.items()
        },
    )


def test_every_branch_comes_back(every_branch: Events, every_branch_file: Path, assert_same: Same) -> None:
    assert_same(read(every_branch_file, every_branch), stored(every_branch))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    jets=st.lists(
        st.lists(st.tuples(st.floats(width=32), st.integers(0, 255)), max_size=4), min_size=1, max_size=12
    )
)
def test_any_jagged_shape_comes_back(
    jets: list[list[tuple[float, int]]], tmp_path: Path, make_events: Make, assert_same: Same
) -> None:
    flat = [jet for event in jets for jet in event]
    columns = {
        "pt": np.array([pt for pt, _ in flat], np.float32),
        "nConstituents": np.array([number for _, number in flat], np.uint8),
    }
    jet = Collection(np.array([len(event) for event in jets]), columns)
    events = make_events(len(jets), multiplicity={}, scalars=no_scalars).with_collections({"Jet": jet})
    assert_same(read(write(tmp_path / "a.root", events), events), stored(events))


@pytest.fixture
def small_baskets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "EVENTS_PER_BASKET", 20)


@pytest.mark.usefixtures("small_baskets")
@pytest.mark.parametrize("size", [1, 7, 20, 33, 100])
def test_bytes_do_not_depend_on_batches_name_or_time(
    size: int, tmp_path: Path, make_events: Make, assert_same: Same
) -> None:
    events = make_events(50, oversample=2, multiplicity={"GenPart": 80, "SV": 0.3}, scalars=no_scalars)
    whole = write(tmp_path / "whole.root", events, provenance={"a": "b"})
    time.sleep(1.1)  # times in ROOT files count seconds
    cut = [events.slice(start, start + size) for start in range(0, events.n, size)]
    pieces = write(tmp_path / "another_name.root", *cut, provenance={"a": "b"})
    assert pieces.read_bytes() == whole.read_bytes()
    assert_same(read(pieces, events), stored(events))
    with uproot.open(pieces) as file:
        assert file["Events/GenPart_pt"].num_baskets == 5


def test_other_events_or_provenance_give_another_uuid(tmp_path: Path, make_events: Make) -> None:
    identifiers = set()
    for first, job in [(0, "x"), (10, "x"), (0, "y")]:
        path = write(
            tmp_path / "a.root", make_events(9, first=first, scalars=no_scalars), provenance={"job": job}
        )
        with NanoFile(str(path)) as file:
            identifiers.add(file.identifier)
    assert len(identifiers) == 3


def test_summary_trees(tmp_path: Path, make_events: Make) -> None:
    events = make_events(250, oversample=2, multiplicity={}, scalars=no_scalars)
    run = np.repeat(np.uint32([3, 7]), events.n // 2)
    weight = np.arange(events.n, dtype=np.float32)
    events = events.with_scalars({"run": run, "genWeight": weight})
    path = write(tmp_path / "a.root", events, provenance={"software": "x" * 300, "seed": "12"})
    with uproot.open(path) as file:
        runs = file["Runs"].arrays(library="np")
        lumis = file["LuminosityBlocks"].arrays(library="np")
        assert file["MetaData"].arrays(library="np")["software"].tolist() == ["x" * 300]
        assert file["Runs/genEventSumw"].title == "sum of genWeight over all events, every fold counted"
    assert runs["run"].tolist() == [3, 7]
    assert runs["run"].dtype == np.uint32
    assert runs["genEventCount"].tolist() == [250, 250]
    assert runs["genEventSumw"].tolist() == [weight[:250].sum(dtype=float), weight[250:].sum(dtype=float)]
    assert runs["genEventSumw2"].sum() == (weight.astype(float) ** 2).sum()
    pairs = list(zip(lumis["run"].tolist(), lumis["luminosityBlock"].tolist(), strict=True))
    assert pairs == [(3, 1), (3, 2), (7, 2), (7, 3)]


def test_branches_and_counters_have_titles_and_types(every_branch_file: Path) -> None:
    with uproot.open(every_branch_file) as file:
        tree = file["Events"]
        for name, one in V9.branches.items():
            assert tree[name].title == one.title
        for name, title in V9.collections.items():
            assert tree[f"n{name}"].title == title
            assert tree[f"n{name}"].typename == "uint32_t"
        counters = {branch.count_branch.name for branch in tree.branches if branch.count_branch is not None}
        assert counters == {f"n{name}" for name in V9.collections}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda e: e.with_scalars({"MET_ptt": e.scalars["MET_pt"]}), "'MET_ptt' is no branch"),
        (lambda e: e.with_scalars({"Jet_pt": e.scalars["MET_pt"]}), "'Jet_pt' belongs to a collection"),
        (lambda e: e.with_collections({"Jot": e["Jet"]}), "'Jot_.*' is no branch"),
        (lambda e: e.with_collections({"Jet": e["Jet"].with_columns(x=e["Jet"]["pt"])}), "'Jet_x' is no"),
        (lambda e: e.with_collections({"PV": e["OtherPV"]}), "'PV_z' has one value per event"),
        (lambda e: e.with_collections({"Muon": Collection(e["Jet"].counts)}), "Muon has no attributes"),
        (lambda e: Events(e.n, {k: v for k, v in e.scalars.items() if k != "genWeight"}), "lack 'genWeight'"),
    ],
)  # fmt: skip
def test_wrong_branches_are_refused_and_leave_no_file(
    change: Callable[[Events], Events], problem: str, tmp_path: Path, make_events: Make
) -> None:
    with pytest.raises(EventsError, match=problem):
        write(tmp_path / "a.root", change(make_events(3)))
    assert not list(tmp_path.iterdir())


def test_all_batches_must_have_the_same_branches(tmp_path: Path, make_events: Make) -> None:
    events = make_events(3)
    without = Events(
        events.n, events.scalars, {name: one for name, one in events.collections.items() if name != "Jet"}
    )
    with pytest.raises(EventsError, match="'Jet' has not the same branches"):
        write(tmp_path / "a.root", events, without)
    assert not list(tmp_path.iterdir())


def test_no_events_make_no_file(tmp_path: Path, make_events: Make) -> None:
    with pytest.raises(EventsError, match="no events to write"):
        write(tmp_path / "a.root", make_events(3).slice(0, 0))
    assert not list(tmp_path.iterdir())


def test_an_exception_leaves_no_file(tmp_path: Path, make_events: Make) -> None:
    def write_and_stop() -> None:
        with NanoWriter(tmp_path / "a.root", schema=V9, provenance={}) as writer:
            writer.write(make_events(3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_and_a_missing_folder_are_told_apart(tmp_path: Path, make_events: Make) -> None:
    full = tmp_path / "full.root"
    full.symlink_to("/dev/full")
    with pytest.raises(NoSpaceError, match=r"writing .*full\.root: No space left on device"):
        write(full, make_events(3))
    with pytest.raises(StorageError, match=r"writing .*a\.root: No such file"):
        write(tmp_path / "missing" / "a.root", make_events(3))
