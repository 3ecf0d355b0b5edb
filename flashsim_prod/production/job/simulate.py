"""A simulate job: generator-level events in, one checked file of NANOAOD, or of an ntuple, in storage out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.analyses.ntuple import ANALYSIS
from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.core.report import EventWeights, LumiRange, OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.speed import Timings
from flashsim_prod.core.splitting import SimulateJob, simulate_job
from flashsim_prod.errors import BundleError
from flashsim_prod.production.job.batches import Batch, Simulation, is_shared, processes_for, threads_for
from flashsim_prod.production.job.cores import memory_mb
from flashsim_prod.production.job.producing import loaded, loading, producer_of
from flashsim_prod.production.job.run import JobRun
from flashsim_prod.production.job.sandbox import found_in

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle
    from flashsim_prod.physics.events import Events
    from flashsim_prod.physics.generator.source import EventSource
    from flashsim_prod.physics.nanoaod.checking.written import Written
    from flashsim_prod.physics.nanoaod.checks import FileSummary
    from flashsim_prod.physics.nanoaod.schema import Schema

log = logging.getLogger("flashsim_prod.worker")

#: said of files of which some may have been made so
_HALF = "where networks ran on a GPU, matrix products were of half precision"
#: what the sums of an ntuple's Runs are of
_OF_TRIED = "all events simulated, of which the file holds those that pass the selection"


def simulate(attempt: JobRun) -> OutputFile:
    """Run a simulate job to its end.

    Raises
    ------
    BundleError
        If the bundle is not the one that the request is bound to.
    InputError
        If input events are missing or lack a branch.
    NoSpaceError, StorageError
        If the output cannot be written.
    ValidationError
        If the output does not hold what it should.
    """
    request = attempt.request
    job = simulate_job(request, attempt.index)
    attempt.seed = job.seed
    attempt.need_space(job.events * request.site.rates.bytes_per_event)
    with loading():
        from flashsim_prod.physics.chain.device import (
            assigned_gpus,
            device_name,
            keep_to_threads,
            pick_device,
        )
        from flashsim_prod.physics.nanoaod.runs import events_by_lumi

        bundle = bound_bundle(request, attempt.sandbox, any_digest=attempt.any_bundle)
        attempt.gpus = assigned_gpus(request.site.gpus)
        device = pick_device(request.device)
        keep_to_threads(threads_for(request))
        attempt.device = device_name(device)
        producer = producer_of(request, bundle, device)
    source = event_source(request, job, attempt.sandbox)
    attempt.processes = processes_for(request, job)
    simulation = Simulation(
        *(request, job, producer, source, attempt.timings, attempt.processes), shared=is_shared(device)
    )
    simulation.prepare()
    attempt.start_clock()
    log.info(
        "job %d: %d gen events x %d on %s, %d at a time",
        *(job.index, job.gen_events, request.oversample, attempt.device, attempt.processes),
    )
    path = attempt.work / "output.root"
    batches = _counted(simulation.batches(), attempt, job.events)
    found = write_checked(
        path,
        request,
        job,
        producer.schema,
        batches,
        provenance(request, bundle),
        attempt.timings,
        attempt.sandbox,
        processes=attempt.processes,
    )
    attempt.merging = simulation.accepted
    if request.is_thinned:
        attempt.events_by_lumi = events_by_lumi(str(path))
    return attempt.store(path, job.lfn, found.events, found.lumis)


def bound_bundle(request: Request, sandbox: Path | None = None, *, any_digest: bool = False) -> Bundle:
    """The bundle that `request` is bound to, or its copy in `sandbox`; `BundleError` if it has changed.

    With `any_digest` another one will do, for who compares what comes of it.
    """
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle

    bundle = load_bundle(find_bundle(found_in(sandbox, request.bundle.path)))
    if bundle.digest != request.bundle.digest and not any_digest:
        raise BundleError(
            f"{bundle.path}: this bundle's digest is {bundle.digest[:12]}..., but the request is bound to "
            f"{request.bundle.digest[:12]}...; bring that bundle back, or order a new request"
        )
    return bundle.of_teachers if request.sampling.teachers else bundle


def event_source(request: Request, job: SimulateJob, sandbox: Path | None = None) -> EventSource:
    """The gen events of `job`: what the request's source gives for it."""
    from flashsim_prod.physics.generator.kinds import find_kind

    return find_kind(request.source.kind).open(
        request.source, request, job, lambda path: found_in(sandbox, path)
    )


