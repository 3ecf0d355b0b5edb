"""Jobs take legal steps only, whatever is asked in whatever order."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from flashsim_prod.core.report import JobReport
from flashsim_prod.core.states import LEGAL, JobState, Stage, may_follow
from flashsim_prod.errors import StateError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import RequestRow

NewRequest = Callable[..., RequestRow]
NewReport = Callable[..., JobReport]


def force(path: Path, state: JobState) -> None:
    """Put all jobs into a state without asking."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE jobs SET state = ?", (state,))


@pytest.mark.parametrize(("before", "after"), list(product(JobState, JobState)))
def test_every_pair_of_states(
    ledger: Ledger, path: Path, new_request: NewRequest, before: JobState, after: JobState
) -> None:
    new_request(ledger)
    force(path, before)
    legal = may_follow(before, after) and after is not JobState.DONE
    moves = (
        lambda: ledger.transition("toy", Stage.SIMULATE, range(4), after),
        lambda: ledger.transition("toy", Stage.MERGE, [1], after, expect={before}),
        lambda: ledger.move_all("toy", {before}, after),
    )
    for move in moves:
        force(path, before)
        if legal:
            assert (move() > 0) is (before != after)
        else:
            with pytest.raises(StateError):
                move()
            assert set(ledger.counts("toy")) == {(Stage.SIMULATE, before), (Stage.MERGE, before)}


def test_all_or_none(ledger: Ledger, new_request: NewRequest) -> None:
    new_request(ledger)
    ledger.transition("toy", Stage.SIMULATE, [2], JobState.CANCELLED)
    with pytest.raises(StateError, match=r"toy.*SUBMITTING.*simulate 2 \(CANCELLED\)"):
        ledger.transition("toy", Stage.SIMULATE, range(4), JobState.SUBMITTING)
    with pytest.raises(StateError, match=r"simulate 4 \(no such job\)"):
        ledger.transition("toy", Stage.SIMULATE, [0, 4], JobState.SUBMITTING)
    with pytest.raises(StateError, match=r"simulate -1 \(no such job\)"):
        ledger.transition("toy", Stage.SIMULATE, [-1], JobState.SUBMITTING)
    assert ledger.counts("toy") == {
        (Stage.SIMULATE, JobState.PLANNED): 3,
        (Stage.SIMULATE, JobState.CANCELLED): 1,
        (Stage.MERGE, JobState.PLANNED): 2,
    }


def test_expected_state_is_compared(ledger: Ledger, new_request: NewRequest) -> None:
    new_request(ledger)
    move = (("toy", Stage.SIMULATE, [0], JobState.SUBMITTING), {"expect": {JobState.PLANNED}})
    assert ledger.transition(*move[0], **move[1]) == 1
    with pytest.raises(StateError, match="SUBMITTING"):
        ledger.transition(*move[0], **move[1])
    with pytest.raises(StateError, match="never goes from DONE"):
        ledger.transition("toy", Stage.SIMULATE, [0], JobState.RUNNING, expect={JobState.DONE})


