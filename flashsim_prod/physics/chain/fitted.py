"""An object model with its trained weights: conditions in, reconstructed attributes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.bundle import ModelEntry, NetworkEntry, Tensors
from flashsim_prod.physics.chain.compatibility import check_signature
from flashsim_prod.physics.chain.flow import integrate
from flashsim_prod.physics.chain.model import NetworkSize, ObjectModel
from flashsim_prod.physics.chain.networks import Multiplicity, Velocity
from flashsim_prod.physics.chain.tensors import check_tensors
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Rows that the networks see at a time, the last block padded to it. Matrix products of one fixed shape
#: round alike whatever else is in the batch, so the size of a batch does not show in what is drawn.
BLOCK_ROWS = {"cpu": 256, "cuda": 32_768}


def block_rows(device: str) -> int:
    """Rows that the networks see at a time on `device`."""
    return BLOCK_ROWS[device.split(":")[0]]


@dataclass(frozen=True)
class FittedModel:
    """A declaration with its networks and transforms, ready on one device."""

    model: ObjectModel
    standardiser: Standardiser
    gaussianisers: tuple[Gaussianiser, ...]
    velocity: Velocity
    multiplicity: Multiplicity | None
    device: str = "cpu"
    batch_rows: int = BLOCK_ROWS["cpu"]

    @classmethod
    def load(
        cls,
        model: ObjectModel,
        entry: ModelEntry,
        tensors: Tensors,
        device: str = "cpu",
        batch_rows: int | None = None,
    ) -> FittedModel:
        """From a bundle's entry and tensors; `batch_rows` is `block_rows` of the device by default.

        Raises
        ------
        BundleError
            If the weights were made for other conditions or targets, or cannot be run.
        """
        check_signature(model, entry)
        size = network_size(entry.network)
        check_tensors(model, size, tensors)
        velocity = Velocity(len(model.targets), len(model.conditions), size)
        multiplicity = Multiplicity(len(model.conditions), model.most, size) if model.most else None
        _load(velocity, "velocity.", tensors)
        if multiplicity is not None:
            _load(multiplicity, "multiplicity.", tensors)
        standardiser = Standardiser(tensors["conditions.mean"], tensors["conditions.width"])
        gaussianisers = tuple(
            Gaussianiser(tensors[f"{target.name}.cdf"], tensors[f"{target.name}.value"])
            for target in model.targets
        )
        for network in (velocity, multiplicity):
            if network is not None:
                network.to(device).eval()
        rows = batch_rows or block_rows(device)
        return cls(model, standardiser, gaussianisers, velocity, multiplicity, device, rows)

    def tensors(self) -> Tensors:
        """All that `load` needs, by name; the networks' matrices in half precision."""
        found: Tensors = {
            "conditions.mean": self.standardiser.mean,
            "conditions.width": self.standardiser.width,
        }
        for target, gaussianiser in zip(self.model.targets, self.gaussianisers, strict=True):
            found[f"{target.name}.cdf"] = gaussianiser.cdf
            found[f"{target.name}.value"] = gaussianiser.value
        for prefix, network in (("velocity.", self.velocity), ("multiplicity.", self.multiplicity)):
            if network is not None:
                state = network.state_dict()
                found |= {prefix + key: _stored(value.cpu().numpy()) for key, value in state.items()}
        return found

    def probabilities(self, conditions: F32) -> F64:
        """Probability of each number of objects, shape (n, most + 1), for unscaled `conditions`."""
        network = self.multiplicity
        if network is None:
            raise ValueError(f"{self.model.name} always gives one object")
        logits = self._in_blocks(lambda c: network(c), self.standardiser(conditions))
        return torch.softmax(torch.from_numpy(logits).double(), dim=1).numpy()

    def sample(self, conditions: F32, normals: F64, sampling: Sampling) -> dict[str, F64]:
        """Targets, a value per row, for unscaled `conditions` and normal noise of shape (n, n_targets)."""

        def solve(c: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            contribution = self.velocity.condition(c)
            return integrate(lambda x, t: self.velocity(x, t, contribution), z, sampling)

        drawn = self._in_blocks(solve, self.standardiser(conditions), normals.astype(np.float32))
        return {
            target.name: gaussianiser.from_normal(drawn[:, position])
            for position, (target, gaussianiser) in enumerate(
                zip(self.model.targets, self.gaussianisers, strict=True)
            )
        }

    def _in_blocks(self, function: Callable[..., torch.Tensor], *inputs: F32) -> F32:
        n, block = len(inputs[0]), self.batch_rows
        results: list[F32] = []
        with torch.inference_mode():
            for start in range(0, n, block):
                parts = [_padded(array[start : start + block], block, self.device) for array in inputs]
                results.append(function(*parts)[: n - start].cpu().numpy())
        if not results:
            return np.empty((0, len(self.model.targets)), dtype=np.float32)
        return np.concatenate(results)


def _padded(part: F32, rows: int, device: str) -> torch.Tensor:
    if len(part) < rows:
        part = np.concatenate((part, np.zeros((rows - len(part), part.shape[1]), dtype=part.dtype)))
    return torch.from_numpy(part).to(device)


def _stored(value: NDArray[np.float32]) -> NDArray[np.float16 | np.float32]:
    """Half the size: rounding a weight to 11 bits moves what is drawn far less than training does."""
    return value.astype(np.float16) if value.ndim == 2 else value


def _load(network: torch.nn.Module, prefix: str, tensors: Tensors) -> None:
    state = {
        key.removeprefix(prefix): torch.from_numpy(value)
        for key, value in tensors.items()
        if key.startswith(prefix)
    }
    network.load_state_dict(state)


def network_size(entry: NetworkEntry) -> NetworkSize:
    """The sizes that a bundle's entry records."""
    return NetworkSize(entry.width, entry.blocks, entry.time_frequencies, entry.classifier, entry.knots)
