"""Values that are checked while they are written, and a closed file that must hold them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uproot

from flashsim_prod.errors import EventsError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod import trees
from flashsim_prod.physics.nanoaod.checking.values import FOLDS, NUMBERS
from flashsim_prod.physics.nanoaod.checking.written import Written
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")


@pytest.fixture(autouse=True)
def small_baskets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "EVENTS_PER_BASKET", 40)


@pytest.fixture(scope="module")
def few(every_branch: Events) -> Events:
    """The same events with few branches, of one and of several values."""
    numbers = {*NUMBERS, *FOLDS, "genWeight", "MET_pt", "MET_phi"}
    scalars = {name: every_branch.scalars[name] for name in numbers}
    kept = {"Jet": ("pt", "eta"), "Muon": ("pt", "isGlobal")}
    return Events(90, scalars, {name: every_branch[name].only(keys) for name, keys in kept.items()})


def _write(path: Path, events: Events, look: Callable[[Events], None] | None) -> bytes:
    with NanoWriter(path, schema=V9, provenance={"software": "flashsim-prod"}, look=look) as writer:
        for start in (0, 25):
            writer.write(events.slice(start, events.n if start else 25))
    return path.read_bytes()


def _checked(path: Path, written: Written | None) -> int:
    return check_file(path, schema=V9, digests=False, written=written, name="/store/a.root").events


def test_what_was_written_is_there(every_branch: Events, tmp_path: Path) -> None:
    """All types of branches: three baskets of each, the last one short."""
    written = Written(V9, "/store/a.root")
    looked_at = _write(tmp_path / "a.root", every_branch, written)
    assert looked_at == _write(tmp_path / "b.root", every_branch, None)
    assert _checked(tmp_path / "a.root", written) == every_branch.n == 90


@pytest.mark.parametrize("at", [0, 50, 89])
def test_a_wrong_value_is_told_in_the_same_words(few: Events, tmp_path: Path, at: int) -> None:
    met = few.scalars["MET_pt"].copy()
    met[at] = np.nan
    bad = few.with_scalars({"MET_pt": met})
    _write(tmp_path / "a.root", bad, None)
    with pytest.raises(EventsError) as told_of_file:
        _checked(tmp_path / "a.root", None)
    with pytest.raises(EventsError) as told:
        _write(tmp_path / "b.root", bad, Written(V9, "/store/a.root"))
    assert str(told.value) == str(told_of_file.value)
    assert f"(entry {at}): MET_pt = nan is not finite" in str(told.value)
    assert not (tmp_path / "b.root").exists()


@pytest.mark.parametrize("branch", ["Jet_pt", "nJet", "MET_phi", "Muon_isGlobal"])
@pytest.mark.parametrize("basket", [0, 2])
def test_other_values_in_the_file_are_found(few: Events, tmp_path: Path, branch: str, basket: int) -> None:
    """One value is another one, in a file that reads without complaint."""
    written = Written(V9, "/store/a.root")
    for name, look in (("a.root", written), ("b.root", None)):
        events = few
        if name == "b.root":
            at = 40 * basket
            if branch == "MET_phi":
                changed = events.scalars[branch].copy()
                changed[at] += 1
                events = events.with_scalars({branch: changed})
            else:
                collection = branch.lstrip("n").split("_")[0]
                one = events[collection]
                if branch.startswith("n"):
                    kept = np.arange(one.n_objects) != int(np.argmax(one.event_index >= at))
                    one = one.select(kept)
                else:
                    key = branch.split("_")[1]
                    values = one[key].copy()
                    first = int(np.argmax(one.event_index >= at))
                    values[first] = not values[first] if values.dtype == bool else values[first] + 1
                    one = one.with_columns(**{key: values})
                events = events.with_collections({collection: one})
        _write(tmp_path / name, events, look)
    assert _checked(tmp_path / "a.root", written) == 90
    with pytest.raises(EventsError, match=rf"\(entry {40 * basket}\): has other values of \w+ than were"):
        _checked(tmp_path / "b.root", written)


def test_a_basket_that_does_not_decompress_is_found(few: Events, tmp_path: Path) -> None:
    written, path = Written(V9, "/store/a.root"), tmp_path / "a.root"
    _write(path, few, written)
    with uproot.open(path) as file:
        branch = file["Events"]["Jet_eta"]
        middle = int(branch.member("fBasketSeek")[1]) + int(branch.member("fBasketBytes")[1]) // 2
    data = bytearray(path.read_bytes())
    data[middle] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(EventsError, match=r"a\.root"):
        _checked(path, written)


@pytest.mark.parametrize("branch", ["Jet_eta", "MET_pt"])
def test_a_basket_whose_key_says_something_else_is_found(few: Events, tmp_path: Path, branch: str) -> None:
    """Its lengths: of all, of its values, of the key, and where the values end."""
    written, path = Written(V9, "/store/a.root"), tmp_path / "a.root"
    good = _write(path, few, written)
    with uproot.open(path) as file:
        basket = file["Events"][branch].basket(1)
        start, key = int(file["Events"][branch].member("fBasketSeek")[1]), int(basket.member("fKeylen"))
    for place in (3, 9, 15, key - 2):
        data = bytearray(good)
        data[start + place] ^= 1
        path.write_bytes(data)
        with pytest.raises(EventsError, match=r"a\.root"):
            _checked(path, written)


def test_baskets_and_branches_are_those_that_were_written(few: Events, tmp_path: Path) -> None:
    written = Written(V9, "/store/a.root")
    fewer = Events(90, few.scalars, {"Jet": few["Jet"]})
    _write(tmp_path / "a.root", few, written)
    _write(tmp_path / "fewer.root", fewer, None)
    with pytest.raises(EventsError, match="other branches than were written"):
        _checked(tmp_path / "fewer.root", written)
    _write(tmp_path / "short.root", few.slice(0, 78), None)
    with pytest.raises(EventsError, match=r"has 2 baskets of .* 3 were written"):
        _checked(tmp_path / "short.root", written)
