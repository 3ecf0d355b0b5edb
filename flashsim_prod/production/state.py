"""Where a request as a whole stands, worked out from its jobs."""

from __future__ import annotations

from flashsim_prod.core.states import JobState, RequestState
from flashsim_prod.grid.ledger.rows import Counts, RequestRow


def request_state(row: RequestRow, counts: Counts, *, driven: bool) -> RequestState:
    """The state of a request.

    Parameters
    ----------
    row : RequestRow
    counts : Counts
        Its jobs by stage and state.
    driven : bool
        Whether some command drives it at this moment.
    """
    jobs = row.n_simulate + row.n_merge
    if in_state(counts, JobState.DONE) == jobs and (row.registered or row.catalog == "none"):
        return RequestState.DONE
    if driven:
        return RequestState.RUNNING
    if row.cancelled:
        return RequestState.CANCELLED
    if in_state(counts, JobState.FAILED):
        return RequestState.FAILED
    if in_state(counts, JobState.CANCELLED):
        # by somebody who went to the batch system itself
        return RequestState.CANCELLED
    if in_state(counts, JobState.PLANNED) == jobs:
        return RequestState.PLANNED
    return RequestState.INTERRUPTED


def in_state(counts: Counts, *states: JobState) -> int:
    """Jobs of all stages in one of `states`."""
    return sum(number for (_, state), number in counts.items() if state in states)
