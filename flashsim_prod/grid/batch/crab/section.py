"""What a site file says of CRAB, and the limits that CRAB sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from flashsim_prod.core.engines import EngineRules, NodeSoftware
from flashsim_prod.core.names import owner_of
from flashsim_prod.core.site import Resources
from flashsim_prod.core.strict import StrictModel

if TYPE_CHECKING:
    from flashsim_prod.core.request import Request

#: jobs of one task, at most
MAX_JOBS = 10_000
#: luminosity sections of one output file, at most
MAX_LUMIS = 1000
#: wall time of one job, at most [min]
MAX_WALLTIME_MIN = 2750
#: size of all that travels with a task, at most [B]
MAX_SANDBOX_BYTES = 120 * 2**20
#: cores that a job may ask for
CORES = (1, 2, 4, 8)

_SITE_NAME = r"^T[0-3]_[A-Z]{2}(_[A-Za-z0-9]+)+$"
_CAPABILITY = r"^[0-9]+(\.[0-9]+)?$"
#: sites of CMS by name; * stands for any part of it
SitePattern = Annotated[str, Field(pattern=r"^T[0-3*][A-Za-z0-9_*]*$")]
#: the name of a request's owner, in `CrabRules.lfn_base`
USER = "{user}"
#: folders into which only Rucio writes, and where a rule keeps each file
RUCIO_FOLDERS = ("/store/user/rucio/", "/store/group/rucio/")


def max_memory_mb(cores: int) -> int:
    """Memory that a job of so many cores may ask for [MB]."""
    return max(3000, 2500 * cores)


def whole_lumis(gen_events_per_job: int, gen_events_per_lumi: int) -> int:
    """Gen events of a job that CRAB can number: luminosity sections are full, and not too many.

    CRAB is told how many sections a file has, and divides the job's events among them evenly.
    """
    lumis = min(gen_events_per_job // gen_events_per_lumi, MAX_LUMIS)
    return lumis * gen_events_per_lumi if lumis else gen_events_per_job


class CrabAccelerator(StrictModel):
    """Which GPUs will do; what is left out does not matter."""

    memory_mb: int | None = Field(default=None, ge=1, description="of one GPU, at least [MB]")
    minimum_capability: str | None = Field(
        default=None, pattern=_CAPABILITY, description='compute capability, at least, such as "7.0"'
    )
    maximum_capability: str | None = Field(
        default=None, pattern=_CAPABILITY, description="compute capability, at most"
    )
    runtime: str | None = Field(default=None, pattern=_CAPABILITY, description='CUDA of the driver, "12.4"')

    def parameters(self) -> dict[str, int | str]:
        """As CRAB wants them, by its names."""
        named = {
            "GPUMemoryMB": self.memory_mb,
            "GPUMinimumCapability": self.minimum_capability,
            "GPUMaximumCapability": self.maximum_capability,
            "GPURuntime": self.runtime,
        }
        return {name: value for name, value in named.items() if value is not None}


class CrabSoftware(StrictModel):
    """Where a node finds Python and all that flashsim-prod needs; it itself travels with the task."""

    python: str = Field(
        pattern=r"^/\S+$",
        description="the interpreter, in the container if there is one, else best on /cvmfs",
    )
    container: str | None = Field(
        default=None, pattern=r"^/\S+$", description="unpacked image, as on /cvmfs/unpacked.cern.ch"
    )


class CrabRules(EngineRules):
    """How a site's jobs go through CRAB."""

    batch_system: ClassVar[str] = "flashsim_prod.grid.batch.crab.engine:CrabBatch"
    gpu_key: ClassVar[str] = "accelerator"
    looks_at: ClassVar[tuple[str, ...]] = ("software", "crab", "landing")
    job_report: ClassVar[str] = "flashsim_prod.grid.batch.crab.framework_report:framework_report"

    storage_site: str = Field(pattern=_SITE_NAME, description="where CRAB brings the outputs")
    lfn_base: str = Field(
        default="/store/user/{user}/flashsim",
        pattern=r"^/store/(user|group)/[A-Za-z0-9_\-./{}]+$",
        description="folder below which CRAB puts them; {user} is the owner of --scope",
    )
    software: CrabSoftware
    accelerator: CrabAccelerator | None = Field(default=None, description="GPUs are required")
    whitelist: tuple[SitePattern, ...] = Field(default=(), description="sites where jobs may run")
    blacklist: tuple[SitePattern, ...] = Field(default=(), description="sites where they may not")
    jobs_per_task: int = Field(default=MAX_JOBS, ge=1, le=MAX_JOBS, description="jobs of one task, at most")
    vo_group: str | None = Field(default=None, description="group within the virtual organisation")
    vo_role: str | None = Field(default=None, description="role within the virtual organisation")

    def gpus_promised(self) -> int:
        return 0 if self.accelerator is None else 1

    def node_software(self) -> NodeSoftware:
        return NodeSoftware(self.software.python, self.software.container, brings_package=True)

    def check_limits(self, resources: Resources) -> None:
        cpus = resources.cpus
        if cpus not in CORES:
            raise ValueError(f"resources.cpus: CRAB takes {', '.join(map(str, CORES))}, not {cpus}")
        if resources.memory_mb > max_memory_mb(cpus):
            raise ValueError(
                f"resources.memory_mb: CRAB gives at most {max_memory_mb(cpus)} MB to {cpus} cores"
            )
        if resources.walltime_min > MAX_WALLTIME_MIN:
            raise ValueError(f"resources.walltime_min: CRAB gives at most {MAX_WALLTIME_MIN} min")

    def removed_by_rule(self, lfn: str) -> bool:
        return lfn.startswith(RUCIO_FOLDERS)

    def leaves_outputs(self) -> bool:
        return self.removed_by_rule(f"{self.lfn_base}/")

    def notes(self, request: Request) -> Iterable[str]:
        owner = owner_of(request.registration.scope)
        if owner is None and USER in self.lfn_base:
            return
        outputs = self.lfn_base.replace(USER, owner or "")
        storage = request.site.storage
        merged = "/store/mc"
        if request.dataset.is_users:
            merged = request.dataset.user_folder(storage.user_lfn)
        yield (
            f"outputs of jobs land in {outputs} at {self.storage_site}, merged files in {merged} at "
            f"{storage.rse}; that you may write there is tried before anything is submitted"
        )
        if self.removed_by_rule(f"{outputs}/"):
            yield "outputs of jobs are Rucio's: status names the rule to remove once they are merged"

    def gen_events_of_job(self, wanted: int, per_lumi: int) -> int:
        return whole_lumis(wanted, per_lumi)
