"""The raw material of a measurement: everything needed to compute its results anew."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from flashsim_prod.core.choices import Mode
from flashsim_prod.core.strict import StrictModel


class Channel(StrictModel):
    """The readings of one channel, one entry per poll; ``null`` where there was none."""

    meter: str
    name: str
    scope: Scope
    t_s: tuple[float, ...] = Field(description="when polled, on the clock of the measurement [s]")
    power_w: tuple[float | None, ...] = Field(description="polled power [W]")
    energy_j: tuple[float | None, ...] = Field(description="growing counter [J]")
    range_j: float | None = Field(
        default=None, gt=0, description="after which the counter begins anew [J]; null if it does not say"
    )
    limit_w: float | None = Field(default=None, gt=0, description="more than this is no power of it [W]")

    @property
    def is_silent(self) -> bool:
        """Whether it never gave a number."""
        return not any(value is not None for value in (*self.power_w, *self.energy_j))


class Trouble(StrictModel):
    """A remark of a meter: when first, on what, how often."""

    channel: str
    text: str
    first_s: float
    times: int


class Window(StrictModel):
    """A stretch of time on the clock of the measurement."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Its length [s]."""
        return self.end_s - self.start_s


class Mark(StrictModel):
    """A copy's own word on how far it was."""

    t_s: float
    events: int


class CopyCount(StrictModel):
    """What one copy of a workload made."""

    events: int = Field(ge=0)
    marks: tuple[Mark, ...] = ()


class Configuration(StrictModel):
    """What was measured."""

    label: str
    mode: Mode
    copies: int = Field(default=1, ge=1)
    threads: int = Field(default=1, ge=1, description="threads of one copy")
    gpus: tuple[str, ...] = Field(default=(), description="channels of the GPUs that it uses")
    detail: dict[str, str] = Field(default_factory=dict, description="command, bundle, oversampling, ...")

    @property
    def counts_events(self) -> bool:
        """Whether it makes events."""
        return self.mode not in (Mode.IDLE, Mode.TRAIN)


class Cycle(StrictModel):
    """Idle, run, idle: one independent measurement of one configuration."""

    configuration: str = Field(description="label of what ran")
    before: Window
    run: Window
    after: Window
    copies: tuple[CopyCount, ...] = ()
    channels: tuple[Channel, ...]
    troubles: tuple[Trouble, ...] = ()
    foreign_cores: dict[str, float] = Field(
        default_factory=dict, description="CPU cores kept busy by others, by phase; empty if not watched"
    )


class MeterAccuracy(StrictModel):
    """Half-widths of what is believed of a meter."""

    gain: float = Field(ge=0, description="relative")
    offset_w: float = Field(ge=0, description="per channel [W]")
    quantum_w: float = Field(ge=0, description="step of the readings [W]")


class Response(StrictModel):
    """How fast a meter follows."""

    refresh_s: float = Field(gt=0, description="between two new readings [s]")
    lag_s: float = Field(ge=0, description="first-order lag [s]")
    source: str = Field(description="measured, given or assumed")

    @property
    def settle_s(self) -> float:
        """Time after a step until readings show the new level: five lags and a refresh [s]."""
        return 5 * self.lag_s + self.refresh_s


class Schedule(StrictModel):
    """The protocol's times."""

    interval_s: float = Field(gt=0, description="between polls [s]")
    idle_s: float = Field(gt=0, description="of idle before and after each run [s]")
    run_s: float = Field(gt=0, description="shortest run accepted [s]")
    cycles: int = Field(ge=1)
    foreign_limit_cores: float = Field(gt=0, description="others may keep this many cores busy")
    quick: bool = False


class Machine(StrictModel):
    """The machine that was measured."""

    host: str
    cpu: str
    sockets: int
    physical_cores: int
    logical_cores: int
    memory_mb: int
    kernel: str
    governor: str = "unknown"
    firmware: str = "unknown"
    gpus: dict[str, str] = Field(default_factory=dict, description="name and UUID by channel")
    gpu_persistence: str = "unknown"

    @property
    def threads_per_core(self) -> float:
        """2 where hyper-threading is on."""
        return self.logical_cores / self.physical_cores


class Measurement(StrictModel):
    """A whole measurement: ``energy-bench``'s JSON."""

    schema_version: Literal[1] = 1
    kind: Literal["flashsim-prod energy measurement"] = "flashsim-prod energy measurement"
    created: datetime
    software_version: str
    node: Machine
    meters: dict[str, MeterAccuracy]
    absent_meters: tuple[str, ...] = ()
    lost: tuple[str, ...] = Field(default=(), description="what meters say of devices that have no channel")
    response: Response
    schedule: Schedule
    configurations: tuple[Configuration, ...]
    cycles: tuple[Cycle, ...]
    notes: tuple[str, ...] = ()


class Scope(StrEnum):
    """What a channel's electricity flows through; a server contains its GPUs and CPUs."""

    SERVER = "server"
    GPU = "gpu"
    CPU = "cpu"
