"""What the machine is: cores and hyper-threads, firmware, governor, GPUs."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

from flashsim_prod.energy.record import Node

_CPUS = Path("/sys/devices/system/cpu")
_DMI = Path("/sys/class/dmi/id")
_UNKNOWN = "unknown"


def this_node(gpus: Mapping[str, str] | None = None, gpu_persistence: str = _UNKNOWN) -> Node:
    """The machine that this runs on; `gpus` are names by channel."""
    cores = _cores(_CPUS)
    logical = psutil.cpu_count(logical=True) or 1
    return Node(
        host=socket.gethostname(),
        cpu=_cpu_name(),
        sockets=len({package for package, _ in cores}) or 1,
        physical_cores=len(cores) or psutil.cpu_count(logical=False) or logical,
        logical_cores=logical,
        memory_mb=round(psutil.virtual_memory().total / 1e6),
        kernel=platform.release(),
        governor=_text(_CPUS / "cpu0/cpufreq/scaling_governor"),
        firmware=" ".join(_text(_DMI / name) for name in ("bios_vendor", "bios_version", "bios_date")),
        gpus=dict(gpus or {}),
        gpu_persistence=gpu_persistence,
    )


def _cores(cpus: Path) -> set[tuple[str, str]]:
    """Package and core of every physical core that has a logical one on line."""
    pairs = set()
    for topology in cpus.glob("cpu[0-9]*/topology"):
        package, core = _text(topology / "physical_package_id"), _text(topology / "core_id")
        if _UNKNOWN not in (package, core):
            pairs.add((package, core))
    return pairs


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or _UNKNOWN
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), _UNKNOWN)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or _UNKNOWN
    except OSError:
        return _UNKNOWN
