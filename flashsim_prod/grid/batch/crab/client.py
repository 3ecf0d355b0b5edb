"""The ``crab`` command as a subprocess; it finds proxies and talks to the server itself."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from flashsim_prod.errors import ConfigError, StateError, StorageError
from flashsim_prod.files import read_text, storage_errors, write_whole
from flashsim_prod.grid.batch.crab.refusals import (
    has_no_status,
    lacks_proxy,
    lacks_release,
    last_line,
    reason_in,
    will_never_be_resubmitted,
)
from flashsim_prod.grid.batch.crab.replies import (
    TaskStatus,
    listed_task,
    listed_tasks,
    submitted_task,
    task_status,
)

#: where the client is set up from; a person does it, once in a shell
SETUP = "source /cvmfs/cms.cern.ch/cmsset_default.sh; cmsenv (in a CMSSW area); voms-proxy-init -voms cms"
PROXY = "voms-proxy-init -voms cms -valid 192:00"
#: the client waits for the server by itself, but not for ever [s]
_PATIENCE_S = 900
#: the server's clock may be so far from ours
_CLOCKS = timedelta(minutes=10)
#: all that failed calls printed, in the folder of a submission
_LOG = "crab_client.log"
#: held by each ``crab submit`` for as long as it runs, also after the command that started it was killed
_SUBMITTING = "crab_submit.lock"
#: so much of it is kept when more comes [characters]
_LOG_MAX = 1_000_000


class NeverResubmittedError(StorageError):
    """CRAB answered that it will not run jobs of this task again, now or later."""


class NoStatusError(StorageError):
    """The server answered, but what is known of the jobs cannot be read, for now or for ever."""


class CrabClient:
    """The CRAB client, run in the folder of a submission.

    Methods raise `ConfigError` if there is no client here, and `StorageError`, with what it said, if it fails
    or does not come back.

    Parameters
    ----------
    folder : Path
        Where the paths in a task's ``crabConfig.py`` start, and the client keeps its project folders.
    log : Path, optional
        What gets all that a failed call printed; by default a file in `folder`.
    since : datetime, optional
        Tasks that are listed are not older than this: a request of the same name may have been made before
        and thrown away. By default the client's own 30 days.
    """

    def __init__(self, folder: Path, log: Path | None = None, since: datetime | None = None) -> None:
        self._folder = folder
        self._log = log or folder / _LOG
        self._since = None if since is None else since.astimezone(UTC) - _CLOCKS
        self._listed: str | None = None

    def version(self) -> str:
        """What the client says of its version."""
        return last_line(self._run("--version"))

    def user(self) -> str:
        """The name that CRAB knows this user by."""
        said = self._run("checkusername")
        match = re.search(r"Username is: (\S+)", said)
        if match is None:
            raise StorageError(f"crab checkusername: {last_line(said)}")
        return match[1]

    @staticmethod
    def is_here() -> bool:
        """Whether there is a client on this machine."""
        return shutil.which("crab") is not None

    def submit(self, config: str) -> str:
        """Deliver a task; the server's name of it.

        Raises
        ------
        StateError
            If another ``crab submit`` runs in this folder: what it delivers, nobody knows yet.
        """
        with self._alone() as lock:
            said = self._run("submit", "-c", config, hold=lock)
        name = submitted_task(said)
        if name is None:
            raise self._unreadable(
                f"crab submit -c {config}: it gave no name of a task: {last_line(said)}", said
            )
        return name

    def status(self, project: str) -> TaskStatus:
        """Where a task stands."""
        said = self._run("status", "--json", "-d", project)
        try:
            return task_status(said)
        except StorageError as error:
            raise self._unreadable(str(error), said) from error

    def resubmit(
        self,
        project: str,
        jobs: Iterable[int],
        *,
        memory_mb: int | None = None,
        walltime_min: int | None = None,
    ) -> None:
        """Run some failed jobs of a task again.

        Parameters
        ----------
        jobs : iterable of int
            By CRAB's numbers. One among them that is not ``failed``, and CRAB refuses all.
        memory_mb, walltime_min : int, optional
            What they get this time.

        Raises
        ------
        NeverResubmittedError
            If the server says that it will not do so for this task, whatever the jobs.
        """
        options = ["--jobids", job_ranges(jobs)]
        options += ["--maxmemory", str(memory_mb)] if memory_mb else []
        options += ["--maxjobruntime", str(walltime_min)] if walltime_min else []
        self._run("resubmit", "-d", project, *options)

    def kill(self, project: str) -> None:
        """Stop all of a task."""
        self._run("kill", "-d", project)

    def listed(self, name: str) -> str | None:
        """The server's name of the newest task with a ``requestName``, if it has one.

        Raises
        ------
        StateError
            If a ``crab submit`` runs in this folder: what it delivers may not be listed yet.
        """
        return listed_task(self._list(), name, self._since)

    def listed_below(self, stem: str) -> dict[int, str]:
        """The server's names of the newest tasks whose ``requestName`` is `stem` and a number, by that."""
        return listed_tasks(self._list(), stem, self._since)

    def _list(self) -> str:
        with self._alone():
            # one reply does for all tasks of a request
            if self._listed is None:
                days = 30 if self._since is None else max(0, (datetime.now(UTC) - self._since).days) + 1
                self._listed = self._run("tasks", "--days", str(days))
        return self._listed

    def remake(self, name: str, projects: Path) -> None:
        """Make the project folder of a task, by the server's name, anew below `projects`."""
        self._run("remake", f"--task={name}", folder=projects)

    def check_write(self, storage_site: str, lfn: str) -> str:
        """Try whether this user may write to a folder of a site; what the client says of it in the end."""
        said = self._run("checkwrite", f"--site={storage_site}", f"--lfn={lfn}")
        return reason_in(said)

    def _run(self, *words: str, folder: Path | None = None, hold: int | None = None) -> str:
        if not self.is_here():
            raise ConfigError(f"there is no 'crab' on this machine; set it up: {SETUP}")
        shown = f"crab {' '.join(words[:4])}"
        try:
            done = subprocess.run(
                ["crab", *words],
                cwd=folder or self._folder,
                stdin=subprocess.DEVNULL,  # it asks for pass phrases when a proxy has expired
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_PATIENCE_S,
                pass_fds=() if hold is None else (hold,),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            told = f"{shown}: no answer after {_PATIENCE_S} s; try again later"
            raise self._unreadable(told, (error.stdout or b"").decode(errors="replace")) from error
        except OSError as error:
            raise ConfigError(f"{shown}: it cannot be started: {error.strerror}") from error
        said = done.stdout.decode(errors="replace")
        if lacks_release(said):
            raise ConfigError(f"{shown}: {last_line(said)} Set it up: {SETUP}")
        if done.returncode:
            self._keep(shown, done.returncode, said)
            mend = f"; make a new one: {PROXY}" if lacks_proxy(said) else ""
            raise _kind(said)(
                f"{shown}: exit code {done.returncode}: {reason_in(said)}{mend} (all of it: {self._log})"
            )
        return said

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold this folder's right to submit; the client inherits it, and holds it until it has ended."""
        path = self._folder / _SUBMITTING
        with storage_errors(f"locking {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            # nothing is read or written there; some file systems lock only what may be written
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with storage_errors(f"locking {path}"):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise StateError(
                        f"a 'crab submit' still runs in {self._folder}, started by a command that was ended; "
                        "try again once it is done, a quarter of an hour at most"
                    ) from error
            yield lock
        finally:
            os.close(lock)

    def _unreadable(self, told: str, said: str) -> StorageError:
        self._keep(told.split(":")[0], 0, said)
        return StorageError(f"{told} (all of it: {self._log})")

    def _keep(self, shown: str, code: int, said: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        before = read_text(self._log)[-_LOG_MAX:] if self._log.exists() else ""
        write_whole(self._log, f"{before}---- {now} {shown}: exit code {code}\n{said}\n")


def job_ranges(jobs: Iterable[int]) -> str:
    """Job numbers as CRAB takes them: ``1-3,5``."""
    runs = groupby(enumerate(sorted(set(jobs))), lambda pair: pair[1] - pair[0])
    ranges = ([number for _, number in run] for _, run in runs)
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in ranges)


def by_hand(folder: Path, configs: Sequence[str], request: str) -> tuple[str, ...]:
    """What a person has to type where there is no client on this machine, a line each."""
    return (
        "there is no 'crab' on this machine, so nothing was handed over; where there is one, type:",
        f"  {SETUP}",
        f"  cd {folder}",
        *(f"  crab submit -c {config}" for config in configs),
        f"  flashsim-prod retry {request}",
    )


def _kind(said: str) -> type[StorageError]:
    if will_never_be_resubmitted(said):
        return NeverResubmittedError
    return NoStatusError if has_no_status(said) else StorageError
