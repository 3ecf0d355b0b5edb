"""What the CRAB client prints, as values: replies to ``crab submit``, ``crab status --json``, ``crab tasks``.

The client writes lines for people; ``--json`` adds one line with an object of all jobs, by number.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flashsim_prod.core.states import JobState
from flashsim_prod.errors import StorageError

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: when a task was submitted, in UTC, at the beginning of the server's name of it
_STAMP = "%y%m%d_%H%M%S"
_TASK_NAME = r"[0-9]{6}_[0-9]{6}:[A-Za-z0-9._\-]+"
#: the rule of Rucio by which outputs arrive
_RULE = re.compile(r"Transfer container's rule:.*rule_id=([0-9a-f]{32})")
#: what a worker of ours wrote into its job report
_OUR_CODE = re.compile(r"exit code (\d+): (.*)")

#: a job's state by CRAB's name for it; others are not known here
_STATES = {
    "unsubmitted": JobState.IDLE,
    "idle": JobState.IDLE,
    # between a failure and the next try, which CRAB starts by itself
    "cooloff": JobState.IDLE,
    "toRetry": JobState.IDLE,
    "running": JobState.RUNNING,
    # done on the node; the files are on their way
    "transferring": JobState.RUNNING,
    "held": JobState.HELD,
    "finished": JobState.DONE,
    "failed": JobState.FAILED,
    "killed": JobState.FAILED,
}
#: states of a task on the server from which it goes on by itself
_PASSING = frozenset({"NEW", "HOLDING", "QUEUED", "TAPERECALL", "KILLRECALL", "WAITING", "UPLOADED"})
#: states of a task on the server in which it has never had a job, and never will
_STILLBORN = frozenset({"SUBMITFAILED", "SUBMITREFUSED"})
#: states of a task on the server in which no job of it runs, whatever the scheduler said last
_OVER = _STILLBORN | {"KILLED"}
#: states of a task on the server in which it takes `crab resubmit` of its jobs
_RESUBMITTABLE = frozenset({"SUBMITTED", "KILLFAILED", "RESUBMITFAILED", "FAILED"})
#: what the scheduler says of a task of which it has nothing more to start; of any other it is at work
_ENDED = frozenset({"COMPLETED", "FAILED", "ERROR", "FAILED (KILLED)", "KILLED"})
#: what it says while it works: clients and servers before 2025, and since
_AT_WORK = frozenset({"SUBMITTED", "RUNNING", "UNKNOWN"})
#: states of jobs that have not ended; of one that is not known here nobody can say that it has
_WAITING = (JobState.IDLE, JobState.RUNNING, JobState.HELD, JobState.UNKNOWN)
#: what jobs wait for by CRAB's own doing
_PATIENT = frozenset({"cooloff", "toRetry", "unsubmitted", "held"})
#: a task's jobs are taken out of the scheduler after this time, and its files some time later [days]
LIFETIME_DAYS = 30
#: CRAB's codes of jobs that took too much memory or time
TOO_MUCH_MEMORY, TOO_MUCH_TIME = 50660, 50664


@dataclass(frozen=True)
class CrabJob:
    """What CRAB says of one job.

    Attributes
    ----------
    number : int
        From 1.
    word : str
        Its state by CRAB's name.
    exit_code, error : int or None, str or None
        Of its last end, if that was a failure: our own, if the job told it, else CMS's.
    crab_code : int or None
        CMS's in any case.
    told : str or None
        All that CRAB says of that failure, as it came.
    site : str or None
        Where it runs, or ran last.
    since : datetime or None
        When it was last submitted, or started if it runs.
    starts : int
        How many times it was tried.
    """

    number: int
    state: JobState
    word: str
    exit_code: int | None = None
    crab_code: int | None = None
    error: str | None = None
    told: str | None = None
    site: str | None = None
    since: datetime | None = None
    starts: int = 0


@dataclass(frozen=True)
class TaskStatus:
    """What CRAB says of a task.

    Attributes
    ----------
    name : str
        The server's name of it.
    server, scheduler : str, str or None
        Its state there; nothing from the scheduler until the task has come to it.
    jobs : dict of int to CrabJob
        By number; empty until the scheduler reports.
    remarks : tuple of str
        Warnings and failure messages, a line each.
    page : str or None
        The task's page on the server, for people.
    rule : str or None
        Rucio's rule that its outputs came by, if they did.
    purged : bool
        Whether CRAB has thrown away what it knew of its jobs.
    killed : bool
        Whether it was taken back, be the server already told or not.
    """

    name: str
    server: str
    scheduler: str | None
    jobs: dict[int, CrabJob]
    remarks: tuple[str, ...] = ()
    page: str | None = None
    rule: str | None = None
    purged: bool = False
    killed: bool = False

    @property
    def alive(self) -> bool:
        """Whether CRAB goes on with it by itself."""
        if self.purged or self.killed or self.server in _OVER:
            return False
        if self.passing:
            return True
        if self.scheduler is None:
            # of a task that failed on the server nothing came to the scheduler
            return self.server != "FAILED"
        # a command that failed on the server has not touched what runs
        return self.scheduler not in _ENDED or self._has_stragglers

    @property
    def passing(self) -> bool:
        """Whether the server has not yet done what it was told last."""
        return self.server in _PASSING

    @property
    def strange(self) -> tuple[str, ...]:
        """Words of the server and the scheduler that are not known here."""
        servers = _PASSING | _OVER | _RESUBMITTABLE
        words = ((self.server, servers), (self.scheduler, _ENDED | _AT_WORK))
        return tuple(word for word, known in words if word is not None and word not in known)

    @property
    def _has_stragglers(self) -> bool:
        """Whether jobs have not ended, though the scheduler has nothing more of them to start."""
        if self.scheduler not in ("FAILED", "ERROR") or age_days(self.name) > LIFETIME_DAYS:
            return False
        return any(job.state in _WAITING for job in self.jobs.values())

    @property
    def resubmittable(self) -> bool:
        """Whether the server runs failed jobs of it again."""
        return not (self.purged or self.killed) and self.server in _RESUBMITTABLE

    @property
    def waiting(self) -> dict[str, list[int]]:
        """Jobs that have not ended, by CRAB's word for what they wait for."""
        found: dict[str, list[int]] = {}
        for number, job in sorted(self.jobs.items()):
            if job.word in _PATIENT or job.state is JobState.UNKNOWN:
                found.setdefault(job.word, []).append(number)
        return found

    @property
    def stillborn(self) -> bool:
        """Whether the server took none of its jobs."""
        return self.server in _STILLBORN and not self.jobs


