"""What of the power belongs to an event: three conventions, side by side.

*table*: as in the FlashSim talk: the server's power, less that of GPUs that idle along, less the share of
other copies; by the rate of one copy. *marginal*: what the work adds to an idle machine, by the rate of all
copies. *full node*: all power by all events. Every row of the table still carries the idle chassis.

All three have the form ``(P - a G - b (P - I) - c I) / r`` with the power P under load, I idle, and G of
unused GPUs, so that uncertainties are propagated once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: one kWh [J]
JOULE_PER_KWH = 3.6e6


class Convention(StrEnum):
    """Which power is counted."""

    TABLE = "table"
    MARGINAL = "marginal"
    FULL_NODE = "full node"


@dataclass(frozen=True)
class Share:
    """How many of the physical cores at work are one copy's.

    Attributes
    ----------
    of_one, of_all : float
        Physical cores.
    """

    of_one: float
    of_all: float

    @property
    def others(self) -> float:
        """The other copies' part of what the work adds, 0 to 1."""
        return 1 - self.of_one / self.of_all


def share_of_one(copies: int, threads: int, physical_cores: int, logical_cores: int) -> Share:
    """The physical cores that one of `copies` with `threads` threads each has.

    Up to one thread for each physical core every thread has a core of its own; with more, hyper-threads
    share one, and cores are divided evenly. More threads than logical cores cannot run at a time.
    """
    wanted = copies * threads
    busy = min(wanted, logical_cores)
    cores = float(min(busy, physical_cores))
    return Share(of_one=cores / copies, of_all=cores)


@dataclass(frozen=True)
class Power:
    """Mean powers of a cycle [W].

    Attributes
    ----------
    load_w, idle_w : float
        Under load, and idle (the mean of before and after).
    unused_gpus_w : float
        Under load, of GPUs that the work does not use.
    """

    load_w: float
    idle_w: float
    unused_gpus_w: float = 0.0


@dataclass(frozen=True)
class Subtraction:
    """What a convention subtracts, as parts of three powers.

    Attributes
    ----------
    gpus : float
        Part of the unused GPUs' power.
    added : float
        Part of load - idle.
    idle : float
        Part of the idle power.
    per_copy : bool
        Whether the rest is divided by the rate of one copy or of all.
    """

    gpus: float = 0.0
    added: float = 0.0
    idle: float = 0.0
    per_copy: bool = False

    def subtracted_w(self, power: Power) -> float:
        """The power that is not counted [W]."""
        added_w = power.load_w - power.idle_w
        return self.gpus * power.unused_gpus_w + self.added * added_w + self.idle * power.idle_w

    def net_w(self, power: Power) -> float:
        """The power that is counted [W]."""
        return power.load_w - self.subtracted_w(power)


def subtractions(share: Share) -> dict[Convention, Subtraction]:
    """What each convention subtracts."""
    return {
        Convention.TABLE: Subtraction(gpus=1.0, added=share.others, per_copy=True),
        Convention.MARGINAL: Subtraction(idle=1.0),
        Convention.FULL_NODE: Subtraction(),
    }


def kwh(energy_j: float) -> float:
    """Joules as kWh."""
    return energy_j / JOULE_PER_KWH
