"""The events that a dataset's files hold, or would hold: simulated in memory, job by job, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.speed import Timings
from flashsim_prod.core.splitting import merge_job, simulate_job
from flashsim_prod.core.states import Stage
from flashsim_prod.production.drive.in_memory import threads_put_back
from flashsim_prod.production.job.batches import Batch, simulated
from flashsim_prod.production.job.producing import producer_of
from flashsim_prod.production.job.run import read_report
from flashsim_prod.production.job.simulate import bound_bundle, event_source

if TYPE_CHECKING:
    import awkward as ak

    from flashsim_prod.physics.events import Events
    from flashsim_prod.physics.nanoaod.schema import Schema
    from flashsim_prod.physics.producing import Producer

#: generators, FastJet and the models' work space are of a process: its threads, as dask has them, take turns
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True)
class Wanted:
    """Which branches are wanted.

    Attributes
    ----------
    patterns : tuple of str or None
        Names of branches, in which ``*`` stands for anything; ``None`` for all.
    candidates : tuple of str or None
        What they mean among all that NanoAOD knows; not all of it need be made.
    """

    patterns: tuple[str, ...] | None = None
    candidates: tuple[str, ...] | None = None

    def chosen(self, schema: Schema, events: Events) -> tuple[str, ...] | None:
        """What they mean of what is made; `RequestError` if one of them means nothing."""
        from flashsim_prod.physics.nanoaod.arrays import branch_names, chosen_branches

        return self.patterns and chosen_branches(self.patterns, schema, branch_names(events))


def wanted_branches(request: Request, patterns: Sequence[str] | None) -> Wanted:
    """The branches that `patterns` mean.

    Raises
    ------
    RequestError
        If one of them means no branch of NanoAOD, or of what the input brings.
    """
    if patterns is None:
        return Wanted()
    from flashsim_prod.physics.nanoaod.arrays import chosen_branches

    schema = schema_of(request)
    known = {*schema.branches, *schema.counters}
    return Wanted(tuple(patterns), chosen_branches(patterns, schema, known))


def schema_of(request: Request) -> Schema:
    """What the files of `request` can have: NanoAOD's branches and those of its input."""
    from flashsim_prod.physics.analysis.schemas import flat_schema
    from flashsim_prod.physics.nanoaod.versions.names import writing

    if request.analysis is not None:
        return flat_schema(request.analysis)
    # what is not quite the version's has other titles
    made_for = NANO_VERSION if request.nano == NANO_VERSION else bound_bundle(request).nano
    schema = writing(made_for, request.nano).schema
    schema = schema.with_unrefined() if request.keep_unrefined else schema
    return schema.with_carried(request.source.more_branches())


def other_device(folder: RequestFolder, request: Request, jobs: Sequence[int]) -> str | None:
    """Why events drawn here may not be those of the files: these were drawn on another kind of device.

    ``None`` where the jobs' reports name the kind that is taken here, or there are none.
    """
    from flashsim_prod.physics.chain.device import pick_device

    reports = (read_report(folder.report(Stage.SIMULATE, index)) for index in jobs)
    made = next((report.device for report in reports if report is not None and report.succeeded), None)
    if made is None:
        return None
    here = pick_device(request.device)
    if (made == "cpu") == (here == "cpu"):
        return None
    return (
        f"the files of {request.dataset} were made on {made}, and these events are drawn on {here}: networks "
        "round otherwise there, so values differ in their last digits, and some objects altogether"
    )


def jobs_of(request: Request, files: Iterable[int]) -> list[int]:
    """The simulate jobs whose events are in `files`, in order."""
    merges = (merge_job(request, index) for index in files)
    return [job for merge in merges for job in range(merge.first, merge.first + merge.count)]


def simulated_jobs(request: Request, jobs: Iterable[int], wanted: Wanted) -> Iterator[Batch]:
    """The events of simulate jobs, in chunks of the site's size; a specimen for a job that none is left of.

    Only the models run that the branches wanted need, and those that these use or are linked to.

    Raises
    ------
    BundleError
        If the bundle is not the one that the request is bound to.
    InputError
        If input events are missing.
    """
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.nanoaod.versions.names import find_dialect

    dialect = find_dialect(request.nano)
    with threads_put_back():
        with _ONE_AT_A_TIME:
            device = pick_device(request.device, threads=request.site.resources.cpus)
            producer = _producer(
                device,
                None if wanted.candidates is None else dialect.made_of(wanted.candidates),
                _Asked(request),
            )
        for index in jobs:
            job = simulate_job(request, index)
            with _ONE_AT_A_TIME:
                batches = simulated(request, job, producer, event_source(request, job), Timings())
            while (batch := _next(batches)) is not None:
                yield batch


def _next(batches: Iterator[Batch]) -> Batch | None:
    with _ONE_AT_A_TIME:
        return next(batches, None)


def chunks(request: Request, jobs: Iterable[int], wanted: Wanted) -> Iterator[ak.Array]:
    """The same as awkward arrays, branch by branch what a file gives that holds these events.

    Of a job that no event is left of, an array of none, with all branches.
    """
    from flashsim_prod.physics.nanoaod.arrays import in_memory

    schema, about = schema_of(request), _about(request)
    for batch in simulated_jobs(request, jobs, wanted):
        found = in_memory(batch.events, schema, wanted.chosen(schema, batch.events), about)
        yield found[:0] if batch.is_specimen else found


def with_step(request: Request, step: int | None) -> Request:
    """The same request, `step` output events in memory at a time; what is drawn does not depend on it."""
    if step is None:
        return request
    resources = request.site.resources.model_copy(update={"chunk_events": step})
    return request.model_copy(update={"site": request.site.model_copy(update={"resources": resources})})


def _about(request: Request) -> dict[str, Any]:
    return {
        "dataset": str(request.dataset),
        "request": request.name,
        "oversample": request.oversample,
        "seed": request.seed,
        "bundle_digest": request.bundle.digest,
    }


class _Asked:
    """The request behind cached models, which are the same for all that want the same of a bundle."""

    def __init__(self, request: Request) -> None:
        self.request, resources = request, request.site.resources
        self._same = (
            *(request.bundle.path, request.bundle.digest, request.sampling, request.nano),
            request.keep_unrefined,
            *(resources.batch_rows, resources.gpu_graphs, resources.gpu_half, request.analysis is None),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._same == other._same

    def __hash__(self) -> int:
        return hash(self._same)


@lru_cache(maxsize=4)
def _producer(device: str, branches: tuple[str, ...] | None, asked: _Asked) -> Producer:
    """Models stay loaded between the jobs of a process: a worker of dask has thousands."""
    return producer_of(asked.request, bound_bundle(asked.request), device, branches=branches)