def submitted_task(text: str) -> str | None:
    """The server's name of a task that was delivered, in a reply to ``crab submit`` or in its log."""
    match = re.search(rf"Task name:\s*({_TASK_NAME})", _COLOUR.sub("", text))
    return match[1] if match else None


def cached_task(cache: bytes) -> str | None:
    """The server's name of the task in the file that the client keeps in its project folder.

    That is a pickle of protocol 0, a text a line, of the client's own classes: it is read, not unpickled.
    """
    match = re.search(rf"^[VS]'?({_TASK_NAME})'?$".encode(), cache, re.MULTILINE)
    return match[1].decode() if match else None


def age_days(name: str) -> float:
    """Age of a task by the server's name of it."""
    began = datetime.strptime(name[:13], _STAMP).replace(tzinfo=UTC)
    return (datetime.now(UTC) - began).total_seconds() / 86400


def listed_task(text: str, name: str, since: datetime | None = None) -> str | None:
    """The newest task of a request name in a reply to ``crab tasks``; `StorageError` if it is none.

    What is no list says nothing of tasks that are not in it.
    """
    return max(_listed(text, re.escape(name), since), default=None)


def listed_tasks(text: str, stem: str, since: datetime | None = None) -> dict[int, str]:
    """The newest task of each request name that is `stem`, ``_`` and a number, by that number."""
    found = sorted(_listed(text, rf"{re.escape(stem)}_[0-9]{{3,}}", since))
    return {int(name.rsplit("_", 1)[1]): name for name in found}


