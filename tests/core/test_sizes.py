"""Numbers as people type and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.core.sizes import format_bytes, format_count, format_duration, parse_count
from flashsim_prod.errors import RequestError


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("1000", 1000),
        ("10k", 10_000),
        ("10K", 10_000),
        ("100M", 100_000_000),
        ("1.5B", 1_500_000_000),
        ("2G", 2_000_000_000),
        ("1e6", 1_000_000),
        ("2.5e3", 2500),
        ("1_000 000", 1_000_000),
        ("0.5k", 500),
    ],
)
def test_counts_as_people_write_them(text: str, number: int) -> None:
    assert parse_count(text) == number


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0", "'0' must be at least 1"),
        ("-5", "'-5' is no number"),
        ("10X", "'10X' is no number; write 1000, 10k, 100M or 1.5B"),
        ("1.5", "'1.5' is not a whole number"),
        ("0.0001k", "not a whole number"),
        ("", "'' is no number"),
        ("k", "'k' is no number"),
        ("nan", "is no number"),
        ("inf", "is no number"),
        ("1e-3", "is no number"),
        ("0x10", "is no number"),
        ("\u0663", "is no number"),  # a digit, but not one of ours
        ("1e999999999", "is no number"),
    ],
)
def test_what_is_no_count_is_refused_with_one_line(text: str, complaint: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_count(text, "--events")
    line = str(caught.value)
    assert line.startswith("--events: ")
    assert complaint in line
    assert "\n" not in line


@given(number=st.integers(1, 10**15))
def test_what_is_printed_can_be_typed(number: int) -> None:
    assert parse_count(format_count(number).replace(",", "_")) == number
    assert parse_count(str(number)) == number


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3.1e9, "3.1 GB"), (2.5e12, "2.5 TB"), (7e15, "7.0 PB")],
)
def test_bytes(number: float, text: str) -> None:
    assert format_bytes(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (45, "45 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (5 * 3600 + 600, "5 h 10 min"),
        (12 * 86400 + 4 * 3600, "12 d 4 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
