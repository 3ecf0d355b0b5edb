"""Particles that compiled code reads are those that HepMC's library reads; what is odd it leaves to it."""

from __future__ import annotations

import dataclasses
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyhepmc
import pytest

from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.hepmc import events, tables
from flashsim_prod.physics.generator.hepmc.file import event_texts, read_head
from flashsim_prod.physics.generator.hepmc.kind import HepmcKind
from flashsim_prod.physics.generator.hepmc.record import Record, read_records
from flashsim_prod.physics.generator.pythia import set_up

Told = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def generated(
    card: Callable[[str], Any], hepmc: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Events of Pythia8."""
    pythia = set_up(card("ttbar"), ("Beams:eCM = 13000", "Random:setSeed = on", "Random:seed = 8"))
    pythia.init()
    info, made = hepmc.run_info(["Default", "up"]), []
    for number in range(4):
        assert pythia.next()
        made.append(hepmc.of_pythia(pythia.event, number, info, (0.5, -1e-3)))
    return Path(hepmc.write_hepmc(tmp_path_factory.mktemp("tables") / "a.hepmc", made))


@pytest.fixture
def pair(hepmc: ModuleType, tmp_path: Path) -> Path:
    """Two small events with a cross section, densities and notes of particles."""
    made = []
    for number in range(2):
        event = hepmc.by_hand(hepmc.muon_pair(20.0 + number), number, cross_section=(3.0, 0.5))
        event.pdf_info = pyhepmc.GenPdfInfo()
        event.pdf_info.x1, event.pdf_info.x2 = 0.25, 0.5
        event.attributes["signal_process_vertex"] = -2
        event.particles[2].attributes["flow1"] = 501
        made.append(event)
    return Path(hepmc.write_hepmc(tmp_path / "a.hepmc", made))


def _read(path: Path, change: Told, *, is_compiled: bool) -> list[Record] | str:
    texts = [change(text) for text in event_texts(str(path))]
    where = [f"event {place}" for place in range(len(texts))]
    try:
        return list(read_records(read_head(str(path)), texts, where, is_compiled=is_compiled))
    except InputError as error:
        return str(error)


def _check_alike(path: Path, change: Told = bytes) -> None:
    ours, theirs = (_read(path, change, is_compiled=one) for one in (True, False))
    if isinstance(theirs, str) or isinstance(ours, str):
        assert ours == theirs
        return
    for one, other in zip(ours, theirs, strict=True):
        for field in dataclasses.fields(one.table):
            mine, its = getattr(one.table, field.name), getattr(other.table, field.name)
            # to the last bit, zeros with their sign
            np.testing.assert_array_equal(mine, its, err_msg=field.name)
            if field.name == "momenta":
                assert mine.tobytes() == its.tobytes()
        assert dataclasses.replace(one, table=other.table) == other


def _n_split(path: Path, change: Told = bytes) -> int:
    return sum(tables.split(change(text)) is not None for text in event_texts(str(path)))


def test_generated_events_are_read_as_the_library_reads_them(generated: Path) -> None:
    assert _n_split(generated) == 4
    _check_alike(generated)


def test_a_mother_that_comes_after_its_daughter_is_no_reason_to_leave_an_event(pair: Path) -> None:
    """Writers put it so where the record runs in a circle, as in one of thirty of Pythia8's top pairs."""

    def circle(text: bytes) -> bytes:
        # the quark begins where a neutron ends that comes later
        return text.replace(b"\nP 3 1 1 ", b"\nP 3 8 1 ")

    assert _n_split(pair, circle) == 2
    _check_alike(pair, circle)
    for record in _read(pair, circle, is_compiled=True):
        assert isinstance(record, Record)
        assert (record.table.produced_at >= 0).tolist() == [False] * 3 + [True] * 6


def test_units_notes_and_what_else_is_told_of_an_event_stay(pair: Path) -> None:
    for change in (bytes, lambda text: text.replace(b"U GEV MM", b"U MEV CM")):
        assert _n_split(pair, change) == 2
        _check_alike(pair, change)
    (record, _) = read_records(read_head(str(pair)), list(event_texts(str(pair))), ["", ""], is_compiled=True)
    assert (record.signal_vertex, record.cross_section_pb, record.pdf[2:4]) == (-2, 3.0, (0.25, 0.5))


#: what a writer of HepMC 3 may write for one number, and what it never does
_NUMBERS = (
    "0", "-0", "0.0e+00", "-0.0000000000000000e+00", "1", "-1.5", "1e3", "1E-3", "1.e+2",
    "6500.000000000001", "9007199254740993", "9.0071992547409930e+15", "4.9999999999999994e-01",
    "1.7976931348623157e+308", "2.2250738585072014e-308", "5e-324", "1e-400", "1e999",
    "0.1000000000000000055511151231257827021181583404541", "12345678901234567890123", "00001.5",
    ".5", "5.", "+1.5", "0x1p3", "nan", "-inf", "1e", "1e+", "e5", "", "-",
    "1.2.3", "1,5", "1_0", " 1", "1\t", "1d3",
)  # fmt: skip


@pytest.mark.parametrize("number", _NUMBERS)
def test_a_number_is_what_the_library_takes_it_for_or_left_to_it(number: str, pair: Path) -> None:
    _check_alike(pair, lambda text: text.replace(b"2.0000000000000000e+01", number.encode()))


def test_doubles_are_the_nearest_to_the_last_bit() -> None:
    rng = np.random.default_rng(5)
    values = np.concatenate(
        [
            rng.normal(size=4000) * 10.0 ** rng.integers(-30, 15, 4000),
            rng.normal(size=1000).round(3),
            2.0 ** np.arange(-100, 50),
            np.nextafter(2.0 ** np.arange(-100, 50), 0),
        ]
    )
    for form in ("%.16e", "%.18e", "%.8e", "%.3e"):
        texts = [form % one for one in values]
        rows = [f"P {place + 1} 0 22 {number} 0 0 1 0 1\n" for place, number in enumerate(texts)]
        found = tables.split(f"E 0 0 {len(rows)}\n{''.join(rows)}".encode())
        assert found is not None
        np.testing.assert_array_equal(found.table.momenta[0], np.array(list(map(float, texts))))


_DAMAGES: tuple[tuple[bytes, bytes], ...] = (
    (b"\nP 4 ", b"\nP 5 "),
    (b"\nP 4 ", b"\nP  4 "),
    (b"\nP 4 ", b"\nQ 4 "),
    (b"\nP 4 ", b"\nP 99999999999 "),
    (b"\nP 4 2 ", b"\nP 4 -7 "),
    (b"\nP 4 2 ", b"\nP 4 6 "),
    (b"\nP 4 2 ", b"\nP 4 4 "),
    (b"\nP 4 2 ", b"\nP 4 5 "),
    (b"\nP 4 2 ", b"\nP 4 9 "),
    (b"\nP 4 2 ", b"\nP 4 10 "),
    (b"\nP 1 0 ", b"\nP 1 3 "),
    (b"\nP 3 1 ", b"\nP 3 8 "),
    (b"\nP 4 2 ", b"\nP 4 0 "),
    (b"\nP 3 1 1 ", b"\nP 3 1 2147483648 "),
    (b" 4\n", b" 4 \n"),
    (b" 4\n", b" 4\r\n"),
    (b" 4\n", b"\n"),
    (b"\nV -3 0 [3,4]", b"\nV -3 0 [4,3]"),
    (b"\nV -3 0 [3,4]", b"\nV -3 0 [3,3]"),
    (b"\nV -3 0 [3,4]", b"\nV -3 0 [3,9]"),
    (b"\nV -3 0 [3,4]", b"\nV -3 0 [3,99]"),
    (b"\nV -3 0 [3,4]", b"\nV -3 0 []"),
    (b"\nV -3 0 [3,4]", b"\nV -3 0 [3,4"),
    (b"\nV -3 0 [3,4]", b"\nV -2 0 [3,4]"),
    (b"\nV -3 0 [3,4]", b"\nV -9 0 [3,4]"),
    (b"\nV -3 0 [3,4]", b"\nV -3 0 [3,4] @ 1 2 3 4"),
    (b"\nV -3 0 [3,4]", b"\nV -3 0 [3,4] @ 1 2"),
    (b"\nV -3 0 [3,4]", b"\nV -3 0 [2,4]"),
    (b"\nV -3 0 [3,4]", b"\n\nV -3 0 [3,4]"),
    (b"\nV -3 0 [3,4]", b"\nA 0 late 1\nV -3 0 [3,4]"),
    (b"\nV -3 0 [3,4]\n", b"\n"),
    (b"E 1 4 9", b"E 1 4 8"),
    (b"E 1 4 9", b"E 1 4 10"),
    (b"E 1 4 9", b"E 1 3 9"),
    (b"E 1 4 9", b"E 1 5 9"),
    (b"E 1 4 9", b"E  1 4 9"),
    (b"E 1 4 9", b"E 1 -4 9"),
    (b"E 1 4 9", b"E 1 4 999999999"),
    (b"E 1 4 9", b"E 1 4 9 @ 1 2 3 4"),
    (b"E 1 4 9", b"E x 4 9"),
    (b"\nU GEV MM", b""),
    (b"\nU GEV MM", b"\nU TEV MM"),
    (b"\nW 1", b"\nW 1 1"),
    (b"\nW 1", b"\nW 2\nW 1"),
    (b"\nW 1", b"\nT tool\nW 1"),
    (b"\nA 3 flow1 501", b"\nA 3 flow1"),
    (b"\nA 3 flow1 501", b"\nA x flow1 501"),
    (b"\nA 3 flow1 501", b"\nA 77 flow1 501"),
)


@pytest.mark.parametrize(("old", "new"), _DAMAGES)
def test_an_odd_line_is_read_as_the_library_reads_it(old: bytes, new: bytes, pair: Path) -> None:
    _check_alike(pair, lambda text: text.replace(old, new) if text.startswith(b"E 1 ") else text)


def test_a_particle_that_is_not_there_is_told_before_the_library_looks_for_it(pair: Path) -> None:
    def change(text: bytes) -> bytes:
        return text.replace(b"\nV -3 0 [3,4]", b"\nV -3 0 [3,99999]")

    for is_compiled in (True, False):
        told = _read(pair, change, is_compiled=is_compiled)
        assert told == "event 0 cannot be read: a vertex names particle 99999 of 9"


def test_no_damage_makes_a_difference(pair: Path) -> None:
    rng = random.Random(3)

    def damaged(text: bytes) -> bytes:
        changed = bytearray(text)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(text.index(b"\nP") + 1, len(changed) - 1)
            change = rng.choice((b"", b"0", b"7", b" ", b"-", b".", b"e", b",", b"]", b"\n"))
            changed[at : at + rng.choice((0, 1))] = change
        return bytes(changed)

    texts, n_split = list(event_texts(str(pair))), 0
    for _ in range(400):
        changed = [damaged(text) for text in texts]
        n_split += sum(tables.split(text) is not None for text in changed)
        _check_alike(pair, dict(zip(texts, changed, strict=True)).__getitem__)
    assert n_split > 100


def test_jobs_have_the_same_events_whatever_reads_them(
    generated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = HepmcKind()
    source = kind.of([InputFile(url=str(generated), entries=kind.entries(str(generated)))])

    def read() -> Events:
        files = [(str(generated), 4)]
        job = events.HepmcSource(
            source, files, first=0, n_events=4, pileup="Run2_2018", pileup_seed=lambda one: one + 7
        )
        return Events.concatenate(job.chunks(10))

    by_library = read()
    monkeypatch.setattr(events, "_WORTH_COMPILING", 1)
    asked: list[bytes] = []
    monkeypatch.setattr("flashsim_prod.physics.generator.hepmc.record.split", _noted(asked))
    compiled = read()
    assert len(asked) == 4
    for name, one in by_library.collections.items():
        for key, column in one.columns.items():
            np.testing.assert_array_equal(compiled[name][key], column, err_msg=f"{name}_{key}")


def _noted(asked: list[bytes]) -> Callable[[bytes], Any]:
    def noted(text: bytes) -> Any:
        asked.append(text)
        return tables.split(text)

    return noted


def test_without_numba_the_library_serves(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flashsim_prod.physics.generator.hepmc.lines", None)
    tables.reader_of_lines.cache_clear()
    try:
        assert _n_split(pair) == 0
        _check_alike(pair)
    finally:
        tables.reader_of_lines.cache_clear()