def _listed(text: str, pattern: str, since: datetime | None) -> list[str]:
    plain = _COLOUR.sub("", text)
    if not re.search(r"^\s*(List of tasks|No tasks found) from ", plain, re.MULTILINE):
        raise StorageError(f"crab tasks: this is no list of tasks: {_last(plain.splitlines())}")
    stamped = rf"[0-9]{{6}}_[0-9]{{6}}:[A-Za-z0-9._\-]+_crab_{pattern}"
    first = "" if since is None else since.strftime(_STAMP)
    found: list[str] = re.findall(rf"(?<!\S)({stamped})(?![A-Za-z0-9_\-])", plain)
    return [name for name in found if name >= first]


def task_status(text: str) -> TaskStatus:
    """The reply to ``crab status --json``; `StorageError` if it is none."""
    lines = [_COLOUR.sub("", line).strip() for line in text.splitlines()]
    name, server = submitted_task(text), _after("Status on the CRAB server:", lines)
    if name is None or not server:
        raise StorageError(f"crab status: this is no status of a task: {_last(lines)}")
    scheduler = _after("Status on the scheduler:", lines)
    jobs = _jobs(lines)
    if scheduler and jobs is None:
        # nothing at all may be concluded from that: jobs would count as lost
        raise StorageError(f"crab status: it says nothing of the jobs of {name}: {_last(lines)}")
    return TaskStatus(
        name=name,
        server=server.split(" on command ")[0],
        scheduler=scheduler,
        jobs={job.number: job for job in jobs or ()},
        page=_after("Task URL to use for HELP:", lines),
        rule=next((found[1] for line in lines if (found := _RULE.search(line))), None),
        purged=any(line.startswith("Files are purged") for line in lines),
        remarks=tuple(
            " ".join(line.split())
            for line in lines
            if line.startswith(("Warning:", "Failure message from server:", "Hold reason:", "ALARM:"))
        ),
    )


def _after(label: str, lines: list[str]) -> str | None:
    return next((line.removeprefix(label).strip() for line in lines if line.startswith(label)), None)


def _last(lines: list[str]) -> str:
    said = [line for line in map(str.strip, lines) if line and not line.startswith("Log file is")]
    return said[-1] if said else "nothing was printed"


def _jobs(lines: list[str]) -> list[CrabJob] | None:
    """The jobs in the line of JSON; ``None`` if there is no such line.

    Warnings and messages of the server can have lines that begin like it.
    """
    trouble = None
    for line in reversed([line for line in lines if line.startswith("{")]):
        try:
            told: dict[str, Any] = json.loads(line)
            # automatic splitting has jobs such as 0-1; ours has not
            jobs = [_job(int(number), about) for number, about in told.items() if number.isdecimal()]
            if jobs:
                return jobs
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            trouble = trouble or error
    if trouble is not None:
        raise StorageError(f"crab status: its JSON cannot be read: {trouble}")
    return None


def _job(number: int, about: dict[str, Any]) -> CrabJob:
    word = str(about["State"])
    state = _STATES.get(word, JobState.UNKNOWN)
    crab_code, told = _error(about.get("Error"))
    error = " ".join(told.split()) if told else None
    ours = _OUR_CODE.search(error or "")
    return CrabJob(
        number=number,
        state=state,
        word=word,
        exit_code=int(ours[1]) if ours else crab_code,
        crab_code=crab_code,
        error=ours[2].strip() if ours else error,
        told=told,
        site=next((site for site in reversed(about.get("SiteHistory") or []) if site != "Unknown"), None),
        since=_since(state, about),
        starts=int(about.get("Retries") or 0) + int(bool(about.get("SubmitTimes"))),
    )


def _error(told: Any) -> tuple[int | None, str | None]:
    """``[code, message, {}]`` as CRAB's post-job leaves it."""
    if not isinstance(told, list) or not told:
        return None, None
    return int(told[0]), str(told[1]).strip() or None if len(told) > 1 else None


def _since(state: JobState, about: dict[str, Any]) -> datetime | None:
    times = about.get("StartTimes" if state is JobState.RUNNING else "SubmitTimes") or []
    # where HTCondor's log has no time, CRAB writes -1
    known = [time for time in times if time > 0]
    return datetime.fromtimestamp(known[-1], UTC) if known else None
