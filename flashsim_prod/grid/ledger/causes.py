"""What failures have in common once numbers, paths and identifiers are left out."""

from __future__ import annotations

import re

#: longest message kept of a failure
ERROR_MAX = 1000

# in this order: a path may hold numbers, an identifier may hold digits only
_VARYING = (
    (re.compile(r"(?:[a-z]+:/)?/[^\s'\",;:()]+"), "<path>"),
    (re.compile(r"\b(?=[0-9a-f-]*[0-9])[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b", re.IGNORECASE), "<id>"),
    (re.compile(r"[-+]?\b\d+(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE), "<n>"),
)


def one_line(message: str) -> str:
    """The first line that says something, shortened to `ERROR_MAX` characters."""
    lines = (line.strip() for line in message.splitlines())
    return next((line for line in lines if line), "")[:ERROR_MAX]


def cause(message: str) -> str:
    """`message` with paths, identifiers and numbers replaced, to group failures by."""
    for pattern, name in _VARYING:
        message = pattern.sub(name, message)
    return message
