"""What fine-tuning does with how many objects, and how fast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Done(StrEnum):
    """How far a model was brought: by the objects that there are to learn from."""

    NUMBERS = "numbers only"
    BLENDED = "blended"
    CALIBRATED = "calibrated"
    NUMBERS_TUNED = "calibrated, numbers fine-tuned"
    TUNED = "fine-tuned"


@dataclass(frozen=True)
class TuneSettings:
    """Defaults that were found on a few hundred events of FullSim; what they do is in docs/finetune.md.

    Attributes
    ----------
    least : int
        Objects below which the attributes of a model stay as they are.
    alone : int
        Objects below which marginals are blended with the base's, and networks stay as they are.
    pseudo_objects : float
        What the base's marginals count for where they are blended.
    fast_from : int
        Objects from which what draws the attributes learns at `fast_rate`.
    least_steps, steps_per_row, most_steps
        Steps for a number of rows.
    batch, replay : int
        Rows of the sample, and of the base's own draws, in each step of what draws the attributes.
    numbers_batch : int
        Rows in each step of what draws the numbers.
    pull, numbers_pull : float
        Times the squared distance of the weights from their start, which is added to the loss.
    average : float
        Decay of the moving average of the weights, less at first.
    looks : int
        How often rows that are held out are looked at, for which weights are best.
    patience : int
        Looks after the best one, at which it ends.
    width_of_biases : float
        How far from zero the biases of the numbers are expected.
    is_calibration : bool
        Whether networks stay as they are whatever there is to learn from.
    """

    least: int = 20
    alone: int = 100
    pseudo_objects: float = 20.0
    rate: float = 5e-4
    fast_rate: float = 1e-3
    fast_from: int = 500
    least_steps: int = 200
    steps_per_row: float = 0.6
    most_steps: int = 12_000
    batch: int = 192
    replay: int = 64
    numbers_batch: int = 1024
    pull: float = 1e-4
    numbers_pull: float = 1e-2
    average: float = 0.99
    looks: int = 20
    patience: int = 5
    width_of_biases: float = 1.0
    is_calibration: bool = False
    seed: int = 1

    def done_with(self, objects: int) -> Done:
        """What is done with so many objects."""
        if objects < self.least:
            return Done.NUMBERS
        if objects < self.alone:
            return Done.BLENDED
        return Done.CALIBRATED if self.is_calibration else Done.TUNED

    def steps(self, rows: int) -> int:
        """Steps for so many rows to learn from."""
        return min(self.most_steps, max(self.least_steps, round(self.steps_per_row * rows)))

    def rate_of(self, objects: int) -> float:
        """How fast what draws the attributes learns, at first."""
        return self.fast_rate if objects >= self.fast_from else self.rate

    def quick(self) -> TuneSettings:
        """A tenth of the steps, to try things out."""
        return replace(
            self, least_steps=self.least_steps // 10, steps_per_row=self.steps_per_row / 10, looks=2
        )
