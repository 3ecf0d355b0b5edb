"""What a site file says of an HTCondor pool."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from flashsim_prod.core.engines import EngineRules, NodeSoftware
from flashsim_prod.core.strict import StrictModel

#: submit commands that the rendered files set themselves: a site file cannot set them again
_OWN = frozenset(
    {
        "executable",
        "arguments",
        "universe",
        "log",
        "output",
        "error",
        "queue",
        "initialdir",
        "request_cpus",
        "request_memory",
        "request_disk",
        "request_gpus",
        "requirements",
        "max_retries",
        "retry_until",
        "periodic_hold",
        "periodic_hold_reason",
        "periodic_hold_subcode",
        "periodic_release",
        "periodic_remove",
        "transfer_input_files",
        "transfer_output_files",
        "should_transfer_files",
        "when_to_transfer_output",
        "success_exit_code",
    }
)


class FileAccess(StrEnum):
    """How a job gets at its input and leaves its output."""

    SHARED = "shared"
    TRANSFER = "transfer"


class Gpus(StrictModel):
    """What a job wants of GPUs."""

    count: int = Field(default=1, ge=1, le=8, description="GPUs of one job")
    memory_mb: int | None = Field(default=None, gt=0, description="of one GPU, at least [MB]")
    minimum_capability: float | None = Field(default=None, gt=0, description="compute capability, at least")
    maximum_capability: float | None = Field(default=None, gt=0, description="compute capability, at most")
    minimum_runtime: str | None = Field(
        default=None, pattern=r"^[0-9]+\.[0-9]+$", description="version of CUDA that the driver supports"
    )
    requirement: str | None = Field(default=None, description="ClassAd expression on a GPU's properties")


class Software(StrictModel):
    """Where a node finds this package: at a path, in a container image, or in an archive sent along."""

    python: str = Field(
        default="{python}",
        description="the interpreter on the node; {python} is the one that this command runs in",
    )
    image: str | None = Field(default=None, description="container image: folder, file or docker://...")
    archive: str | None = Field(
        default=None, description="packed environment (.tar.gz) sent along; python is a path inside it"
    )
    setup: tuple[str, ...] = Field(default=(), description="shell lines that run before the worker")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.image and self.archive:
            raise ValueError("say either image or archive, not both")
        if (self.image or self.archive) and "{python}" in self.python:
            raise ValueError("python must be a path inside the image or archive, such as bin/python")
        return self


class FailureRules(StrictModel):
    """Limits of what is tried again; how often in all is the site's `max_attempts`."""

    memory_factor: float = Field(default=1.5, gt=1, le=4, description="more memory after each hold for it")
    memory_cap_mb: int = Field(default=12_000, ge=500, description="a job that needs more fails [MB]")
    walltime_tries: int = Field(default=2, ge=1, le=5, description="tries of a job that runs into its limit")
    transfer_tries: int = Field(default=3, ge=1, le=10, description="tries when a transfer fails")
    starts: int = Field(
        default=10, ge=1, le=100, description="starts of a job in all, those that the pool broke off included"
    )
    release_after_s: int = Field(default=300, ge=0, description="rest of a held job before it is released")
    avoid_node_min: float = Field(
        default=60, ge=0, description="a machine that a job failed on is not chosen again for so long [min]"
    )


class Throttle(StrictModel):
    """What keeps a shared schedd from being flooded."""

    max_idle: int = Field(default=1000, ge=1, description="idle jobs in the queue")
    max_jobs: int = Field(default=0, ge=0, description="jobs in the queue; 0 means no limit")
    submits_per_interval: int = Field(default=100, ge=1, le=1000, description="jobs queued every 5 s")


class HTCondorRules(EngineRules):
    """How jobs are handed to an HTCondor pool."""

    batch_system: ClassVar[str] = "flashsim_prod.grid.batch.htcondor.engine:HTCondorBatch"
    gpu_key: ClassVar[str] = "gpus"
    looks_at: ClassVar[tuple[str, ...]] = ("schedd", "dagman", "pool", "match", "proxy")

    schedd: str | None = Field(default=None, description="name of the schedd; the configured one by default")
    pool: str | None = Field(default=None, description="its collector; the configured one by default")
    files: FileAccess = FileAccess.SHARED
    carries_urls: bool = Field(
        default=False,
        description="with files: transfer, HTCondor's plugins rather than the jobs copy from and to root://",
    )
    software: Software = Software()
    gpus: Gpus | None = None
    disk_mb: int = Field(default=2000, ge=10, description="scratch space of one job [MB]")
    requirements: str | None = Field(default=None, description="ClassAd expression on the machine")
    proxy: bool = Field(default=False, description="send the user's X.509 proxy, found as usual, along")
    tokens: tuple[str, ...] = Field(default=(), description="OAuth services whose tokens are sent along")
    failures: FailureRules = FailureRules()
    throttle: Throttle = Throttle()
    submit: dict[str, str] = Field(default_factory=dict, description="further submit commands, as they are")
    dagman: dict[str, str] = Field(default_factory=dict, description="further settings of DAGMan")

    def gpus_promised(self) -> int:
        return self.gpus.count if self.gpus else 0

    def node_software(self) -> NodeSoftware:
        own = self.software
        return NodeSoftware(own.python, own.image, own.archive, own.setup)

    def most_at_once(self) -> int | None:
        return self.throttle.max_jobs or None

    def limited(self, jobs: int) -> Self:
        # no limit is written as none
        most = min(jobs, self.throttle.max_jobs or jobs)
        idle = min(most, self.throttle.max_idle)
        throttle = self.throttle.model_copy(update={"max_jobs": most, "max_idle": idle})
        return self.model_copy(update={"throttle": throttle})

    def copies_urls(self) -> bool:
        return self.carries_urls

    @property
    def wants_container_universe(self) -> bool:
        """Whether HTCondor is told of the image in its own way, not by the attribute that some sites read."""
        return self.software.image is not None and "MY.SingularityImage" not in self.submit

    @field_validator("submit")
    @classmethod
    def _others_only(cls, value: dict[str, str]) -> dict[str, str]:
        own = [key for key in value if key.lower() in _OWN]
        if own:
            raise ValueError(f"'{own[0]}' is set by the rendered files; use the site's own keys for it")
        return value
