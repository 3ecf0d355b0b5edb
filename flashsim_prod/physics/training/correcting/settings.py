"""How corrections of what models draw learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.training.optimise import FitSettings

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.fitted import FittedModel

#: called with steps done, all steps, and the held-out loss
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True, kw_only=True)
class CorrectionSettings:
    """What is to be said of any correction.

    Attributes
    ----------
    steps, batch, learning_rate : int, int, float
        Of its network.
    draws : int
        Drawn objects for each true one.
    held_out : float
        Share of the true objects that decides when it was best.
    """

    steps: int
    batch: int
    learning_rate: float = 1e-3
    draws: int = 4
    held_out: float = 0.2
    seed: int = 1

    def lasting(self, steps: int | None, *, quick: bool) -> Self:
        """With so many steps, if any are said, and a tenth of that to try things out."""
        steps = steps or self.steps
        return replace(self, steps=max(1, steps // 10) if quick else steps)

    def of_fit(self) -> FitSettings:
        """The same as an optimisation has it."""
        return FitSettings(
            batch=self.batch,
            learning_rate=self.learning_rate,
            held_out=self.held_out,
            average=0.99,
            seed=self.seed,
            report_every=max(1, min(50, self.steps // 10)),
        )


def sampling_to_note(fitted: FittedModel, sampling: Sampling) -> Sampling | None:
    """How a correction says that the draws it knows were made; nothing where what is asked for changes none.

    A student takes its own steps, whatever is asked for.
    """
    return sampling if fitted.kind.integrates and fitted.steps is None else None
