"""Which meters there are: found, or chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.core.strict import nearest
from flashsim_prod.energy.meters.base import Clock, Meter, require_readings
from flashsim_prod.energy.meters.ipmi import BmcAddress, IpmiMeter
from flashsim_prod.energy.meters.nvidia_smi import NvidiaSmiMeter
from flashsim_prod.energy.meters.nvml import NvmlMeter
from flashsim_prod.energy.meters.rapl import RaplMeter
from flashsim_prod.energy.meters.replay import ReplayMeter
from flashsim_prod.errors import NodeError, RequestError

#: the names that --meter takes, besides replay:FILE
NAMES = ("ipmi", "nvml", "nvidia-smi", "rapl")
_REPLAY = "replay:"


@dataclass(frozen=True)
class Found:
    """Meters that give readings, and why others do not."""

    meters: tuple[Meter, ...]
    absent: tuple[str, ...]


def find_meters(
    chosen: Sequence[str],
    clock: Clock,
    *,
    bmc: BmcAddress | None = None,
    patience: int = 3,
    max_power_w: float | None = None,
) -> Found:
    """The meters named, which must work, or else all that this machine has.

    Parameters
    ----------
    chosen : sequence of str
        Some of `NAMES`, ``replay:FILE``; empty for all that work.
    clock : Clock
    bmc : BmcAddress, optional
        Where the BMC is; in-band by default.
    patience : int
        How often a meter is asked for its first reading.
    max_power_w : float, optional
        What no channel of this machine draws more than [W].

    Raises
    ------
    RequestError
        If a name is none.
    NodeError
        If a chosen meter does not work, or there is none at all.
    """

    def opened(name: str) -> Meter:
        meter = _maker(name, clock, bmc)()
        meter.max_power_w = max_power_w
        require_readings(meter, clock, tries=patience)
        return meter

    if chosen:
        return Found(tuple(opened(name) for name in chosen), ())
    meters: list[Meter] = []
    absent: list[str] = []
    for name in NAMES:
        # the program is only asked for where the library is not there
        if name == "nvidia-smi" and any(meter.name == "nvml" for meter in meters):
            continue
        try:
            meters.append(opened(name))
        except NodeError as error:
            if name == "ipmi" and bmc is not None:
                raise
            absent.append(str(error))
    if not meters:
        raise NodeError(f"no power meter works on this machine: {'; '.join(absent)}")
    return Found(tuple(meters), tuple(absent))


def check_name(name: str) -> None:
    """`RequestError` if there is no meter of this name; the nearest one is suggested."""
    if name not in NAMES and not name.startswith(_REPLAY):
        raise RequestError(f"no meter '{name}'{nearest(name, [*NAMES, 'replay:FILE'])}")


def _maker(name: str, clock: Clock, bmc: BmcAddress | None) -> Callable[[], Meter]:
    check_name(name)
    if name.startswith(_REPLAY):
        return lambda: ReplayMeter(Path(name.removeprefix(_REPLAY)), clock)
    makers: dict[str, Callable[[], Meter]] = {
        "ipmi": lambda: IpmiMeter(bmc), "nvml": NvmlMeter, "nvidia-smi": NvidiaSmiMeter, "rapl": RaplMeter,
    }  # fmt: skip
    return makers[name]
