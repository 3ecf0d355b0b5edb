"""Digests of values: the same however a file is written, another with any bit of any value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.content import ContentDigest, different_branches, different_parts
from flashsim_prod.physics.nanoaod.merger import merge_files
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")
FEW = {"GenJet": 3, "GenPart": 10}

Make = Callable[..., Events]


def _write(path: Path, events: Events, compression: str = "zstd-5") -> Path:
    with NanoWriter(path, schema=V9, provenance={"a": path.name}, compression=compression) as writer:
        writer.write(events)
    return path


@pytest.fixture
def events(make_events: Make) -> Events:
    return make_events(40, oversample=2, multiplicity=FEW, scalars=lambda name: name.startswith("MET_"))


def _content(path: Path) -> dict[str, str]:
    return dict(check_file(path, schema=V9).content)


def test_another_way_of_writing_is_the_same(events: Events, tmp_path: Path) -> None:
    one = _write(tmp_path / "one.root", events)
    other = _write(tmp_path / "other.root", events, "zlib-1")
    assert one.read_bytes() != other.read_bytes()
    assert _content(one) == _content(other)
    assert {"GenJet", "GenPart", "MET", "event", "FlashSim"} <= _content(one).keys()
    assert different_branches(str(one), str(other)) == []


def test_joined_files_are_as_one(make_events: Make, tmp_path: Path, hadd: Path) -> None:
    parts = [
        _write(tmp_path / f"{first}.root", make_events(20, first=first, multiplicity=FEW, scalars=_is_met))
        for first in (0, 20)
    ]
    found = []
    for tool in ("hadd", "uproot"):
        merge_files(parts, tmp_path / f"{tool}.root", schema=V9, tool=tool)  # type: ignore[arg-type]
        found.append(_content(tmp_path / f"{tool}.root"))
    assert found[0] == found[1]
    assert different_branches(str(parts[1]), str(tmp_path / "hadd.root"), 20) == []
    assert "GenJet_pt" in different_branches(str(parts[1]), str(tmp_path / "hadd.root"), 10)
    assert different_branches(str(parts[1]), str(tmp_path / "hadd.root"), 21) == ["event"]


def _is_met(name: str) -> bool:
    return name.startswith("MET_")


def test_one_bit_is_another_content(events: Events, tmp_path: Path) -> None:
    pt = events["GenJet"]["pt"].copy()
    pt[7] *= np.float32(1.25)
    changed = events.with_collections({"GenJet": events["GenJet"].with_columns(pt=pt)})
    one, other = _write(tmp_path / "one.root", events), _write(tmp_path / "other.root", changed)
    assert different_parts(_content(one), _content(other)) == ["GenJet"]
    assert different_branches(str(one), str(other)) == ["GenJet_pt"]


def test_objects_that_moved_between_events_are_another_content() -> None:
    """The same values end to end, the first object in another event."""
    values = {"pt": np.float32([1, 2, 3])}

    def content(*counts: int) -> dict[str, str]:
        digest = ContentDigest()
        digest.add(Events(2, {"event": np.uint64([1, 2])}, {"Jet": Collection(np.int64(counts), values)}))
        return digest.result()

    assert different_parts(content(1, 2), content(2, 1)) == ["Jet"]


def test_stretches_do_not_matter(events: Events) -> None:
    whole, cut = ContentDigest(), ContentDigest()
    whole.add(events)
    for start in range(0, events.n, 7):
        cut.add(events.slice(start, start + 7))
    assert whole.result() == cut.result()


def test_signs_of_zero_count_and_a_branch_too_few_counts(events: Events, tmp_path: Path) -> None:
    zero = {"MET_pt": np.zeros(events.n, np.float32)}
    minus = {"MET_pt": -np.zeros(events.n, np.float32)}
    one = _write(tmp_path / "one.root", events.with_scalars(zero))
    other = _write(tmp_path / "other.root", events.with_scalars(minus))
    assert different_branches(str(one), str(other)) == ["MET_pt"]
    fewer = replace(events, scalars={k: v for k, v in events.scalars.items() if k != "MET_pt"})
    assert different_branches(str(one), str(_write(tmp_path / "fewer.root", fewer))) == ["MET_pt"]


def test_what_cannot_be_read_is_told(events: Events, tmp_path: Path) -> None:
    one = _write(tmp_path / "one.root", events)
    with pytest.raises(InputError, match="nowhere"):
        different_branches(str(one), str(tmp_path / "nowhere.root"))
