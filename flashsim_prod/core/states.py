"""The states of a job and the only steps between them."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """What a job does."""

    SIMULATE = "simulate"
    MERGE = "merge"


class JobState(StrEnum):
    """Where a job stands. DONE means exit code 0 *and* a valid report whose file is there."""

    PLANNED = "PLANNED"
    SUBMITTING = "SUBMITTING"
    IDLE = "IDLE"
    RUNNING = "RUNNING"
    HELD = "HELD"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


_S = JobState

#: from a state to those that may follow it
LEGAL: dict[JobState, frozenset[JobState]] = {
    _S.PLANNED: frozenset({_S.SUBMITTING, _S.CANCELLED}),
    # a crash between the intention and the batch system's answer goes back, or stays unknown
    _S.SUBMITTING: frozenset({_S.IDLE, _S.RUNNING, _S.PLANNED, _S.FAILED, _S.CANCELLED, _S.UNKNOWN}),
    _S.IDLE: frozenset({_S.RUNNING, _S.HELD, _S.DONE, _S.FAILED, _S.CANCELLED, _S.UNKNOWN}),
    _S.RUNNING: frozenset({_S.IDLE, _S.HELD, _S.DONE, _S.FAILED, _S.CANCELLED, _S.UNKNOWN}),
    _S.HELD: frozenset({_S.IDLE, _S.RUNNING, _S.FAILED, _S.CANCELLED, _S.UNKNOWN}),
    _S.UNKNOWN: frozenset(
        {_S.IDLE, _S.RUNNING, _S.HELD, _S.DONE, _S.FAILED, _S.CANCELLED, _S.PLANNED, _S.SUBMITTING}
    ),
    # retries
    _S.FAILED: frozenset({_S.PLANNED}),
    _S.CANCELLED: frozenset({_S.PLANNED}),
    # the output of a finished job was lost: it is made anew
    _S.DONE: frozenset({_S.PLANNED}),
}

#: states in which the job rests until somebody acts
FINAL = frozenset({_S.DONE, _S.FAILED, _S.CANCELLED})

#: states in which a batch system has the job
ACTIVE = frozenset({_S.SUBMITTING, _S.IDLE, _S.RUNNING, _S.HELD, _S.UNKNOWN})


def may_follow(before: JobState, after: JobState) -> bool:
    """Whether a job may go from `before` to `after`; staying is always allowed."""
    return before == after or after in LEGAL[before]


def steps_between(before: JobState, after: JobState) -> tuple[JobState, ...]:
    """The shortest legal way from `before` to `after`, without `before`; empty if they are the same.

    For what was seen from afar: a job last heard of as HELD and now DONE was RUNNING in between. Every state
    can be reached from every other.
    """
    ways: list[tuple[JobState, ...]] = [()]
    for way in ways:
        last = way[-1] if way else before
        if last is after:
            return way
        ways += [(*way, state) for state in JobState if state in LEGAL[last] and state not in way]
    raise ValueError(f"no way from {before} to {after}")


class RequestState(StrEnum):
    """Where a request as a whole stands; derived from its jobs, never stored."""

    PLANNED = "PLANNED"
    RUNNING = "RUNNING"
    INTERRUPTED = "INTERRUPTED"  # unfinished and nobody is driving it
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    DONE = "DONE"
