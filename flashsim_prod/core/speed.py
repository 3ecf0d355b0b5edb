"""How fast a site was seen to be: what ``bench`` measures and planning uses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal, TypeVar

from pydantic import Field

from flashsim_prod.core.choices import Device
from flashsim_prod.core.options import Sampling
from flashsim_prod.core.strict import StrictModel


class Speed(StrictModel):
    """One measurement of a whole simulate job, stage by stage."""

    site: str
    device: Literal["cpu", "cuda"]
    device_name: str
    threads: int = Field(ge=1, description="of the networks of each process")
    cpus: int = Field(default=1, ge=1, description="processes that simulated at a time")
    bundle: str
    bundle_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    sampling: Sampling
    card: str = Field(description="process of the gen events, or the card that was named with input files")
    oversample: int = Field(ge=1)
    chunk_events: int = Field(ge=1, description="output events in memory at a time")
    batch_rows: int = Field(ge=1, description="objects that a network sees at a time")
    gen_events: int = Field(ge=1)
    events: int = Field(ge=1)
    stages_s: dict[str, float] = Field(
        description="time by stage, in the order of the work [s]; of several processes, "
        "divided by their number but for the generator's, which is one process's"
    )
    seconds: float = Field(gt=0, description="wall time of the whole, start-up not counted [s]")
    cpu_s: float = Field(
        ge=0, description="CPU time of the process meanwhile, all its threads [s]; of several, of all"
    )
    bytes_per_event: float = Field(gt=0)
    measured: datetime
    host: str
    software_version: str

    @property
    def events_hz(self) -> float:
        """Output events per second of the whole, gen events included."""
        return self.events / self.seconds

    @property
    def cores(self) -> float:
        """CPU cores that it had on average; less than one on a CPU where others were at work."""
        return self.cpu_s / self.seconds

    @property
    def flashsim_hz(self) -> float:
        """Output events per second of all but the generator, as sites state it."""
        spent = self.stages_s.get("generate", 0.0)
        # what runs beside the generator is not what is left of the time
        busy = self.seconds - spent if self.cpus == 1 else sum(self.stages_s.values()) - spent
        return self.events / max(busy, 1e-9)

    @property
    def generator_hz(self) -> float | None:
        """Gen events per second of the generator; None where they were read."""
        spent = self.stages_s.get("generate", 0.0)
        return self.gen_events / spent if spent > 0 else None

    def is_of(self, site: str, device: Device, bundle_digest: str, sampling: Sampling, cpus: int = 1) -> bool:
        """Whether it says how fast such jobs are; `Device.AUTO` is whatever was measured."""
        asked = (site, bundle_digest, sampling)
        same = (self.site, self.bundle_digest, self.sampling) == asked
        same = same and self.cpus == cpus
        return same and (device is Device.AUTO or device.value == self.device)

    def replaces(self, other: Speed) -> bool:
        """Whether `other` is an earlier measurement of the same."""
        return self._key == other._key

    @property
    def _key(self) -> tuple[object, ...]:
        return (self.site, self.device, self.bundle_digest, self.sampling, self.card, self.cpus)


Item = TypeVar("Item")

#: the step, of negative time, by which the others' come to more than has passed: they were done side by side
OVERLAP = "overlap"


class Timings:
    """Wall time by step [s], the same step any number of times."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str, *, among: int = 1) -> Iterator[None]:
        """Count the time of the block as `name`; only its share, if so many processes work meanwhile."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, (time.perf_counter() - start) / among)

    def add(self, name: str, seconds: float) -> None:
        """Count `seconds` as `name`."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def taken(self) -> dict[str, float]:
        """What was counted so far, to be counted elsewhere; it begins anew here."""
        seconds, self.seconds = self.seconds, {}
        return seconds

    def through(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the time that making them takes counted as `name`."""
        iterator = iter(items)
        while True:
            with self.step(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


def add_overlap(timings: Timings, seconds: float) -> None:
    """Have all steps come to the `seconds` that have passed, where several processes did them."""
    timings.seconds.pop(OVERLAP, None)
    timings.add(OVERLAP, seconds - sum(timings.seconds.values()))
