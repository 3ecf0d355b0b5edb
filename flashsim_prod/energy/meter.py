"""What every meter gives: readings with their units, or the reason why there is none."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from flashsim_prod.errors import NodeError


class Scope(StrEnum):
    """What a channel's electricity flows through; a server contains its GPUs and CPUs."""

    SERVER = "server"
    GPU = "gpu"
    CPU = "cpu"


class Clock(Protocol):
    """Where the time comes from; a test brings its own, faster one."""

    def now_s(self) -> float:
        """Monotonic time [s]."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own monotonic clock."""

    def now_s(self) -> float:
        """Monotonic time [s]."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))


@dataclass(frozen=True)
class Reading:
    """One channel of a meter at one moment.

    Attributes
    ----------
    channel : str
        ``server``, ``gpu0``, ``package-0``, ...
    scope : Scope
    power_w : float or None
        Polled power [W]; ``None`` if the meter gives none, or none that can be believed.
    energy_j : float or None
        A counter that only grows [J], counted from anywhere.
    trouble : str or None
        Why there is no reading, one line for people; also a remark about a good one.
    """

    channel: str
    scope: Scope
    power_w: float | None = None
    energy_j: float | None = None
    trouble: str | None = None

    @property
    def is_missing(self) -> bool:
        """Whether there is no number at all."""
        return self.power_w is None and self.energy_j is None


@dataclass(frozen=True)
class Accuracy:
    """What is believed of a meter before it is calibrated; half-widths of uniform distributions.

    Attributes
    ----------
    gain : float
        Relative error common to all readings.
    offset_w : float
        Error of each channel that is the same for all loads [W].
    quantum_w : float
        Step in which readings are given [W].
    """

    gain: float
    offset_w: float
    quantum_w: float


class Meter(ABC):
    """A source of readings.

    `read` never raises once the meter is open: a reading that is missing says why.
    """

    name: str
    accuracy: Accuracy

    @abstractmethod
    def read(self) -> tuple[Reading, ...]:
        """All channels, now."""

    def close(self) -> None:  # noqa: B027  most meters hold nothing open
        """Let go of the device."""


def require_readings(meter: Meter, clock: Clock, *, tries: int = 3) -> tuple[Reading, ...]:
    """The first readings of a meter, with a few tries for one that is merely busy.

    Raises
    ------
    NodeError
        If it gives no number; the line is the meter's own.
    """
    readings: tuple[Reading, ...] = ()
    for attempt in range(tries):
        if attempt:
            clock.sleep(1.0)
        readings = meter.read()
        if any(not reading.is_missing for reading in readings):
            return readings
    reason = next((reading.trouble for reading in readings if reading.trouble), "it has no channel")
    raise NodeError(f"{meter.name}: {reason}")
