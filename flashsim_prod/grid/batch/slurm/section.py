"""What a site file says of a Slurm cluster."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from flashsim_prod.core.engines import EngineRules, NodeSoftware
from flashsim_prod.core.strict import StrictModel

#: a word of sbatch's command line, as it stands in a script
Word = Annotated[str, StringConstraints(pattern=r"^[^\s\"'\\#$`]+$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

#: options of sbatch that the rendered files set themselves: a site file cannot set them again
_OWN = frozenset(
    {
        *("account", "array", "chdir", "clusters", "constraint", "cpus-per-task", "dependency", "error"),
        *("exclude", "export", "gres", "gpus", "gpus-per-node", "input", "job-name", "kill-on-invalid-dep"),
        *("mem", "nodes", "no-requeue", "ntasks", "open-mode", "output", "parsable", "partition", "qos"),
        *("requeue", "reservation", "time", "wait", "wrap", "test-only"),
    }
)
#: what jobs get of the environment of the command, if it is there: places of things, never the things
_EXPORTED = (
    *("HOME", "USER", "PATH", "LANG", "APPTAINER_CACHEDIR"),
    *("X509_USER_PROXY", "X509_CERT_DIR", "BEARER_TOKEN_FILE"),
)


class Gpus(StrictModel):
    """GPUs of a simulate job, as a generic resource of the cluster."""

    count: int = Field(default=1, ge=1, le=8, description="GPUs of one job")
    type: Word | None = Field(default=None, description="as the cluster calls it, such as a100")

    @property
    def gres(self) -> str:
        """As sbatch takes it."""
        return ":".join(["gpu", *([self.type] if self.type else []), str(self.count)])


class Software(StrictModel):
    """Where a node finds this package: at a path that it sees, or in a container image."""

    python: str = Field(
        default="{python}",
        description="the interpreter on the node; {python} is the one that this command runs in",
    )
    image: str | None = Field(default=None, description="container image: folder, file or docker://...")
    runner: str = Field(default="apptainer", description="what opens the image: apptainer or singularity")
    binds: tuple[str, ...] = Field(
        default=(), description="folders that jobs in the image see, besides home and the request's"
    )
    setup: tuple[str, ...] = Field(default=(), description="shell lines that run before the worker")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.image and "{python}" in self.python:
            raise ValueError("python must be a path inside the image, such as /opt/flashsim/bin/python")
        return self


class FailureRules(StrictModel):
    """Limits of what is tried again; how often in all is the site's `max_attempts`."""

    memory_factor: float = Field(default=1.5, gt=1, le=4, description="more memory after each end for it")
    memory_cap_mb: int = Field(default=12_000, ge=500, description="a job that needs more fails [MB]")
    walltime_tries: int = Field(default=2, ge=1, le=5, description="tries of a job that runs into its limit")


class SlurmRules(EngineRules):
    """How jobs are handed to a Slurm cluster whose nodes see this machine's files."""

    batch_system: ClassVar[str] = "flashsim_prod.grid.batch.slurm.engine:SlurmBatch"
    gpu_key: ClassVar[str] = "gpus"
    looks_at: ClassVar[tuple[str, ...]] = ("slurmctld", "partition", "accounting", "software", "match")

    partition: Word | None = Field(default=None, description="the cluster's default one by default")
    merge_partition: Word | None = Field(default=None, description="of merge jobs, which want no GPU")
    account: Word | None = Field(default=None, description="whom the jobs are charged to")
    qos: Word | None = Field(default=None, description="quality of service")
    constraint: Word | None = Field(default=None, description="features that a node must have")
    reservation: Word | None = Field(default=None, description="a reservation of nodes")
    exclude: Word | None = Field(default=None, description="nodes that are never used")
    gpus: Gpus | None = None
    software: Software = Software()
    export: tuple[Variable, ...] = Field(
        default=_EXPORTED, description="variables that jobs get of the command's environment; no others"
    )
    scratch: str | None = Field(
        default=None, description="folder on the node for scratch files; by default its $TMPDIR or /tmp"
    )
    most_jobs: int = Field(
        default=0, ge=0, description="jobs of a request in the queue at a time; 0: as many as Slurm takes"
    )
    failures: FailureRules = FailureRules()
    options: dict[str, Word] = Field(
        default_factory=dict, description="further options of sbatch, by their long names without --"
    )

    def gpus_promised(self) -> int:
        return self.gpus.count if self.gpus else 0

    def node_software(self) -> NodeSoftware:
        own = self.software
        return NodeSoftware(own.python, own.image, None, own.setup, own.runner)

    def most_at_once(self) -> int | None:
        return self.most_jobs or None

    @field_validator("options")
    @classmethod
    def _others_only(cls, value: dict[str, str]) -> dict[str, str]:
        for key in value:
            if key in _OWN:
                raise ValueError(f"'{key}' is set by the rendered files; use the site's own keys for it")
            if not key.replace("-", "").isalnum() or key.startswith("-"):
                raise ValueError(f"'{key}' is no long option of sbatch (without --)")
        return value
