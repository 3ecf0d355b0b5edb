"""Solvers: of the order that they claim, on fields whose solution is known."""

from __future__ import annotations

import inspect
import math
import os
import subprocess
import sys

import pytest
import torch

from flashsim_prod.cli.models import fit as fitting
from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.kinds.transport import SIGMA, draw_times, integrate, path, times


def _error(solver: str, evaluations: int, power: float = 1.0) -> float:
    """Error at t = 1 of dx/dt = x (1 + t), whose solution is exp(3 / 2)."""
    sampling = Sampling(solver=solver, evaluations=evaluations, grid_power=power)
    x = integrate(lambda x, t: x * (1 + t), torch.ones(1, 1, dtype=torch.float64), sampling)
    return abs(float(x) - math.exp(1.5))


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("ab2", 2)])
def test_order_of_convergence(solver, order, power):
    ratio = _error(solver, 40, power) / _error(solver, 80, power)
    assert ratio == pytest.approx(2**order, rel=0.25)


@pytest.mark.parametrize("solver", ["euler", "midpoint", "ab2"])
def test_the_number_of_evaluations_is_what_was_asked_for(solver):
    calls = []

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        calls.append(float(t))
        return x

    integrate(velocity, torch.ones(2, 3), Sampling(solver=solver, evaluations=8))
    assert len(calls) == 8
    assert max(calls) < 1


def test_the_path_goes_from_noise_to_data_with_the_velocity_it_claims():
    x, z = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    start, u = path(x, z, torch.zeros(5, 1, dtype=torch.float64))
    end, _ = path(x, z, torch.ones(5, 1, dtype=torch.float64))
    assert torch.equal(start, z)
    assert torch.allclose(end, x + SIGMA * z)
    assert torch.allclose(start + u, end)
    # the form in which the paper gives the velocity
    t = torch.full((5, 1), 0.3, dtype=torch.float64)
    x_t, u = path(x, z, t)
    assert torch.allclose(u, (x - (1 - SIGMA) * x_t) / (1 - (1 - SIGMA) * t))


def test_a_warped_grid_is_dense_near_the_end():
    steps = times(Sampling(solver="euler", evaluations=10, grid_power=3.0), "cpu").diff()
    assert torch.all(steps.diff() < 0)
    assert float(steps.sum()) == pytest.approx(1)


def test_half_of_the_training_times_favour_the_end():
    t = draw_times(20_000, torch.Generator().manual_seed(1))
    assert float(t[:10_000].mean()) == pytest.approx(1 / 2, abs=0.01)
    assert float(t[10_000:].mean()) == pytest.approx(2 / 3, abs=0.01)


def test_threads_that_wait_do_not_spin():
    """Set before torch loads what makes its threads; what the user has set stays."""
    asked = (
        "import os, flashsim_prod.physics, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    for chosen, policy in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        given = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        given |= {"OMP_WAIT_POLICY": chosen} if chosen else {}
        told = subprocess.run([sys.executable, "-c", asked], env=given, capture_output=True, check=True)
        assert told.stdout.decode().split() == [policy, "False"]


def test_fits_take_one_thread_unless_told_otherwise():
    for command in (fitting.fit, fitting.fit_all):
        assert inspect.signature(command).parameters["threads"].default == 1
