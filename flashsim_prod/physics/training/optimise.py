"""The training loop: optimisers in turns, a cosine schedule, averaged weights, checkpoints to go on from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.kinds.base import Loss, Stage, Turn
from flashsim_prod.physics.tensor_files import appearing_tensors

#: neighbouring rows that are held out together
_STRETCH = 200
#: rows that the held-out loss is found from at most
_MOST_HELD_OUT = 32_768


@dataclass(frozen=True)
class _Taken:
    """A turn, with the weights that it moves and its optimiser."""

    turn: Turn
    weights: list[nn.Parameter]
    optimiser: Optimizer

    @property
    def _prefix(self) -> str:
        return f"moment.{self.turn.name}." if self.turn.name else "moment."

    def moments(self) -> dict[str, Tensor]:
        """The optimiser's state, by the names that a checkpoint has for it."""
        return {
            f"{self._prefix}{number}.{key}": value
            for number, state in self.optimiser.state_dict()["state"].items()
            for key, value in state.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to what `moments` gave, among other tensors."""
        state: dict[int, dict[str, Any]] = {}
        for key, value in _below(tensors, self._prefix).items():
            number, name = key.split(".", 1)
            state.setdefault(int(number), {})[name] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


@dataclass(frozen=True)
class FitSettings:
    """How long and how fast to learn.

    Attributes
    ----------
    flow_steps, multiplicity_steps : int
        Optimiser steps of what draws the attributes, a flow or another kind, and of what draws their number.
    batch, multiplicity_batch : int
        Rows a step; many for the numbers, which are mostly zero and whose network is small.
    learning_rate : float
        At the start; it falls to zero along a cosine.
    average : float
        Decay of the exponential moving average of the weights, less at first; what is kept is the average
        with the least held-out loss.
    held_out : float
        Fraction of the rows never trained on.
    """

    flow_steps: int = 12_000
    multiplicity_steps: int = 4_000
    batch: int = 2048
    multiplicity_batch: int = 4096
    learning_rate: float = 2e-3
    average: float = 0.998
    held_out: float = 0.05
    seed: int = 1
    report_every: int = 100
    checkpoint_every: int = 1000

    def of(self, stage: Stage) -> tuple[int, FitSettings]:
        """Steps of a stage, and the settings that it is trained with."""
        if stage.of_numbers:
            return self.multiplicity_steps, replace(self, batch=self.multiplicity_batch)
        return max(1, round(stage.share * self.flow_steps)), self

    def quick(self) -> FitSettings:
        """A tenth of the work, to try things out."""
        return replace(
            self, flow_steps=self.flow_steps // 10, multiplicity_steps=self.multiplicity_steps // 5
        )


class Optimisation:
    """One network's training, which can be saved and taken up again at any step.

    Parameters
    ----------
    network : torch module, on `device`
    loss : Loss
    steps : int
        Total number, which the schedule of the learning rate depends on.
    settings : FitSettings
    device : str
    turns : sequence of Turn
        What a step consists of, one after another.
    learns_from : str
        What tells the examples from others of as many rows; empty if whoever keeps the checkpoints knows it.

    Attributes
    ----------
    best : dict
        The averaged weights when the held-out loss was least: small tables are learned by heart later.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        steps: int,
        settings: FitSettings,
        device: str,
        turns: Sequence[Turn] = (Turn(),),
        learns_from: str = "",
    ) -> None:
        self.network, self.loss, self.steps, self.settings, self.device = (
            network,
            loss,
            steps,
            settings,
            device,
        )
        self.learns_from = learns_from
        self.averaged = AveragedModel(network, avg_fn=growing_average(settings.average))
        self._turns = [
            _Taken(turn, weights, turn.optimiser(weights, settings.learning_rate * turn.rate))
            for turn in turns
            for weights in [turn.parameters(network)]
        ]
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.step = 0
        self.losses: list[tuple[int, float, float]] = []
        self.best = self.averaged.module.state_dict()
        held_out, self._rows = split_rows(loss.n, settings)
        self._held_out = held_out[:_MOST_HELD_OUT]

    def look(self, training_loss: float = math.nan) -> None:
        """Note the losses, and keep the averaged weights if they are the best so far."""
        held_out = self._held_out_loss()
        if held_out <= min((before for _, _, before in self.losses), default=math.inf):
            self.best = {key: value.clone() for key, value in self.averaged.module.state_dict().items()}
        self.losses.append((self.step, training_loss, held_out))

    def advance(self, steps: int) -> None:
        """Take `steps` steps and note the losses at their end."""
        total = 0.0
        self.network.train()
        for _ in range(steps):
            for taken in self._turns:
                total += self._take(taken)
            self.averaged.update_parameters(self.network)
            self.step += 1
        self.look(total / steps)

    def run(self, looked: Callable[[], None]) -> None:
        """Take the steps that are left, and give the network its best averaged weights.

        `looked` is called whenever the losses were noted.
        """
        while self.step < self.steps:
            self.advance(min(self.settings.report_every, self.steps - self.step))
            looked()
        self.network.load_state_dict(self.best)

    def _take(self, taken: _Taken) -> float:
        """One turn; the mean of its loss."""
        turn, total = taken.turn, 0.0
        for _ in range(turn.steps):
            rows = self._rows[
                torch.randint(len(self._rows), (self.settings.batch,), generator=self.generator)
            ]
            for group in taken.optimiser.param_groups:
                group["lr"] = self._learning_rate() * turn.rate
            loss = self.loss.in_turn(turn.name, self.network, rows, self.generator, self.device)
            # what another turn moves stands still, and gathers nothing on the way
            gradients = torch.autograd.grad(loss, taken.weights, allow_unused=True)
            for weight, gradient in zip(taken.weights, gradients, strict=True):
                weight.grad = gradient
            nn.utils.clip_grad_norm_(taken.weights, 1.0)
            taken.optimiser.step()
            total += loss.item()
        return total / turn.steps

    def save(self, path: Path, seconds: float) -> None:
        """Write all state to a safetensors file, whole or not at all."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"averaged.{key}": value for key, value in self.averaged.state_dict().items()}
        tensors |= {f"best.{key}": value for key, value in self.best.items()}
        for taken in self._turns:
            tensors |= taken.moments()
        tensors["generator"] = self.generator.get_state()
        notes = {"step": self.step, "losses": self.losses, "seconds": seconds, "for": self._identity()}
        notes["learns_from"] = self.learns_from
        with appearing_tensors(path) as temporary:
            save_file(
                {key: value.contiguous() for key, value in tensors.items()},
                temporary,
                {"notes": json.dumps(notes)},
            )

    def restore(self, path: Path) -> float:
        """Go back to what `save` wrote; returns the seconds spent until then.

        Raises
        ------
        InputError
            If the checkpoint is damaged or of a fit with other settings.
        """
        try:
            with safe_open(path, framework="pt") as file:
                notes = json.loads(file.metadata()["notes"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise InputError(f"{path}: damaged checkpoint; fit with --anew to start over") from error
        # one from before checkpoints said what they learn from is taken at its word
        alike = notes.get("learns_from", self.learns_from) == self.learns_from
        if notes["for"] != self._identity() or not alike:
            raise InputError(
                f"{path}: a checkpoint of a fit with other settings or events; "
                "repeat those, or fit with --anew to start over"
            )
        try:
            self.network.load_state_dict(_below(tensors, "network."))
            self.averaged.load_state_dict(_below(tensors, "averaged."))
        except RuntimeError as error:
            raise InputError(
                f"{path}: a checkpoint of a network of another size; "
                "repeat --width and --blocks, or fit with --anew to start over"
            ) from error
        self.best = _below(tensors, "best.")
        for taken in self._turns:
            taken.restore(tensors)
        self.generator.set_state(tensors["generator"])
        self.step, self.losses = notes["step"], [tuple(entry) for entry in notes["losses"]]
        return float(notes["seconds"])

    def _identity(self) -> str:
        return json.dumps([asdict(self.settings), self.steps, self.loss.n], sort_keys=True)

    def _learning_rate(self) -> float:
        return self.settings.learning_rate * (1 + math.cos(math.pi * self.step / self.steps)) / 2

    def _held_out_loss(self) -> float:
        generator = torch.Generator().manual_seed(self.settings.seed)
        self.averaged.eval()
        with torch.no_grad():
            return float(self.loss(self.averaged.module, self._held_out, generator, self.device).item())


def split_rows(n: int, settings: FitSettings) -> tuple[Tensor, Tensor]:
    """Rows held out, and rows to learn from.

    Stretches of neighbours are held out, because neighbours are objects of one event and reconstructions of
    one generator event: with such a twin among the rows that are learned, none would be new.
    """
    stretch = max(1, min(_STRETCH, n // 100))
    generator = torch.Generator().manual_seed(settings.seed)
    chance = torch.rand(-(-n // stretch), generator=generator)
    # at least one stretch, and not all of them
    chosen = chance <= max(settings.held_out, float(chance.min()))
    held_out = chosen.repeat_interleave(stretch)[:n]
    rows = torch.arange(n)
    order = torch.randperm(int(held_out.sum()), generator=generator)
    return rows[held_out][order], rows[~held_out]


def growing_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An exponential moving average that forgets faster at first: short fits keep nothing untrained."""

    def average(kept: Tensor, new: Tensor, seen: Tensor | int) -> Tensor:
        number = float(seen)
        return torch.lerp(new, kept, min(decay, (1 + number) / (10 + number)))

    return average


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
