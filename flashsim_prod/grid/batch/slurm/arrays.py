"""The arrays of a submission, as files: which job each task is, what Slurm calls the array, how tasks ended.

``arrays/002.00003.jobs`` of the submission's folder is array 3 of submission 2: its line `i + 1` is task `i`.
It is written before the array is handed over, its number (``.id``) after that: an array without a number may
have been handed over, and Slurm knows it by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.core.states import Stage
from flashsim_prod.errors import StateError
from flashsim_prod.files import read_text, storage_errors, write_whole
from flashsim_prod.grid.batch.base import NodeKey, Submission

#: so much of the token is in the names of arrays
_TOKEN = 12


@dataclass(frozen=True)
class End:
    """How a task's last start ended, as its script left it."""

    exit_code: int
    host: str
    starts: int


@dataclass(frozen=True)
class Array:
    """One job array.

    Attributes
    ----------
    path : Path
        The list of its jobs.
    name : str
        What Slurm finds it by.
    keys : tuple of NodeKey
        Its jobs, in the order of its tasks.
    number : int or None
        Slurm's, if it was written down.
    """

    path: Path
    name: str
    keys: tuple[NodeKey, ...]
    number: int | None

    @property
    def id_path(self) -> Path:
        """Where its number is written down."""
        return self.path.with_suffix(".id")

    def end_path(self, task: int) -> Path:
        """Where the script leaves how a task ended."""
        return self.path.parent / "ends" / f"{self.path.stem}.{task}"

    def out_path(self, task: int | str) -> Path:
        """What Slurm itself writes of a task; gone if that ended by itself."""
        return self.path.parent / "ends" / f"{self.path.stem}.{task}.out"

    def end(self, task: int) -> End | None:
        """How a task ended, if its script came to tell."""
        try:
            code, host, starts = read_text(self.end_path(task)).split()
            return End(int(code), host, int(starts))
        except (OSError, ValueError):
            return None

    def words(self, task: int) -> str:
        """Slurm's own words on a task that did not end by itself; empty if there are none."""
        try:
            return self.out_path(task).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def folder_of(submission: Submission) -> Path:
    """Where the lists are."""
    return submission.folder / "arrays"


def write_plan(submission: Submission) -> None:
    """Write down which jobs this submission is about."""
    left = [node.key for node in submission.nodes if node.key not in submission.done]
    with storage_errors(f"writing {folder_of(submission)}"):
        (folder_of(submission) / "ends").mkdir(parents=True, exist_ok=True)
    write_whole(_plan(submission), _lines(left))


def read_plan(submission: Submission) -> frozenset[NodeKey]:
    """The jobs that this submission is about; all of the request's if that was never written."""
    try:
        return frozenset(_keys(read_text(_plan(submission))))
    except FileNotFoundError:
        return frozenset(node.key for node in submission.nodes)
    except (OSError, ValueError) as error:
        raise StateError(f"{_plan(submission)} cannot be read: {error}") from error


def read_arrays(submission: Submission) -> list[Array]:
    """All arrays of the submission that were handed over, or were about to be, in that order."""
    found = []
    for path in sorted(folder_of(submission).glob(f"{submission.number:03d}.[0-9]*.jobs")):
        try:
            keys = tuple(_keys(read_text(path)))
            number = int(read_text(path.with_suffix(".id"))) if path.with_suffix(".id").exists() else None
        except (OSError, ValueError) as error:
            raise StateError(f"{path}, a list of jobs handed to Slurm, cannot be read: {error}") from error
        found.append(Array(path, _name(submission, path), keys, number))
    return found


def write_array(submission: Submission, keys: Sequence[NodeKey]) -> Array:
    """The next array of a submission, about to be handed over."""
    last = max((int(array.path.stem.split(".")[1]) for array in read_arrays(submission)), default=-1)
    path = folder_of(submission) / f"{submission.number:03d}.{last + 1:05d}.jobs"
    write_whole(path, _lines(keys))
    return Array(path, _name(submission, path), tuple(keys), None)


def write_number(array: Array, number: int) -> Array:
    """Write down what Slurm calls an array."""
    write_whole(array.id_path, f"{number}\n")
    return Array(array.path, array.name, array.keys, number)


def drop(array: Array) -> None:
    """Forget an array that was never handed over."""
    with storage_errors(f"removing {array.path}"):
        array.path.unlink(missing_ok=True)


def _plan(submission: Submission) -> Path:
    return folder_of(submission) / f"{submission.number:03d}.plan"


def _name(submission: Submission, path: Path) -> str:
    token = submission.token[:_TOKEN] or "preview"
    return f"{submission.request.name}.{token}.{path.stem.split('.')[1]}"


def _lines(keys: Iterable[NodeKey]) -> str:
    return "".join(f"{key.stage} {key.index}\n" for key in keys)


def _keys(text: str) -> list[NodeKey]:
    words = [line.split() for line in text.splitlines()]
    return [NodeKey(Stage(stage), int(index)) for stage, index in words]
