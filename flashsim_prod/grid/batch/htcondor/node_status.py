"""What DAGMan itself writes about its nodes, now and then and at its end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flashsim_prod.core.states import JobState
from flashsim_prod.errors import StorageError
from flashsim_prod.grid.batch.base import NodeKey
from flashsim_prod.grid.batch.htcondor.render import node_key

#: an ad of a node, as DAGMan writes it: ten thousand of them are to be read in a moment
_NODE = re.compile(
    r'Type = "NodeStatus";\s+Node = "(?P<name>[^"]+)";\s+NodeStatus = (?P<code>\d+);[^\n]*\n'
    r'\s+StatusDetails = "(?P<details>(?:[^"\\]|\\.)*)";'
)
_EXIT = re.compile(r"failed with (?P<how>status|signal) (?P<number>\d+)")
#: what is said of a node that the schedd did not take
NOT_SUBMITTED = "Job submit failed"
_REFUSAL = re.compile(r"ULOG_SUBMIT_FAILURE for HTCondor Node (\S+) \([^)]*\) \{[^}]*\} (.*)")
_WAS = "Was STATUS_"
_WRITTEN = re.compile(r"Timestamp = (\d+);")

#: DAGMan's numbers; what is with the schedd (3) the schedd knows better
_NOT_READY, _READY, _PRE, _SUBMITTED, _POST, _DONE, _ERROR, _FUTILE = range(8)
_STATES = {
    _NOT_READY: JobState.IDLE,
    _READY: JobState.IDLE,
    _PRE: JobState.IDLE,
    _DONE: JobState.DONE,
    _ERROR: JobState.FAILED,
    _FUTILE: JobState.IDLE,
}


@dataclass(frozen=True)
class NodeLine:
    """What DAGMan says of a node; no state where the schedd is to be asked."""

    state: JobState | None
    exit_code: int | None
    details: str


@dataclass(frozen=True)
class DagStatus:
    """What DAGMan wrote last."""

    nodes: dict[NodeKey, NodeLine]
    register: NodeLine | None
    written: datetime | None


def read_status(path: Path) -> DagStatus:
    """The node status file of a DAG; empty if there is none yet."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return DagStatus({}, None, None)
    except OSError as error:
        raise StorageError(f"{path}: DAGMan's status cannot be read: {error.strerror}") from error
    nodes, register = {}, None
    for found in _NODE.finditer(text):
        line = _line(int(found["code"]), found["details"])
        key = node_key(found["name"])
        if key is not None:
            nodes[key] = line
        elif found["name"] == "register":
            register = line
    when = _WRITTEN.search(text)
    return DagStatus(nodes, register, datetime.fromtimestamp(int(when[1]), UTC) if when else None)


def refusals(path: Path) -> dict[NodeKey, str]:
    """Why the schedd did not take nodes, by what DAGMan wrote into its log."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found = ((node_key(name), " ".join(said.split())) for name, said in _REFUSAL.findall(text))
    return {key: said for key, said in found if key is not None}


def _line(code: int, details: str) -> NodeLine:
    if details.startswith(_WAS):
        # a DAG that was stopped calls all nodes failed that had not ended by themselves
        at_work = details.removeprefix(_WAS) in ("SUBMITTED", "POST")
        return NodeLine(None if at_work else JobState.IDLE, None, details)
    ended = _EXIT.search(details) if code == _ERROR else None
    exit_code = None
    if ended is not None:
        exit_code = int(ended["number"]) * (1 if ended["how"] == "status" else -1)
    return NodeLine(_STATES.get(code), exit_code, details)
