"""The one module that calls Slurm's programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from flashsim_prod.errors import ConfigError, StorageError
from flashsim_prod.grid.batch.slurm.records import Record, Task, accounting_line, queue_line

#: how long a program may take [s]; a controller under load makes them wait
PATIENCE_S = 120
#: jobs that are asked for at a time: command lines have a limit
_AT_A_TIME = 500
#: what users set for their own jobs, or the job that this command runs in, must not change ours
_OTHERS = re.compile(r"(SBATCH|SLURM|SQUEUE|SACCT|SCANCEL|SINFO)_")
#: words of errors that go away by themselves
_PASSING = re.compile(
    r"unable to contact|connection (refused|reset|timed out|failure)|timed out|temporarily|try again"
    r"|communication|socket|zero bytes|transport endpoint|munge|authentication|unable to connect"
    r"|standby mode|limit",
    re.IGNORECASE,
)
_IS_OFF = re.compile(r"accounting storage is disabled", re.IGNORECASE)
_UNKNOWN = re.compile(r"invalid job id|already complet", re.IGNORECASE)


class Slurm:
    """The cluster that this machine is set up for."""

    def submit(self, options: Iterable[str], script: Path, *words: str) -> int:
        """Hand a script over; the number of its job.

        Raises
        ------
        StorageError
            If it may work later: the controller cannot be reached, or a limit is reached.
        ConfigError
            If Slurm does not take such jobs.
        """
        told = _said("sbatch", "--parsable", *options, str(script), *words)
        number = told.split(";")[0].strip().rpartition("\n")[2]
        if not number.isdecimal():
            raise StorageError(f"sbatch printed {told!r} rather than the number of a job")
        return int(number)

    def queue(self) -> dict[Task, Record]:
        """The user's tasks that the controller remembers: those not over, and some that ended lately."""
        wanted = ("--array", "--states=all", f"--user={os.getuid()}", "--format=%i|%T|%r|%N|%j")
        lines = _said("squeue", "--noheader", *wanted).splitlines()
        return dict(found for line in lines if (found := queue_line(line)))

    def accounted(self, jobs: Iterable[int]) -> dict[Task, Record] | None:
        """What accounting has of the tasks of these arrays; ``None`` if the cluster keeps no accounts."""
        numbers = sorted(set(jobs))
        found: dict[Task, Record] = {}
        for first in range(0, len(numbers), _AT_A_TIME):
            some = ",".join(map(str, numbers[first : first + _AT_A_TIME]))
            lines = self._accounts(f"--jobs={some}")
            if lines is None:
                return None
            found |= dict(one for line in lines for one in accounting_line(line))
        return found

    def number_of(self, name: str, since: float) -> int | None:
        """The number of the array of this name that was handed over after `since` (UTC [s]), if one was."""
        found = [job for (job, _), record in self.queue().items() if record.name == name]
        if not found:
            # another clock than this machine's counts
            lines = self._accounts(f"--name={name}", f"--starttime=uts{since - 3600:.0f}") or []
            tasks = [one for line in lines for one in accounting_line(line)]
            found = [job for (job, _), record in tasks if record.name == name]
        return max(found, default=None)

    def cancel(self, jobs: Iterable[int]) -> None:
        """Take jobs back; those that are gone are no error."""
        numbers = list(map(str, jobs))
        for first in range(0, len(numbers), _AT_A_TIME):
            done = _run("scancel", *numbers[first : first + _AT_A_TIME])
            if done.returncode and not _UNKNOWN.search(done.stderr):
                raise _error("scancel", done)

    def setting(self, name: str) -> str:
        """A value of the cluster's configuration; empty if it has none of this name."""
        found = re.search(rf"^{name}\s*=\s*(.*?)\s*$", _said("scontrol", "show", "config"), re.MULTILINE)
        return found[1] if found else ""

    def most_tasks(self) -> int:
        """The most tasks of an array; `ConfigError` if this Slurm takes no arrays."""
        told = self.setting("MaxArraySize")
        # the largest number of a task is one less
        if not told.isdecimal() or int(told) < 2:
            raise ConfigError(f"this Slurm takes no job arrays (MaxArraySize = {told or '?'})")
        return int(told)

    def controller(self) -> str:
        """Which controller answers."""
        return " ".join(_said("scontrol", "ping").split())

    def partition(self, name: str | None) -> list[str]:
        """Node counts, time limit, memory [MB], cores and generic resources of a partition, a line a kind."""
        wanted = [f"--partition={name}"] if name else []
        return _said(
            "sinfo", "--noheader", "--format=%P %a, %F nodes, limit %l, %m MB, %c cores, %G", *wanted
        ).splitlines()

    def test(self, options: Iterable[str], script: Path) -> str:
        """What Slurm says of when and where such a job would start; hands nothing over."""
        # it is told on standard error
        done = _run("sbatch", "--test-only", *options, str(script))
        if done.returncode:
            raise _error("sbatch", done)
        return _line(done.stderr or done.stdout)

    def _accounts(self, *wanted: str) -> list[str] | None:
        columns = "--format=JobID,State,ExitCode,NodeList,Reason,JobName"
        if shutil.which("sacct") is None:
            # where no accounts are kept, some centres leave it out
            return None
        done = _run(
            "sacct", "--allocations", "--noheader", "--parsable2", columns, f"--user={os.getuid()}", *wanted
        )
        if _IS_OFF.search(done.stderr):
            return None
        if done.returncode:
            raise _error("sacct", done)
        return done.stdout.splitlines()


def check_client() -> None:
    """See that Slurm's programs are here; `ConfigError` if they are not."""
    for program in ("sbatch", "squeue", "scancel", "scontrol"):
        if shutil.which(program) is None:
            raise _not_here(program)


def _not_here(program: str) -> ConfigError:
    return ConfigError(
        f"there is no '{program}' on this machine; log in to a login node of the Slurm cluster"
    )


def _said(program: str, *words: str) -> str:
    """What a program prints."""
    done = _run(program, *words)
    if done.returncode:
        raise _error(program, done)
    return done.stdout


def _run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [program, *words],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment(os.environ),
            timeout=PATIENCE_S,
        )
    except FileNotFoundError:
        raise _not_here(program) from None
    except OSError as error:
        raise ConfigError(f"{program} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise StorageError(f"Slurm: {program} had no answer in {PATIENCE_S} s") from None


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What Slurm's programs get: without what would change their options or the form of what they print."""
    kept = {key: value for key, value in variables.items() if key == "SLURM_CONF" or not _OTHERS.match(key)}
    return {**kept, "LC_MESSAGES": "C"}


def _error(program: str, done: subprocess.CompletedProcess[str]) -> Exception:
    told = _line(done.stderr or done.stdout) or f"exit code {done.returncode}"
    if program != "sbatch" or _PASSING.search(told):
        return StorageError(f"Slurm: {program}: {told}")
    return ConfigError(f"Slurm does not take such jobs: {told}; see the section slurm of the site file")


def _line(text: str) -> str:
    """What was said, as one line without the program's name."""
    lines = [
        re.sub(r"^(\w+: )?(error: )?(slurm_\w+ error: )?", "", line).strip() for line in text.splitlines()
    ]
    return "; ".join(dict.fromkeys(line for line in lines if line))
