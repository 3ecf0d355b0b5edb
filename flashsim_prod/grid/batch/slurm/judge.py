"""What became of each job of a submission, by rule: done, at work, to be tried again, or failed for good."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from flashsim_prod.core.site import Site
from flashsim_prod.core.states import JobState
from flashsim_prod.errors import NodeError, NoSpaceError, exit_code_is_retryable
from flashsim_prod.grid.batch.base import NodeKey, NodeStatus
from flashsim_prod.grid.batch.slurm.arrays import Array, End
from flashsim_prod.grid.batch.slurm.records import Record, Task
from flashsim_prod.grid.batch.slurm.section import SlurmRules

#: what Slurm has for a script whose output it could not open
_NO_OUTPUT = -53
#: what slurmstepd writes where it, rather than the kernel, watches the memory
_MEMORY_WORDS = (
    "exceeded memory limit",
    "exceeded job memory limit",
    "oom-kill",
    "oom_kill",
    "out of memory",
)
#: a job that was killed; without accounts nobody says how
_KILLED = (-9, 137, -15, 143, None)


@dataclass(frozen=True)
class Try:
    """One hand-over of a job: the task that it was, and what is known of that."""

    array: Array
    task: int
    record: Record | None
    end: End | None

    @property
    def name(self) -> str:
        """What Slurm calls the task."""
        return f"{self.array.number}_{self.task}"

    @property
    def starts(self) -> int:
        """How many times it was started, at least."""
        return self.end.starts if self.end else 1

    @property
    def exit_code(self) -> int | None:
        """Of the script; a signal that ended it as a negative number."""
        if self.end is not None and (self.record is None or self.record.word in ("COMPLETED", "FAILED")):
            return self.end.exit_code
        return self.record.exit_code if self.record else None

    @property
    def host(self) -> str | None:
        """Where it ran last."""
        return (self.record.host if self.record else None) or (self.end.host if self.end else None)


@dataclass(frozen=True)
class Verdict:
    """Where a job stands, and what is to be done.

    Attributes
    ----------
    status : NodeStatus or None
        ``None`` if nobody knows.
    again : bool
        Whether it is to be handed over (again).
    memory_mb : int or None
        More memory than the site says.
    exclude : str
        A node that it is kept from.
    taken_back : str
        Who cancelled it, if somebody did.
    """

    status: NodeStatus | None
    again: bool = False
    memory_mb: int | None = None
    exclude: str = ""
    taken_back: str = ""

    @property
    def state(self) -> JobState:
        """Where the job stands."""
        return self.status.state if self.status else JobState.UNKNOWN


def tries_of(arrays: Sequence[Array], records: Mapping[Task, Record]) -> dict[NodeKey, list[Try]]:
    """All hand-overs of each job, in their order."""
    tries: dict[NodeKey, list[Try]] = {}
    for array in arrays:
        for task, key in enumerate(array.keys):
            record = records.get((array.number, task)) if array.number is not None else None
            # another cluster's, or one from before numbers began anew
            known = record if record is not None and record.name == array.name else None
            is_live = known is not None and not known.is_over
            tries.setdefault(key, []).append(Try(array, task, known, None if is_live else array.end(task)))
    return tries


class Judge:
    """The rules of a site.

    Parameters
    ----------
    site : Site
    has_accounts : bool
        Whether the cluster keeps accounts: else nobody knows why a job ended that its controller has
        forgotten.
    """

    def __init__(self, site: Site, *, has_accounts: bool) -> None:
        self._site = site
        self._limits = site.rules_as(SlurmRules).failures
        self._has_accounts = has_accounts
        self._rules: dict[str, Callable[[NodeKey, Sequence[Try]], Verdict]] = {
            "FAILED": self._failed,
            "TIMEOUT": self._timed_out,
            "OUT_OF_MEMORY": self._out_of_memory,
            "NODE_FAIL": self._lost,
            "BOOT_FAIL": self._lost,
            "PREEMPTED": self._lost,
            "CANCELLED": self._cancelled,
        }

    def verdict(self, key: NodeKey, tries: Sequence[Try]) -> Verdict:
        """What became of a job after all its tries, of which there is one at least."""
        last = tries[-1]
        if last.record is None:
            return self._forgotten(key, tries)
        record = last.record
        if not record.is_over:
            waits = record.reason if record.state in (JobState.IDLE, JobState.HELD) else ""
            starts = sum(one.starts for one in tries[:-1]) + (record.state is JobState.RUNNING)
            return Verdict(NodeStatus(key, record.state, None, waits or None, None, record.host, starts))
        if record.word == "COMPLETED":
            return Verdict(self._status(key, tries, JobState.DONE, 0, None))
        rule = self._rules.get(record.word)
        if rule is not None:
            return rule(key, tries)
        return Verdict(self._status(key, tries, JobState.FAILED, None, f"Slurm says {record.word}"))

    def _failed(self, key: NodeKey, tries: Sequence[Try]) -> Verdict:
        last = tries[-1]
        code = last.exit_code
        if _ran_short(last):
            return self._out_of_memory(key, tries)
        why = None
        if code == _NO_OUTPUT and last.end is None:
            code = NodeError.exit_code
            folder = last.array.path.parent
            why = f"node {last.host} cannot write below {folder}, which it must share with this machine"
        elif code is None:
            why = "it failed, and neither its script nor Slurm's accounts say with which exit code"
        status = self._status(key, tries, JobState.FAILED, code, why)
        if code == NoSpaceError.exit_code or not exit_code_is_retryable(1 if code is None else code):
            return Verdict(status)
        exclude = (last.host or "") if code == NodeError.exit_code else ""
        return self._again(status, tries, exclude=exclude)

    def _timed_out(self, key: NodeKey, tries: Sequence[Try]) -> Verdict:
        limit = f"TIMEOUT: longer than {ceil(self._site.resources.walltime_min)} min (resources.walltime_min)"
        status = self._status(key, tries, JobState.FAILED, None, limit)
        so_often = sum(one.record is not None and one.record.word == "TIMEOUT" for one in tries)
        return self._again(status, tries) if so_often < self._limits.walltime_tries else Verdict(status)

    def _out_of_memory(self, key: NodeKey, tries: Sequence[Try]) -> Verdict:
        short = sum(map(_ran_short, tries))
        had, more = self._memory_mb(short - 1), self._memory_mb(short)
        status = self._status(key, tries, JobState.FAILED, None, f"OUT_OF_MEMORY: more than {had} MB")
        return Verdict(status, again=had < more, memory_mb=more)

    def _lost(self, key: NodeKey, tries: Sequence[Try]) -> Verdict:
        last = tries[-1]
        word = last.record.word if last.record else "?"
        status = self._status(key, tries, JobState.FAILED, None, f"{word} on {last.host or 'a node'}")
        return self._again(status, tries, exclude=(last.host or "") if word != "PREEMPTED" else "")

    def _cancelled(self, key: NodeKey, tries: Sequence[Try]) -> Verdict:
        record = tries[-1].record
        if record is not None and record.is_blocked:
            # it never ran; whether it will is decided with those before it
            return Verdict(NodeStatus(key, JobState.IDLE, reason="waits for jobs before it"), again=True)
        by = record.by if record is not None else ""
        who = f"cancelled in Slurm{f' by {_user(by)}' if by else ''}"
        return Verdict(self._status(key, tries, JobState.FAILED, None, who), taken_back=who)

    def _forgotten(self, key: NodeKey, tries: Sequence[Try]) -> Verdict:
        """Slurm says nothing of it: its script may have told how it ended."""
        last = tries[-1]
        if last.end is None:
            if self._has_accounts:
                return Verdict(None)
            why = "Slurm has forgotten it, its script left no exit code, and this cluster keeps no accounts"
            return Verdict(self._status(key, tries, JobState.FAILED, None, why))
        if last.end.exit_code == 0:
            return Verdict(self._status(key, tries, JobState.DONE, 0, None))
        return self._failed(key, tries)

    def _memory_mb(self, short: int) -> int:
        """Memory of a job that has run short of it so often [MB]."""
        asked = self._site.resources.memory_mb
        cap = max(self._limits.memory_cap_mb, asked)
        return min(cap, ceil(asked * self._limits.memory_factor**short))

    def _again(self, status: NodeStatus, tries: Sequence[Try], exclude: str = "") -> Verdict:
        """Another try, if there are any left, with the memory that the last one had."""
        short = sum(map(_ran_short, tries))
        memory = self._memory_mb(short) if short else None
        return Verdict(status, status.starts < self._site.max_attempts, memory, exclude)

    def _status(
        self, key: NodeKey, tries: Sequence[Try], state: JobState, code: int | None, reason: str | None
    ) -> NodeStatus:
        starts = sum(one.starts for one in tries)
        return NodeStatus(key, state, code, reason, host=tries[-1].host, starts=starts)


def _ran_short(one: Try) -> bool:
    """Whether it was ended for want of memory, as Slurm says, or only its overseer's last words."""
    if one.record is None or one.record.word != "FAILED":
        return one.record is not None and one.record.word == "OUT_OF_MEMORY"
    told = one.array.words(one.task).lower() if one.exit_code in _KILLED else ""
    return any(word in told for word in _MEMORY_WORDS)


def _user(number: str) -> str:
    try:
        return pwd.getpwuid(int(number)).pw_name
    except (KeyError, ValueError):
        return f"user {number}"
