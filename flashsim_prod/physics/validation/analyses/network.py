"""The network at the end of an analysis: half of the generator events train it, the others test it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.runs import event_weights
from flashsim_prod.physics.validation.analyses.selections import DNN, Analysis
from flashsim_prod.physics.validation.models.figures import Light, light
from flashsim_prod.physics.validation.statistics.clustered import Entries
from flashsim_prod.physics.validation.statistics.distances import F64, I64, Measured

#: events of each process that a network can be trained with at all
_MIN_TRAINING = 50
#: differences of two areas under ROC curves up to which they are green, and amber
AREA_LIMITS = (0.01, 0.03)
#: samples of generator events, drawn with replacement, that the error of an area is taken from
_BOOTSTRAPS = 50


@dataclass(frozen=True)
class Reconstruction:
    """Features of one process by one simulation, with the generator event of each event."""

    features: dict[str, F64]
    gen: I64
    weight: F64
    flow: list[NDArray[np.bool_]]

    @staticmethod
    def of(events: Events, analysis: Analysis) -> Reconstruction:
        features = analysis.features(events)
        gen = events.scalars["FlashSim_genEvent"].astype(np.int64)
        weight = event_weights(events)
        return Reconstruction(features, gen, weight, analysis.flow(features))

    def entries(self, values: F64, chosen: NDArray[np.bool_]) -> Entries:
        return Entries(values[chosen], self.gen[chosen], self.weight[chosen])

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Every other generator event: the network is trained on the others."""
        odd: NDArray[np.bool_] = self.gen % 2 == 1
        return odd


@dataclass(frozen=True)
class Separation:
    """How well the network tells signal from background: areas under the ROC curve.

    Attributes
    ----------
    sample, reference, difference : Measured
        Errors from drawing generator events anew; what both simulations share cancels in the difference.
    """

    sample: Measured
    reference: Measured
    difference: Measured

    @property
    def light(self) -> Light:
        """The verdict: green too if 0 is within two errors."""
        distance = abs(self.difference.value)
        return Light.GREEN if distance <= 2 * self.difference.error else light(distance, AREA_LIMITS)


def _inputs(one: Reconstruction, analysis: Analysis) -> F64:
    return np.stack([one.features[name] for name in analysis.inputs], axis=1)


def train(analysis: Analysis, reference: list[Reconstruction], seed: int) -> tuple[Pipeline, int]:
    """The network, trained on the reference detector's signal and backgrounds.

    All backgrounds are alike in number, and together as many as the signal.
    """
    rng = np.random.default_rng(seed)
    rows = [_inputs(one, analysis)[one.flow[analysis.trained_after] & ~one.held_out] for one in reference]
    fewest = min(len(part) for part in rows)
    if fewest < _MIN_TRAINING:
        raise InputError(
            f"{analysis.name}: only {fewest} events pass the first cuts, too few to train a network with; "
            "take more --gen-events or a larger --oversample"
        )
    backgrounds = len(rows) - 1
    of_each = min(len(rows[0]) // backgrounds, *(len(part) for part in rows[1:]))
    numbers = [of_each * backgrounds] + [of_each] * backgrounds
    chosen = np.concatenate(
        [part[rng.permutation(len(part))[:number]] for part, number in zip(rows, numbers, strict=True)]
    )
    label = np.repeat([1, 0], of_each * backgrounds)
    network = make_pipeline(
        StandardScaler(),
        MLPClassifier((64, 32), alpha=1e-3, early_stopping=True, max_iter=100, random_state=seed % 2**32),
    )
    # threads that wait actively for each other take many times longer on shared cores
    with threadpool_limits(limits=1):
        network.fit(chosen, label)
    return network, len(chosen)


def scored(one: Reconstruction, network: Pipeline, analysis: Analysis) -> Reconstruction:
    """The same with the network's output, NaN for events that it was not made for."""
    output = np.full(len(one.gen), np.nan)
    there = one.flow[analysis.trained_after]
    if there.any():
        with threadpool_limits(limits=1):
            output[there] = network.predict_proba(_inputs(one, analysis)[there])[:, 1]
    return Reconstruction({**one.features, DNN.name: output}, one.gen, one.weight, one.flow)


@dataclass(frozen=True)
class _Scores:
    """The network's output for the held-out events of one process, with their generator events."""

    output: F64
    gen: I64

    @staticmethod
    def of(one: Reconstruction, analysis: Analysis) -> _Scores:
        kept = one.flow[analysis.trained_after] & one.held_out
        return _Scores(one.features[DNN.name][kept], one.gen[kept])


def separation(processes: list[list[Reconstruction]], analysis: Analysis, seed: int) -> Separation:
    """Areas of both simulations, with errors from the same draws of generator events for both."""
    scores = [[_Scores.of(one, analysis) for one in process] for process in processes]
    nominal = np.array([_auc([process[side] for process in scores], None) for side in (0, 1)])
    drawn = []
    for number in range(_BOOTSTRAPS):
        rng = np.random.default_rng([seed, number])
        times = [_times_drawn(process, rng) for process in scores]
        drawn.append([_auc([process[side] for process in scores], times) for side in (0, 1)])
    areas = np.array(drawn)
    errors = areas.std(axis=0, ddof=1)
    difference = float((areas[:, 0] - areas[:, 1]).std(ddof=1))
    return Separation(
        Measured(float(nominal[0]), float(errors[0])),
        Measured(float(nominal[1]), float(errors[1])),
        Measured(float(nominal[0] - nominal[1]), difference),
    )


def _times_drawn(process: list[_Scores], rng: np.random.Generator) -> F64:
    """How often each generator event comes in another sample of the same luminosity."""
    most = max(int(one.gen.max(initial=0)) for one in process) + 1
    return rng.poisson(1.0, most).astype(np.float64)


def _auc(processes: list[_Scores], times: list[F64] | None) -> float:
    """Signal against all backgrounds, of which each counts as much as the others."""
    weights = [
        np.ones(len(one.gen)) if times is None else times[number][one.gen]
        for number, one in enumerate(processes)
    ]
    weights = [weight / max(weight.sum(), 1e-9) for weight in weights]
    label = np.repeat([1, *[0] * (len(processes) - 1)], [len(one.gen) for one in processes])
    output = np.concatenate([one.output for one in processes])
    return float(roc_auc_score(label, output, sample_weight=np.concatenate(weights)))
