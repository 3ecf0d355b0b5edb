"""Heads and events of LHE files, judged by pylhe; damaged ones are told in a line."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pylhe
import pytest

from flashsim_prod.errors import InputError
from flashsim_prod.physics.generator.lhe import file as lhe_file
from flashsim_prod.physics.generator.lhe.event import parse_event
from flashsim_prod.physics.generator.lhe.file import count_events, event_texts, read_head
from flashsim_prod.physics.generator.lhe.survey import survey, survey_alike

WriteLhe = Callable[..., Path]

SAMPLES = os.environ.get("FLASHSIM_PROD_LHE_SAMPLES")


def _columns(url: str) -> tuple[list[float], list[list[float]], list[list[tuple[float, ...]]]]:
    of = survey(url)
    events = [parse_event(text, of.weights, "it") for text in event_texts(url, 0, count_events(url))]
    particles = [[(one.id, one.status, one.px, one.e) for one in event.particles] for event in events]
    return [event.weight for event in events], [list(event.weights) for event in events], particles


def _judged(url: str) -> tuple[list[float], list[list[float]], list[list[tuple[float, ...]]]]:
    ids = [one.id for one in survey(url).weights]
    events: list[Any] = list(pylhe.LHEFile.fromfile(url).events)
    particles = [[(int(p.id), int(p.status), p.px, p.e) for p in event.particles] for event in events]
    weights = [[event.weights[one] for one in ids] for event in events]
    return [event.eventinfo.weight for event in events], weights, particles


@pytest.mark.parametrize("how", ["ids", "plain", "none"])
@pytest.mark.parametrize("name", ["z.lhe", "z.lhe.gz"])
def test_what_is_read_is_what_pylhe_reads(write_lhe: WriteLhe, name: str, how: str) -> None:
    url = str(write_lhe(name, how=how))
    assert _columns(url) == _judged(url)


def test_exponents_may_be_as_fortran_writes_them(write_lhe: WriteLhe) -> None:
    one, other = (
        write_lhe("a.lhe"),
        write_lhe("another.lhe", change=lambda text: re.sub(r"(\d)E([+-])", r"\1D\2", text)),
    )
    assert one.read_bytes() != other.read_bytes()
    assert _columns(str(one)) == _columns(str(other))
    assert read_head(str(one)).cross_section_pb == read_head(str(other)).cross_section_pb


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_any_range_is_found_whatever_is_read_at_a_time(
    write_lhe: WriteLhe, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(write_lhe("z.lhe.gz", how="none"))
    expected = list(event_texts(url, 0, 17))
    assert len(set(expected)) == 17
    monkeypatch.setattr(lhe_file, "_CHUNK", size)
    assert count_events(url) == 17
    for first, number in ((0, 17), (0, 1), (5, 3), (16, 1), (3, 14)):
        assert list(event_texts(url, first, number)) == expected[first : first + number]


def test_the_head_tells_beams_and_cross_section(write_lhe: WriteLhe) -> None:
    head = read_head(str(write_lhe(energies=(6800, 6800), head="<slha>\nBlock MASS\n 6 172.5\n</slha>\n")))
    assert (head.beams, head.energy_tev, head.cross_section_pb) == ((2212, 2212), 13.6, 2000.0)
    assert head.slha == "Block MASS\n 6 172.5"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"beams": (2212, -2212)}, "only proton-proton"),
        ({"energies": (6500.0, 4000.0)}, "only equal ones"),
        ({"change": lambda text: text.replace("1.9000000000E+03", "NaN")}, "not finite"),
        ({"change": lambda text: text.replace("1.9000000000E+03", "1e39")}, r"a weight of 1e\+39"),
        ({"change": lambda text: text.replace("1.9000000000E+03", "0.")}, "a weight of 0"),
        ({"change": lambda text: text.replace("\n5 1", "\n6 1", 1)}, "cannot be read"),
        ({"change": lambda text: text.replace("id='2002'", "id='2003'", 1)}, "no weight '2002'"),
        ({"change": lambda text: text.replace("</init>", "")}, "no <init>"),
        ({"change": lambda text: text.replace("<LesHouches", "<Houches")}, "is no LHE file"),
        ({"how": "plain", "change": lambda text: text.replace("<weights>", "<weights> 1.")}, "9 weights"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_line(
    write_lhe: WriteLhe, changes: dict[str, Any], told: str
) -> None:
    path = write_lhe(**changes)
    with pytest.raises(InputError, match=told) as caught:
        survey(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_merging_is_no_merging(write_lhe: WriteLhe) -> None:
    assert not read_head(str(write_lhe(head=" 0 = ickkw ! 0 no matching, 1 MLM\n"))).merging


@pytest.mark.parametrize("cut", [0, 1, 300, 2000, -60, -10])
@pytest.mark.parametrize("name", ["z.lhe", "z.lhe.gz"])
def test_a_file_that_was_cut_off_is_refused(write_lhe: WriteLhe, name: str, cut: int) -> None:
    path = write_lhe(name)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=f"{name}"):
        count_events(str(path))


def test_other_files_than_lhe_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.lhe"
    for nothing in (b"", gzip.compress(b"")):
        path.write_bytes(nothing)
        with pytest.raises(InputError, match=r"a\.lhe is empty; copy it again"):
            count_events(str(path))
    path.write_bytes(b"root" + bytes(1000))
    with pytest.raises(InputError, match="LHE file"):
        count_events(str(path))
    path.write_bytes(gzip.compress(b"text") + b"junk")
    with pytest.raises(InputError, match=r"a\.lhe"):
        count_events(str(path))
    with pytest.raises(InputError, match="does not exist"):
        count_events(str(tmp_path / "no.lhe"))
    with pytest.raises(InputError, match="it is a folder"):
        count_events(str(tmp_path))
    with pytest.raises(InputError, match="copy it here"):
        count_events("ftp://there//a.lhe")


def test_fewer_events_than_there_were(write_lhe: WriteLhe) -> None:
    with pytest.raises(InputError, match="fewer events"):
        list(event_texts(str(write_lhe()), 10, 8))


def test_files_of_one_request_are_alike(write_lhe: WriteLhe) -> None:
    first = write_lhe("a.lhe")
    with pytest.raises(InputError, match="not the same weights"):
        survey_alike([str(first), str(write_lhe("b.lhe", how="none"))])
    with pytest.raises(InputError, match="files of one energy"):
        survey_alike([str(first), str(write_lhe("c.lhe", energies=(6800, 6800)))])


def test_a_copy_is_known_by_its_first_event(write_lhe: WriteLhe) -> None:
    first = write_lhe("a.lhe")
    copy = write_lhe("a_copy.lhe.gz", 9)
    told = r"a_copy\.lhe\.gz and .*a\.lhe begin with the same event: copies"
    with pytest.raises(InputError, match=told) as caught:
        survey_alike([str(write_lhe("b.lhe")), str(first), str(copy)])
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not SAMPLES, reason="FLASHSIM_PROD_LHE_SAMPLES names no folder of LHE files")
@pytest.mark.parametrize("name", ["powheg-box-v2-hvq.lhe", "lhef3_weights.lhe"])
def test_real_files_are_read_as_pylhe_reads_them(name: str) -> None:
    url = str(Path(SAMPLES or "") / name)
    weights, varied, particles = _columns(url)
    expected, expected_varied, expected_particles = _judged(url)
    assert (weights, particles) == (expected, expected_particles)
    np.testing.assert_array_equal(varied, expected_varied)
