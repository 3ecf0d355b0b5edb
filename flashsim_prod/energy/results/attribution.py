"""One job's part of a node's energy, where jobs share the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from flashsim_prod.energy.meters.base import Scope
from flashsim_prod.energy.meters.counter import counted_w, counts_of
from flashsim_prod.energy.record import Channel
from flashsim_prod.energy.results.plateau import MAX_MISSING

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

    A part of the node whose meter says nothing is left out, and named.

    The energy of the server without its GPUs, or that of the CPUs where there is no server meter, is shared
    in proportion to the CPU time that was used; the GPU that the job had is all its own.

    Parameters
    ----------
    cpu_share : float
        The job's part of all CPU time used meanwhile, 0 to 1.
    gpu : str or None
        Channel of the job's GPU.

    Raises
    ------
    VoidWindowError
        If an energy counter makes no sense; the message says why.
    """
    known = {channel.name: (channel, _joules(channel, seconds)) for channel in channels}
    silent = [one.name for one in channels if one.is_silent and one.scope is Scope.CPU]
    heard = [pair for name, pair in known.items() if name not in silent]
    untold = [one.name for one, joules in known.values() if one.scope is Scope.GPU and joules is None]
    by_scope = {scope: [joules for channel, joules in heard if channel.scope is scope] for scope in Scope}
    gpu_j = known[gpu][1] if gpu in known else None
    if gpu is not None and gpu_j is None:
        return None
    # what is not told apart is shared as the rest of the server
    shared, source, without = by_scope[Scope.SERVER], "whole server", untold
    if not shared:
        shared = by_scope[Scope.CPU]
        source = "lower bound: CPU only" if gpu is None else "lower bound: GPU and CPU"
        without = silent
    if not shared and gpu_j is not None:
        return JobEnergy(gpu_j, "lower bound: GPU only")
    if not shared or None in shared:
        return None
    total_j = sum(joules for joules in shared if joules is not None)
    if by_scope[Scope.SERVER]:
        total_j -= sum(joules for joules in by_scope[Scope.GPU] if joules is not None)
    if without:
        source += f" without a reading of {', '.join(without)}"
    return JobEnergy(max(0.0, total_j) * cpu_share + (gpu_j or 0.0), f"{source}, by share of CPU time")


def _joules(channel: Channel, seconds: float) -> float | None:
    counts = counts_of(channel)
    if len(counts) >= 2 and counts[-1][0] > counts[0][0]:
        return counted_w(channel, counts) * seconds
    polled = [power_w for power_w in channel.power_w if power_w is not None]
    if len(polled) < _MIN_POLLED or len(channel.power_w) - len(polled) > MAX_MISSING * len(channel.power_w):
        return None
    return fmean(polled) * seconds
