"""Nothing is lost, nothing is made twice, and every job can be computed alone."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.core import splitting
from flashsim_prod.core.request import InputFile, Request
from flashsim_prod.core.site import MergeRules, Rates, Resources
from flashsim_prod.core.sources.nano import NanoFiles
from flashsim_prod.core.splitting import merge_job, merge_of, simulate_job
from flashsim_prod.errors import RequestError

Make = Callable[..., Request]

shapes = st.fixed_dictionaries(
    {
        "gen_events": st.integers(1, 400),
        "oversample": st.integers(1, 10_000),
        "per_job": st.integers(1, 60),
        "per_lumi": st.integers(1, 60),
        "per_merge": st.integers(1, 9),
        "per_block": st.integers(1, 5),
        "seed": st.integers(0, 2**63 - 1),
    }
)
large_shapes = st.fixed_dictionaries(
    {
        "gen_events": st.integers(1, 10**9),
        "oversample": st.integers(1, 10_000),
        "per_job": st.integers(1000, 10**6),
        "per_lumi": st.integers(1, 1000),
        "per_merge": st.integers(1, 100),
    }
)


@given(shape=shapes)
def test_every_gen_event_is_in_exactly_one_simulate_job(make_request: Make, shape: dict[str, int]) -> None:
    request = make_request(**shape)
    jobs = [simulate_job(request, index) for index in range(request.n_simulate)]
    covered = [gen for job in jobs for gen in range(job.gen_first, job.gen_first + job.gen_events)]
    assert covered == list(range(request.gen_events))
    assert sum(job.events for job in jobs) == request.events


@given(shape=shapes)
def test_event_numbers_run_through_and_folds_stay_together(make_request: Make, shape: dict[str, int]) -> None:
    request = make_request(**shape)
    jobs = [simulate_job(request, index) for index in range(request.n_simulate)]
    assert jobs[0].first_event == 1
    assert all(before.first_event + before.events == after.first_event for before, after in pairwise(jobs))
    assert jobs[-1].first_event + jobs[-1].events - 1 == request.events
    assert all(job.events % request.oversample == 0 for job in jobs)
    assert all((job.first_event - 1) % request.oversample == 0 for job in jobs)


@given(shape=shapes)
def test_lumi_ranges_are_disjoint_and_hold_all_gen_events(make_request: Make, shape: dict[str, int]) -> None:
    request = make_request(**shape)
    jobs = [simulate_job(request, index) for index in range(request.n_simulate)]
    assert jobs[0].first_lumi == 1
    assert all(before.first_lumi + before.n_lumis <= after.first_lumi for before, after in pairwise(jobs))
    per_lumi = request.split.gen_events_per_lumi
    assert all((job.n_lumis - 1) * per_lumi < job.gen_events <= job.n_lumis * per_lumi for job in jobs)


@given(shape=large_shapes, where=st.floats(0, 1))
def test_numbering_is_that_of_cms_event_based_splitting(
    make_request: Make, shape: dict[str, int], where: float
) -> None:
    """firstEvent = (n-1) U + 1, lumis per job = ceil(U / L), firstLumi = (n-1) lumisPerJob + 1, n from 1."""
    request = make_request(**shape)
    number = 1 + int(where * (request.n_simulate - 1))
    unit = request.split.gen_events_per_job * request.oversample
    per_lumi = request.split.gen_events_per_lumi * request.oversample
    job = simulate_job(request, number - 1)
    assert job.first_event == (number - 1) * unit + 1
    assert job.first_lumi == (number - 1) * -(-unit // per_lumi) + 1


@given(shape=shapes, data=st.data())
def test_a_job_is_a_function_of_request_and_index_alone(
    make_request: Make, shape: dict[str, int], data: st.DataObject
) -> None:
    request = make_request(**shape)
    index = data.draw(st.integers(0, request.n_simulate - 1))
    elsewhere = Request.from_yaml(request.to_yaml(), "elsewhere")
    everything = [simulate_job(request, i) for i in range(request.n_simulate)]
    assert simulate_job(elsewhere, index) == everything[index]
    merges = [merge_job(request, i) for i in range(request.n_merge)]
    assert merge_job(elsewhere, merge_of(request, index)) == merges[merge_of(request, index)]


@given(shape=shapes)
def test_every_output_is_merged_exactly_once(make_request: Make, shape: dict[str, int]) -> None:
    request = make_request(**shape)
    merges = [merge_job(request, index) for index in range(request.n_merge)]
    taken = [index for merge in merges for index in range(merge.first, merge.first + merge.count)]
    assert taken == list(range(request.n_simulate))
    assert all(merge_of(request, index) == merge.index for merge in merges for index in _inputs(merge))
    assert [merge.events for merge in merges] == [
        sum(simulate_job(request, index).events for index in _inputs(merge)) for merge in merges
    ]
    assert sum(merge.events for merge in merges) == request.events


@given(shape=shapes)
def test_seeds_and_file_names_are_never_used_twice(make_request: Make, shape: dict[str, int]) -> None:
    request = make_request(**shape)
    jobs = [simulate_job(request, index) for index in range(request.n_simulate)]
    merges = [merge_job(request, index) for index in range(request.n_merge)]
    assert len({job.seed for job in jobs} | {job.pileup_seed for job in jobs}) == 2 * len(jobs)
    assert len({job.lfn for job in jobs} | {merge.lfn for merge in merges}) == len(jobs) + len(merges)


@given(shape=shapes)
def test_blocks_hold_no_more_files_than_asked_for(make_request: Make, shape: dict[str, int]) -> None:
    request = make_request(**shape)
    blocks = [merge_job(request, index).block for index in range(request.n_merge)]
    sizes = [blocks.count(block) for block in dict.fromkeys(blocks)]
    assert all(size == request.split.files_per_block for size in sizes[:-1])
    assert sizes[-1] <= request.split.files_per_block


def _inputs(merge: splitting.MergeJob) -> range:
    return range(merge.first, merge.first + merge.count)


@pytest.mark.parametrize("index", [-1, 4])
def test_a_job_beyond_the_last_one_is_refused(make_request: Make, index: int) -> None:
    with pytest.raises(RequestError, match=f"no simulate job {index}: the request has 4, counted from 0"):
        simulate_job(make_request(gen_events=100, per_job=30), index)
    with pytest.raises(RequestError, match="no merge job 2: the request has 2"):
        merge_job(make_request(gen_events=100, per_job=30, per_merge=2), 2)


def test_another_seed_or_name_makes_other_files(make_request: Make) -> None:
    first, second = make_request(seed=1), make_request(seed=2)
    assert merge_job(first, 0).lfn != merge_job(second, 0).lfn
    assert merge_job(first, 0).lfn == merge_job(make_request(seed=1), 0).lfn


@given(events=st.integers(1, 10**12), oversample=st.integers(1, 10_000))
def test_gen_events_suffice_and_no_more(events: int, oversample: int) -> None:
    gen = splitting.gen_events_for(events, oversample)
    assert (gen - 1) * oversample < events <= gen * oversample


@given(
    gen_events=st.integers(1, 10**9),
    oversample=st.integers(1, 2000),
    generator_hz=st.floats(1, 1000),
    flashsim_hz=st.floats(1, 1000),
    slots=st.integers(1, 10_000),
    generated=st.booleans(),
)
def test_jobs_fit_into_the_time_and_the_file_of_the_site(
    gen_events: int, oversample: int, generator_hz: float, flashsim_hz: float, slots: int, generated: bool
) -> None:
    rates = Rates(generator_hz=generator_hz, flashsim_hz=flashsim_hz, startup_s=5, bytes_per_event=3000)
    limits = Resources(walltime_min=600, target_walltime_min=480, max_file_mb=500)
    per_job = splitting.gen_events_per_job(
        gen_events, oversample, rates=rates, resources=limits, slots=slots, generated=generated
    )
    seconds = 5 + per_job * splitting.seconds_per_gen_event(oversample, rates, generated=generated)
    assert 1 <= per_job <= gen_events
    assert seconds <= 480 * 60 * (1 + 1e-9)
    assert per_job * oversample * 3000 <= 500e6


def test_every_slot_gets_a_job_when_jobs_stay_long_enough() -> None:
    rates = Rates(generator_hz=100, flashsim_hz=100, startup_s=1)
    limits = Resources(walltime_min=600, target_walltime_min=480, max_file_mb=5000)
    per_job = splitting.gen_events_per_job(100_000, 1, rates=rates, resources=limits, slots=8, generated=True)
    assert -(-100_000 // per_job) == 8
    tiny = splitting.gen_events_per_job(100, 1, rates=rates, resources=limits, slots=8, generated=True)
    assert tiny == 100, "a few events are not worth eight start-ups"


def test_too_many_folds_for_one_job_are_refused() -> None:
    rates = Rates(generator_hz=100, flashsim_hz=1)
    limits = Resources(walltime_min=60, target_walltime_min=10)
    with pytest.raises(RequestError, match="10000 folds of one event are more than one job may make here"):
        splitting.gen_events_per_job(10, 10_000, rates=rates, resources=limits, slots=1, generated=True)


def test_merged_files_come_near_the_size_aimed_at() -> None:
    rates = Rates(generator_hz=1, flashsim_hz=1, bytes_per_event=2000)
    assert splitting.jobs_per_merge(10_000, rates, MergeRules(target_file_mb=100)) == 5
    assert splitting.jobs_per_merge(10**9, rates, MergeRules(target_file_mb=100)) == 1


def test_guids_are_those_of_rfc_4122_version_5(make_request: Make) -> None:
    guid = merge_job(make_request(), 0).guid
    assert guid.version == 5
    assert isinstance(guid, uuid.UUID)


@given(shape=shapes, sizes=st.lists(st.integers(1, 150), min_size=1, max_size=8), known=st.integers(0, 255))
def test_a_merged_file_has_the_parents_of_its_events(
    make_request: Make, shape: dict[str, int], sizes: list[int], known: int
) -> None:
    names = [f"/store/mc/in_{number}.root" if known >> number & 1 else None for number in range(len(sizes))]
    source = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    inputs = tuple(
        InputFile(url=f"/in/{number}.root", entries=size, lfn=names[number])
        for number, size in enumerate(sizes)
    )
    gen_events = min(shape["gen_events"], len(source))
    request = make_request(**{**shape, "gen_events": gen_events}).model_copy(
        update={"source": NanoFiles(files=inputs)}
    )
    for index in range(request.n_merge):
        job = merge_job(request, index)
        first = job.first * request.split.gen_events_per_job
        last = min(gen_events, (job.first + job.count) * request.split.gen_events_per_job)
        expected = dict.fromkeys(name for name in source[first:last] if name)
        assert splitting.parent_files(request, index) == tuple(expected)
