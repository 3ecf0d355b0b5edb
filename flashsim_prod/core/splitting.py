"""Cutting a request into jobs: pure functions of (request, index).

Numbering follows the event-based splitting that CMS production uses: run 1, events counted from 1
through the whole request, each job with its own range of luminosity sections. All folds of a gen event
stay in one job and one luminosity section, adjacent.

A job's seeds are functions of the request's seed and the job's index alone, never of the attempt, the machine
or the time, so a retry draws the same numbers.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from flashsim_prod.core.request import Request
from flashsim_prod.core.site import MergeRules, Rates, Resources, Site
from flashsim_prod.errors import RequestError

#: output events that a luminosity section holds at most, folds of one gen event never being parted
EVENTS_PER_LUMI = 1000
#: Pythia8 takes seeds from 1 to this one
PYTHIA_SEED_MAX = 900_000_000


@dataclass(frozen=True)
class SimulateJob:
    """One slice of a request: gen events [gen_first, gen_first + gen_events), each `oversample` times.

    `gen_first` counts from 0 through the request, `first_event` and `first_lumi` from 1; through all of the
    requests, where this one extends another.
    """

    index: int
    gen_first: int
    gen_events: int
    events: int
    first_event: int
    first_lumi: int
    n_lumis: int
    seed: int
    generator_seed: int
    pileup_seed: int
    lfn: str


@dataclass(frozen=True)
class MergeJob:
    """Joining the outputs of simulate jobs [first, first + count) into one file of the dataset."""

    index: int
    first: int
    count: int
    events: int
    lfn: str
    guid: uuid.UUID
    block: str


def simulate_job(request: Request, index: int) -> SimulateJob:
    """Simulate job number `index`, counted from 0; `RequestError` beyond the last one."""
    _check_index("simulate", index, request.n_simulate)
    per_job = request.split.gen_events_per_job
    lumis_per_job = -(-per_job // request.split.gen_events_per_lumi)
    before = request.before
    gen_first = before.gen_events + index * per_job
    # where events have seeds of their own, their jobs must not differ
    seeded = 0 if request.source.seeds_by_event else before.jobs + index
    gen_events = min(per_job, request.gen_events - index * per_job)
    return SimulateJob(
        index=index,
        gen_first=gen_first,
        gen_events=gen_events,
        events=gen_events * request.oversample,
        first_event=gen_first * request.oversample + 1,
        first_lumi=before.lumis + index * lumis_per_job + 1,
        n_lumis=-(-gen_events // request.split.gen_events_per_lumi),
        seed=job_seed(request.seed, seeded),
        generator_seed=generator_seed(request.seed, seeded),
        pileup_seed=pileup_seed(request.seed, seeded),
        lfn=request.dataset.unmerged_lfn(request.name, index, request.site.storage.user_lfn),
    )


def merge_job(request: Request, index: int) -> MergeJob:
    """Merge job number `index`, counted from 0; `RequestError` beyond the last one."""
    _check_index("merge", index, request.n_merge)
    per_merge = request.split.jobs_per_merge
    first = index * per_merge
    count = min(per_merge, request.n_simulate - first)
    gen_first = first * request.split.gen_events_per_job
    gen_last = min((first + count) * request.split.gen_events_per_job, request.gen_events)
    digest = request.digest()
    guid = uuid.uuid5(uuid.NAMESPACE_URL, f"{request.dataset}?{digest}&file={index}")
    block = uuid.uuid5(
        uuid.NAMESPACE_URL, f"{request.dataset}?{digest}&block={index // request.split.files_per_block}"
    )
    return MergeJob(
        index=index,
        first=first,
        count=count,
        events=(gen_last - gen_first) * request.oversample,
        lfn=request.dataset.lfn(index, guid, request.site.storage.user_lfn, ending=request.format.value),
        guid=guid,
        block=request.dataset.block(block),
    )


def lumi_events(request: Request, lumi: int) -> int:
    """Output events of luminosity section `lumi`; `RequestError` if the request has none of this number."""
    per_job, per_lumi = request.split.gen_events_per_job, request.split.gen_events_per_lumi
    index, within = divmod(lumi - 1 - request.before.lumis, -(-per_job // per_lumi))
    gen_events = min(per_lumi, simulate_job(request, index).gen_events - within * per_lumi)
    if gen_events < 1:
        raise RequestError(f"the request has no luminosity section {lumi}")
    return gen_events * request.oversample


def parent_files(request: Request, merge_index: int) -> tuple[str, ...]:
    """Logical names of the input files whose events went into a merged file, as far as they have any."""
    job = merge_job(request, merge_index)
    first = simulate_job(request, job.first).gen_first
    last = simulate_job(request, job.first + job.count - 1)
    files = request.source.files_of(first, last.gen_first + last.gen_events - first)
    return tuple(file.lfn for file in files if file.lfn)


def merge_of(request: Request, simulate_index: int) -> int:
    """The merge job that takes the output of a simulate job."""
    return simulate_index // request.split.jobs_per_merge


def gen_events_for(events: int, oversample: int) -> int:
    """Gen events needed for at least `events` output events: the last one's folds are completed."""
    return -(-events // oversample)


def gen_events_per_lumi(oversample: int) -> int:
    """Gen events whose folds fill one luminosity section."""
    return max(1, EVENTS_PER_LUMI // oversample)


def gen_events_per_job(
    gen_events: int,
    oversample: int,
    *,
    rates: Rates,
    resources: Resources,
    slots: int,
    generated: bool,
    processes: int = 1,
) -> int:
    """How many gen events one job takes.

    As many as fit into the target walltime and the largest output file; and no more than leaves every
    slot of the site something to do, unless jobs would become shorter than a few times their start-up.

    Parameters
    ----------
    gen_events, oversample : int
        The whole request.
    rates : Rates
        Speed and event size at the site.
    resources : Resources
        Limits of one job.
    slots : int
        Jobs that run at a time.
    generated : bool
        Whether events are generated (rather than read).
    processes : int
        That simulate at a time in a job.

    Raises
    ------
    RequestError
        If the folds of one gen event alone are more than a job may hold.
    """
    seconds = seconds_per_gen_event(oversample, rates, generated=generated, processes=processes)
    by_time = int((resources.target_walltime_min * 60 - rates.startup_s) / seconds)
    by_size = int(resources.max_file_mb * 1e6 / (rates.bytes_per_event * oversample))
    if min(by_time, by_size) < 1:
        raise RequestError(
            f"{oversample} folds of one event are more than one job may make here "
            f"({resources.target_walltime_min:g} min, {resources.max_file_mb:g} MB); lower --oversample"
        )
    shared = -(-gen_events // slots)
    worthwhile = int(4 * rates.startup_s / seconds) + 1
    return min(by_time, by_size, max(shared, worthwhile), gen_events)


def processes_of(site: Site) -> int:
    """Processes that simulate at a time in a job of `site`, or feed its GPU."""
    return site.resources.cpus


def seconds_per_gen_event(oversample: int, rates: Rates, *, generated: bool, processes: int = 1) -> float:
    """Time of one gen event with all its folds in a job [s].

    It is 1/g + k/f, with generator and FlashSim rates g, f of the job. With several processes the generator
    takes its part of one of their cores, but can be no faster than it is.
    """
    making = 1 / rates.generator_hz if generated else 0.0
    return max(making, making / processes + oversample / rates.flashsim_hz)


def generator_share(oversample: int, rates: Rates, *, processes: int = 1) -> float:
    """How much of the time of a job its generator is at work."""
    each = seconds_per_gen_event(oversample, rates, generated=True, processes=processes)
    return 1 / rates.generator_hz / each


def jobs_per_merge(events_per_job: int, rates: Rates, rules: MergeRules) -> int:
    """How many outputs join into a file of about the size aimed at."""
    return max(1, int(rules.target_file_mb * 1e6 / (rates.bytes_per_event * events_per_job)))


def _check_index(stage: str, index: int, number: int) -> None:
    if not 0 <= index < number:
        raise RequestError(f"no {stage} job {index}: the request has {number}, counted from 0")


def job_seed(request_seed: int, job_index: int) -> int:
    """The 64-bit seed of a job's chain of object models.

    Independent streams for different indices follow from numpy's `SeedSequence` with the index as
    spawn key.
    """
    return _word(request_seed, job_index)


def generator_seed(request_seed: int, job_index: int) -> int:
    """The seed of a job's event generator, in Pythia8's range 1 to 900,000,000.

    Consecutive for the jobs of a request, from a start that the request's seed decides: that range is
    so small that among 10,000 jobs with drawn seeds two would share one, and so all of their events,
    in 5 % of requests. Pythia's generator (Marsaglia and Zaman's) gives each seed its own sequence.
    """
    return (_word(request_seed) + job_index) % PYTHIA_SEED_MAX + 1


def pileup_seed(request_seed: int, job_index: int) -> int:
    """The 64-bit seed of a job's draw of pileup conditions."""
    return _word(request_seed, job_index, 2)


def event_seed(request_seed: int, gen_event: int, attempt: int = 0) -> int:
    """The generator's seed of one gen event, by its number in the dataset; another for each `attempt` at it.

    Consecutive, as those of jobs are and for the same reason; only what fails once is given a drawn one.
    """
    if attempt:
        return _word(request_seed, gen_event, 3, attempt) % PYTHIA_SEED_MAX + 1
    return (_word(request_seed, 3) + gen_event) % PYTHIA_SEED_MAX + 1


def event_pileup_seed(request_seed: int, gen_event: int) -> int:
    """The 64-bit seed of the draw of pileup conditions of one gen event."""
    return _word(request_seed, gen_event, 4)


def _word(request_seed: int, *spawn_key: int) -> int:
    # numpy takes longer to import than a status report may take as a whole
    import numpy as np

    sequence = np.random.SeedSequence(entropy=request_seed, spawn_key=spawn_key)
    return int(sequence.generate_state(1, np.uint64)[0])
