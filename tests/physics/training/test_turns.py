"""Networks that take turns: each moves what is its own, and an interruption changes nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from flashsim_prod.physics.chain.kinds.base import Loss, Turn
from flashsim_prod.physics.training.optimise import FitSettings, Optimisation

SETTINGS = FitSettings(batch=64, learning_rate=1e-2, report_every=5)
FAST = partial(torch.optim.Adam, betas=(0.0, 0.9))
TURNS = (Turn("right", ("right",), steps=3, optimiser=FAST), Turn("left", ("left",), rate=0.1))


class TwoSided(Loss):
    """`left` is to follow `right`, which is to go away from it, and all is judged by the first."""

    n = 1000

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.x = torch.randn(self.n, 2, generator=torch.Generator().manual_seed(1))

    def __call__(self, network, rows, generator, device):
        return self._between(network, rows)

    def in_turn(self, turn, network, rows, generator, device):
        self.asked.append(turn)
        noise = torch.rand(1, generator=generator)
        between = self._between(network, rows)
        return between + noise if turn == "left" else (1 + noise) * (1 - between).square()

    def _between(self, network, rows):
        x = self.x[rows]
        return (network["left"](x) - network["right"](x)).square().mean()


def _work(turns=TURNS) -> Optimisation:
    torch.manual_seed(1)
    network = nn.ModuleDict({"left": nn.Linear(2, 1), "right": nn.Linear(2, 1), "still": nn.Linear(2, 1)})
    return Optimisation(network, TwoSided(), 20, SETTINGS, "cpu", turns)


def test_turns_are_taken_in_order_with_their_own_steps():
    work = _work()
    work.advance(2)
    assert work.loss.asked == ["right", "right", "right", "left"] * 2
    assert work.step == 2


@pytest.mark.parametrize("one", TURNS, ids=lambda turn: turn.name)
def test_a_turn_moves_what_it_trains_and_nothing_else(one):
    work = _work((one,))
    before = {name: tensor.clone() for name, tensor in work.network.state_dict().items()}
    work.advance(3)
    moved = {name for name, tensor in work.network.state_dict().items() if not tensor.equal(before[name])}
    assert moved == {f"{one.name}.weight", f"{one.name}.bias"}


def test_a_rate_is_a_share_of_what_the_settings_say():
    fast, slow = _work((replace(TURNS[1], rate=1.0),)), _work((replace(TURNS[1], rate=0.01),))
    start = slow.network["left"].weight.clone()
    fast.advance(1)
    slow.advance(1)
    way = [float((work.network["left"].weight - start).abs().max().detach()) for work in (fast, slow)]
    assert way[1] == pytest.approx(0.01 * way[0], rel=0.05)


def test_what_is_kept_is_judged_by_the_loss_itself():
    work = _work()
    work.advance(10)
    judged = work.losses[-1][2]
    with torch.no_grad():
        again = work.loss._between(work.averaged.module, work._held_out)
    assert judged == pytest.approx(float(again))


def test_interrupted_turns_end_as_undisturbed_ones(tmp_path):
    whole = _work()
    whole.advance(5)
    whole.save(tmp_path / "c.safetensors", 1.0)
    whole.advance(5)
    again = _work()
    assert again.restore(tmp_path / "c.safetensors") == 1.0
    again.advance(5)
    for name, tensor in whole.network.state_dict().items():
        assert tensor.equal(again.network.state_dict()[name]), name
    assert whole.losses == again.losses
    moments = [taken.optimiser.state_dict()["state"] for taken in again._turns]
    assert [int(state[0]["step"]) for state in moments] == [30, 10]
