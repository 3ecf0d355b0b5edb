"""Datasets checked file by file and as a whole, found by any of their names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flashsim_prod.errors import EventsError, RequestError
from flashsim_prod.grid.catalog.base import FileEntry, Replica
from flashsim_prod.grid.storage.checksums import file_checksums
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.production.dataset.checks import check_dataset, error_of
from flashsim_prod.production.dataset.files import DatasetFiles, find_files
from flashsim_prod.production.home import Home

V9 = Schema.load("v9")


def write(path: Path, first: int, n_gen: int = 10, *, met: float = 20.0) -> Path:
    """A file of generator events [first, first + n_gen), each twice."""
    n = 2 * n_gen
    gen = np.repeat(np.arange(first, first + n_gen), 2)
    scalars = {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": np.ones(n, np.uint32),
        "event": (np.arange(n) + 2 * first + 1).astype(np.uint64),
        "genWeight": np.ones(n, np.float32),
        "MET_pt": np.where(np.arange(n) == 6, met, 20.0).astype(np.float32),
        "FlashSim_genEvent": gen.astype(np.uint64),
        "FlashSim_fold": np.tile(np.arange(2, dtype=np.int32), n_gen),
        "FlashSim_oversample": np.full(n, 2, np.int32),
    }
    jets = Collection(np.ones(n, dtype=np.int64), {"pt": np.full(n, 30, np.float32)})
    with NanoWriter(path, schema=V9, provenance={}) as writer:
        writer.write(Events(n, scalars, {"Jet": jets}))
    return path


def entry(path: Path, *, events: int = 20) -> FileEntry:
    """What a catalogue would know of a file."""
    sums = file_checksums(path)
    replica = Replica("LOCAL", str(path))
    return FileEntry(f"/store/{path.name}", "block", sums.bytes, events, sums.adler32, "", (), (replica,))


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{first}.root", first) for first in (0, 10)]


def test_a_good_dataset(two):
    found = DatasetFiles("a dataset", tuple(map(str, two)), tuple(map(entry, two)))
    checked = check_dataset(found)
    assert checked.all_problems == []
    assert error_of(checked) is None
    assert [(one.events, one.gen_events) for one in checked.files] == [(20, 10), (20, 10)]


def test_a_failure_names_file_event_and_branch_and_the_rest_is_checked(two, tmp_path):
    bad = write(tmp_path / "bad.root", 20, met=np.nan)
    checked = check_dataset(DatasetFiles("3 files", (str(bad), *map(str, two))))
    (problem,) = checked.all_problems
    assert problem == f"{bad}, event 1:1:47 (entry 6): MET_pt = nan is not finite"
    assert [one.problem is None for one in checked.files] == [False, True, True]
    with pytest.raises(EventsError, match="MET_pt = nan"):
        raise error_of(checked)


def test_files_that_overlap_are_found(two, tmp_path):
    again = write(tmp_path / "again.root", 15)
    checked = check_dataset(DatasetFiles("3 files", (*map(str, two), str(again))))
    assert len(checked.problems) == 2
    assert "again.root begins at event 31, but" in checked.problems[0]
    assert "begins at FlashSim_genEvent 15, but" in checked.problems[1]


def test_what_the_catalogue_says_must_be_true(two):
    first, second = map(entry, two)
    altered = FileEntry(**{**vars(second), "adler32": "00000000"})
    wrong = FileEntry(**{**vars(first), "events": 21})
    checked = check_dataset(DatasetFiles("a dataset", tuple(map(str, two)), (wrong, altered)))
    problems = checked.all_problems
    assert "holds 20 events, expected 21" in problems[0]
    assert "the catalogue says" in problems[1]
    assert "(and 1 more)" in str(error_of(checked))


def test_names(home: Home, two):
    assert find_files(home, [str(two[0])]).urls == (str(two[0]),)
    assert find_files(home, [str(one) for one in two]).name == "2 files"
    with pytest.raises(RequestError, match="no request 'nothing'"):
        find_files(home, ["nothing"])
    with pytest.raises(RequestError, match="the catalogue has no dataset /TT_x/RunA-x-v1/NANOAODSIM"):
        find_files(home, ["/TT_x/RunA-x-v1/NANOAODSIM"])


@pytest.mark.parametrize("is_vetoed", [False, True])
def test_a_request_and_its_extension_are_counted_together(two: list[Path], is_vetoed: bool) -> None:
    one: Any = SimpleNamespace(
        events=20,
        gen_events=10,
        oversample=2,
        is_vetoed=is_vetoed,
        is_thinned=is_vetoed,
        nano="v9",
        analysis=None,
    )
    found = DatasetFiles("both", tuple(map(str, two)), tuple(map(entry, two)), one, (one,))
    assert check_dataset(found).all_problems == []
    # where none may be thrown away three were to have more, where some may be, one had no more
    problems = check_dataset(replace(found, more=() if is_vetoed else (one, one))).problems
    says = "10 were tried, each 2 times" if is_vetoed else "the requests asked for 60 of 30"
    assert [says in problem for problem in problems] == [True]


def test_a_file_of_an_extension_may_be_empty_where_the_shower_throws_events_away(
    two: list[Path], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.root"
    with NanoFile(str(two[0])) as file, NanoWriter(empty, schema=V9, provenance={}) as writer:
        writer.describe(file.read(sorted(file.branches & V9.branches.keys()), 0, 2))
    one, other = (
        SimpleNamespace(
            events=20, gen_events=10, oversample=2, is_vetoed=kind, is_thinned=kind, nano="v9", analysis=None
        )
        for kind in (0, 1)
    )
    known = (entry(two[0]), entry(empty, events=0))
    found: Any = DatasetFiles("both", (str(two[0]), str(empty)), known, one, (other,))  # type: ignore[arg-type]
    assert check_dataset(found).all_problems == []
    (problem,) = check_dataset(replace(found, more=())).all_problems
    assert "empty.root holds no events" in problem
