"""What Slurm says of a task of a job array, in its words and in the house's."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flashsim_prod.core.states import JobState

#: a task of a job array: the array's number and the place in it
Task = tuple[int, int]

_STATES = {
    "PENDING": JobState.IDLE,
    "CONFIGURING": JobState.IDLE,
    "REQUEUED": JobState.IDLE,
    "REQUEUE_FED": JobState.IDLE,
    "RESV_DEL_HOLD": JobState.HELD,
    "REQUEUE_HOLD": JobState.HELD,
    "SPECIAL_EXIT": JobState.HELD,
    "SUSPENDED": JobState.HELD,
    "STOPPED": JobState.HELD,
    "RUNNING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "COMPLETING": JobState.RUNNING,
    "COMPLETED": JobState.DONE,
    "BOOT_FAIL": JobState.FAILED,
    "CANCELLED": JobState.FAILED,
    "DEADLINE": JobState.FAILED,
    "FAILED": JobState.FAILED,
    "NODE_FAIL": JobState.FAILED,
    "OUT_OF_MEMORY": JobState.FAILED,
    "PREEMPTED": JobState.FAILED,
    "REVOKED": JobState.FAILED,
    "TIMEOUT": JobState.FAILED,
}
#: why a job waits that somebody has to release
_HELD_FOR = ("JobHeldUser", "JobHeldAdmin", "launch failed requeued held", "launch_failed_requeued_held")
#: which tasks of an array
_PLACES = re.compile(r"\d+|\[\d+(-\d+)?(,\d+(-\d+)?)*(%\d+)?\]")
_NOTHING = ("", "None", "None assigned", "(null)", "N/A", "Unknown")


@dataclass(frozen=True, slots=True)
class Record:
    """A task, as squeue or sacct tells of it.

    Attributes
    ----------
    word : str
        Its state in Slurm's words.
    name : str
        Of its array.
    reason : str
        Why it waits, or ended; empty if nothing is said.
    host : str or None
    exit_code : int or None
        Of the job's script; the signal that ended it as a negative number. Only sacct tells.
    by : str
        The number of the user who cancelled it; empty if nobody did or it is not told.
    """

    word: str
    name: str
    reason: str = ""
    host: str | None = None
    exit_code: int | None = None
    by: str = ""

    @property
    def state(self) -> JobState:
        """In the house's words; UNKNOWN for a word of some other version of Slurm."""
        if self.word == "PENDING" and self.reason in _HELD_FOR:
            return JobState.HELD
        return _STATES.get(self.word, JobState.UNKNOWN)

    @property
    def is_blocked(self) -> bool:
        """Whether Slurm took it back because what it waits for did not end well."""
        return self.word == "CANCELLED" and not self.by and self.reason.startswith("Dependency")

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good."""
        return self.state in (JobState.DONE, JobState.FAILED)


def queue_line(line: str) -> tuple[Task, Record] | None:
    """A task of squeue's ``%i|%T|%r|%N|%j``; ``None`` for what is no task of an array."""
    fields = line.split("|", 4)
    tasks = _tasks(fields[0])
    if len(tasks) != 1 or len(fields) != 5:
        return None
    word, reason, host, name = fields[1:]
    return tasks[0], Record(word, name, _said(reason), _said(host) or None)


def accounting_line(line: str) -> list[tuple[Task, Record]]:
    """The tasks of a line of sacct's ``JobID,State,ExitCode,NodeList,Reason,JobName``.

    Those that never started are one line: ``16_[0-3,7]``.
    """
    fields = line.split("|", 5)
    if len(fields) != 6:
        return []
    state, codes, host, reason, name = fields[1:]
    # CANCELLED by 1000; CANCELLED+ if the column is narrow
    word, _, by = state.partition(" by ")
    code, _, signal = codes.partition(":")
    ended = -int(signal) if signal.isdecimal() and int(signal) else int(code) if code.isdecimal() else None
    record = Record(word.strip("+ "), name, _said(reason), _said(host) or None, ended, by.strip())
    return [(task, record) for task in _tasks(fields[0])]


def _tasks(text: str) -> list[Task]:
    job, _, places = text.partition("_")
    if not job.isdecimal() or not _PLACES.fullmatch(places):
        return []
    found: list[Task] = []
    for part in places.strip("[]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        found += [(int(job), place) for place in range(int(first), int(last or first) + 1)]
    return found


def _said(text: str) -> str:
    return "" if text in _NOTHING else text
