"""The graph of what is left, and the evidence that decides it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashsim_prod.core.splitting import merge_of
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.drive.foreground import opened_desk
from flashsim_prod.production.drive.reconcile import Remaining, reconcile
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.worker import run_job
from flashsim_prod.production.order.plan import Plan

Placed = Callable[..., Plan]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_job_that_is_left_is_a_node_after_its_inputs(
    plan_of: Callable[..., Plan], data: st.DataObject
) -> None:
    request = plan_of(events=200, events_per_job=10, per_merge=3).request
    simulate = tuple(sorted(data.draw(st.sets(st.integers(0, request.n_simulate - 1)))))
    merge = tuple(sorted(data.draw(st.sets(st.integers(0, request.n_merge - 1)))))
    nodes = Remaining(simulate, merge).nodes(request)
    keys = [node.key for node in nodes]
    assert sorted(key.index for key in keys if key.stage is Stage.SIMULATE) == list(simulate)
    assert sorted(key.index for key in keys if key.stage is Stage.MERGE) == list(merge)
    for position, node in enumerate(nodes):
        wanted = [
            i for i in simulate if node.key.stage is Stage.MERGE and merge_of(request, i) == node.key.index
        ]
        assert sorted(parent.index for parent in node.parents) == wanted
        assert all(parent in keys[:position] for parent in node.parents)


def test_what_a_dead_driver_left_is_decided_by_reports(home: Home, placed: Placed, fake_physics: Any) -> None:
    request = placed(events=80, events_per_job=20, per_merge=2).request
    name, folder = request.name, home.folder(request.name)
    with Ledger(home.ledger) as ledger:
        for index in (0, 1):
            ledger.transition(name, Stage.SIMULATE, [index], JobState.SUBMITTING)
            ledger.start_attempt(
                name, Stage.SIMULATE, index, log=lambda n: folder.log(Stage.SIMULATE, 0, n), host="h"
            )
        ledger.transition(name, Stage.SIMULATE, [2], JobState.SUBMITTING)
    run_job(Stage.SIMULATE, folder.request, 0)  # ended well, but nobody was told
    with opened_desk(home, folder) as desk:
        remaining = reconcile(desk)
    assert remaining == Remaining(simulate=(1, 2, 3), merge=(0, 1))
    with Ledger(home.ledger) as ledger:
        states = [job.state for job in ledger.jobs(name, Stage.SIMULATE)]
        assert states == [JobState.DONE, JobState.PLANNED, JobState.PLANNED, JobState.PLANNED]
        assert ledger.open_attempts(name) == []
        assert [attempt.exit_code for attempt in ledger.attempts(name, Stage.SIMULATE, 1)] == [None]
