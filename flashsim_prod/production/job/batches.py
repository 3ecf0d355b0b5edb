"""The events of a simulate job, batch by batch: by this process, or by several on parts of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flashsim_prod.core.report import Accepted
from flashsim_prod.core.request import Request
from flashsim_prod.core.speed import Timings
from flashsim_prod.core.splitting import SimulateJob
from flashsim_prod.errors import EventsError
from flashsim_prod.production.job.cores import can_fork, prepared
from flashsim_prod.production.job.owner import Owner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from flashsim_prod.physics.events import Events
    from flashsim_prod.physics.generator.source import EventSource
    from flashsim_prod.physics.producing import Producer


@dataclass(frozen=True)
class Batch:
    """Simulated events of a job.

    Attributes
    ----------
    events : Events
    gen_events : int
        Gen events whose last fold is among them.
    is_specimen : bool
        The events show which branches there are, and belong into no file.
    tried : array, optional
        genWeight of all that was simulated, where some of it may not be among the events.
    left_out : Events, optional
        A fold of those that were simulated, where none of them is among the events.
    """

    events: Events
    gen_events: int
    is_specimen: bool = False
    tried: NDArray[np.float32] | None = None
    left_out: Events | None = None


@dataclass(frozen=True)
class Chunk:
    """What is folded and simulated at a time.

    Attributes
    ----------
    gen : Events
        Several gen events only if all of their folds fit into a chunk.
    gen_first : int
        Number in the dataset, from 0, of the first of them.
    folds : range
        These folds of each.
    is_specimen : bool
        As of `Batch`.
    """

    gen: Events
    gen_first: int
    folds: range
    is_specimen: bool = False


@dataclass(frozen=True)
class _Fed:
    """A chunk on its way to another process, or the end: what the source has said by then."""

    chunk: Chunk | None
    seconds: dict[str, float]
    accepted: Accepted | None = None


@dataclass(frozen=True)
class _Made:
    """What another process made of a `_Fed`, and the time by step, of the source and of the producer too."""

    batch: Batch | None
    seconds: dict[str, float]
    producer_s: dict[str, float] = field(default_factory=dict)
    accepted: Accepted | None = None


def processes_for(request: Request, job: SimulateJob) -> int:
    """Processes that simulate `job`: one for each core of it, if there is work for them."""
    if not can_fork():
        return 1
    size, chunk_events = _gen_events_at_a_time(request), request.site.resources.chunk_events
    chunks = -(-job.gen_events // size) * -(-request.oversample // chunk_events)
    return max(1, min(request.site.resources.cpus, chunks))


def threads_for(request: Request) -> int:
    """Threads of each process's networks: the job's cores are its processes', where these are forked."""
    return 1 if can_fork() else request.site.resources.cpus


def is_shared(device: str) -> bool:
    """Whether `device` is of one process, which runs the networks for all: a CPU is of everyone."""
    return device != "cpu"


