"""Numbers as people write and read them: event counts, bytes, durations."""

from __future__ import annotations

import re
from decimal import Decimal

from flashsim_prod.errors import RequestError

_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([kMGTP]?B|)", re.IGNORECASE)
_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e[0-9]{1,2})?)([a-z]?)", re.IGNORECASE)


def parse_count(text: str, what: str = "events") -> int:
    """A positive whole number from ``1000``, ``10k``, ``1e6``, ``100M`` or ``1.5B``.

    Parameters
    ----------
    text : str
        What the user typed; spaces and underscores are ignored, case does not matter.
    what : str
        What is counted, for the error.

    Raises
    ------
    RequestError
        If `text` is no number of this form, not whole, or not positive.
    """
    match = _COUNT.fullmatch(text.replace("_", "").replace(" ", ""))
    factor = _FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise RequestError(f"{what}: '{text}' is no number; write 1000, 10k, 100M or 1.5B")
    number = Decimal(match[1]) * factor
    if number != int(number):
        raise RequestError(f"{what}: '{text}' is not a whole number")
    if number < 1:
        raise RequestError(f"{what}: '{text}' must be at least 1")
    return int(number)


def parse_bytes(text: str, what: str) -> int:
    """A size from ``500GB``, ``1.5 TB`` or ``100000`` [B]; `RequestError` if `text` is none."""
    match = _BYTES.fullmatch(text.strip())
    size = Decimal(match[1]) * 1000 ** _UNITS.index(match[2].upper() or "B") if match else Decimal(0)
    if size < 1:
        raise RequestError(f"{what}: '{text}' is no size; write 500GB or 1.5TB")
    return int(size)


def format_count(number: int) -> str:
    """`number` with thin grouping, as ``12,500,000``."""
    return f"{number:,}"


def format_bytes(number: float) -> str:
    """Bytes in decimal units, as ``3.1 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(number) < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} PB"


def format_duration(seconds: float) -> str:
    """Seconds as ``45 s``, ``3 min 20 s``, ``5 h 10 min`` or ``12 d 4 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for big, big_name, small, small_name, limit in (
        (60, "min", 1, "s", 3600),
        (3600, "h", 60, "min", 86400),
        (86400, "d", 3600, "h", None),
    ):
        if limit is None or whole < limit:
            rest = whole % big // small
            return f"{whole // big} {big_name} {rest} {small_name}" if rest else f"{whole // big} {big_name}"
    raise AssertionError("unreachable")


def counted(number: int, thing: str) -> str:
    """``1 file``, ``2 files``, ``1,000 files``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
