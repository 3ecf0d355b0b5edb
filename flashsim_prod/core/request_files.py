"""Where the files of a request are in its folder: the one place that knows their names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.core.states import Stage

_LOG = re.compile(r"(?P<stage>simulate|merge)_(?P<index>[0-9]{6,})\.(?P<attempt>[0-9]+(?:\.[0-9]+)?)\.log")


@dataclass(frozen=True)
class RequestFolder:
    """The files of one request; nothing here says that they exist."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the request."""
        return self.path.name

    @property
    def request(self) -> Path:
        """The immutable request."""
        return self.path / "request.yaml"

    @property
    def reports(self) -> Path:
        """One report per job, of its last attempt that ended by itself."""
        return self.path / "reports"

    @property
    def logs(self) -> Path:
        """One log per attempt."""
        return self.path / "logs"

    @property
    def work(self) -> Path:
        """Scratch space of running jobs."""
        return self.path / "work"

    @property
    def batch(self) -> Path:
        """What is handed to a batch system, and what it writes there."""
        return self.path / "batch"

    def report(self, stage: Stage, index: int) -> Path:
        """The report of one job."""
        return self.reports / f"{stage}_{index:06d}.json"

    def log(self, stage: Stage, index: int, attempt: int) -> Path:
        """The log of one attempt, counted from 1."""
        return self.logs / f"{stage}_{index:06d}.{attempt}.log"

    def all_logs(self) -> dict[tuple[Stage, int], list[Path]]:
        """The logs that there are of each job, in the order of their attempts.

        A batch system counts submissions and starts in their names: ``simulate_000003.1.2.log``.
        """
        found: dict[tuple[Stage, int], list[tuple[tuple[int, ...], Path]]] = {}
        names = os.listdir(self.logs) if self.logs.is_dir() else []
        for name in names:
            match = _LOG.fullmatch(name)
            if match:
                order = tuple(map(int, match["attempt"].split(".")))
                job = Stage(match["stage"]), int(match["index"])
                found.setdefault(job, []).append((order, self.logs / name))
        return {job: [path for _, path in sorted(logs)] for job, logs in found.items()}


@dataclass(frozen=True)
class SandboxFolder(RequestFolder):
    """A folder on a node to which a job's input was sent: all files are side by side in it."""

    @property
    def reports(self) -> Path:
        return self.path
