"""The ``crab`` command as a subprocess; it finds proxies and talks to the server itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from flashsim_prod.errors import ConfigError, StorageError
from flashsim_prod.grid.batch.crab.replies import TaskStatus, listed_task, submitted_task, task_status

#: where the client is set up from; a person does it, once in a shell
SETUP = "source /cvmfs/cms.cern.ch/cmsset_default.sh; cmsenv (in a CMSSW area); voms-proxy-init -voms cms"
#: the client waits for the server by itself, but not for ever [s]
_PATIENCE_S = 900
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class CrabClient:
    """The CRAB client, run in the folder of a submission.

    Methods raise `ConfigError` if there is no client here, and `StorageError`, with what it said, if it fails
    or does not come back.

    Parameters
    ----------
    folder : Path
        Where the paths in a task's ``crabConfig.py`` start, and the client keeps its project folders.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def is_here() -> bool:
        """Whether there is a client on this machine."""
        return shutil.which("crab") is not None

    def submit(self, config: str) -> str:
        """Deliver a task; the server's name of it."""
        said = self._run("submit", "-c", config)
        name = submitted_task(said)
        if name is None:
            raise StorageError(f"crab submit -c {config}: it gave no name of a task: {_last_line(said)}")
        return name

    def status(self, project: str) -> TaskStatus:
        """Where a task stands."""
        return task_status(self._run("status", "--json", "-d", project))

    def resubmit(
        self,
        project: str,
        jobs: Iterable[int],
        *,
        force: bool = False,
        memory_mb: int | None = None,
        walltime_min: int | None = None,
    ) -> None:
        """Run some jobs of a task again.

        Parameters
        ----------
        jobs : iterable of int
            By CRAB's numbers.
        force : bool
            Also those that CRAB counts as done.
        memory_mb, walltime_min : int, optional
            What they get this time.
        """
        options = ["--jobids", job_ranges(jobs)]
        options += ["--force"] if force else []
        options += ["--maxmemory", str(memory_mb)] if memory_mb else []
        options += ["--maxjobruntime", str(walltime_min)] if walltime_min else []
        self._run("resubmit", "-d", project, *options)

    def kill(self, project: str) -> None:
        """Stop all of a task."""
        self._run("kill", "-d", project)

    def listed(self, name: str) -> str | None:
        """The server's name of the newest task with a ``requestName``, if it has one of the last 30 days."""
        return listed_task(self._run("tasks", "--days", "30"), name)

    def remake(self, name: str, projects: Path) -> None:
        """Make the project folder of a task, by the server's name, anew below `projects`."""
        self._run("remake", f"--task={name}", folder=projects)

    def check_write(self, storage_site: str) -> str:
        """Try whether this user may write to a site; what the client says of it in the end."""
        return _last_line(self._run("checkwrite", f"--site={storage_site}"))

    def _run(self, *words: str, folder: Path | None = None) -> str:
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
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StorageError(f"{shown}: no answer after {_PATIENCE_S} s; try again later") from error
        except OSError as error:
            raise ConfigError(f"{shown}: it cannot be started: {error.strerror}") from error
        said = done.stdout.decode(errors="replace")
        if done.returncode:
            raise StorageError(f"{shown}: exit code {done.returncode}: {_last_line(said)}")
        return said


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


def _last_line(said: str) -> str:
    lines = [_COLOUR.sub("", line).strip() for line in said.splitlines()]
    told = [line for line in lines if line and not line.startswith("Log file is")]
    return told[-1] if told else "it printed nothing"
