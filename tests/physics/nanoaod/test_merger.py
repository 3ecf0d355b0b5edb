"""Merging: nothing lost, by either tool, and clear errors."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uproot

from flashsim_prod.errors import EventsError, NodeError, NoSpaceError, StorageError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod import merger
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.merger import find_hadd, merge_files
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")

Same = Callable[[Events, Events], None]
Make = Callable[..., Events]
SIZES = (120, 30, 55)
FEW = {"GenJet": 3, "GenPart": 10}


def is_met(name: str) -> bool:
    return name.startswith("MET_")


@pytest.fixture
def inputs(tmp_path: Path, make_events: Make) -> list[Path]:
    """Three consecutive files."""
    paths = []
    first = 0
    for job, size in enumerate(SIZES):
        paths.append(tmp_path / f"job_{job}.root")
        with NanoWriter(
            paths[-1], schema=V9, provenance={"job": str(job), "host": "x" * (10 + 300 * job)}
        ) as writer:
            writer.write(make_events(size, oversample=2, first=first, multiplicity=FEW, scalars=is_met))
        first += size
    return paths


def everything(path: Path) -> Events:
    with NanoFile(str(path)) as file:
        return file.read(sorted(file.branches), 0, file.n_entries)


def rows(path: Path, tree: str) -> dict[str, list[object]]:
    with uproot.open(path) as file:
        return {key: column.tolist() for key, column in file[tree].arrays(library="np").items()}


def check_merged(inputs: list[Path], output: Path, assert_same: Same) -> None:
    assert_same(everything(output), Events.concatenate(everything(path) for path in inputs))
    assert check_file(output, events=2 * sum(SIZES), schema=V9).events == 2 * sum(SIZES)
    assert rows(output, "Runs")["genEventCount"] == [2 * size for size in SIZES]
    assert rows(output, "MetaData")["job"] == ["0", "1", "2"]
    assert rows(output, "MetaData")["host"] == ["x" * 10, "x" * 310, "x" * 610]
    lumis = [lumi for path in inputs for lumi in rows(path, "LuminosityBlocks")["luminosityBlock"]]
    assert rows(output, "LuminosityBlocks")["luminosityBlock"] == lumis
    with uproot.open(inputs[0]) as one, uproot.open(output) as other:
        for tree in ("Events", "Runs"):
            assert {b.name: b.title for b in one[tree].branches} == {
                b.name: b.title for b in other[tree].branches
            }
    assert sorted(path.name for path in output.parent.iterdir()) == sorted(p.name for p in [*inputs, output])


def test_hadd_and_uproot_give_the_same_events(
    inputs: list[Path], tmp_path: Path, hadd: Path, assert_same: Same
) -> None:
    for tool in ("hadd", "uproot"):
        output = tmp_path / "merged.root"
        assert merge_files(inputs, output, tool=tool, schema=V9) == tool
        check_merged(inputs, output, assert_same)
        again = tmp_path / "again.root"
        time.sleep(1.1)  # times in ROOT files count seconds
        merge_files(inputs, again, tool=tool, schema=V9)
        assert again.read_bytes() == output.read_bytes()
        again.unlink()
        output.unlink()


def test_hadd_does_not_complain_about_our_files(inputs: list[Path], tmp_path: Path, hadd: Path) -> None:
    done = subprocess.run(
        [hadd, "-v", "0", "-ff", tmp_path / "out.root", *inputs], capture_output=True, text=True, check=True
    )
    assert not [line for line in done.stderr.splitlines() if "Warning" in line or "Error" in line]


def test_without_hadd_uproot_does_it(
    inputs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_same: Same
) -> None:
    monkeypatch.setattr(merger, "find_hadd", lambda: None)
    assert merge_files(inputs, tmp_path / "merged.root", schema=V9) == "uproot"
    check_merged(inputs, tmp_path / "merged.root", assert_same)
    with pytest.raises(NodeError, match="no hadd"):
        merge_files(inputs, tmp_path / "merged.root", tool="hadd", schema=V9)


def test_the_order_of_inputs_is_kept(inputs: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "merged.root"
    merge_files(inputs[::-1], output, tool="uproot", schema=V9)
    expected = np.concatenate([everything(path).scalars["event"] for path in inputs[::-1]])
    np.testing.assert_array_equal(everything(output).scalars["event"], expected)


@pytest.mark.parametrize("tool", ["uproot", None])
def test_a_broken_or_missing_input_is_named(tool: str | None, inputs: list[Path], tmp_path: Path) -> None:
    inputs[1].write_bytes(inputs[1].read_bytes()[:-100])
    with pytest.raises(StorageError, match=r"cannot merge: .*job_1\.root is truncated"):
        merge_files(inputs, tmp_path / "merged.root", tool=tool, schema=V9)
    with pytest.raises(StorageError, match=r"cannot merge: .*no\.root does not exist"):
        merge_files([inputs[0], tmp_path / "no.root"], tmp_path / "merged.root", tool=tool, schema=V9)
    assert not (tmp_path / "merged.root").exists()


def test_other_branches_cannot_be_merged(inputs: list[Path], tmp_path: Path, make_events: Make) -> None:
    with NanoWriter(inputs[2], schema=V9, provenance={}) as writer:
        writer.write(make_events(5, multiplicity={**FEW, "Muon": 2}, scalars=is_met))
    with pytest.raises(StorageError, match=r"job_2\.root cannot be merged with .*job_0\.root.*'Muon_"):
        merge_files(inputs, tmp_path / "merged.root", schema=V9)


@pytest.fixture
def fake_hadd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script in hadd's place."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(script: str) -> None:
        (folder / "hadd").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "hadd").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")

    return install


@pytest.mark.parametrize(
    ("script", "error", "problem"),
    [
        ("echo 'SysError: No space left on device' >&2; exit 1", NoSpaceError, "no space left"),
        ("echo 'Error in <hadd>: luck' >&2; exit 3", StorageError, "exit code 3: Error in <hadd>: luck"),
        ("kill -9 $$", NodeError, "killed by signal 9"),
        (
            'shift 3; out=$1; cp "$2" "$out"',
            StorageError,
            "gave 240 events where the inputs hold 410",
        ),
        ("exit 0", StorageError, r"merged\.root does not exist"),
    ],
)
def test_failures_of_hadd(
    script: str,
    error: type[Exception],
    problem: str,
    inputs: list[Path],
    tmp_path: Path,
    fake_hadd: Callable[[str], None],
) -> None:
    fake_hadd(script)
    assert find_hadd() == tmp_path / "bin" / "hadd"
    with pytest.raises(error, match=problem):
        merge_files(inputs, tmp_path / "merged.root", schema=V9)
    assert {path.name for path in tmp_path.iterdir()} == {"bin", *(path.name for path in inputs)}


def test_too_little_space_is_seen_before(
    inputs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = merger.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(merger.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(NoSpaceError, match=r"needs [0-9]+ MB, but only 0 MB are left"):
        merge_files(inputs, tmp_path / "merged.root", schema=V9)


@pytest.mark.parametrize("full", [0, 1, 2])
def test_files_without_events_are_merged(tmp_path: Path, make_events: Make, full: int) -> None:
    events = make_events(6, multiplicity=FEW, scalars=is_met)
    paths = [tmp_path / f"job_{number}.root" for number in range(2)]
    for number, path in enumerate(paths):
        with NanoWriter(path, schema=V9, provenance={"job": str(number)}) as writer:
            if number < full:
                writer.write(events.slice(3 * number, 3 * number + 3))
            # of no consequence where there are events
            writer.describe(events.slice(0, 1))
        check_file(path, schema=V9, may_be_empty=True)
        if number >= full:
            with pytest.raises(EventsError, match="holds no events"):
                check_file(path, schema=V9)
    assert merge_files(paths, tmp_path / "all.root", schema=V9, tool="uproot") == "uproot"
    found = check_file(tmp_path / "all.root", schema=V9, events=3 * full, may_be_empty=True)
    assert (found.events, len(found.lumis) > 0) == (3 * full, full > 0)
    assert rows(tmp_path / "all.root", "Runs")["genEventCount"] == [3 * (full > 0), 3 * (full > 1)]
