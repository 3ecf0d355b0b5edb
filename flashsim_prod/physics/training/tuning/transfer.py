"""Transfer learning: networks of a calibrated model trained on from where they are, and held near to it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.base import Examples, Loss, Stage
from flashsim_prod.physics.chain.transforms import EDGE
from flashsim_prod.physics.training.fit import examples_of
from flashsim_prod.physics.training.optimise import growing_average
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tuning.calibration import drawn_latents
from flashsim_prod.physics.training.tuning.holding import Stretches
from flashsim_prod.physics.training.tuning.settings import TuneSettings

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
#: called with a stage, steps done, all steps, and the held-out loss
TuneProgress = Callable[[str, int, int, float], None]

#: times that the held-out rows are looked at, together: losses draw numbers of their own
_LOOKED_AT = 4096


@dataclass(frozen=True)
class StageTuned:
    """How one stage went.

    Attributes
    ----------
    steps : int
    start, best : float
        Held-out loss at its start, the calibrated model, and of what was kept.
    base : float, optional
        The same of the base, where it is comparable: of the numbers.
    losses : tuple of (int, float, float)
        Step, training loss and held-out loss, as they went.
    """

    steps: int
    start: float
    best: float
    base: float | None
    losses: tuple[tuple[int, float, float], ...]

    @property
    def is_of_numbers(self) -> bool:
        """Whether what draws numbers of objects was trained on, and not what draws their attributes."""
        return self.base is not None


def tuned(
    base: FittedModel,
    fitted: FittedModel,
    table: Table,
    settings: TuneSettings,
    device: str,
    progress: TuneProgress,
) -> tuple[FittedModel, dict[str, StageTuned]]:
    """`fitted`, which is `base` calibrated, with networks trained on; `table` must have all its targets."""
    of_base = {stage.name: stage.network for stage in base.kind.stages(base.networks)}
    networks = {name: copy.deepcopy(network) for name, network in fitted.networks.items()}
    examples = examples_of(fitted, table)
    found: dict[str, StageTuned] = {}
    for stage in fitted.kind.stages(networks):
        if len(stage.turns) > 1:
            # networks that learn against each other find nothing in a few hundred objects
            continue
        work: _Tuning
        if stage.of_numbers:
            work = _OfNumbers(stage, examples, table, settings, device)
            before = work.held_out_loss(of_base[stage.name])
        else:
            replay = _replay(fitted, table, settings)
            work = _OfAttributes(stage, examples, table, settings, device, replay)
            # in numbers that mean other values than after calibration
            before = None
        found[stage.name] = replace(work.run(partial(progress, stage.name)), base=before)
    return fitted.with_networks(networks), found


def _replay(fitted: FittedModel, table: Table, settings: TuneSettings) -> tuple[Tensor, Tensor]:
    """What the model draws itself: the sources, and levels of each target."""
    latents, place = drawn_latents(fitted, table, settings.seed + 1, Sampling())
    levels = np.clip(ndtr(latents.astype(np.float64)), EDGE, 1 - EDGE).astype(np.float32)
    return torch.from_numpy(table.row[place]), torch.from_numpy(levels)


class _Tuning:
    """One stage's optimisation; what differs between stages is in those that follow."""

    loss: Loss
    pull: float
    rate: float

    def __init__(
        self,
        stage: Stage,
        source: I64,
        weight: F64,
        stretches: Stretches,
        settings: TuneSettings,
        device: str,
    ) -> None:
        n = len(source)
        self.network, self.settings, self.device = stage.network, settings, device
        self.generator = torch.Generator().manual_seed(settings.seed)
        held_out = stretches.held_out(settings.held_out, settings.seed)[source]
        self._stretches, self._source = stretches, source
        self._learned = torch.from_numpy(np.flatnonzero(~held_out))
        self._weight = torch.from_numpy(weight[~held_out])
        rows = torch.from_numpy(np.flatnonzero(held_out & (weight > 0)))
        self._looked_at = rows.repeat(max(1, _LOOKED_AT // max(1, len(rows)))) if len(rows) else rows
        self.steps = max(1, round(stage.share * settings.steps(n)))

    def batch(self) -> Tensor:
        """Rows of the next step."""
        raise NotImplementedError

    def draw(self, number: int) -> Tensor:
        """So many rows to learn from, by their weights."""
        return self._learned[
            torch.multinomial(self._weight, number, replacement=True, generator=self.generator)
        ]

    def run(self, progress: Callable[[int, int, float], None]) -> StageTuned:
        """Train in place; the network ends as the best of its averages, the start included."""
        network, settings = self.network.to(self.device), self.settings
        start = [parameter.detach().clone() for parameter in network.parameters()]
        averaged = AveragedModel(network, avg_fn=growing_average(settings.average))
        optimiser = torch.optim.Adam(network.parameters(), lr=self.rate)
        begun, first = _state(network), self.held_out_loss(network)
        best = begun
        least, total = first, 0.0
        losses: list[tuple[int, float, float]] = []
        for step in range(self.steps):
            for group in optimiser.param_groups:
                group["lr"] = self.rate * (1 + math.cos(math.pi * step / self.steps)) / 2
            optimiser.zero_grad(set_to_none=True)
            network.train()
            loss = self.loss(network, self.batch(), self.generator, self.device)
            total += loss.item()
            moved = [
                (now - then).square().sum() for now, then in zip(network.parameters(), start, strict=True)
            ]
            (loss + self.pull * torch.stack(moved).sum()).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            averaged.update_parameters(network)
            if self._is_time_to_look(step + 1):
                now = self.held_out_loss(averaged.module)
                progress(step + 1, self.steps, now)
                losses.append((step + 1, total / (step + 1 - (losses[-1][0] if losses else 0)), now))
                total = 0.0
                if now < least:
                    best, least = _state(averaged.module), now
        if least < first and not self._holds(network, begun, best):
            best, least = begun, first
        network.load_state_dict(best)
        network.to("cpu").eval()
        return StageTuned(self.steps, first, least, None, tuple(losses))

    def _holds(self, network: nn.Module, begun: dict[str, Tensor], best: dict[str, Tensor]) -> bool:
        """Whether the best is better than the start by more than held-out rows of few events differ."""
        stretch = torch.from_numpy(self._stretches.of[self._source])[self._looked_at]
        gain = []
        found = torch.unique(stretch).tolist()
        for one in found:
            rows = self._looked_at[stretch == one]
            losses = []
            for state in (begun, best):
                network.load_state_dict(state)
                losses.append(self.held_out_loss(network, rows))
            gain.append(len(rows) * (losses[0] - losses[1]))
        # the first source of each stands for a stretch
        source = np.unique(self._stretches.of, return_index=True)[1][found]
        return self._stretches.hold(np.array(gain), source)

    def _is_time_to_look(self, step: int) -> bool:
        return step == self.steps or step % max(1, self.steps // self.settings.looks) == 0

    def held_out_loss(self, network: nn.Module, rows: Tensor | None = None) -> float:
        """The loss on rows that are not learned, each time with the same numbers drawn."""
        network.to(self.device).eval()
        with torch.no_grad():
            generator = torch.Generator().manual_seed(self.settings.seed)
            return float(
                self.loss(network, self._looked_at if rows is None else rows, generator, self.device)
            )


class _OfAttributes(_Tuning):
    """What draws the attributes: beside the sample it goes on learning what it draws itself."""

    def __init__(
        self,
        stage: Stage,
        examples: Examples,
        table: Table,
        settings: TuneSettings,
        device: str,
        replay: tuple[Tensor, Tensor],
    ) -> None:
        n, stretches = len(table.row), Stretches.of_table(table, settings.seed)
        super().__init__(stage, table.row, table.object_weight, stretches, settings, device)
        self.rate, self.pull = settings.rate_of(n), settings.pull
        source, levels = replay
        self._own = torch.arange(n, n + len(source))
        self.loss = stage.loss(
            replace(
                examples,
                row=torch.cat((examples.row, source)),
                lower=torch.cat((examples.lower, levels)),
                upper=torch.cat((examples.upper, levels)),
            )
        )

    def batch(self) -> Tensor:
        own = torch.randint(len(self._own), (self.settings.replay,), generator=self.generator)
        return torch.cat((self.draw(self.settings.batch), self._own[own]))


class _OfNumbers(_Tuning):
    """What draws the numbers of objects."""

    def __init__(
        self, stage: Stage, examples: Examples, table: Table, settings: TuneSettings, device: str
    ) -> None:
        everything, stretches = np.arange(len(table.number)), Stretches.of_table(table, settings.seed)
        super().__init__(stage, everything, table.source_weight, stretches, settings, device)
        self.rate, self.pull = settings.fast_rate, settings.numbers_pull
        self.loss = stage.loss(examples)

    def batch(self) -> Tensor:
        return self.draw(self.settings.numbers_batch)


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in network.state_dict().items()}
