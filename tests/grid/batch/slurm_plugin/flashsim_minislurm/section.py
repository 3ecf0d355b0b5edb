"""What a site file says of a Slurm cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field

from flashsim_prod.core.engines import EngineRules
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Resources


class SlurmRules(EngineRules):
    """How jobs are handed to a Slurm cluster whose nodes see this machine's files."""

    batch_system: ClassVar[str] = "flashsim_minislurm.engine:SlurmBatch"
    gpu_key: ClassVar[str] = "gpus"
    looks_at: ClassVar[tuple[str, ...]] = ("slurm",)

    partition: str
    gpus: int = Field(default=0, ge=0, description="of one job")
    limit_min: float = Field(default=1440, gt=0, description="what the partition lets a job last [min]")
    most_jobs: int = Field(default=1000, ge=1, description="what a user may have in the queue")
    python: str = Field(default="{python}", description="the interpreter on the node; by default this one")

    def gpus_promised(self) -> int:
        return self.gpus

    def check_limits(self, resources: Resources) -> None:
        if resources.walltime_min > self.limit_min:
            raise ValueError(
                f"resources.walltime_min: partition {self.partition} gives at most {self.limit_min:g}"
            )

    def notes(self, request: Request) -> Iterable[str]:
        jobs = request.n_simulate + request.n_merge
        if jobs > self.most_jobs:
            yield f"{jobs} jobs, but a user may have {self.most_jobs} in the queue; raise --events-per-job"
