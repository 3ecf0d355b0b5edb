"""One job's part of a node's energy, where jobs share the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from flashsim_prod.energy.meter import Scope
from flashsim_prod.energy.plateau import MAX_MISSING
from flashsim_prod.energy.record import Channel

#: polled power needs this many readings for its mean to stand for a job
_MIN_POLLED = 5


@dataclass(frozen=True)
class JobEnergy:
    """Energy attributed to a job [J], and where the figure comes from."""

    energy_j: float
    source: str


def attribute(
    channels: Sequence[Channel], seconds: float, *, cpu_share: float, gpu: str | None
) -> JobEnergy | None:
    """What a job used of its node in `seconds`; ``None`` if no meter can tell.

    The energy of the server without its GPUs, or that of the CPUs where there is no server meter, is shared
    in proportion to the CPU time that was used; the GPU that the job had is all its own.

    Parameters
    ----------
    cpu_share : float
        The job's part of all CPU time used meanwhile, 0 to 1.
    gpu : str or None
        Channel of the job's GPU.
    """
    known = {channel.name: (channel, _joules(channel, seconds)) for channel in channels}
    by_scope = {
        scope: [joules for channel, joules in known.values() if channel.scope is scope] for scope in Scope
    }
    gpu_j = known[gpu][1] if gpu in known else None
    if gpu is not None and gpu_j is None:
        return None
    shared, source = by_scope[Scope.SERVER], "whole server"
    if not shared:
        shared = by_scope[Scope.CPU]
        source = "lower bound: CPU only" if gpu is None else "lower bound: GPU and CPU"
    if not shared and gpu_j is not None:
        return JobEnergy(gpu_j, "lower bound: GPU only")
    if not shared or None in shared:
        return None
    total_j = sum(joules for joules in shared if joules is not None)
    if source == "whole server":
        total_j -= sum(joules for joules in by_scope[Scope.GPU] if joules is not None)
    return JobEnergy(max(0.0, total_j) * cpu_share + (gpu_j or 0.0), f"{source}, by share of CPU time")


def _joules(channel: Channel, seconds: float) -> float | None:
    counts = [
        (t_s, joules) for t_s, joules in zip(channel.t_s, channel.energy_j, strict=True) if joules is not None
    ]
    if len(counts) >= 2 and counts[-1][0] > counts[0][0]:
        return (counts[-1][1] - counts[0][1]) / (counts[-1][0] - counts[0][0]) * seconds
    polled = [power_w for power_w in channel.power_w if power_w is not None]
    if len(polled) < _MIN_POLLED or len(channel.power_w) - len(polled) > MAX_MISSING * len(channel.power_w):
        return None
    return fmean(polled) * seconds
