"""One model of a bundle tuned to a table."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tuning.calibration import calibrated, with_own_draws
from flashsim_prod.physics.training.tuning.settings import Done, TuneSettings
from flashsim_prod.physics.training.tuning.transfer import StageTuned, TuneProgress, tuned


@dataclass(frozen=True)
class Rates:
    """Objects of each source: in the sample, by the base, and by the tuned model."""

    sample: float
    base: float
    tuned: float


@dataclass(frozen=True)
class ModelTuned:
    """What was done with one model.

    Attributes
    ----------
    done : Done
    rows, objects : int
        Sources and objects learned from.
    rates : Rates, optional
        None where every source gives one object, or there is no source.
    kind : str
    stages : mapping of name to StageTuned
        Of the networks that were trained on.
    lacking : tuple of str
        Targets that the tables lack, which stay as they were, as all networks do then.
    seconds : float
    """

    model: str
    done: Done
    rows: int
    objects: int
    rates: Rates | None
    kind: str
    stages: dict[str, StageTuned] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    seconds: float = 0.0


def tune(
    base: FittedModel,
    table: Table,
    settings: TuneSettings,
    *,
    device: str = "cpu",
    progress: TuneProgress = lambda stage, step, steps, loss: None,
) -> tuple[FittedModel, ModelTuned]:
    """`base` calibrated to `table`, and trained on where there are objects enough."""
    started = time.monotonic()
    done = settings.done_with(len(table.row))
    lacking = tuple(target.name for target in base.model.targets if target.name not in table.targets)
    table = with_own_draws(base, table, settings.seed)
    fitted = calibrated(base, table, settings)
    stages: dict[str, StageTuned] = {}
    if done is Done.TUNED and lacking:
        done = Done.CALIBRATED
    elif done is Done.TUNED:
        fitted, stages = tuned(base, fitted, table, settings, device, progress)
        if all(one.is_of_numbers for one in stages.values()):
            done = Done.NUMBERS_TUNED if stages else Done.CALIBRATED
        # what the networks draw is distributed otherwise now
        fitted = calibrated(fitted, table, settings)
    return fitted, ModelTuned(
        base.model.name,
        done,
        len(table.number),
        len(table.row),
        _rates(base, fitted, table),
        base.kind.name,
        stages,
        lacking,
        time.monotonic() - started,
    )


def _rates(base: FittedModel, fitted: FittedModel, table: Table) -> Rates | None:
    most = base.model.most
    if not base.model.draws_number or not len(table.number):
        return None
    weight = table.source_weight / table.source_weight.sum()
    by = [one.probabilities(table.conditions) @ np.arange(most + 1) for one in (base, fitted)]
    return Rates(float(weight @ np.minimum(table.number, most)), float(weight @ by[0]), float(weight @ by[1]))