def provenance(request: Request, bundle: Bundle) -> dict[str, str]:
    """What the file itself says of where it comes from; the same in all files of a dataset."""
    from flashsim_prod.physics.chain.detectors import LEARNED_FROM, detectors_of, together
    from flashsim_prod.physics.chain.distilled import told_students
    from flashsim_prod.physics.nanoaod.carried import KEPT_UNREFINED

    about = {
        "dataset": str(request.dataset),
        "request": request.name,
        "request_digest": request.digest(),
        "card": request.card.name,
        "energy_tev": f"{request.energy_tev:g}",
        "generator": request.source.generator(request.card),
        "seed": str(request.seed),
        "oversample": str(request.oversample),
        "bundle": f"{bundle.name}: {bundle.title}",
        "bundle_digest": request.bundle.digest,
        "sampling": request.sampling.model_dump_json(),
        **({"precision": _HALF} if request.site.resources.gpu_half else {}),
        "software": f"flashsim-prod {request.software_version}",
    }
    if students := told_students(bundle.manifest.models):
        about["students"] = students
    if request.analysis is not None:
        about |= {ANALYSIS: request.analysis.model_dump_json(), "normalisation": _OF_TRIED}
    elif {request.nano, bundle.nano} != {NANO_VERSION}:
        about |= {"nano": request.nano, "made_for_nano": bundle.nano}
    if request.keep_unrefined:
        about[KEPT_UNREFINED] = "branches called so have what others were before a network moved them"
    if bundle.manifest.era is not None:
        about["era"] = bundle.manifest.era
    if learned_from := together(detectors_of(bundle.manifest.models).values()):
        about[LEARNED_FROM] = learned_from
    if request.extends is not None:
        about["extends"] = request.extends.dataset
    told = dict(request.source.contents())
    # tells whoever reads the file that its Runs are the input's, not the sums of its events
    return about | {"normalisation": told["normalisation"]} if "normalisation" in told else about


def write_checked(
    path: Path,
    request: Request,
    job: SimulateJob,
    schema: Schema,
    batches: Iterable[Batch],
    about: dict[str, str],
    timings: Timings,
    sandbox: Path | None = None,
    *,
    processes: int = 1,
) -> FileSummary:
    """Write the events of a job into the file `path`, and check that it holds what it should.

    Parameters
    ----------
    schema : Schema
        Of what the producer makes.
    about : dict of str to str
        The file's `provenance`.
    timings : Timings
        Is told the time of ``write`` and ``check``.
    sandbox : Path, optional
        Where input files are that were sent.
    processes : int
        So many others make batches while one is written: of the time it takes, that part is this one's.

    Raises
    ------
    EventsError
        If it does not; the line calls the file by its logical name.
    NoSpaceError, StorageError
        If the file cannot be written.
    """
    from flashsim_prod.physics.generator.kinds import find_kind
    from flashsim_prod.physics.nanoaod.checking.written import Written
    from flashsim_prod.physics.nanoaod.checks import check_file
    from flashsim_prod.physics.nanoaod.runs import TriedSums
    from flashsim_prod.physics.nanoaod.writer import NanoWriter

    # numbers of an analysis' ntuple are all that it has
    schema = schema.with_carried(request.source.more_branches() if request.analysis is None else ())
    of_input = find_kind(request.source.kind).runs(
        request.source, job.gen_first, job.gen_events, request.oversample, lambda url: found_in(sandbox, url)
    )
    tried = TriedSums()
    runs = of_input or tried.rows
    written = Written(schema, job.lfn)
    look = _timed_apart(written, timings, processes)
    with loaded(), NanoWriter(path, schema=schema, provenance=about, runs=runs, look=look) as writer:
        for batch in batches:
            with timings.step("write", among=processes):
                tried.add(batch.tried)
                if batch.is_specimen:
                    writer.describe(batch.events)
                else:
                    writer.write(batch.events)
        tried.end()
        closing = time.perf_counter()
    timings.add("write", time.perf_counter() - closing)
    with loaded(), timings.step("check"):
        return check_file(
            path,
            schema=schema,
            events=None if request.is_thinned else job.events,
            event_numbers=range(job.first_event, job.first_event + job.events),
            lumis=[LumiRange(run=request.run, first=job.first_lumi, last=job.first_lumi + job.n_lumis - 1)],
            name=job.lfn,
            runs=runs,
            may_be_empty=request.is_thinned,
            digests=False,
            written=written,
        )


def _timed_apart(written: Written, timings: Timings, processes: int) -> Callable[[Events], None]:
    """What looks at values while they are written, as a part of the check and none of the writing."""

    def look(events: Events) -> None:
        start = time.perf_counter()
        written(events)
        seconds = (time.perf_counter() - start) / processes
        timings.add("write", -seconds)
        timings.add("check", seconds)

    return look


def _with_weights(before: EventWeights | None, events: Events) -> EventWeights | None:
    """What events weigh together with those before, where models weight what they draw."""
    from flashsim_prod.physics.nanoaod.runs import sums_of_weights

    sums = sums_of_weights(events)
    if sums is None:
        return before
    return (before or EventWeights()) + EventWeights(events=events.n, total=sums[0], squares=sums[1])


def _counted(batches: Iterable[Batch], attempt: JobRun, total: int) -> Iterator[Batch]:
    """The batches, each counted and told of once it is written."""
    for batch in batches:
        yield batch
        if batch.is_specimen:
            continue
        attempt.events += batch.events.n
        attempt.gen_events += batch.gen_events
        attempt.weights = _with_weights(attempt.weights, batch.events)
        attempt.progress(attempt.events, total)
        if attempt.processes > 1:
            attempt.memory_mb = max(attempt.memory_mb, memory_mb())
