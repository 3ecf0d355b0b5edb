"""A site: where jobs run and where files land."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from flashsim_prod.core.choices import Device
from flashsim_prod.core.site_crab import CrabRules
from flashsim_prod.core.site_htcondor import HTCondorRules
from flashsim_prod.core.strict import StrictModel


class Engine(StrEnum):
    """Which batch system a site hands its jobs to."""

    LOCAL = "local"
    HTCONDOR = "htcondor"
    CRAB = "crab"

    @property
    def is_detached(self) -> bool:
        """Whether jobs are handed over and go on by themselves, rather than run while the command waits."""
        return self is not Engine.LOCAL


class Resources(StrictModel):
    """What one job may use; the splitting keeps within it."""

    cpus: int = Field(default=1, ge=1)
    memory_mb: int = Field(default=3000, ge=500)
    walltime_min: float = Field(gt=0, description="limit of one job [min]")
    target_walltime_min: float = Field(gt=0, description="length that jobs are cut to [min]")
    max_file_mb: float = Field(default=2000, gt=0, description="largest output of one job [MB]")
    chunk_events: int = Field(default=1000, ge=1, description="output events in memory at a time")
    batch_rows: int | None = Field(
        default=None,
        ge=1,
        description="objects that a network sees at a time; by default as suits the device",
    )


class Rates(StrictModel):
    """How fast the site is, until it has been measured there."""

    generator_hz: float = Field(gt=0, description="gen events generated per second and job")
    flashsim_hz: float = Field(gt=0, description="output events simulated and written per second and job")
    startup_s: float = Field(default=5.0, ge=0, description="time of a job before its first event [s]")
    bytes_per_event: float = Field(default=3000.0, gt=0, description="size of an output event [B]")
    watts: float | None = Field(default=None, gt=0, description="electric power of one running job [W]")


class StorageRules(StrictModel):
    """Where a logical file name is on disk."""

    rse: str = Field(description="name of the storage element in the catalogue")
    prefix: str = Field(
        description="what stands before an LFN, or a CMS storage.json; {home} is the state folder"
    )
    protocol: str = Field(default="XRootD", description="which one of the storage.json's")


class MergeRules(StrictModel):
    """How outputs are joined and grouped."""

    target_file_mb: float = Field(default=2000, gt=0, description="size of a merged file aimed at [MB]")
    files_per_block: int = Field(default=500, ge=1)


class Electricity(StrictModel):
    """What a kWh comes to where the site is."""

    price_per_kwh: float | None = Field(default=None, ge=0)
    currency: str = "EUR"
    kg_co2_per_kwh: float | None = Field(default=None, ge=0, description="intensity of the electricity grid")

    def cost(self, energy_kwh: float) -> float | None:
        """Price of an energy in `currency`, if there is one."""
        return None if self.price_per_kwh is None else self.price_per_kwh * energy_kwh

    def co2_kg(self, energy_kwh: float) -> float | None:
        """Carbon dioxide of an energy [kg], if the intensity is known."""
        return None if self.kg_co2_per_kwh is None else self.kg_co2_per_kwh * energy_kwh


class Site(StrictModel):
    """One site: ``site_configs/<name>.yaml``."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-]*$")
    title: str
    engine: Engine
    slots: int = Field(default=0, ge=0, description="jobs at a time; 0 means one per CPU core")
    device: Device = Device.AUTO
    max_attempts: int = Field(default=3, ge=1, le=20)
    resources: Resources
    rates: Rates
    storage: StorageRules
    merge: MergeRules = MergeRules()
    electricity: Electricity = Electricity()
    htcondor: HTCondorRules | None = None
    crab: CrabRules | None = None

    @property
    def gpus(self) -> int:
        """GPUs that a simulate job is promised."""
        if self.crab is not None:
            return 0 if self.crab.accelerator is None else 1
        gpus = self.htcondor.gpus if self.htcondor else None
        return gpus.count if gpus else 0

    @model_validator(mode="after")
    def _engine_has_its_rules(self) -> Self:
        for engine, rules in ((Engine.HTCONDOR, self.htcondor), (Engine.CRAB, self.crab)):
            if (self.engine is engine) is not (rules is not None):
                raise ValueError(f"engine {engine} and the section '{engine}' go together")
        if self.engine.is_detached and not self.slots:
            raise ValueError("slots must say how many jobs are expected to run at a time")
        if self.crab is not None:
            ask = self.resources
            self.crab.check_limits(ask.cpus, ask.memory_mb, ask.walltime_min)
        return self

    @model_validator(mode="after")
    def _device_is_asked_for(self) -> Self:
        if self.gpus and self.device is Device.AUTO:
            raise ValueError("device must be cuda where GPUs are asked for (cpu if they are only simulated)")
        if self.engine.is_detached and self.device is Device.CUDA and not self.gpus:
            section = "htcondor.gpus" if self.engine is Engine.HTCONDOR else "crab.accelerator"
            raise ValueError(f"device cuda needs a section {section} that asks for one")
        return self
