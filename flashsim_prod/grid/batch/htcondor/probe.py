"""A job as the negotiator would see it, without submitting one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from flashsim_prod.core.site import Site
from flashsim_prod.grid.batch.htcondor.section import FileAccess, Gpus, HTCondorRules

#: CUDA counts versions as 12040 for 12.4
_MAJOR, _MINOR = 1000, 10


def probe_job(site: Site, rules: HTCondorRules, file_system: str | None) -> Any:
    """The ad of a simulate job that has never run, with what HTCondor adds to its requirements.

    Parameters
    ----------
    site : Site
    rules : HTCondorRules
    file_system : str or None
        The domain within which this machine shares its files.
    """
    asked: dict[str, object] = {
        "RequestCpus": site.resources.cpus,
        "RequestMemory": site.resources.memory_mb,
        "RequestDisk": rules.disk_mb * 1024,
    }
    wanted = [f"(TARGET.{name} >= Request{name})" for name in ("Cpus", "Memory", "Disk")]
    expressions = {"Rank": "0.0"}
    if rules.gpus is not None:
        asked["RequestGPUs"] = rules.gpus.count
        wish = gpu_wish(rules.gpus)
        expressions |= {"RequireGPUs": wish} if wish else {}
        counted = "countMatches(MY.RequireGPUs, TARGET.AvailableGPUs)" if wish else "TARGET.GPUs"
        wanted.append(f"({counted} >= RequestGPUs)")
    if rules.files is FileAccess.SHARED:
        asked["FileSystemDomain"] = file_system or ""
        wanted.append("(TARGET.FileSystemDomain == MY.FileSystemDomain)")
    else:
        wanted.append("(TARGET.HasFileTransfer)")
    if rules.carries_urls:
        wanted.append('stringListIMember("root", TARGET.HasFileTransferPluginMethods)')
    if rules.wants_container_universe:
        wanted.append("TARGET.HasContainer")
    if rules.requirements:
        wanted.append(f"({rules.requirements})")
    classad = import_module("classad2")
    ad = classad.ClassAd({"MyType": "Job", "JobUniverse": 5, **asked})
    for name, text in {**expressions, "Requirements": " && ".join(wanted)}.items():
        ad[name] = classad.ExprTree(text)
    return ad


def gpu_wish(gpus: Gpus) -> str:
    """What is asked of one GPU, as the submit commands of that name come to; empty for nothing."""
    wishes = [f"({gpus.requirement})"] if gpus.requirement else []
    if gpus.minimum_capability:
        wishes.append(f"Capability >= {gpus.minimum_capability:g}")
    if gpus.maximum_capability:
        wishes.append(f"Capability <= {gpus.maximum_capability:g}")
    if gpus.memory_mb:
        wishes.append(f"GlobalMemoryMb >= {gpus.memory_mb}")
    if gpus.minimum_runtime:
        major, minor = map(int, gpus.minimum_runtime.split("."))
        wishes.append(f"MaxSupportedVersion >= {major * _MAJOR + minor * _MINOR}")
    return " && ".join(wishes)
