"""Transfer learning: networks of a calibrated model trained on from where they are, and held near to it.

Several times, each without a part of the events: what these are explained by networks that they did not
teach says after how many steps to stop, and whether it was of any use. What is kept is the mean of the
networks, which all events have taught.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
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
from flashsim_prod.physics.training.tuning.holding import Judged, Stretches
from flashsim_prod.physics.training.tuning.settings import TuneSettings

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: called with a stage, steps done, all steps, and the held-out loss
TuneProgress = Callable[[str, int, int, float], None]

#: rows of those held out that are looked at: fewer are looked at several times, as losses draw numbers of
#: their own
_FEWEST_LOOKED_AT, _MOST_LOOKED_AT = 2048, 32_768


@dataclass(frozen=True)
class StageTuned:
    """How one stage went.

    Attributes
    ----------
    steps : int
    start, best : float
        Held-out loss at its start, the calibrated model, and of the networks whose mean was kept.
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
    given = _Given(
        examples_of(fitted, table), table, Stretches.of_table(table, settings.seed), settings, device
    )
    found: dict[str, StageTuned] = {}
    for stage in fitted.kind.stages(networks):
        if len(stage.turns) > 1:
            # networks that learn against each other find nothing in a few hundred objects
            continue
        work: _Tuning
        if stage.of_numbers:
            work = _OfNumbers(stage, given)
            before = work.held_out_loss(of_base[stage.name])
        else:
            work = _OfAttributes(stage, given, fitted.with_networks(networks))
            # in numbers that mean other values than after calibration
            before = None
        found[stage.name] = replace(work.run(partial(progress, stage.name)), base=before)
    return fitted.with_networks(networks), found


def _replay(fitted: FittedModel, table: Table, settings: TuneSettings) -> tuple[Tensor, Tensor]:
    """What the model draws itself: the sources, and levels of each target."""
    latents = drawn_latents(fitted, table, settings.seed + 1, Sampling())
    levels = np.clip(ndtr(latents.astype(np.float64)), EDGE, 1 - EDGE).astype(np.float32)
    return torch.from_numpy(np.tile(table.row, len(levels))), torch.from_numpy(np.concatenate(levels))


#: weights of a network, by name
_State = dict[str, Tensor]


