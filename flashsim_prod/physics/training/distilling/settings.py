"""How long students learn, and by how many objects they are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.distilled import steps_of
from flashsim_prod.physics.training.optimise import FitSettings

#: how teachers draw what students are to draw: as requests do
OF_TEACHERS = Sampling()
#: objects without whose conditions there is nothing to teach by
LEAST_OBJECTS = 200


def too_few(objects: int) -> str:
    """What is wrong with so few objects."""
    return f"only {objects} objects to be taught by, at least {LEAST_OBJECTS} are needed"


@dataclass(frozen=True)
class DistilSettings:
    """Defaults by which most students of four evaluations are as good as their teachers.

    Attributes
    ----------
    evaluations : int
        Of the network, that a student draws in; what steps these make follows from their number.
    minutes : float
        Processor time of a model's training on one core; its steps follow from how long some take.
    steps : int, optional
        Of the optimiser, instead of minutes.
    batch : int
        Teacher's draws in each step.
    draws : int
        Of the teacher, in all; each is seen as often as the steps come to.
    objects : int
        Student and teacher are judged by at most.
    """

    evaluations: int = 4
    minutes: float = 3.0
    steps: int | None = None
    batch: int = 512
    rate: float = 1e-3
    average: float = 0.998
    draws: int = 400_000
    objects: int = 100_000
    seed: int = 1

    def fit(self) -> FitSettings:
        """Settings of the training loop, but for the number of steps."""
        return FitSettings(
            batch=self.batch,
            learning_rate=self.rate,
            average=self.average,
            held_out=0.02,
            seed=self.seed,
            report_every=50,
            checkpoint_every=200,
        )

    def terms(self) -> dict[str, Any]:
        """What a student must have been taught by to be taken up again."""
        length = {"minutes": self.minutes} if self.steps is None else {"steps": self.steps}
        alike = ("evaluations", "batch", "rate", "average", "draws", "objects", "seed")
        solver = {"solver": str(steps_of(self.evaluations).solver)}
        return {name: getattr(self, name) for name in alike} | solver | length
