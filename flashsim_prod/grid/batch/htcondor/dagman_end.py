"""How DAGMan itself ended, by the event log that the schedd keeps of its job.

The log is there at once, while the history may be a moment late or, on a busy schedd, already gone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

#: the head of an event, and its lines up to the three dots
_EVENT = re.compile(r"^(?P<code>\d{3}) \([\d.]+\) [^\n]*\n(?P<body>.*?)^\.\.\.$", re.MULTILINE | re.DOTALL)
_ABORTED, _TERMINATED = "009", "005"
_SIGNAL = re.compile(r"Abnormal termination \(signal (\d+)\)")
_VALUE = re.compile(r"Normal termination \(return value (\d+)\)")


@dataclass(frozen=True)
class DagmanEnd:
    """The end of a DAGMan.

    Attributes
    ----------
    reason : str
        In one line: who removed it and why, or how it died.
    is_removal : bool
        It was taken out of the queue, which takes its nodes along.
    exit_code : int, optional
        Of an end of its own.
    """

    reason: str
    is_removal: bool = False
    exit_code: int | None = None


def dagman_end(log: Path) -> DagmanEnd | None:
    """The last end that `log` tells of; ``None`` if there is none, or no log."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = None
    for event in _EVENT.finditer(text):
        body = " ".join(event["body"].split())
        if event["code"] == _ABORTED:
            found = removal(body)
        elif event["code"] == _TERMINATED:
            found = _own_end(body)
    return found


def removal(reason: str | None) -> DagmanEnd:
    """The end of a DAGMan that was removed for `reason`."""
    return DagmanEnd(f"removed from the queue: {reason or 'no reason given'}", is_removal=True)


def _own_end(body: str) -> DagmanEnd | None:
    if signal := _SIGNAL.search(body):
        return DagmanEnd(f"DAGMan was ended by signal {signal[1]}")
    if value := _VALUE.search(body):
        return DagmanEnd(f"DAGMan ended with exit code {value[1]}", exit_code=int(value[1]))
    return None