class _Part:
    """The rows of a stage that are learned from, and those that are held out, for one of its trainings."""

    def __init__(self, learned: Bools, held_out: Bools, weight: F64, seed: int) -> None:
        self.learned = torch.from_numpy(np.flatnonzero(learned))
        self.weight = torch.from_numpy(weight[learned])
        rows = torch.from_numpy(np.flatnonzero(held_out))
        if len(rows) > _MOST_LOOKED_AT:
            rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
        self.looked_at = rows[:_MOST_LOOKED_AT].repeat(-(-_FEWEST_LOOKED_AT // len(rows)))
        self.held_out = held_out


@dataclass(frozen=True)
class _Look:
    """A training on its way: losses of what is learned and of what is held out, and the averaged weights."""

    step: int
    losses: tuple[float, float]
    state: _State


@dataclass(frozen=True)
class _Given:
    """What all stages of a model learn from and are judged by, and how."""

    examples: Examples
    table: Table
    stretches: Stretches
    settings: TuneSettings
    device: str


class _Tuning:
    """One stage's optimisation; what differs between stages is in those that follow."""

    loss: Loss
    pull: float
    rate: float

    def __init__(self, stage: Stage, given: _Given, source: I64, weight: F64) -> None:
        self.network, self.settings, self.device = stage.network, given.settings, given.device
        self.source, self.weight, self.stretches = source, weight, given.stretches
        parts = [(learned[source], others[source]) for learned, others in given.stretches.parts()]
        self.parts = [
            _Part(learned, others & (weight > 0), weight, given.settings.seed)
            for learned, others in parts
            if weight[learned].sum() > 0 and weight[others].sum() > 0
        ]
        learned_from = np.mean([len(part.learned) for part in self.parts]) if self.parts else 0
        self.steps = max(1, round(stage.share * given.settings.steps(round(learned_from))))

    def batch(self, draw: Callable[[int], Tensor], generator: torch.Generator) -> Tensor:
        """Rows of the next step; `draw` gives so many of those to learn from, by their weights."""
        raise NotImplementedError

    def gain(self, begun: _State, states: list[_State]) -> F64:
        """What each row that a part held out is explained better by the state that the part led to."""
        raise NotImplementedError

    def run(self, progress: Callable[[int, int, float], None]) -> StageTuned:
        """Train in place; the network ends as the mean of what parts led to if that holds, or as it was."""
        begun, first = _state(self.network), self.held_out_loss(self.network)
        trainings = [self._training(copy.deepcopy(self.network), part) for part in self.parts]
        looks: list[tuple[int, float, float]] = []
        best, states = first, [begun]
        at_best = 0
        for found in zip(*trainings, strict=True):
            training, held_out = np.mean([one.losses for one in found], axis=0).tolist()
            looks.append((found[0].step, training, held_out))
            progress(found[0].step, self.steps, held_out)
            if held_out < best:
                best, states, at_best = held_out, [one.state for one in found], len(looks)
            elif len(looks) - at_best >= self.settings.patience:
                break
        is_better = best < first and self.stretches.hold(self.gain(begun, states), self.source)
        if is_better:
            self._load(_mean(states))
            # the mean of networks that are far from each other may be none
            is_better = self.held_out_loss(self.network) < first
        if not is_better:
            self._load(begun)
        return StageTuned(self.steps, first, best if is_better else first, None, tuple(looks))

    def _training(self, network: nn.Module, part: _Part) -> Iterator[_Look]:
        """What there is at each look while `network` learns."""
        settings, generator = self.settings, torch.Generator().manual_seed(self.settings.seed)
        network.to(self.device)
        start = [parameter.detach().clone() for parameter in network.parameters()]
        averaged = AveragedModel(network, avg_fn=growing_average(settings.average))
        optimiser = torch.optim.Adam(network.parameters(), lr=self.rate)
        losses: list[float] = []

        def draw(number: int) -> Tensor:
            chosen = torch.multinomial(part.weight, number, replacement=True, generator=generator)
            return part.learned[chosen]

        for step in range(self.steps):
            for group in optimiser.param_groups:
                group["lr"] = self.rate * (1 + math.cos(math.pi * step / self.steps)) / 2
            optimiser.zero_grad(set_to_none=True)
            network.train()
            loss = self.loss(network, self.batch(draw, generator), generator, self.device)
            losses.append(loss.item())
            moved = [
                (now - then).square().sum() for now, then in zip(network.parameters(), start, strict=True)
            ]
            (loss + self.pull * torch.stack(moved).sum()).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            averaged.update_parameters(network)
            if self._is_time_to_look(step + 1):
                now = self._loss_on(averaged.module, part.looked_at)
                yield _Look(step + 1, (float(np.mean(losses)), now), _state(averaged.module))
                losses.clear()

    def _is_time_to_look(self, step: int) -> bool:
        return step == self.steps or step % max(1, self.steps // self.settings.looks) == 0

    def _load(self, state: _State) -> None:
        self.network.load_state_dict(state)
        self.network.to("cpu").eval()

    def held_out_loss(self, network: nn.Module) -> float:
        """The mean loss on what parts hold out, of one network for all."""
        return float(np.mean([self._loss_on(network, part.looked_at) for part in self.parts] or [0.0]))

    def _loss_on(self, network: nn.Module, rows: Tensor) -> float:
        """The loss on rows, each time with the same numbers drawn."""
        network.to(self.device).eval()
        with torch.no_grad():
            generator = torch.Generator().manual_seed(self.settings.seed)
            return float(self.loss(network, rows, generator, self.device))


class _OfAttributes(_Tuning):
    """What draws the attributes: beside the sample it goes on learning what it draws itself."""

    def __init__(self, stage: Stage, given: _Given, fitted: FittedModel) -> None:
        table, examples, settings = given.table, given.examples, given.settings
        n = len(table.row)
        super().__init__(stage, given, table.row, table.object_weight)
        self.rate, self.pull = settings.rate_of(n), settings.pull
        self.fitted, self.table = fitted, table
        source, levels = _replay(fitted, table, settings)
        self._own = torch.arange(n, n + len(source))
        self.loss = stage.loss(
            replace(
                examples,
                row=torch.cat((examples.row, source)),
                lower=torch.cat((examples.lower, levels)),
                upper=torch.cat((examples.upper, levels)),
            )
        )

    def batch(self, draw: Callable[[int], Tensor], generator: torch.Generator) -> Tensor:
        own = torch.randint(len(self._own), (self.settings.replay,), generator=generator)
        return torch.cat((draw(self.settings.batch), self._own[own]))

    def gain(self, begun: _State, states: list[_State]) -> F64:
        everything, gain = np.ones(len(self.source), dtype=bool), np.zeros(len(self.source))
        before = self._drawn(begun, everything)
        judged = Judged.by(self.table, before)
        for part, state in zip(self.parts, states, strict=True):
            there = part.held_out
            then = {name: column[:, there] for name, column in before.items()}
            gain[there] = judged.missed(then, there) - judged.missed(self._drawn(state, there), there)
        return gain * self.weight

    def _drawn(self, state: _State, objects: Bools) -> dict[str, F64]:
        """What is drawn with these weights for some objects of the table, of the same numbers each time."""
        self._load(state)
        # in the form that draws, which is made of the weights that are there now
        fitted = self.fitted.with_networks(self.fitted.networks)
        return fitted.targets(drawn_latents(fitted, self.table, self.settings.seed + 3, Sampling(), objects))


class _OfNumbers(_Tuning):
    """What draws the numbers of objects."""

    def __init__(self, stage: Stage, given: _Given) -> None:
        super().__init__(stage, given, np.arange(len(given.table.number)), given.table.source_weight)
        self.rate, self.pull = given.settings.fast_rate, given.settings.numbers_pull
        self.loss = stage.loss(given.examples)

    def batch(self, draw: Callable[[int], Tensor], generator: torch.Generator) -> Tensor:
        return draw(self.settings.numbers_batch)

    def gain(self, begun: _State, states: list[_State]) -> F64:
        gain, stretch = np.zeros(len(self.source)), self.stretches.of
        for part, state in zip(self.parts, states, strict=True):
            for sign, each in ((1, begun), (-1, state)):
                self._load(each)
                for one in np.unique(stretch[part.held_out]):
                    rows = np.flatnonzero(part.held_out & (stretch == one))
                    gain[rows] += sign * self._loss_on(self.network, torch.from_numpy(rows))
        return gain * self.weight


def _state(network: nn.Module) -> _State:
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def _mean(states: list[_State]) -> _State:
    """Of weights that began alike; what counts is as in the first."""
    return {
        key: torch.stack([one[key] for one in states]).mean(dim=0) if value.is_floating_point() else value
        for key, value in states[0].items()
    }
