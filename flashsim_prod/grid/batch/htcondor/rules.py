"""When a job is tried again, and where: ClassAd expressions, one small function for each kind of failure.

Codes of holds: HTCondor manual, "Job ClassAd Attributes", HoldReasonCode. Starts are counted rather than
holds, because a hold that takes a while to take effect is counted several times.
"""

from __future__ import annotations

from flashsim_prod.core.site import Site
from flashsim_prod.errors import all_errors
from flashsim_prod.grid.batch.htcondor.section import HTCondorRules

#: out of memory, as the kernel says; or held by the machine's own policy, which says why in words
MEMORY_HOLD, POLICY_HOLD = 34, 21
#: longer than the job, or its execution, was allowed to last
TIME_HOLDS = (46, 47)
#: the executable could not be started; standard files or the working folder could not be opened; a transfer
#: failed or a file was missing on one of its ends
NODE_HOLDS = (6, 7, 8, 12, 13, 14)
#: code and subcode of the hold by `hold`: that of a job's own policy, and a number of ours
STARTS_HOLD = (3, 1001)
#: why it was held, as an expression
HOLD_REASON = 'strcat("started ", NumShadowStarts, " times, never to its end; lately: ", VacateReason ?: "?")'

#: room above what a job has used
_MARGIN = 1.2


def no_retry() -> str:
    """True of an exit code that another start cannot help with."""
    final = sorted({error.exit_code for error in all_errors() if not error.retryable})
    return f"(ExitCode isnt undefined) && member(ExitCode, {{{', '.join(map(str, final))}}})"


def memory(site: Site, rules: HTCondorRules) -> str:
    """Memory to ask for [MB]: more after each hold for want of it, up to the cap.

    More in any case than was used last, because that figure stays with the job, and machines that watch it
    would hold the job as soon as it starts again.
    """
    grown = f"{site.resources.memory_mb} * pow({rules.failures.memory_factor:g}, {_memory_holds()})"
    used = f"(MemoryUsage ?: 0) * {_MARGIN}"
    return f"int(min({{{_cap(site, rules)}, max({{{grown}, {used}}})}}))"


def requirements(site: Site, rules: HTCondorRules) -> str:
    """The site's own requirement, and no machine that this job has just failed on."""
    wanted = [f"({rules.requirements})"] if rules.requirements else []
    if rules.failures.avoid_node_min > 0 and site.max_attempts > 1:
        tried = range(site.max_attempts - 1)
        others = " && ".join(f"TARGET.Machine =!= MY.MachineAttrMachine{i}" for i in tried)
        # nothing here differs between jobs that never failed, so the negotiator can treat them as one;
        # a start that came to neither an end nor a hold was broken off there
        rested = f"time() - MY.JobCurrentStartDate > {rules.failures.avoid_node_min * 60:.0f}"
        broken_off = "(MY.NumShadowStarts ?: 0) > (MY.NumHolds ?: 0)"
        never = f"(MY.NumJobCompletions ?: 0) == 0 && !({broken_off})"
        wanted.append(f"(({never}) || ({others}) || {rested})")
    return " && ".join(wanted) or "true"


def hold(rules: HTCondorRules) -> str:
    """True of a waiting job that was started as often as it may be.

    For the starts that nobody counts: a container that a node cannot make, a machine that is taken away.
    """
    return f"JobStatus == 1 && NumShadowStarts >= {rules.failures.starts}"


def release(site: Site, rules: HTCondorRules) -> str:
    """True of a held job that is worth another try, for as often as the rules say."""
    limits = rules.failures
    rested = f"time() - EnteredCurrentStatus >= {limits.release_after_s}"
    return " || ".join(
        (
            f"({_held_for_memory()} && {_had_less_than_cap(site, rules)})",
            f"({_held_for(*TIME_HOLDS)} && NumShadowStarts < {limits.walltime_tries})",
            f"({_held_for(*NODE_HOLDS)} && NumShadowStarts < {limits.transfer_tries} && {rested})",
        )
    )


def remove(site: Site, rules: HTCondorRules) -> str:
    """True of a held job that was tried as often as the rules say."""
    limits = rules.failures
    return " || ".join(
        (
            f"({_held_for_memory()} && !({_had_less_than_cap(site, rules)}))",
            f"({_held_for(*TIME_HOLDS)} && NumShadowStarts >= {limits.walltime_tries})",
            f"({_held_for(*NODE_HOLDS)} && NumShadowStarts >= {limits.transfer_tries})",
            f"({_held_for(STARTS_HOLD[0])} && HoldReasonSubCode == {STARTS_HOLD[1]})",
        )
    )


def _held_for(*codes: int) -> str:
    return f"JobStatus == 5 && member(HoldReasonCode, {{{', '.join(map(str, codes))}}})"


def _held_for_memory() -> str:
    policy = f'(HoldReasonCode == {POLICY_HOLD} && regexp("memory", HoldReason, "i"))'
    return f"JobStatus == 5 && (HoldReasonCode == {MEMORY_HOLD} || {policy})"


def _memory_holds() -> str:
    """How often the job was held for want of memory: a count that retries leave alone."""
    return "((NumHoldsByReason.JobOutOfResources ?: 0) + (NumHoldsByReason.StartdHeldJob ?: 0))"


def _cap(site: Site, rules: HTCondorRules) -> int:
    return max(rules.failures.memory_cap_mb, site.resources.memory_mb)


def _had_less_than_cap(site: Site, rules: HTCondorRules) -> str:
    """What the held job used, and what it asked for before this hold raised it, was less than the cap."""
    before = f"{site.resources.memory_mb} * pow({rules.failures.memory_factor:g}, {_memory_holds()} - 1)"
    return f"max({{{before}, (MemoryUsage ?: 0)}}) < {_cap(site, rules)}"
