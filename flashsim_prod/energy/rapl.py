"""CPU packages and memory through the kernel's powercap interface to RAPL."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from flashsim_prod.energy.meter import Accuracy, Meter, Reading, Scope
from flashsim_prod.errors import NodeError

POWERCAP = Path("/sys/class/powercap")


@dataclass
class _Counter:
    """One zone's counter, made to grow for ever although it wraps around."""

    channel: str
    path: Path
    range_uj: int
    last_uj: int | None = None
    total_uj: int = field(default=0)

    def read_j(self) -> float:
        now_uj = int((self.path / "energy_uj").read_text(encoding="utf-8"))
        if self.last_uj is not None:
            self.total_uj += (now_uj - self.last_uj) % (self.range_uj + 1)
        self.last_uj = now_uj
        return self.total_uj / 1e6


class RaplMeter(Meter):
    """Energy of the CPU packages and of their memory [J]: not of the server.

    A package contains its cores, so these are left out; memory (``dram``) it does not contain. Counters
    wrap around after some 60 to 260 kJ, which takes minutes: they must be read at least every minute.
    """

    name = "rapl"
    accuracy = Accuracy(gain=0.02, offset_w=0.0, quantum_w=0.0)

    def __init__(self, root: Path = POWERCAP) -> None:
        self._counters = [_counter(path) for path in sorted(root.glob("intel-rapl:*")) if _counts(path)]
        if not self._counters:
            raise NodeError(f"rapl: {root} lists no CPU package; the kernel or a virtual machine hides it")
        for counter in self._counters:
            try:
                counter.read_j()
            except PermissionError as error:
                raise NodeError(
                    f"rapl: {counter.path / 'energy_uj'} may be read by root only; ask for permission"
                ) from error
            except (OSError, ValueError) as error:
                raise NodeError(f"rapl: {counter.path / 'energy_uj'} cannot be read: {error}") from error

    def read(self) -> tuple[Reading, ...]:
        return tuple(_reading(counter) for counter in self._counters)


def _reading(counter: _Counter) -> Reading:
    try:
        return Reading(counter.channel, Scope.CPU, energy_j=counter.read_j())
    except (OSError, ValueError) as error:
        return Reading(
            counter.channel, Scope.CPU, trouble=f"{counter.path / 'energy_uj'} cannot be read: {error}"
        )


def _counts(path: Path) -> bool:
    name = _name(path)
    return name.startswith("package") or name == "dram"


def _counter(path: Path) -> _Counter:
    package = _name(path.parent / path.name.rsplit(":", 1)[0]) if _name(path) == "dram" else ""
    channel = f"{package}-dram" if package else _name(path)
    try:
        return _Counter(channel, path, int((path / "max_energy_range_uj").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise NodeError(f"rapl: {path} does not say where its counter wraps around: {error}") from error


def _name(path: Path) -> str:
    try:
        return (path / "name").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
