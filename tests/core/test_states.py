"""The steps between states, and what an exit code says."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from flashsim_prod.core.report import JobReport, OutputFile
from flashsim_prod.core.states import ACTIVE, FINAL, LEGAL, JobState, Stage, may_follow, steps_between
from flashsim_prod.errors import (
    BundleError,
    ConfigError,
    FlashSimError,
    NodeError,
    NoSpaceError,
    RequestError,
    all_errors,
    exit_code_is_retryable,
)


def test_every_state_has_its_steps_and_one_class() -> None:
    assert set(LEGAL) == set(JobState)
    assert {JobState.PLANNED} | ACTIVE | FINAL == set(JobState)
    assert not ACTIVE & FINAL


def test_every_state_leads_to_done_and_back_to_planned() -> None:
    def reachable(start: JobState) -> set[JobState]:
        found = {start}
        while new := {after for state in found for after in LEGAL[state]} - found:
            found |= new
        return found

    assert all({JobState.DONE, JobState.PLANNED} <= reachable(state) for state in JobState)


@pytest.mark.parametrize(
    ("before", "after", "legal"),
    [
        (JobState.PLANNED, JobState.SUBMITTING, True),
        (JobState.PLANNED, JobState.DONE, False),
        (JobState.PLANNED, JobState.RUNNING, False),
        (JobState.RUNNING, JobState.DONE, True),
        (JobState.HELD, JobState.DONE, False),
        (JobState.DONE, JobState.RUNNING, False),
        (JobState.DONE, JobState.PLANNED, True),
        (JobState.FAILED, JobState.RUNNING, False),
        (JobState.DONE, JobState.DONE, True),
    ],
)
def test_steps(before: JobState, after: JobState, legal: bool) -> None:
    assert may_follow(before, after) is legal


def test_exit_codes_are_unique_but_for_special_cases() -> None:
    # a class that states none is a special case of the one above it
    codes = [error.exit_code for error in all_errors() if "exit_code" in vars(error)]
    assert len(codes) == len(set(codes))
    assert ConfigError.exit_code == RequestError.exit_code
    assert all(0 < code < 126 for code in codes), "126 and up belong to the shell"


def test_codes_of_twenty_and_more_are_worth_a_retry() -> None:
    for error in all_errors():
        assert error.retryable is (error.exit_code >= 20)
        assert exit_code_is_retryable(error.exit_code) is error.retryable
    assert exit_code_is_retryable(NoSpaceError.exit_code)
    assert exit_code_is_retryable(NodeError.exit_code)
    assert not exit_code_is_retryable(BundleError.exit_code)
    assert not exit_code_is_retryable(FlashSimError.exit_code)
    assert not exit_code_is_retryable(0)
    assert exit_code_is_retryable(137), "a kill says nothing about the job"


def test_only_exit_code_zero_with_a_file_is_success() -> None:
    now = datetime.now(UTC)
    output = OutputFile(
        lfn="/store/x.root", pfn="/x.root", bytes=1, events=1, adler32="0" * 8, sha256="0" * 64, lumis=()
    )

    def report(exit_code: int, file: OutputFile | None) -> JobReport:
        return JobReport(
            request="r",
            request_digest="d",
            stage=Stage.SIMULATE,
            index=0,
            exit_code=exit_code,
            started=now,
            ended=now,
            host="h",
            device="cpu",
            software_version="0",
            output=file,
        )

    assert report(0, output).succeeded
    assert not report(0, None).succeeded
    assert not report(1, output).succeeded
    assert JobReport.model_validate_json(report(0, output).model_dump_json()) == report(0, output)


@pytest.mark.parametrize("before", JobState)
@pytest.mark.parametrize("after", JobState)
def test_every_state_can_be_reached_by_legal_steps(before: JobState, after: JobState) -> None:
    way = steps_between(before, after)
    assert (way[-1] if way else before) is after
    assert all(may_follow(one, other) for one, other in pairwise((before, *way)))
