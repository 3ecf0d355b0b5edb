"""Flow matching: the path from noise to data, its loss, and the solvers that walk it.

Formulas as in Lipman et al., arXiv:2210.02747 (optimal-transport path): with noise z, data x and
sigma = 1e-4,  x_t = t x + (1 - (1 - sigma) t) z  and the velocity to learn is
u = (x - (1 - sigma) x_t) / (1 - (1 - sigma) t), which along this path equals x - (1 - sigma) z.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from flashsim_prod.core.request import Sampling

SIGMA = 1e-4

Field = Callable[[Tensor, Tensor], Tensor]


def path(x: Tensor, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The point x_t and the velocity there, for data `x`, noise `z` (n, d) and times `t` (n, 1)."""
    return t * x + (1 - (1 - SIGMA) * t) * z, x - (1 - SIGMA) * z


def draw_times(n: int, generator: torch.Generator) -> Tensor:
    """Training times, shape (n, 1): half of them uniform, half the root of a uniform number."""
    t = torch.rand((n, 1), generator=generator)
    t[n // 2 :] = t[n // 2 :].sqrt()
    return t


def times(sampling: Sampling, device: torch.device | str) -> Tensor:
    """The solver's time grid from 0 to 1: 1 - (1 - s)^p for evenly spaced s."""
    # it stays: sending it anew to a device would wait for all that runs there, and cannot be recorded
    return _kept_times(sampling, torch.device(device), torch.is_inference_mode_enabled())


@lru_cache(maxsize=64)
def _kept_times(sampling: Sampling, device: torch.device, inference: bool) -> Tensor:
    """One for training and one for inference, where tensors are of another sort."""
    steps = sampling.evaluations // 2 if sampling.solver == "midpoint" else sampling.evaluations
    s = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return (1 - (1 - s) ** sampling.grid_power).to(device=device, dtype=torch.float32)


def integrate(velocity: Field, z: Tensor, sampling: Sampling) -> Tensor:
    """Solve dx/dt = v(x, t) from noise `z`, shape (n, d), at t = 0 to attributes at t = 1.

    No solver evaluates at t = 1, where the learned field is least certain.
    """
    grid = times(sampling, z.device)
    return _SOLVERS[sampling.solver](velocity, z, grid)


def _euler(velocity: Field, x: Tensor, grid: Tensor) -> Tensor:
    for now, then in pairwise(grid):
        x = x + (then - now) * velocity(x, now.view(1, 1))
    return x


def _midpoint(velocity: Field, x: Tensor, grid: Tensor) -> Tensor:
    for now, then in pairwise(grid):
        half = (then - now) / 2
        x = x + 2 * half * velocity(x + half * velocity(x, now.view(1, 1)), (now + half).view(1, 1))
    return x


def _adams_bashforth(velocity: Field, x: Tensor, grid: Tensor) -> Tensor:
    """Second order with one evaluation a step, weights for uneven steps; the first step is Euler's."""
    before: Tensor | None = None
    last_step = grid[1] - grid[0]
    for now, then in pairwise(grid):
        step, here = then - now, velocity(x, now.view(1, 1))
        slope = here if before is None else here + step / (2 * last_step) * (here - before)
        x, before, last_step = x + step * slope, here, step
    return x


_SOLVERS = {"euler": _euler, "midpoint": _midpoint, "ab2": _adams_bashforth}
