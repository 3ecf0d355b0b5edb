"""The rules as HTCondor itself understands them."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import pytest

from flashsim_prod.core.site import Site
from flashsim_prod.errors import exit_code_is_retryable
from flashsim_prod.grid.batch.htcondor import rules as failure_rules
from flashsim_prod.grid.batch.htcondor.probe import gpu_wish, probe_job
from flashsim_prod.grid.batch.htcondor.section import FailureRules, HTCondorRules
from flashsim_prod.grid.batch.htcondor.why_idle import matches, reasons
from flashsim_prod.production.order.library import find_site

# Linux has it, and must; other systems have none
classad2 = import_module("classad2") if sys.platform == "linux" else pytest.importorskip("classad2")


def site(**failures: Any) -> tuple[Site, HTCondorRules]:
    found = find_site("htcondor")
    changed = found.rules.model_copy(update={"failures": FailureRules(**failures)})
    return found.model_copy(update={"rules": changed}), changed


def value(expression: str, job: str, machine: str | None = None) -> Any:
    """What `expression` comes to for a job with these attributes."""
    target = classad2.ClassAd(f"[{machine}]") if machine is not None else None
    return classad2.ExprTree(expression).eval(classad2.ClassAd(f"[{job}]"), target)


@pytest.mark.parametrize("code", range(1, 40))
def test_exit_codes_are_retried_as_the_errors_say(code: int) -> None:
    assert value(failure_rules.no_retry(), f"ExitCode = {code}") is not exit_code_is_retryable(code)


def test_a_signal_is_retried() -> None:
    assert value(failure_rules.no_retry(), "ExitBySignal = true; ExitSignal = 9") is False


def test_memory_grows_with_each_hold_up_to_the_cap() -> None:
    where, rules = site(memory_factor=2.0, memory_cap_mb=9000)
    expression = failure_rules.memory(where, rules)
    asked = [value(expression, f"NumHoldsByReason = [ JobOutOfResources = {n} ]") for n in range(4)]
    assert asked == [2500, 5000, 9000, 9000]
    assert value(expression, "MemoryUsage = 4000") == 4800, "more than was used last"
    assert value(expression, "") == 2500


@pytest.mark.parametrize(
    ("job", "released", "removed"),
    [
        ("HoldReasonCode = 34; NumHoldsByReason = [ JobOutOfResources = 1 ]", True, False),
        ("HoldReasonCode = 34; NumHoldsByReason = [ JobOutOfResources = 9 ]", False, True),
        ("HoldReasonCode = 34; MemoryUsage = 20000", False, True),
        ('HoldReasonCode = 21; HoldReason = "memory usage exceeded request_memory"', True, False),
        ('HoldReasonCode = 21; HoldReason = "the owner of the machine came back"', False, False),
        ("HoldReasonCode = 47; NumShadowStarts = 1", True, False),
        ("HoldReasonCode = 47; NumShadowStarts = 2", False, True),
        ("HoldReasonCode = 13; NumShadowStarts = 1", True, False),
        ("HoldReasonCode = 13; NumShadowStarts = 3", False, True),
        ("HoldReasonCode = 1", False, False),
        ("HoldReasonCode = 16", False, False),
    ],
)
def test_holds_are_released_so_often_and_then_removed(job: str, released: bool, removed: bool) -> None:
    where, rules = site(release_after_s=0)
    said = f"JobStatus = 5; EnteredCurrentStatus = 0; {job}"
    assert (value(failure_rules.release(where, rules), said) is True) is released
    assert (value(failure_rules.remove(where, rules), said) is True) is removed
    assert value(failure_rules.remove(where, rules), said.replace("= 5", "= 2")) is not True


def test_a_machine_is_avoided_after_a_failure_there_and_only_then() -> None:
    where, rules = site(avoid_node_min=60)
    expression = failure_rules.requirements(where, rules)
    failed = 'NumJobCompletions = 1; JobCurrentStartDate = time() - {}; MachineAttrMachine0 = "bad"'
    assert value(expression, "", 'Machine = "bad"') is True
    assert value(expression, 'MachineAttrMachine0 = "bad"', 'Machine = "bad"') is True, "only held there"
    assert value(expression, failed.format(10), 'Machine = "bad"') is False
    assert value(expression, failed.format(10), 'Machine = "good"') is True
    assert value(expression, failed.format(4000), 'Machine = "bad"') is True, "there may be no other"
    started = 'NumShadowStarts = 1; JobCurrentStartDate = time() - 10; MachineAttrMachine0 = "bad"'
    assert value(expression, started, 'Machine = "bad"') is False, "a start that was broken off there"
    assert value(expression, f"{started}; NumHolds = 1", 'Machine = "bad"') is True


def test_a_job_is_started_so_often_and_not_for_ever() -> None:
    where, rules = site(starts=4)
    held = failure_rules.hold(rules)
    assert value(held, "JobStatus = 1; NumShadowStarts = 3") is False
    assert value(held, "JobStatus = 1; NumShadowStarts = 4") is True
    assert value(held, "JobStatus = 2; NumShadowStarts = 4") is False, "its last start is its own"
    assert value(held, "JobStatus = 1") is not True
    reason = value(failure_rules.HOLD_REASON, 'NumShadowStarts = 4; VacateReason = "no container"')
    assert reason == "started 4 times, never to its end; lately: no container"
    ad = "JobStatus = 5; HoldReasonCode = 3; HoldReasonSubCode = {}; EnteredCurrentStatus = 0"
    assert value(failure_rules.remove(where, rules), ad.format(1001)) is True
    assert value(failure_rules.remove(where, rules), ad.format(0)) is not True, "the site's own policy"


MACHINE = (
    'MyType = "Machine"; Name = "slot1@n"; Machine = "n"; Cpus = 0; TotalSlotCpus = 8; Memory = 100; '
    "TotalSlotMemory = 32000; Disk = 100; TotalSlotDisk = 1000000000; HasFileTransfer = true; "
    "HasSingularity = true; HasContainer = true; GPUs = 1; TotalSlotGPUs = 1; AvailableGPUs = {{ GPUs_0 }}; "
    "GPUs_0 = [ Capability = {capability}; GlobalMemoryMb = {memory}; MaxSupportedVersion = 12040 ]; "
    'FileSystemDomain = "here"; Requirements = true'
)


def machine(capability: float = 8.0, memory: int = 40000, **changed: str) -> Any:
    made = classad2.ClassAd(f"[{MACHINE.format(capability=capability, memory=memory)}]")
    for name, text in changed.items():
        made[name] = classad2.ExprTree(text)
    return made


def test_a_gpu_site_matches_only_gpus_that_are_good_enough() -> None:
    found = find_site("T2_IT_Pisa_gpu")
    job = probe_job(found, found.rules, "here")
    assert matches(job, [machine(), machine(capability=6.1), machine(memory=4000)]) == (1, 0)
    assert reasons(job, [machine(), machine(capability=6.1)]) == []
    (why,) = reasons(job, [machine(capability=6.1), machine(memory=4000)])
    assert why.startswith("2 of 2 machines lack 1 GPU(s) with")


def test_a_site_whose_files_go_by_root_needs_nodes_with_a_plugin_for_it() -> None:
    found = find_site("lxbatch")
    job = probe_job(found, found.rules, "here")
    assert reasons(job, [machine()]) == ["1 of 1 machines lack a file transfer plugin for root://"]
    assert matches(job, [machine(HasFileTransferPluginMethods='"https,root"')]) == (1, 0)
    assert reasons(job, [machine(HasFileTransfer="false", HasFileTransferPluginMethods='"root"')]) == [
        "1 of 1 machines lack file transfer"
    ]


def test_a_container_needs_nodes_that_run_them() -> None:
    found = find_site("T2_IT_Pisa_gpu")
    job = probe_job(found, found.rules, "here")
    assert reasons(job, [machine(HasContainer="false")]) == ["1 of 1 machines lack containers"]


def test_why_nothing_matches() -> None:
    found = find_site("htcondor")
    job = probe_job(found, found.rules, "here")
    assert reasons(job, []) == ["the pool has no machines at all"]
    small = machine(TotalSlotMemory="1000")
    far = machine(FileSystemDomain='"there"')
    assert reasons(job, [small, far]) == [
        "1 of 2 machines lack memory of 2500 MB",
        "1 of 2 machines lack the shared file system here",
    ]
    assert reasons(job, [machine(Requirements="false")]) == ["1 of 1 machines do not want it"]


def test_wishes_for_gpus() -> None:
    found = find_site("T2_IT_Pisa_gpu")
    assert found.rules.gpus is not None
    assert gpu_wish(found.rules.gpus) == (
        "Capability >= 7 && GlobalMemoryMb >= 8000 && MaxSupportedVersion >= 12040"
    )
