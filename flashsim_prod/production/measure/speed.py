"""How fast this machine simulates, stage by stage: the work of a simulate job, timed."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashsim_prod import __version__
from flashsim_prod.core.request import Request
from flashsim_prod.core.sizes import counted
from flashsim_prod.core.speed import Speed, Timings
from flashsim_prod.core.splitting import SimulateJob, simulate_job
from flashsim_prod.errors import RequestError
from flashsim_prod.production.job.batches import (
    Batch,
    Simulation,
    fold_chunks,
    is_shared,
    processes_for,
    threads_for,
)
from flashsim_prod.production.job.producing import loading, producer_of
from flashsim_prod.production.job.simulate import bound_bundle, event_source, provenance, write_checked
from flashsim_prod.production.order.plan import Order, make_plan

if TYPE_CHECKING:
    from flashsim_prod.physics.nanoaod.checks import FileSummary
    from flashsim_prod.physics.producing import Producer

#: gen events of the run that is not counted: it loads libraries and warms caches
_WARM_UP = 20
#: the stages in the order of the work
STAGES = (
    *("generate", "read", "fold", "features", "efficiencies", "flows"),
    *("postprocess", "write", "check", "other"),
)

EventsProgress = Callable[[int, int], None]


def measure_speed(
    order: Order,
    progress: EventsProgress = lambda done, total: None,
    *,
    threads: int | None = None,
) -> Speed:
    """Time the one simulate job that `order` comes to; its output is thrown away.

    Parameters
    ----------
    threads : int, optional
        Of the networks of each process; by default as of a job.

    Raises
    ------
    FlashSimError
        As of a plan and of a simulate job.
    """
    request = request_of(order)
    job, resources = simulate_job(request, 0), request.site.resources
    threads, timings = threads or threads_for(request), Timings()
    with loading():
        from flashsim_prod.physics.chain.device import keep_to_threads, pick_device
        from flashsim_prod.physics.chain.devices.place import block_rows

        bundle = bound_bundle(request)
        device = pick_device(request.device)
        keep_to_threads(threads)
        producer = producer_of(request, bundle, device, timings=timings)
    processes, shared = processes_for(request, job), is_shared(device)
    rows = resources.batch_rows or block_rows(device)
    if processes == 1 or not shared:
        _warm_up(request, job, producer)
    timings.seconds.clear()
    about = provenance(request, bundle)
    with tempfile.TemporaryDirectory(prefix="flashsim-bench-") as scratch:
        path, cpu_s = Path(scratch) / "bench.root", _cpu_s()
        simulation = Simulation(
            *(request, job, producer, event_source(request, job), Timings(), processes), shared=shared
        )
        # the time until a device is ready is a job's start-up
        simulation.prepare()
        seconds, found = _timed(simulation, timings, path, about, progress)
        cpu_s, size = _cpu_s() - cpu_s, path.stat().st_size
    if processes == 1:
        timings.add("other", seconds - sum(timings.seconds.values()))
    # of an analysis, plans count what is tried, and all of it takes time, whether it is selected or not
    gen_events, events = (
        (job.gen_events, job.events) if request.analysis else (found.gen_events, found.events)
    )
    if not events:
        raise RequestError(f"merging left none of {counted(job.gen_events, 'gen event')}; say more --events")
    return Speed(
        **_circumstances(request, device),
        threads=threads,
        cpus=processes,
        chunk_events=resources.chunk_events,
        batch_rows=rows,
        # where the shower throws events away, those that are left: rates of jobs are of these, too
        gen_events=gen_events,
        events=events,
        stages_s={name: round(timings.seconds[name], 4) for name in STAGES if name in timings.seconds},
        seconds=round(seconds, 4),
        cpu_s=round(cpu_s, 4),
        bytes_per_event=round(size / events, 1),
    )


def _circumstances(request: Request, device: str) -> dict[str, Any]:
    """What was timed, and where and when."""
    from flashsim_prod.physics.chain.device import device_name

    return {
        "site": request.site.name,
        "device": "cpu" if device == "cpu" else "cuda",
        "device_name": device_name(device),
        "bundle": request.bundle.path,
        "bundle_digest": request.bundle.digest,
        "sampling": request.sampling,
        "card": request.card.name,
        "oversample": request.oversample,
        "measured": datetime.now(UTC).replace(microsecond=0),
        "host": socket.gethostname(),
        "software_version": __version__,
    }


def request_of(order: Order) -> Request:
    """The request of one job that holds all events."""
    plan = make_plan(order, name="bench", version=1, created=datetime.now(UTC), software_version=__version__)
    split = plan.request.split.model_copy(update={"gen_events_per_job": plan.request.gen_events})
    return plan.request.model_copy(update={"split": split})


def _warm_up(request: Request, job: SimulateJob, producer: Producer) -> None:
    for gen in event_source(request, job).chunks(_WARM_UP):
        folds = next(fold_chunks(gen.slice(0, 1), request, job, job.gen_first))
        producer.produce(folds, seed=job.seed)
        return


def _timed(
    simulation: Simulation, timings: Timings, path: Path, about: dict[str, str], progress: EventsProgress
) -> tuple[float, FileSummary]:
    """Wall time of the work of a simulate job [s], and what its file holds."""
    request, job, loop = simulation.request, simulation.job, simulation.timings
    start = time.perf_counter()
    batches = _counted(simulation.batches(), job.events, progress)
    found = write_checked(
        *(path, request, job, simulation.producer.schema, batches, about, loop),
        processes=simulation.processes,
    )
    seconds = time.perf_counter() - start
    for stage in STAGES:
        # the chain has told its stages itself
        if stage in loop.seconds:
            timings.add(stage, loop.seconds[stage])
    return seconds, found


def _cpu_s() -> float:
    """CPU time of this process and of those that it has ended [s]."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _counted(batches: Iterable[Batch], total: int, progress: EventsProgress) -> Iterator[Batch]:
    done = 0
    for batch in batches:
        yield batch
        done += 0 if batch.is_specimen else batch.events.n
        progress(done, total)
