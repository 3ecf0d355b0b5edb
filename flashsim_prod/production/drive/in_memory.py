"""Events of a request in memory: the jobs of a request, one after another in this process, and no dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashsim_prod.core.request import Request
from flashsim_prod.core.speed import Timings
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.production.job.batches import simulated
from flashsim_prod.production.job.producing import producer_of
from flashsim_prod.production.job.simulate import bound_bundle, event_source, provenance, write_checked

if TYPE_CHECKING:
    import awkward as ak

    from flashsim_prod.physics.producing import Producer

#: of a file's provenance, what a dataset alone has
_OF_DATASETS = ("dataset", "request", "request_digest")


def simulate_in_memory(request: Request) -> ak.Array:
    """The events that `request` would make, branch by branch.

    Every job's file is written, checked as a dataset's and read back, so that what is returned has its types
    and its precision. Nothing of it stays on the disk.

    Raises
    ------
    FlashSimError
        As of a simulate job.
    """
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.nanoaod.arrays import as_arrays

    bundle, resources = bound_bundle(request), request.site.resources
    with threads_put_back(), tempfile.TemporaryDirectory(prefix="flashsim-memory-") as scratch:
        device = pick_device(request.device, threads=resources.cpus)
        producer = producer_of(request, bundle, device)
        about = provenance(request, bundle)
        paths = [
            _job_file(request, index, producer, about, Path(scratch)) for index in range(request.n_simulate)
        ]
        return as_arrays(paths, _described(request, about))


def _job_file(request: Request, index: int, producer: Producer, about: dict[str, str], folder: Path) -> Path:
    job, path, timings = simulate_job(request, index), folder / f"{index}.root", Timings()
    batches = simulated(request, job, producer, event_source(request, job), timings)
    write_checked(path, request, job, producer.schema, batches, about, timings)
    return path


def _described(request: Request, about: dict[str, str]) -> dict[str, Any]:
    """What events say of where they come from: enough to make them again."""
    kept: dict[str, Any] = {name: text for name, text in about.items() if name not in _OF_DATASETS}
    return kept | {
        "energy_tev": request.energy_tev,
        "seed": request.seed,
        "oversample": request.oversample,
        "events_per_job": request.split.gen_events_per_job * request.oversample,
    }


@contextmanager
def threads_put_back() -> Iterator[None]:
    """A job keeps torch to the cores that it was given; this process may be somebody's notebook."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
