"""Weights by which a model's draws are distributed like the truth (DCTR).

Andreassen et al., arXiv:1907.08209, and Diefenbacher et al., arXiv:2009.03796: a classifier f that tells true
objects from drawn ones with the same conditions gives a drawn one the weight f / (1 - f).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import nn

from flashsim_prod.physics.chain.corrections.section import REWEIGHTER, ReweighterSection, Tensors
from flashsim_prod.physics.chain.kinds.native import looked_up
from flashsim_prod.physics.chain.kinds.networks import Multiplicity
from flashsim_prod.physics.chain.model import NetworkSize, ObjectModel
from flashsim_prod.physics.chain.transforms import Gaussianiser

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Reweighter:
    """A classifier with its calibration.

    Attributes
    ----------
    section : ReweighterSection
    network : Multiplicity
        Logits of drawn and of true, from conditions and attributes; as it is stored.
    drawing : torch module
        What is evaluated instead.
    """

    section: ReweighterSection
    network: Multiplicity
    drawing: nn.Module

    @classmethod
    def trained(cls, section: ReweighterSection, network: Multiplicity, *, is_looked_up: bool = True) -> Self:
        """With a network that has learned, in its form for inference on a CPU if it is to be looked up."""
        network.eval()
        return cls(section, network, looked_up(network) if is_looked_up and section.knots else network)

    @classmethod
    def load(
        cls, model: ObjectModel, section: ReweighterSection, tensors: Tensors, *, is_looked_up: bool
    ) -> Self:
        """From an entry's section and its file's tensors, whose shapes are right."""
        network = classifier(model, section.classifier, section.knots)
        prefix = f"{REWEIGHTER}."
        network.load_state_dict(
            {
                name.removeprefix(prefix): torch.from_numpy(np.asarray(tensor))
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
        )
        return cls.trained(section, network, is_looked_up=is_looked_up)

    def weights(self, logits: F32) -> F64:
        """Clipped and of unit mean, from logits of drawn and true, shape (n, 2)."""
        section = self.section
        found = logits.astype(np.float64)
        level = section.scale * (found[:, 1] - found[:, 0]) + section.shift
        return clipped(level, section.least, section.most) / section.mean


def classifier(model: ObjectModel, hidden: tuple[int, ...], knots: int) -> Multiplicity:
    """An untrained network of two classes that sees a model's conditions and attributes."""
    size = NetworkSize(classifier=hidden, knots=knots)
    return Multiplicity(len(model.conditions) + len(model.targets), 1, size)


def expected_shapes(model: ObjectModel, section: ReweighterSection) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a reweighter, by name."""
    with torch.device("meta"):
        network = classifier(model, section.classifier, section.knots)
    return {f"{REWEIGHTER}.{name}": tuple(one.shape) for name, one in network.state_dict().items()}


def clipped(level: F64, least: float, most: float) -> F64:
    """exp(level), between `least` and `most`."""
    found: F64 = np.exp(np.clip(level, np.log(least), np.log(most)))
    return found


def seen(values: Sequence[NDArray[np.generic]], gaussianisers: Sequence[Gaussianiser]) -> F32:
    """Attributes as normal numbers, shape (n, n_targets), the middle of what a value on a step owns.

    Of true objects and of drawn ones alike: where within a step a draw lies is not in the attribute.
    """
    columns = []
    for column, gaussianiser in zip(values, gaussianisers, strict=True):
        lower, upper = gaussianiser.levels(column)
        columns.append(ndtri((lower + upper) / 2))
    found: F32 = np.stack(columns, axis=1).astype(np.float32)
    return found


def taken(weights: F64, level: F64) -> NDArray[np.int64]:
    """Which of the candidates is taken, with a probability like its weight.

    Parameters
    ----------
    weights : array of shape (n, candidates)
    level : array of shape (n,)
        Uniform numbers.
    """
    bounds = np.cumsum(weights, axis=1)
    found: NDArray[np.int64] = (level[:, None] * bounds[:, -1:] > bounds[:, :-1]).sum(axis=1)
    return found
