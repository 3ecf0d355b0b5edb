"""What a source says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.core.sources.nano import NanoFiles
from flashsim_prod.core.sources.pythia import PythiaEvents
from flashsim_prod.production.order.library import find_card


def _files(*sizes: int) -> NanoFiles:
    return NanoFiles(files=tuple(InputFile(url=f"/{n}.root", entries=size) for n, size in enumerate(sizes)))


def test_a_generator_has_no_end_and_no_files() -> None:
    source, card = PythiaEvents(), find_card("ttbar")
    assert (source.available, source.parents, list(source.files_of(0, 10))) == (None, (), [])
    assert (source.stage, source.generator(card)) == ("generate", "Pythia8, tune CP5")
    assert source.headline(13.6) == "Pythia8 at 13.6 TeV"
    assert source.repeated_for(1000) == source
    with pytest.raises(ValidationError):
        PythiaEvents(files=_files(3).files)


def test_files_have_an_end_and_are_read() -> None:
    source, card = _files(30, 12), find_card("ttbar")
    assert (source.available, source.stage, source.runs_generator) == (42, "read", False)
    assert source.generator(card) == "existing files"
    assert source.summary(card) == "2 files, the first /0.root"
    assert (source.headline(13), _files(1).headline(13)) == ("2 input files", "1 input file")
    assert [file.url for file in source.repeated_for(43).files] == ["/0.root", "/1.root"] * 2


def test_what_is_sent_and_what_it_came_from() -> None:
    files = (
        InputFile(url="root://there//a.root", entries=1, dataset="/A/B-v1/NANOAODSIM"),
        InputFile(url="/b.root", entries=1, dataset="/A/B-v1/NANOAODSIM"),
        InputFile(url="/c.root", entries=1),
    )
    source = NanoFiles(files=files)
    assert [file.url for file in source.sent] == ["/b.root", "/c.root"]
    assert source.parents == ("/A/B-v1/NANOAODSIM",)


@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    first=st.integers(0, 130),
    number=st.integers(1, 130),
)
def test_the_files_of_some_events_are_those_that_hold_them(sizes: list[int], first: int, number: int) -> None:
    of_event = [f"/{n}.root" for n, size in enumerate(sizes) for _ in range(size)]
    expected = list(dict.fromkeys(of_event[first : first + number]))
    assert [file.url for file in _files(*sizes).files_of(first, number)] == expected


def test_the_first_file_is_opened_by_every_job_whose_events_it_does_not_hold() -> None:
    source = _files(3, 3, 3)
    assert [file.url for file in source.opened_for(6, 2)] == ["/0.root", "/2.root"]
    assert [file.url for file in source.opened_for(2, 2)] == ["/0.root", "/1.root"]
    assert PythiaEvents().opened_for(0, 10) == ()
