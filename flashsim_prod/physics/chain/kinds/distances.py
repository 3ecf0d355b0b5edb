"""Distances of two samples that kinds without a likelihood are trained and judged by.

Samples are rows of normal numbers with the conditions that both share beside them. A distance of all columns
at once sees little of many columns in a batch; two columns at a time say where samples differ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

#: pairs of columns that a distance is the mean over
_SLICES, _PAIRS = 128, 24
#: rows of a batch that kernels see, since they see each with each
_ROWS_FOR_KERNELS = 256
#: squared widths of the kernels: of two columns, and of one column of many
_SCALES = (0.1, 1.0)
_SCALES_OF_MANY = (0.2, 1.0, 4.0)
#: of Gulrajani et al., arXiv:1704.00028
_PENALTY = 10.0
#: keeps a root differentiable at zero
_SMALL = 1e-12

Critic = Callable[[Tensor, Tensor], Tensor]


def sliced(drawn: Tensor, truth: Tensor, conditions: Tensor, generator: torch.Generator) -> Tensor:
    """Mean Wasserstein distance along directions that mix two columns, of which one at least is drawn.

    Parameters
    ----------
    drawn, truth : tensors of shape (n, n_targets)
    conditions : tensor of shape (n, n_conditions)
    generator : torch.Generator
        Chooses the directions.
    """
    first, second = _pairs(drawn.shape[1], conditions.shape[1], _SLICES, generator)
    sign = (torch.randint(0, 2, (_SLICES,), generator=generator) * 2 - 1).to(drawn)

    def along(x: Tensor) -> Tensor:
        columns = torch.cat((x, conditions), dim=1)
        mixed = columns[:, first] + sign * columns[:, second]
        return (mixed / 2**0.5).sort(dim=0).values

    return (along(drawn) - along(truth)).abs().mean()


def kernel_distance(
    drawn: Tensor,
    truth: Tensor,
    conditions: Tensor,
    generator: torch.Generator,
    *,
    but_paired: bool = False,
) -> Tensor:
    """Squared maximum mean discrepancy (Gretton et al.) of pairs of columns, mean over some of the pairs.

    Parameters are those of `sliced`; kernels are inverse multiquadratics of several widths, and only the
    first rows are seen. With `but_paired`, no drawn row is compared with the true one of its conditions,
    which would draw it there: of one source there is more than one truth.
    """
    first, second = _pairs(drawn.shape[1], conditions.shape[1], _PAIRS, generator)

    def pairs(x: Tensor) -> tuple[Tensor, Tensor]:
        columns = torch.cat((x[:_ROWS_FOR_KERNELS], conditions[:_ROWS_FOR_KERNELS]), dim=1)
        return columns[:, first].T, columns[:, second].T

    a, b = pairs(drawn), pairs(truth)
    within = _kernels(a, a, alike=True) + _kernels(b, b, alike=True)
    return within - 2 * _kernels(a, b, alike=False, but_paired=but_paired)


def joint_kernel_distance(drawn: Tensor, truth: Tensor, conditions: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of all columns at once, with kernels as wide as rows are apart.

    No drawn row is compared with the true one of its conditions.

    Parameters
    ----------
    drawn, truth : tensors of shape (n, n_targets)
    conditions : tensor of shape (n, n_conditions)
    """
    a, b = (torch.cat((one, conditions), dim=1) for one in (drawn, truth))
    n, columns = a.shape

    def mean(one: Tensor, other: Tensor) -> Tensor:
        squares = one.square().sum(dim=1)[:, None] + other.square().sum(dim=1) - 2 * one @ other.T
        apart = squares.clamp(min=0.0) / columns
        kernels = torch.stack([scale / (scale + apart) for scale in _SCALES_OF_MANY]).mean(dim=0)
        return (kernels.sum() - kernels.diagonal().sum()) / max(1, n * (n - 1))

    return mean(a, a) + mean(b, b) - 2 * mean(a, b)


def critic_loss(
    critic: Critic, drawn: Tensor, truth: Tensor, conditions: Tensor, generator: torch.Generator
) -> Tensor:
    """What a critic takes down: how far it sets samples apart, with a penalty on slopes above one.

    Wasserstein GAN with gradient penalty (arXiv:1704.00028), one-sided (arXiv:1709.08894): where samples are
    alike, as those of independent attributes nearly are in the beginning, a critic need have no slope, which
    would drive them apart. Slopes are those between `drawn` and `truth`.
    """
    mix = torch.rand((len(truth), 1), generator=generator).to(truth)
    between = torch.lerp(drawn.detach(), truth, mix).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between, conditions).sum(), between, create_graph=True)
    steepness = (slope.square().sum(dim=1) + _SMALL).sqrt()
    apart = critic(drawn.detach(), conditions).mean() - critic(truth, conditions).mean()
    return apart + _PENALTY * (steepness - 1).clamp(min=0.0).square().mean()


def made_alike(make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` gives, with the same random weights each time: for networks that no file holds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return make()


def _pairs(
    n_targets: int, n_conditions: int, number: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Columns, the first a target, the second another target or a condition."""
    first = torch.randint(0, n_targets, (number,), generator=generator)
    step = torch.randint(1, max(2, n_targets + n_conditions), (number,), generator=generator)
    return first, (first + step) % (n_targets + n_conditions)


def _kernels(
    a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], *, alike: bool, but_paired: bool = False
) -> Tensor:
    """Mean of the kernels between rows, two columns of shape (pairs, n) each; not of a row and itself."""
    pairs, n = a[0].shape
    squares = [(one[:, :, None] - other[:, None]).square() for one, other in zip(a, b, strict=True)]
    apart = squares[0] + squares[1]
    total = torch.stack([(scale / (scale + apart)).sum() for scale in _SCALES]).mean()
    if alike:
        return (total - pairs * n) / (pairs * max(1, n * (n - 1)))
    if but_paired:
        own = torch.stack([(scale / (scale + apart.diagonal(dim1=1, dim2=2))).sum() for scale in _SCALES])
        return (total - own.mean()) / (pairs * max(1, n * (n - 1)))
    return total / (pairs * n * n)
