"""Where the files of a request are in its folder: the one place that knows their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.core.states import Stage


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
    def lock(self) -> Path:
        """Held by the one command that drives the request."""
        return self.path / "driver.lock"

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
