"""Networks whose nodes pass messages to each other: each member of a set with each, its own place among them.

After the message-passing GAN of Kansal et al., arXiv:2106.11535: what a member sends to another depends on
both and on how far they are apart, and each adds up what it is sent. Members that are not there send nothing,
and no member knows its number.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from flashsim_prod.physics.chain.kinds.networks import linear

#: numbers that members are at a distance in
_SPACE = 3


class _Pass(nn.Module):
    """A round of messages, and a residual step of each member that conditions steer."""

    def __init__(self, width: int, messages: int) -> None:
        super().__init__()
        self.sent = linear(width, messages)
        self.received = linear(width, messages, bias=False)
        self.place = linear(width, _SPACE, bias=False)
        self.distance = nn.Parameter(torch.zeros(messages))
        self.first = linear(width + messages, width)
        self.second = linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, hidden: Tensor, share: Tensor, gate: Tensor, shift: Tensor) -> Tensor:
        """`share` is 1 / n where there is one of n members, and 0 where there is none."""
        seen = nn.functional.rms_norm(hidden, hidden.shape[-1:])
        place = self.place(seen)
        apart = (place[:, :, None] - place[:, None, :]).square().sum(dim=3)
        between = self.received(seen)[:, :, None] + self.sent(seen)[:, None, :]
        message = nn.functional.silu(between + apart[..., None] * self.distance)
        heard = torch.einsum("bijm,bj->bim", message, share)
        inner = self.first(torch.cat((seen, heard), dim=2))
        return cast(Tensor, hidden + self.second(nn.functional.silu(inner * (1 + gate) + shift)))


class Passing(nn.Module):
    """What the members of a set become of after some rounds of messages.

    Parameters
    ----------
    n_inputs, n_conditions, n_outputs : int
    width, blocks, messages : int
        Numbers of a member, rounds, and numbers of a message.
    """

    def __init__(
        self, n_inputs: int, n_conditions: int, n_outputs: int, width: int, blocks: int, messages: int
    ) -> None:
        super().__init__()
        # the size of the set is a condition, too
        self.context = nn.Sequential(linear(n_conditions + 1, width), nn.SiLU(), linear(width, width))
        self.from_context = linear(width, width * (2 * blocks + 1))
        self.enter = linear(n_inputs, width, bias=False)
        self.blocks = nn.ModuleList(_Pass(width, messages) for _ in range(blocks))
        self.leave = linear(width, n_outputs)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, inputs: Tensor, conditions: Tensor, present: Tensor) -> Tensor:
        """Shape (sets, places, n_outputs), of `inputs` (sets, places, n_inputs)."""
        return cast(Tensor, self.leave(nn.functional.silu(self.hidden(inputs, conditions, present))))

    def hidden(self, inputs: Tensor, conditions: Tensor, present: Tensor) -> Tensor:
        """What members know in the end, shape (sets, places, width)."""
        size = present.sum(dim=1, keepdim=True).clamp(min=1).to(inputs)
        share = present.to(inputs) / size
        seen = torch.cat((conditions, size.log() - 2), dim=1)
        steering = self.from_context(nn.functional.silu(self.context(seen)))[:, None, :]
        start, *rest = steering.chunk(2 * len(self.blocks) + 1, dim=2)
        hidden = self.enter(inputs) + start
        for block, gate, shift in zip(self.blocks, rest[::2], rest[1::2], strict=True):
            hidden = block(hidden, share, gate, shift)
        return cast(Tensor, hidden)


class SetGenerator(Passing):
    """What comes in, and what conditions and the other members add to it: nothing, before it has learned.

    Of normal numbers it then makes members that are independent and distributed as their knots say.
    """

    def __init__(self, n_targets: int, n_conditions: int, width: int, blocks: int, messages: int) -> None:
        super().__init__(n_targets, n_conditions, n_targets, width, blocks, messages)

    def forward(self, inputs: Tensor, conditions: Tensor, present: Tensor) -> Tensor:
        """Shape (sets, places, n_targets), as `inputs`."""
        return inputs + super().forward(inputs, conditions, present)


class SetCritic(Passing):
    """A number for each set."""

    def __init__(self, n_targets: int, n_conditions: int, width: int, blocks: int, messages: int) -> None:
        super().__init__(n_targets, n_conditions, 1, width, blocks, messages)
        self.judge = nn.Sequential(linear(width, width), nn.SiLU())

    def forward(self, inputs: Tensor, conditions: Tensor, present: Tensor) -> Tensor:
        """Shape (sets, 1)."""
        share = present.to(inputs) / present.sum(dim=1, keepdim=True).clamp(min=1)
        hidden = nn.functional.silu(self.hidden(inputs, conditions, present))
        return cast(Tensor, self.leave(self.judge(torch.einsum("biw,bi->bw", hidden, share))))
