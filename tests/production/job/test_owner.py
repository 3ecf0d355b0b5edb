"""One process that runs the networks of all: the same file, fewer calls, and an end when somebody dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from flashsim_prod import resources
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.choices import Device
from flashsim_prod.core.request import Request
from flashsim_prod.core.speed import Timings
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.errors import BundleError, NodeError, exit_code_is_retryable
from flashsim_prod.physics.chain.bundle import Bundle, find_bundle, load_bundle
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.devices.work import F32, Task, Work
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.pythia import PythiaSource
from flashsim_prod.physics.producing import NanoProducer
from flashsim_prod.production.job.batches import Simulation
from flashsim_prod.production.job.cores import can_fork, memory_mb, prepared
from flashsim_prod.production.job.owner import Asking, Owner
from flashsim_prod.production.job.simulate import write_checked
from flashsim_prod.production.order.plan import Plan
from tests.students import bundle_with

pytestmark = pytest.mark.skipif(not can_fork(), reason="sys.platform: processes are forked on Linux only")


@dataclass
class Doubles:
    """Networks that double what they see; each call is a line of a file: its process, and how much it was."""

    calls: Path
    takes_many: bool = False
    slow_s: float = 0.0
    trouble: Callable[[], None] = lambda: None
    unready: Callable[[], None] = lambda: None

    def prepare(self) -> None:
        self.unready()

    def evaluate(self, works: Sequence[Work]) -> list[F32]:
        with self.calls.open("a") as file:
            file.write(f"{os.getpid()} {len(works)}\n")
        time.sleep(self.slow_s)
        self.trouble()
        return [2 * work.inputs[0] for work in works]


@dataclass
class Asks:
    """Asks for rows of its own number, twice."""

    evaluator: Any
    timings: Timings = field(default_factory=Timings)

    def work(self, number: int) -> tuple[int, float, int]:
        rows = np.full((3 + number % 4, 2), number, np.float32)
        for _ in range(2):
            (rows,) = self.evaluator.evaluate([Work("m", Task.ATTRIBUTES, (rows,))])
        return number, float(rows.mean()), os.getpid()


def _results(asks: Asks, n: int, items: int = 24) -> Iterator[tuple[int, float, int]]:
    producer: Any = asks
    return prepared(lambda: iter(range(items)), asks.work, n, Owner(producer))


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fails(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("n", [1, 3])
def test_one_process_answers_all(tmp_path: Path, n: int) -> None:
    calls = tmp_path / "calls"
    found = list(_results(Asks(Doubles(calls, slow_s=0.01)), n))
    assert [(number, value) for number, value, _ in found] == [(number, 4.0 * number) for number in range(24)]
    pids, asked = np.loadtxt(calls, dtype=int).T
    (owner,) = set(pids)
    assert owner not in {os.getpid(), *(pid for _, _, pid in found)}
    assert asked.sum() == 48
    # while it runs what one has asked for, others ask, and are then answered together
    assert (asked.max() > 1) == (n > 1)
    assert not psutil.Process().children(recursive=True)


def test_what_goes_wrong_there_is_told_here(tmp_path: Path) -> None:
    error = NodeError("the cuda device of this node failed: it fell off")
    with pytest.raises(NodeError, match="it fell off"):
        list(_results(Asks(Doubles(tmp_path / "calls", trouble=_fails(error))), 2))
    assert not psutil.Process().children(recursive=True)


def test_a_device_that_cannot_be_made_ready_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such weights"):
        _results(Asks(Doubles(tmp_path / "calls", unready=_fails(BundleError("no such weights")))), 2)
    with pytest.raises(NodeError, match="SIGKILL"):
        _results(Asks(Doubles(tmp_path / "calls", unready=_killed)), 2)
    assert not psutil.Process().children(recursive=True)


@pytest.mark.parametrize("whom", ["the owner", "one who asks"])
def test_a_death_ends_the_job_with_a_code_that_is_tried_again(tmp_path: Path, whom: str) -> None:
    networks = Doubles(tmp_path / "calls", slow_s=0.005)
    asks = Asks(networks)
    if whom == "the owner":
        networks.trouble = lambda: _killed() if len(networks.calls.read_text().splitlines()) > 9 else None
    else:
        work = asks.work

        def killed_at_the_ninth(number: int) -> Any:
            return _killed() if number == 9 else work(number)

        asks.work = killed_at_the_ninth  # type: ignore[method-assign]
    with pytest.raises(NodeError, match=r"^a process of this job was killed \(SIGKILL\)") as told:
        list(_results(asks, 2, items=1000))
    assert exit_code_is_retryable(told.value.exit_code)
    assert not psutil.Process().children(recursive=True)


def test_what_is_asked_for_is_no_more_than_one_thing_each(tmp_path: Path) -> None:
    """However slow the owner is, nobody goes on before it is answered: memory has a bound."""
    networks = Doubles(tmp_path / "calls", slow_s=0.05)
    asks = Asks(networks)

    def much(number: int) -> int:
        (rows,) = asks.evaluator.evaluate([Work("m", Task.ATTRIBUTES, (np.ones((1 << 18, 8), np.float32),))])
        return len(rows)

    producer: Any = asks
    results = prepared(lambda: iter(range(60)), much, 2, Owner(producer))
    # of both who ask: 8 MB there, as much pickled, joined, doubled and pickled again, with room for garbage
    before = memory_mb()
    seen = [memory_mb() for _ in results]
    assert len(seen) == 60
    assert max(seen) - before < 450


def test_nobody_is_asked_for_nothing() -> None:
    end: Any = None
    assert Asking(end).evaluate([]) == []


@pytest.fixture(scope="module")
def gen() -> Events:
    path = resources.jobs_dir() / "ttbar.yaml"
    card = ProcessCard.from_yaml(path.read_text(), path.name)
    return next(iter(PythiaSource(card, 13.0, n_events=15, seed=11, pileup_seed=12).chunks(15)))


@dataclass
class Given:
    """Generator events that there are already."""

    gen: Events

    def chunks(self, size: int) -> Iterator[Events]:
        for start in range(0, self.gen.n, size):
            yield self.gen.slice(start, min(start + size, self.gen.n))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped models, some of which draw with students in steps of their own."""
    shipped = load_bundle(find_bundle("reference")).of_teachers
    steps = {name: 2 + n % 2 for n, name in enumerate(shipped.manifest.models) if n % 3}
    return bundle_with(shipped, steps, tmp_path_factory.mktemp("students") / "few", beside=0.1)


def _file(request: Request, bundle: Bundle, gen: Events, path: Path, processes: int, shared: bool) -> bytes:
    torch.set_num_threads(1)
    job = simulate_job(request, 0)
    producer = NanoProducer(Chain(bundle), "v9")
    source: Any = Given(gen)
    simulation = Simulation(request, job, producer, source, Timings(), processes, shared=shared)
    simulation.prepare()
    write_checked(path, request, job, producer.schema, simulation.batches(), {"a": "b"}, Timings())
    return path.read_bytes()


def test_the_file_is_the_same_whoever_runs_the_networks(
    plan_of: Callable[..., Plan], bundle: Bundle, gen: Events, tmp_path: Path
) -> None:
    """A CPU behind the queue of a GPU: rows of several models and chunks go together, and no bit shows it."""
    plan = plan_of(events=60, oversample=4, events_per_job=60, device=Device.CPU)
    site = plan.request.site
    few = site.resources.model_copy(update={"chunk_events": 12})
    request = plan.request.model_copy(update={"site": site.model_copy(update={"resources": few})})
    alone = _file(plan.request, bundle, gen, tmp_path / "alone.root", 1, shared=False)
    assert _file(request, bundle, gen, tmp_path / "out.root", 2, shared=True) == alone