class LedgerMachine(RuleBasedStateMachine):
    """The ledger beside a model of it: a state per job, and whether an attempt is open."""

    jobs = st.tuples(st.just(Stage.SIMULATE), st.integers(0, 3)) | st.tuples(
        st.just(Stage.MERGE), st.integers(0, 1)
    )
    states = st.sampled_from(JobState)

    def __init__(self, new_request: NewRequest, new_report: NewReport) -> None:
        super().__init__()
        self.new_report = new_report
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite")
        new_request(self.ledger)
        self.model = dict.fromkeys(
            [(Stage.SIMULATE, i) for i in range(4)] + [(Stage.MERGE, i) for i in range(2)], JobState.PLANNED
        )
        self.attempts: Counter[tuple[Stage, int]] = Counter()
        self.open: set[tuple[Stage, int]] = set()

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    @rule(jobs=st.sets(jobs, min_size=1), to=states, expect=st.none() | st.sets(states, min_size=1))
    def transition(self, jobs: set[tuple[Stage, int]], to: JobState, expect: set[JobState] | None) -> None:
        stage = min(jobs)[0]
        indices = [index for one, index in jobs if one is stage]
        allowed = all(
            may_follow(self.model[stage, i], to) and (expect is None or self.model[stage, i] in expect)
            for i in indices
        )
        legal = to is not JobState.DONE and all(may_follow(before, to) for before in expect or ())
        if not (allowed and legal):
            with pytest.raises(StateError):
                self.ledger.transition("toy", stage, indices, to, expect=expect)
            return
        moved = sum(self.model[stage, i] != to for i in indices)
        assert self.ledger.transition("toy", stage, indices, to, expect=expect) == moved
        self.model.update({(stage, i): to for i in indices})

    @rule(states=st.sets(states, min_size=1), to=states, stage=st.none() | st.sampled_from(Stage))
    def move_all(self, states: set[JobState], to: JobState, stage: Stage | None) -> None:
        if to is JobState.DONE or not all(may_follow(before, to) for before in states):
            with pytest.raises(StateError):
                self.ledger.move_all("toy", states, to, stage=stage)
            return
        chosen = [job for job, state in self.model.items() if state in states and stage in (None, job[0])]
        moved = sum(self.model[job] != to for job in chosen)
        assert self.ledger.move_all("toy", states, to, stage=stage) == moved
        self.model.update(dict.fromkeys(chosen, to))

    @rule(job=jobs)
    def start(self, job: tuple[Stage, int]) -> None:
        def begin() -> int:
            return self.ledger.start_attempt("toy", *job, log=lambda n: Path(f"{n}.log"), host="h").number

        if JobState.RUNNING not in LEGAL[self.model[job]]:
            with pytest.raises(StateError):
                begin()
            return
        self.attempts[job] += 1
        assert begin() == self.attempts[job]
        self.model[job] = JobState.RUNNING
        self.open.add(job)

    @rule(job=jobs)
    def start_from_anywhere(self, job: tuple[Stage, int]) -> None:
        for state in (JobState.UNKNOWN, JobState.PLANNED, JobState.SUBMITTING):
            if may_follow(self.model[job], state):
                self.ledger.transition("toy", job[0], [job[1]], state, expect={self.model[job]})
                self.model[job] = state
        self.start(job)

    @rule(data=st.data(), succeeded=st.booleans())
    def finish_open(self, data: st.DataObject, succeeded: bool) -> None:
        if self.open:
            job = data.draw(st.sampled_from(sorted(self.open)))
            to = data.draw(st.sampled_from(sorted(LEGAL[self.model[job]])))
            self.finish(job, JobState.DONE if succeeded else to, succeeded)

    @rule(job=jobs, to=states, succeeded=st.booleans())
    def finish(self, job: tuple[Stage, int], to: JobState, succeeded: bool) -> None:
        report = self.new_report(*job) if succeeded else None

        def end() -> None:
            self.ledger.finish_attempt(
                "toy", *job, self.attempts[job], to, exit_code=0 if succeeded else 20, report=report
            )

        proven = to is not JobState.DONE or succeeded
        if job not in self.open or not may_follow(self.model[job], to) or not proven:
            with pytest.raises(StateError):
                end()
            return
        end()
        self.model[job] = to
        self.open.remove(job)

    @invariant()
    def ledger_and_model_agree(self) -> None:
        assert {(row.stage, row.index): row.state for row in self.ledger.jobs("toy")} == self.model
        counted = Counter((stage, state) for (stage, _), state in self.model.items())
        assert self.ledger.counts("toy") == counted
        assert {(row.stage, row.index) for row in self.ledger.open_attempts("toy")} == self.open

    @invariant()
    def done_jobs_and_only_they_have_files(self) -> None:
        have = {(row.stage, row.index) for stage in Stage for row in self.ledger.files("toy", stage)}
        assert have == {job for job, state in self.model.items() if state is JobState.DONE}


def test_any_sequence_of_calls(new_request: NewRequest, new_report: NewReport) -> None:
    run_state_machine_as_test(
        lambda: LedgerMachine(new_request, new_report),
        settings=settings(max_examples=40, stateful_step_count=40, derandomize=True),
    )
