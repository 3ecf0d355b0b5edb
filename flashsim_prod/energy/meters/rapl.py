"""CPU packages and memory through the kernel's powercap interface to RAPL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.energy.meters.base import Accuracy, Meter, Reading, Scope
from flashsim_prod.errors import NodeError

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class _Zone:
    """A zone of powercap.

    Attributes
    ----------
    range_j : float or None
        After how much its counter begins anew; some zones say 0, which is no range.
    stated_w : float or None
        The highest of the limits of power that it states.
    """

    channel: str
    path: Path
    range_j: float | None
    stated_w: float | None


class RaplMeter(Meter):
    """Energy of the CPU packages and of their memory [J]: not of the server.

    A package contains its cores, so these are left out; memory (``dram``) it does not contain. Counters
    wrap around after some 60 to 260 kJ, which takes minutes: they must be read at least every minute.
    """

    name = "rapl"
    accuracy = Accuracy(gain=0.02, offset_w=0.0, quantum_w=0.0)

    def __init__(self, root: Path = POWERCAP) -> None:
        self._zones = [_zone(path) for path in sorted(root.glob("intel-rapl:*")) if _counts(path)]
        if not self._zones:
            raise NodeError(f"rapl: {root} lists no CPU package; the kernel or a virtual machine hides it")
        for zone in self._zones:
            try:
                (zone.path / "energy_uj").read_text(encoding="utf-8")
            except PermissionError as error:
                raise NodeError(
                    f"rapl: {zone.path / 'energy_uj'} may be read by root only; ask for permission"
                ) from error
            except OSError:
                # its readings will say so; others may work
                continue

    def read(self) -> tuple[Reading, ...]:
        return tuple(self._reading(zone) for zone in self._zones)

    def _reading(self, zone: _Zone) -> Reading:
        path = zone.path / "energy_uj"
        try:
            energy_j = int(path.read_text(encoding="utf-8")) / 1e6
        except (OSError, ValueError) as error:
            return Reading(zone.channel, Scope.CPU, trouble=f"{path} cannot be read: {error}")
        if energy_j <= 0:
            return Reading(zone.channel, Scope.CPU, trouble=f"{path} says 0: it does not count")
        believed = zone.range_j if zone.range_j and energy_j <= zone.range_j else None
        limit_w = self.limit_w(Scope.CPU, zone.stated_w)
        return Reading(zone.channel, Scope.CPU, energy_j=energy_j, range_j=believed, limit_w=limit_w)


def _counts(path: Path) -> bool:
    name = _text(path / "name")
    return name.startswith("package") or name == "dram"


def _zone(path: Path) -> _Zone:
    is_memory = _text(path / "name") == "dram"
    package = _text(path.parent / path.name.rsplit(":", 1)[0] / "name") if is_memory else ""
    channel = f"{package}-dram" if package else _text(path / "name")
    range_uj = _number(path / "max_energy_range_uj")
    stated_uw = [_number(file) for kind in ("max_power", "power_limit") for file in _limits(path, kind)]
    return _Zone(
        channel,
        path,
        # the counter takes the value of its range too, before it begins at 0
        range_j=(range_uj + 1) / 1e6 if range_uj > 0 else None,
        stated_w=max(stated_uw, default=0) / 1e6 or None,
    )


def _limits(path: Path, kind: str) -> list[Path]:
    return sorted(path.glob(f"constraint_*_{kind}_uw"))


def _number(path: Path) -> int:
    """The number in a file; 0 if there is none."""
    try:
        return max(0, int(_text(path)))
    except ValueError:
        return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
