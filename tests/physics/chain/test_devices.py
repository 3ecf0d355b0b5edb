"""Rows through networks elsewhere: in blocks, together with others', with the bits that they have alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import NodeError
from flashsim_prod.physics.chain.devices.alike import alike
from flashsim_prod.physics.chain.devices.graphs import Function, Graphs, Replay
from flashsim_prod.physics.chain.devices.place import SIZES, Place, block_rows, cut
from flashsim_prod.physics.chain.devices.running import Runner, finish
from flashsim_prod.physics.chain.kinds.networks import Velocity
from flashsim_prod.physics.chain.kinds.transport import integrate
from flashsim_prod.physics.chain.model import NetworkSize

F32 = np.ndarray
LADDER = (64, 256, 1024)


class Elsewhere(Place):
    """The CPU, used as a device that is none."""

    @property
    def is_cpu(self) -> bool:
        return False

    @property
    def sizes(self) -> tuple[int, ...]:
        return LADDER


@pytest.fixture(scope="module")
def velocity() -> Velocity:
    torch.manual_seed(3)
    made = Velocity(5, 7, NetworkSize(width=48, blocks=2, time_frequencies=3))
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(0, 0.2)
    return made.eval()


@pytest.fixture(scope="module")
def draw(velocity: Velocity) -> Function:
    def drawn(conditions: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        contribution = velocity.condition(conditions)
        return integrate(lambda x, t: velocity(x, t, contribution), normals, Sampling(evaluations=4))

    return drawn


def _rows(n: int, seed: int = 1) -> tuple[F32, F32]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 7)).astype(np.float32), rng.normal(size=(n, 5)).astype(np.float32)


def _run(runner: Runner, function: Function, inputs: Sequence[F32]) -> F32:
    (made,) = finish([runner.start("f", function, inputs)])
    assert made is not None
    return made


@given(rows=st.integers(0, 200_000), n_sizes=st.integers(1, 4))
def test_blocks_hold_all_rows_and_little_else(rows: int, n_sizes: int) -> None:
    sizes = SIZES["cuda"][:n_sizes]
    blocks = cut(rows, sizes)
    assert set(blocks) <= set(sizes)
    padding = sum(blocks) - rows
    # only the last one is padded, and is at least half full if it could be smaller
    assert 0 <= padding <= (max(blocks[-1] // 2, sizes[0] - 1) if blocks else 0)
    assert len(blocks) <= rows // sizes[-1] + 4 * n_sizes


def test_few_rows_are_few() -> None:
    assert cut(50, Place("cuda").sizes) == [512]
    assert cut(50, Place("cuda", batch_rows=100).sizes) == [100]
    assert (Place("cpu").sizes, block_rows("cpu"), block_rows("cuda:1")) == ((64, 256), 1024, 32_768)
    assert [cut(rows, Place("cpu").sizes) for rows in (2, 100, 300)] == [[64], [64, 64], [256, 64]]
    assert [cut(rows, Place("cpu").any_sizes) for rows in (0, 3, 2050)] == [[], [3], [1024, 1024, 2]]
    assert cut(250, Place("cpu", batch_rows=100).any_sizes) == [100, 100, 50]


@given(cuts=st.lists(st.integers(0, 1500), max_size=4), seed=st.integers(0, 3))
@settings(max_examples=12, deadline=None)
def test_a_row_has_its_bits_whatever_goes_with_it(draw: Function, cuts: list[int], seed: int) -> None:
    """Alone, in parts or with all others, in blocks of any size: of those that round alike."""
    torch.set_num_threads(1)
    inputs, order = _rows(1500, seed), np.random.default_rng(seed).permutation(1500)
    runner = Runner(Elsewhere())
    whole = _run(runner, draw, inputs)
    edges = [0, *sorted(cuts), 1500]
    started = [
        runner.start("f", draw, [one[order][start:end] for one in inputs]) for start, end in pairwise(edges)
    ]
    parts = [made for made in finish(started) if made is not None]
    assert np.array_equal(np.concatenate(parts), whole[order])


def test_sizes_that_round_otherwise_are_left_out() -> None:
    def run(inputs: Sequence[F32]) -> F32:
        # in blocks of 128 a sum begins at the other end
        return inputs[0].cumsum(axis=1) if len(inputs[0]) != 128 else inputs[0][:, ::-1].cumsum(axis=1)

    assert alike(run, (64, 128, 256, 1024), (9,)) == (64, 256, 1024)
    assert alike(run, (128,), (9,)) == (128,)


def test_a_size_in_which_the_place_of_a_row_shows_is_left_out() -> None:
    def run(inputs: Sequence[F32]) -> F32:
        made = inputs[0].copy()
        if len(made) == 256:
            made[128:] *= np.float32(1.0000001)
        return made

    # the first block of probes stands before, the second one after it
    assert alike(run, (64, 256, 1024), (9,)) == (64, 1024)


@pytest.mark.parametrize(("sizes", "chosen"), [((512, 2048, 8192), (2048,)), ((8192, 32_768), (8192,))])
def test_where_no_sizes_agree_one_serves(
    sizes: tuple[int, ...], chosen: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    found = alike(lambda inputs: inputs[0] * np.float32(len(inputs[0])), sizes, (2,))
    assert len(found) == 1
    assert found == chosen
    assert not caplog.records


def test_rows_that_depend_on_their_place_in_every_size_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    def run(inputs: Sequence[F32]) -> F32:
        return inputs[0] + np.arange(len(inputs[0]), dtype=np.float32)[:, None]

    assert alike(run, (256, 1024), (2,)) == (1024,)
    assert "may give other events" in caplog.text


class Recorder:
    """In the place of CUDA: counts what is recorded, and what is replayed."""

    def __init__(self, refuses: int | None = None) -> None:
        self.recorded: list[int] = []
        self.replayed = 0
        self._refuses = refuses

    def __call__(self, function: Function, parts: Sequence[torch.Tensor]) -> Replay:
        self.recorded.append(len(parts[0]))
        if len(parts[0]) == self._refuses:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")

        def replay(now: Sequence[torch.Tensor]) -> torch.Tensor:
            self.replayed += 1
            return function(*now)

        return replay


def test_graphs_are_recorded_once_for_each_size(draw: Function) -> None:
    recorder, inputs = Recorder(), _rows(1100)
    runner = Runner(Elsewhere(graphs=True), Graphs(recorder))
    found = [_run(runner, draw, inputs) for _ in range(3)]
    assert sorted(recorder.recorded) == sorted(LADDER)
    assert recorder.replayed > 6
    assert np.array_equal(found[2], _run(Runner(Elsewhere()), draw, inputs))


def test_what_cannot_be_recorded_is_called(draw: Function, caplog: pytest.LogCaptureFixture) -> None:
    recorder, inputs = Recorder(refuses=1024), _rows(1100)
    runner = Runner(Elsewhere(graphs=True), Graphs(recorder))
    found = [_run(runner, draw, inputs) for _ in range(2)]
    assert recorder.recorded.count(1024) == 1
    assert "no CUDA graph, called launch by launch instead: operation not permitted" in caplog.text
    assert np.array_equal(found[1], _run(Runner(Elsewhere()), draw, inputs))


def test_graphs_and_half_precision_are_chosen_and_never_on_a_cpu(draw: Function) -> None:
    recorder, inputs = Recorder(), _rows(100)
    full = _run(Runner(Place()), draw, inputs)
    assert np.array_equal(_run(Runner(Place(graphs=True, half=True), Graphs(recorder)), draw, inputs), full)
    assert np.array_equal(_run(Runner(Elsewhere(), Graphs(recorder)), draw, inputs), full)
    assert not recorder.recorded
    half = _run(Runner(Elsewhere(half=True)), draw, inputs)
    assert half.dtype == np.float32
    assert not np.array_equal(half, full)
    assert np.allclose(half, full, atol=0.1)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: device lost\nsee there")],
)
def test_what_a_device_does_wrong_is_worth_another_try(error: RuntimeError) -> None:
    def fails(rows: torch.Tensor) -> torch.Tensor:
        raise error

    with pytest.raises(NodeError, match=r"^the cpu device of this node failed: CUDA [a-z: ]+$"):
        Runner(Elsewhere()).start("f", fails, _rows(3)[:1])


def test_a_defect_is_not_the_devices_fault() -> None:
    with pytest.raises(RuntimeError, match="size of tensor"):
        Runner(Elsewhere()).start("f", lambda rows: rows + torch.ones(3, 2), _rows(3)[:1])


def test_all_that_meets_is_on_one_device() -> None:
    """Every model of the shipped bundle and every kind, on a device whose tensors may not meet the CPU's."""
    program = Path(__file__).with_name("stand_in_device.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, program, "reference"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["mixed"] == "add mixes devices"
    assert len(found["models"]) > 20
    for name, by_task in {**found["models"], **found["kinds"]}.items():
        for task, off in by_task.items():
            assert off < 1e-4, (name, task)
    # rows go there and come back, and nothing is looked at between
    assert min(found["seen"][what] for what in ("sent", "fetched", "done")) > 100
