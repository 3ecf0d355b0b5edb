"""Learning a reweighter: a classifier of true objects and drawn ones, and its calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.corrections.reweighter import Reweighter, classifier, clipped, seen
from flashsim_prod.physics.chain.corrections.section import ReweighterSection
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.base import Loss
from flashsim_prod.physics.training.correcting.settings import CorrectionSettings, Progress, sampling_to_note
from flashsim_prod.physics.training.optimise import Optimisation, split_rows
from flashsim_prod.physics.training.table import Table

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ReweightSettings(CorrectionSettings):
    """How a reweighter learns, and what it is for; it is calibrated on what is held out, too.

    Attributes
    ----------
    candidates : int
        Draws of which resampling takes one.
    most : float
        Weights lie between this and its inverse, before they are divided by their mean.
    pull : float
        How near to one the calibration's scale is held, in objects.
    """

    use: WeightUse = WeightUse.RESAMPLE
    candidates: int = 8
    steps: int = 3000
    batch: int = 1024
    most: float = 20.0
    pull: float = 50.0
    hidden: tuple[int, ...] = (128, 128, 64)
    knots: int = 20


class ApartLoss(Loss):
    """Cross-entropy of a classifier that sees true objects, and drawn ones with the same conditions.

    Parameters
    ----------
    conditions : tensor of shape (n, n_conditions)
    truth : tensor of shape (n, n_targets)
    drawn : tensor of shape (draws, n, n_targets)
    """

    def __init__(self, conditions: Tensor, truth: Tensor, drawn: Tensor) -> None:
        self.conditions, self.truth, self.drawn = conditions, truth, drawn
        self.n = len(truth)

    def __call__(self, network: nn.Module, rows: Tensor, generator: torch.Generator, device: str) -> Tensor:
        draw = torch.randint(len(self.drawn), (len(rows),), generator=generator)
        conditions = self.conditions[rows]
        both = torch.cat(
            (
                torch.cat((conditions, self.drawn[draw, rows]), dim=1),
                torch.cat((conditions, self.truth[rows]), dim=1),
            )
        )
        label = torch.arange(2).repeat_interleave(len(rows)).to(device)
        return nn.functional.cross_entropy(network(both.to(device)), label)


def learn_reweighter(
    fitted: FittedModel,
    digest: str,
    table: Table,
    settings: ReweightSettings,
    sampling: Sampling,
    *,
    device: str = "cpu",
    progress: Progress = lambda step, steps, loss: None,
) -> Reweighter:
    """A reweighter of `fitted`, learned from the objects of `table`, which the model must not have seen.

    Parameters
    ----------
    fitted : FittedModel
        Without corrections.
    digest : str
        The model's `model_digest`.
    sampling : Sampling
        How draws are integrated, if its kind does that.
    """
    examples = _examples(fitted, table, settings, sampling)
    torch.manual_seed(settings.seed)
    network = classifier(fitted.model, settings.hidden, settings.knots)
    network.spread_knots(torch.cat((examples.conditions, examples.truth), dim=1))
    work = Optimisation(network.to(device), examples, settings.steps, settings.of_fit(), device)
    work.run(lambda: progress(work.step, work.steps, work.losses[-1][2]))
    network.to("cpu").eval()
    drawn, truth = _held_out_logits(network, examples, settings)
    scale, shift = _calibration(drawn, truth, settings.pull)
    least, most = 1 / settings.most, settings.most
    section = ReweighterSection(
        of=digest,
        use=settings.use,
        candidates=settings.candidates,
        least=least,
        most=most,
        scale=scale,
        shift=shift,
        mean=float(clipped(scale * drawn + shift, least, most).mean()),
        classifier=settings.hidden,
        knots=settings.knots,
        sampling=sampling_to_note(fitted, sampling),
    )
    return Reweighter.trained(section, network)


def _examples(fitted: FittedModel, table: Table, settings: ReweightSettings, sampling: Sampling) -> ApartLoss:
    """True objects and drawn ones, in the numbers that the classifier sees."""
    names = [target.name for target in fitted.model.targets]
    conditions = table.conditions[table.row]
    rng = np.random.default_rng(settings.seed)
    drawn = []
    for _ in range(settings.draws):
        normals = rng.normal(size=(len(conditions), fitted.n_normals))
        made = fitted.sample(conditions, normals, sampling)
        drawn.append(seen([made[name] for name in names], fitted.gaussianisers))
    truth = seen([table.targets[name] for name in names], fitted.gaussianisers)
    return ApartLoss(
        torch.from_numpy(fitted.standardiser(conditions)),
        torch.from_numpy(truth),
        torch.from_numpy(np.stack(drawn)),
    )


def _held_out_logits(network: nn.Module, examples: ApartLoss, settings: ReweightSettings) -> tuple[F64, F64]:
    """Logits of true against drawn of the objects held out: of all drawn ones, and of the true ones."""
    rows, _ = split_rows(examples.n, settings.of_fit())
    conditions = examples.conditions[rows]

    def logits(attributes: Tensor) -> F64:
        with torch.no_grad():
            found = network(torch.cat((conditions, attributes), dim=1)).double().numpy()
        return np.asarray(found[:, 1] - found[:, 0])

    drawn = np.concatenate([logits(one[rows]) for one in examples.drawn])
    return drawn, logits(examples.truth[rows])


def _calibration(drawn: F64, truth: F64, pull: float) -> tuple[float, float]:
    """Scale and shift of the logit by which it is a probability (Platt), both classes alike large."""

    def loss(at: F64) -> tuple[float, F64]:
        scale, shift = at
        of_truth, of_drawn = -(scale * truth + shift), scale * drawn + shift
        wrong, false = 1 / (1 + np.exp(-of_truth)), 1 / (1 + np.exp(-of_drawn))
        held = pull / len(truth)
        value = np.logaddexp(0, of_truth).mean() + np.logaddexp(0, of_drawn).mean()
        slope = np.array(
            [
                (false * drawn).mean() - (wrong * truth).mean() + held * (scale - 1),
                false.mean() - wrong.mean(),
            ]
        )
        return float(value + held * (scale - 1) ** 2 / 2), slope

    bounds = [(0.0, None), (None, None)]
    scale, shift = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(scale), float(shift)