def _gen_events_at_a_time(request: Request) -> int:
    return max(1, request.site.resources.chunk_events // request.oversample)


def fold_chunks(gen: Events, request: Request, job: SimulateJob, gen_first: int) -> Iterator[Events]:
    """The numbered folds of consecutive gen events, at most the site's `chunk_events` at a time.

    What is drawn and written does not depend on how many that are; parameters as of `Chunk`.
    """
    for folds in _folds_at_a_time(request):
        yield _folded(Chunk(gen, gen_first, folds), request, job)


def _folds_at_a_time(request: Request) -> Iterator[range]:
    chunk_events = request.site.resources.chunk_events
    for start in range(0, request.oversample, chunk_events):
        yield range(start, min(start + chunk_events, request.oversample))


def _folded(chunk: Chunk, request: Request, job: SimulateJob) -> Events:
    from flashsim_prod.physics.folding import fold_events

    return fold_events(
        chunk.gen,
        oversample=request.oversample,
        gen_first=chunk.gen_first,
        run=request.run,
        first_event=job.first_event,
        first_lumi=job.first_lumi,
        gen_events_per_lumi=request.split.gen_events_per_lumi,
        job_gen_first=job.gen_first,
        folds=chunk.folds,
    )


def simulated(
    request: Request, job: SimulateJob, producer: Producer, source: EventSource, timings: Timings
) -> Iterator[Batch]:
    """All events of a job, in order, by this process alone: `Simulation.batches`."""
    return Simulation(request, job, producer, source, timings).batches()


@dataclass
class Simulation:
    """The loop of whoever simulates a job, for a dataset, an array or a measurement.

    Parameters
    ----------
    timings : Timings
        Is told the time of ``generate`` or ``read``, ``fold`` and ``simulate``. Of several processes, these
        are divided by their number, but for the source's, which is one process's; the producer's likewise.
    processes : int
        So many simulate chunks at a time, with one more for the source. What they make is the same.
    shared : bool
        Of several processes one more runs all their networks.
    accepted : Accepted or None
        What the shower left of the job's gen events, when all are simulated; ``None`` where it leaves all.
    """

    request: Request
    job: SimulateJob
    producer: Producer
    source: EventSource
    timings: Timings
    processes: int = 1
    accepted: Accepted | None = None
    shared: bool = False
    _made: Iterator[_Made] | None = field(default=None, init=False)

    def prepare(self) -> None:
        """Have the networks' device ready, which takes seconds where it is another than the CPU.

        Where each of several processes has the networks, what all would find out for themselves is found now.

        Raises
        ------
        NodeError
            If there is none, or it fails.
        """
        if self.processes > 1:
            owner = Owner(self.producer) if self.shared else None
            if owner is None:
                self.producer.evaluator.prepare()
            self._made = prepared(self._feed, self._work, self.processes, owner)
        elif self.shared:
            self.producer.evaluator.prepare()

    def batches(self) -> Iterator[Batch]:
        """All events of the job, in order.

        Where events may be left out and none is left, a specimen of them comes at the end.

        Raises
        ------
        InputError
            If input events are missing or lack a branch.
        EventsError
            At the end, if the source gave another number of gen events than the job has.
        NodeError
            If one of several processes was killed.
        """
        is_told, left_out = False, None
        for batch in self._in_turn() if self.processes == 1 else self._beside_each_other():
            is_told = is_told or batch.events.n > 0
            left_out = left_out if batch.left_out is None else batch.left_out
            yield batch
        if not is_told and left_out is not None:
            yield Batch(self.producer.specimen(left_out, seed=self.job.seed), 0, is_specimen=True)

    def _in_turn(self) -> Iterator[Batch]:
        for chunk in self._chunks(self.timings):
            yield self._simulate(chunk, self.timings)
        self.accepted = accepted_by(self.source, self.request)

    def _beside_each_other(self) -> Iterator[Batch]:
        source_step = self.request.source.stage
        if self._made is None:
            self.prepare()
        assert self._made is not None
        for made in self._made:
            for name, seconds in made.seconds.items():
                self.timings.add(name, seconds if name == source_step else seconds / self.processes)
            for name, seconds in made.producer_s.items():
                self.producer.timings.add(name, seconds / self.processes)
            self.accepted = made.accepted
            if made.batch is not None:
                yield made.batch

    def _feed(self) -> Iterator[_Fed]:
        """In a process of its own."""
        timings = Timings()
        for chunk in self._chunks(timings):
            yield _Fed(chunk, timings.taken())
        yield _Fed(None, timings.taken(), accepted_by(self.source, self.request))

    def _work(self, fed: _Fed) -> _Made:
        """In one of several processes."""
        if fed.chunk is None:
            return _Made(None, fed.seconds, accepted=fed.accepted)
        timings = Timings()
        self.producer.timings.taken()
        batch = self._simulate(fed.chunk, timings)
        return _Made(batch, fed.seconds | timings.seconds, self.producer.timings.taken())

    def _chunks(self, timings: Timings) -> Iterator[Chunk]:
        from flashsim_prod.physics.generator.source import VetoingSource

        request, job, source, done = self.request, self.job, self.source, 0
        for gen in timings.through(request.source.stage, source.chunks(_gen_events_at_a_time(request))):
            for folds in _folds_at_a_time(request):
                yield Chunk(gen, job.gen_first + done, folds)
            done += gen.n
        accepted = accepted_by(source, request)
        tried = done if accepted is None else accepted.tried
        if tried != job.gen_events or (accepted is not None and accepted.accepted != done):
            raise EventsError(f"job {job.index} got {tried} gen events, expected {job.gen_events}")
        if not done and isinstance(source, VetoingSource):
            folds = next(_folds_at_a_time(request))
            yield Chunk(source.specimen(), job.gen_first, folds, is_specimen=True)

    def _simulate(self, chunk: Chunk, timings: Timings) -> Batch:
        with timings.step("fold"):
            folds = _folded(chunk, self.request, self.job)
        if chunk.is_specimen:
            return Batch(self.producer.specimen(folds.slice(0, 1), seed=self.job.seed), 0, is_specimen=True)
        with timings.step("simulate"):
            events = self.producer.produce(folds, seed=self.job.seed)
        is_last = chunk.folds.stop == self.request.oversample
        return Batch(
            events,
            chunk.gen.n if is_last else 0,
            tried=None if self.request.analysis is None else folds.scalars["genWeight"],
            left_out=None if events.n else folds.slice(0, 1),
        )


def accepted_by(source: EventSource, request: Request) -> Accepted | None:
    """What the shower left of a job's gen events so far; ``None`` where it leaves all."""
    from flashsim_prod.physics.generator.source import VetoingSource

    return source.accepted if request.is_vetoed and isinstance(source, VetoingSource) else None
