"""The events of a job, by one process or by several: the same batches, the same end, times that add up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashsim_prod.core.choices import Device
from flashsim_prod.core.request import Request
from flashsim_prod.core.speed import Timings
from flashsim_prod.core.splitting import SimulateJob, simulate_job
from flashsim_prod.errors import EventsError, InputError
from flashsim_prod.physics.events import Events
from flashsim_prod.production.job import batches
from flashsim_prod.production.job.batches import Batch, Simulation, processes_for, threads_for
from flashsim_prod.production.job.cores import can_fork
from flashsim_prod.production.order.plan import Plan

PlanOf = Callable[..., Plan]
several = pytest.mark.skipif(not can_fork(), reason="sys.platform: processes are forked on Linux only")


@dataclass
class Ready:
    """In the place of who has the networks: counts how often they were made ready."""

    times: int = 0

    def prepare(self) -> None:
        self.times += 1


@dataclass
class Made:
    """Tells of each event by which numbers it was drawn."""

    timings: Timings = field(default_factory=Timings)
    bad_event: int = -1
    evaluator: Ready = field(default_factory=Ready)

    def produce(self, folds: Events, *, seed: int) -> Events:
        gen, fold = folds.scalars["FlashSim_genEvent"], folds.scalars["FlashSim_fold"]
        if (gen == self.bad_event).any():
            raise InputError(f"gen event {self.bad_event} is bad")
        with self.timings.step("flows"):
            time.sleep(0.001)
        drawn = np.array(
            [np.random.default_rng([seed, *one]).normal() for one in zip(gen, fold, strict=True)], np.float32
        )
        return folds.with_scalars({"MET_pt": drawn})


@dataclass
class Source:
    """So many gen events, numbered by their weights."""

    n: int

    def chunks(self, size: int) -> Iterator[Events]:
        for start in range(0, self.n, size):
            weight = np.arange(start, min(start + size, self.n), dtype=np.float32)
            yield Events(len(weight), {"genWeight": weight})


def _request(plan_of: PlanOf, *, chunk_events: int = 10, cpus: int = 1, **changes: Any) -> Request:
    given = {"events": 120, "oversample": 4, "events_per_job": 60, "device": Device.CPU, **changes}
    request = plan_of(**given).request
    resources = request.site.resources.model_copy(update={"chunk_events": chunk_events, "cpus": cpus})
    return request.model_copy(update={"site": request.site.model_copy(update={"resources": resources})})


def _run(request: Request, processes: int, **of_producer: int) -> tuple[list[Batch], Simulation]:
    job = simulate_job(request, 1)
    simulation = _simulation(request, job, Source(job.gen_events), processes, **of_producer)
    return list(simulation.batches()), simulation


def _simulation(
    request: Request, job: SimulateJob, source: Source, processes: int, **of_producer: int
) -> Simulation:
    producer: Any = Made(**of_producer)
    return Simulation(request, job, producer, source, Timings(), processes)


def _columns(found: list[Batch]) -> dict[str, bytes]:
    whole = Events.concatenate(batch.events for batch in found)
    return {name: column.tobytes() for name, column in whole.scalars.items()}


@several
@given(chunk_events=st.integers(1, 70), processes=st.integers(1, 3), oversample=st.sampled_from([1, 3, 12]))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_neither_chunks_nor_processes_show(
    plan_of: PlanOf, chunk_events: int, processes: int, oversample: int
) -> None:
    plain = _request(plan_of, oversample=oversample, chunk_events=60)
    expected, _ = _run(plain, 1)
    cut = _request(plan_of, oversample=oversample, chunk_events=chunk_events)
    found, _ = _run(cut, processes)
    assert _columns(found) == _columns(expected)
    assert max(batch.events.n for batch in found) <= max(chunk_events, 1)
    assert sum(batch.gen_events for batch in found) == sum(batch.gen_events for batch in expected)


@several
def test_times_are_of_all_processes(plan_of: PlanOf) -> None:
    request = _request(plan_of)
    alone, beside = _run(request, 1)[1], _run(request, 2)[1]
    assert list(alone.timings.seconds) == list(beside.timings.seconds) == ["generate", "fold", "simulate"]
    # eight chunks, a millisecond each, of two processes
    assert beside.producer.timings.seconds["flows"] >= 0.004
    assert alone.producer.timings.seconds["flows"] >= 0.008


@several
def test_networks_are_made_ready_once_for_several_processes(plan_of: PlanOf) -> None:
    request = _request(plan_of)
    (_, alone), (_, beside) = _run(request, 1), _run(request, 2)
    assert (alone.producer.evaluator.times, beside.producer.evaluator.times) == (0, 1)


@several
@pytest.mark.parametrize("processes", [1, 2])
def test_what_goes_wrong_is_told_alike(plan_of: PlanOf, processes: int) -> None:
    request = _request(plan_of)
    job = simulate_job(request, 1)
    few = _simulation(request, job, Source(job.gen_events - 1), processes).batches()
    with pytest.raises(EventsError) as told:
        list(few)
    assert str(told.value) == "job 1 got 14 gen events, expected 15"
    bad, done = _simulation(request, job, Source(job.gen_events), processes, bad_event=20), []
    with pytest.raises(InputError) as told_of_event:
        done.extend(batch.events.n for batch in bad.batches())
    assert str(told_of_event.value) == "gen event 20 is bad"
    # two gen events a chunk, from 15 on
    assert done == [8, 8]


def test_no_more_processes_than_there_is_work_for(plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "can_fork", lambda: True)
    request = _request(plan_of, cpus=4)
    job = simulate_job(request, 0)
    assert processes_for(request, job) == 4
    assert processes_for(_request(plan_of, cpus=4, chunk_events=32), job) == 2
    assert processes_for(_request(plan_of, cpus=4, chunk_events=1), job) == 4
    assert threads_for(request) == 1
    monkeypatch.setattr(batches, "can_fork", lambda: False)
    assert processes_for(request, job) == 1
    assert threads_for(request) == 4


@several
def test_a_generator_works_in_a_process_of_its_own(plan_of: PlanOf) -> None:
    class Own(Source):
        def chunks(self, size: int) -> Iterator[Events]:
            for chunk in super().chunks(size):
                yield chunk.with_scalars({"Generator_x1": np.full(chunk.n, os.getpid() % 10_000, np.float32)})

    request = _request(plan_of)
    job = simulate_job(request, 0)
    found = list(_simulation(request, job, Own(job.gen_events), 2).batches())
    (pid,) = {float(value) for batch in found for value in batch.events.scalars["Generator_x1"]}
    assert pid != os.getpid() % 10_000
