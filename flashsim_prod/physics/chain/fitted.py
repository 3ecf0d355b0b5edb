"""An object model with its trained weights: conditions in, reconstructed attributes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.bundle import ModelEntry, Tensors
from flashsim_prod.physics.chain.compatibility import as_drawn_by
from flashsim_prod.physics.chain.kinds.base import Kind, Networks
from flashsim_prod.physics.chain.kinds.networks import n_parameters
from flashsim_prod.physics.chain.kinds.registry import FLOW, find_kind, read_section
from flashsim_prod.physics.chain.kinds.sets.base import KindOfSets
from flashsim_prod.physics.chain.kinds.sets.padding import padded_sets
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.tensors import check_tensors
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: members of sets that networks see at a time, for each row that they would see
_MEMBERS_A_ROW = 8

#: Rows that the networks see at a time, the last block padded to it. Matrix products of one fixed shape
#: round alike whatever else is in the batch, so the size of a batch does not show in what is drawn.
BLOCK_ROWS = {"cpu": 256, "cuda": 32_768}


def block_rows(device: str) -> int:
    """Rows that the networks see at a time on `device`."""
    return BLOCK_ROWS[device.split(":")[0]]


@dataclass(frozen=True)
class FittedModel:
    """A declaration with its networks and transforms, ready on one device.

    Attributes
    ----------
    model : ObjectModel
        With those targets that the weights draw.
    kind : Kind
        How they are drawn.
    size
        Sizes of the networks, as the kind has them.
    standardiser : Standardiser
    gaussianisers : tuple of Gaussianiser
    networks : mapping of name to torch module
        As they are trained and stored.
    drawing : mapping of name to torch module
        What draws instead of them: the kind's form for inference, in a model that was loaded.
    """

    model: ObjectModel
    kind: Kind[Any]
    size: Any
    standardiser: Standardiser
    gaussianisers: tuple[Gaussianiser, ...]
    networks: Networks
    device: str = "cpu"
    batch_rows: int = BLOCK_ROWS["cpu"]
    drawing: Networks = field(default_factory=dict)

    @classmethod
    def untrained(
        cls,
        model: ObjectModel,
        standardiser: Standardiser,
        gaussianisers: tuple[Gaussianiser, ...],
        *,
        size: Any = None,
        kind: str = FLOW,
    ) -> FittedModel:
        """With networks that have learned nothing yet; of the declared size by default."""
        found = find_kind(kind)
        size = size or found.declared_size(model, width=None, blocks=None)
        return cls(model, found, size, standardiser, gaussianisers, found.networks(model, size))

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
        model, kind = as_drawn_by(model, entry), find_kind(entry.kind)
        size = kind.size(read_section(entry.kind, entry.network, f"model {model.name}"))
        check_tensors(model, kind, size, tensors)
        standardiser = Standardiser(tensors["conditions.mean"], tensors["conditions.width"])
        gaussianisers = tuple(
            Gaussianiser(tensors[f"{target.name}.cdf"], tensors[f"{target.name}.value"])
            for target in model.targets
        )
        networks = kind.networks(model, size)
        for name, network in networks.items():
            _load(network, f"{name}.", tensors)
            network.to(device).eval()
        rows = batch_rows or block_rows(device)
        drawing = kind.for_inference(networks) if device == "cpu" else networks
        return cls(model, kind, size, standardiser, gaussianisers, networks, device, rows, drawing)

    @property
    def n_normals(self) -> int:
        """Normal numbers that a row of `sample` takes."""
        return self.kind.n_normals(self.model, self.size)

    @property
    def n_parameters(self) -> int:
        """Trainable parameters of all networks."""
        return sum(n_parameters(network) for network in self.networks.values())

    def tensors(self) -> Tensors:
        """All that `load` needs, by name; the networks' matrices in half precision."""
        found: Tensors = {
            "conditions.mean": self.standardiser.mean,
            "conditions.width": self.standardiser.width,
        }
        for target, gaussianiser in zip(self.model.targets, self.gaussianisers, strict=True):
            found[f"{target.name}.cdf"] = gaussianiser.cdf
            found[f"{target.name}.value"] = gaussianiser.value
        for name, network in self.networks.items():
            state = network.state_dict()
            found |= {f"{name}.{key}": _stored(value.cpu().numpy()) for key, value in state.items()}
        return found

    def probabilities(self, conditions: F32) -> F64:
        """Probability of each number of objects, shape (n, most + 1), for unscaled `conditions`."""
        if not self.model.draws_number:
            raise ValueError(f"{self.model.name} always gives one object, or is told how many")
        networks = self.drawing or self.networks
        logits = self._in_blocks(lambda c: self.kind.logits(networks, c), self.standardiser(conditions))
        return torch.softmax(torch.from_numpy(logits).double(), dim=1).numpy()

    def sample(
        self, conditions: F32, normals: F64, sampling: Sampling, *, sets: I64 | None = None
    ) -> dict[str, F64]:
        """Targets, a value per row, for unscaled `conditions` and `normals` of shape (n, n_normals).

        Rows with the same number in `sets` are of one source: kinds that draw sets draw them together.
        """
        drawn = self.latents(conditions, normals, sampling, sets=sets)
        return {
            target.name: gaussianiser.from_normal(drawn[:, position])
            for position, (target, gaussianiser) in enumerate(
                zip(self.model.targets, self.gaussianisers, strict=True)
            )
        }

    def latents(self, conditions: F32, normals: F64, sampling: Sampling, *, sets: I64 | None = None) -> F32:
        """The same before its transforms make attributes of them: numbers of shape (n, n_targets)."""
        networks = self.drawing or self.networks
        if isinstance(self.kind, KindOfSets) and sets is not None:
            return self._of_sets(self.kind, networks, conditions, normals, sets)

        def draw(c: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            return self.kind.sample(networks, c, z, sampling)

        return self._in_blocks(draw, self.standardiser(conditions), normals.astype(np.float32))

    def _of_sets(
        self, kind: KindOfSets[Any], networks: Networks, conditions: F32, normals: F64, sets: I64
    ) -> F32:
        seen, noise = self.standardiser(conditions), normals.astype(np.float32)
        drawn = np.empty((len(noise), len(self.model.targets)), dtype=np.float32)
        with torch.inference_mode():
            for places in padded_sets(sets, _MEMBERS_A_ROW * self.batch_rows):
                present = places >= 0
                # a set of a block that is not full is no set, and its first row stands for none
                some = np.maximum(places, 0)
                inputs = (seen[some[:, 0]], noise[some], present)
                found = kind.sample_sets(networks, *(torch.from_numpy(one).to(self.device) for one in inputs))
                drawn[places[present]] = found.cpu().numpy()[present]
        return drawn

    def with_networks(self, networks: Networks) -> FittedModel:
        """This model with other networks of the same sizes."""
        drawing = self.kind.for_inference(networks) if self.drawing else {}
        return replace(self, networks=networks, drawing=drawing)

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
