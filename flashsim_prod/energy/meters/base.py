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


#: what no single channel draws more than, where neither hardware nor user says so [W]: a server; a board; a
#: CPU package or its memory
LIMITS_W = {Scope.SERVER: 20_000.0, Scope.GPU: 5_000.0, Scope.CPU: 1_000.0}
#: a channel may draw this many times what its hardware states, for a moment, and this much in any case [W]
_LIMIT_FACTOR, _LEAST_LIMIT_W = 2.0, 50.0


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
        A counter that only grows [J], counted from anywhere, until it wraps around.
    range_j : float or None
        After how much the counter begins anew [J]; ``None`` if never or if it does not say.
    limit_w : float or None
        What the channel cannot plausibly draw more than [W]; by default that of `LIMITS_W`.
    trouble : str or None
        Why there is no reading, one line for people; also a remark about a good one.
    """

    channel: str
    scope: Scope
    power_w: float | None = None
    energy_j: float | None = None
    trouble: str | None = None
    range_j: float | None = None
    limit_w: float | None = None

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

    Attributes
    ----------
    lost : tuple of str
        What it says of devices that it cannot even name.
    max_power_w : float or None
        What the user says that no channel draws more than [W].
    """

    name: str
    accuracy: Accuracy
    lost: tuple[str, ...] = ()
    max_power_w: float | None = None

    @abstractmethod
    def read(self) -> tuple[Reading, ...]:
        """All channels, now."""

    def limit_w(self, scope: Scope, stated_w: float | None = None) -> float:
        """What a channel cannot plausibly draw more than [W]; `stated_w` is what its hardware states."""
        if self.max_power_w is not None:
            return self.max_power_w
        stated = max(_LIMIT_FACTOR * stated_w, _LEAST_LIMIT_W) if stated_w else LIMITS_W[scope]
        # firmware that sets no limit states some thousand watts
        return min(stated, LIMITS_W[scope])

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
