"""What a request must not forget of its tasks, beside ``request.yaml``: the folder of tasks can be lost.

Without it, jobs that CRAB is at work on would be handed over once more, and nobody would know which jobs a
recovery task has.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import RootModel, ValidationError

from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import StateError
from flashsim_prod.files import read_text, storage_errors, write_whole

_FILE = "crab_tasks.json"


class RecordedTask(StrictModel):
    """One task.

    Attributes
    ----------
    name : str or None
        The server's name of it, once it was handed over.
    jobs : tuple of int or None
        The simulate jobs of a recovery task.
    """

    name: str | None = None
    jobs: tuple[int, ...] | None = None


class _Tasks(RootModel[dict[int, RecordedTask]]):
    """All tasks of a request, by number."""


class Record:
    """The tasks of one request; commands that write to it hold the request.

    Parameters
    ----------
    request_folder : Path
        Where its ``request.yaml`` is.
    """

    def __init__(self, request_folder: Path) -> None:
        self._path = request_folder / _FILE

    def tasks(self) -> dict[int, RecordedTask]:
        """All that is recorded, by the tasks' numbers; `StateError` if it cannot be read."""
        if not self._path.exists():
            return {}
        with storage_errors(f"reading {self._path}"):
            text = read_text(self._path)
        try:
            return _Tasks.model_validate_json(text).root
        except ValidationError as error:
            raise StateError(
                f"{self._path}: this is no record of tasks any more; put it aside: CRAB is asked then which "
                "tasks it has"
            ) from error

    def enter(self, number: int, **known: str | tuple[int, ...] | None) -> None:
        """Enter what is known of a task; what is not named stays."""
        tasks = self.tasks()
        before = tasks.get(number, RecordedTask())
        after = before.model_copy(update=known)
        if after != before:
            self._write({**tasks, number: after})

    def forget(self, number: int) -> None:
        """Leave out a task that was never handed over."""
        tasks = self.tasks()
        if tasks.pop(number, None) is not None:
            self._write(tasks)

    def _write(self, tasks: dict[int, RecordedTask]) -> None:
        write_whole(self._path, _Tasks(dict(sorted(tasks.items()))).model_dump_json(exclude_none=True) + "\n")
