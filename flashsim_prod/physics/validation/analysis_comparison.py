"""FlashSim next to the reference detector in an analysis: cut flow, distributions, and the final network.

Both reconstruct the same generator events, so what these have in common cancels in every comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.errors import InputError
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.validation.analyses import Analysis, Feature
from flashsim_prod.physics.validation.clustered import (
    Entries,
    Test,
    distances,
    mean_and_width,
    shape_test,
)
from flashsim_prod.physics.validation.dataset_figures import SHAPE_LIMITS, judged
from flashsim_prod.physics.validation.figures import Light, light, worst
from flashsim_prod.physics.validation.made_samples import Simulator, generator_events, reconstructed
from flashsim_prod.physics.validation.samples import Progress
from flashsim_prod.physics.validation.statistics import F64, I64, Measured

#: deviations of an efficiency's ratio from 1 up to which it is green, and amber
FLOW_LIMITS = (0.05, 0.10)
#: entries, and generator events, below which distributions are not compared
_MIN_ENTRIES, _MIN_GEN = 100, 30
#: events that a network can be trained with at all
_MIN_TRAINING = 50


@dataclass(frozen=True)
class FlowRow:
    """Efficiency of all cuts up to one.

    Attributes
    ----------
    sample, reference, ratio : Measured
        Ratio None where nothing is left.
    """

    name: str
    sample: Measured
    reference: Measured
    ratio: Measured | None

    @property
    def light(self) -> Light | None:
        """The verdict: green too if 1 is within two errors."""
        if self.ratio is None:
            return None
        deviation = abs(self.ratio.value - 1)
        return Light.GREEN if deviation <= 2 * self.ratio.error else light(deviation, FLOW_LIMITS)


@dataclass(frozen=True)
class Distribution:
    """A feature in both samples, after some of the cuts.

    Attributes
    ----------
    region : str
    sample, reference : Entries
    """

    feature: Feature
    region: str
    sample: Entries
    reference: Entries
    wasserstein: float
    ks: float
    test: Test

    @property
    def light(self) -> Light | None:
        """The verdict; none where there are too few entries."""
        if not self.test.ndf:
            return None
        return judged(max(self.wasserstein, self.ks), SHAPE_LIMITS, self.test.p_value)


@dataclass(frozen=True)
class ProcessComparison:
    """One process in one analysis."""

    title: str
    is_signal: bool
    n_gen: int
    folds: int
    flow: tuple[FlowRow, ...]
    distributions: tuple[Distribution, ...]

    @property
    def light(self) -> Light:
        """The worst of all."""
        found = [*(one.light for one in self.flow), *(one.light for one in self.distributions)]
        return worst([one for one in found if one is not None])


@dataclass(frozen=True)
class AnalysisComparison:
    """All of one analysis.

    Attributes
    ----------
    auc : (float, float)
        How well the network tells signal from background, in FlashSim and in the reference.
    trained_on : int
        Reconstructed events, of generator events that nothing here is compared with.
    """

    analysis: Analysis
    processes: tuple[ProcessComparison, ...]
    auc: tuple[float, float]
    trained_on: int

    @property
    def light(self) -> Light:
        """The worst of all."""
        return worst([one.light for one in self.processes])


@dataclass(frozen=True)
class _Reconstruction:
    """Features of one process by one simulation, with the generator event of each event."""

    features: dict[str, F64]
    gen: I64
    weight: F64
    flow: list[NDArray[np.bool_]]

    @staticmethod
    def of(events: Events, analysis: Analysis) -> _Reconstruction:
        features = analysis.features(events)
        gen = events.scalars["FlashSim_genEvent"].astype(np.int64)
        weight = events.scalars["genWeight"].astype(np.float64)
        return _Reconstruction(features, gen, weight, analysis.flow(features))

    def entries(self, values: F64, chosen: NDArray[np.bool_]) -> Entries:
        return Entries(values[chosen], self.gen[chosen], self.weight[chosen])

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Every other generator event: the network is trained on the others."""
        odd: NDArray[np.bool_] = self.gen % 2 == 1
        return odd


def compare_analysis(
    analysis: Analysis,
    cards: tuple[ProcessCard, ProcessCard],
    chain: Simulator,
    folder: Path,
    *,
    n_gen: int,
    folds: int,
    seed: int,
    progress: Progress,
) -> AnalysisComparison:
    """Generate signal and background, reconstruct both by both simulations, and compare.

    Parameters
    ----------
    analysis : Analysis
    cards : (ProcessCard, ProcessCard)
        Of signal and background.
    chain : Simulator
        FlashSim.
    folder : Path
        Where generator events are kept.
    n_gen, folds : int
        Generator events of each process, and reconstructions of each by either simulation.
    seed : int
    progress : callable

    Raises
    ------
    InputError
        If too few events pass the first cuts to train a network with.
    """
    found = []
    for card in cards:
        gen = generator_events(
            card, folder, energy_tev=card.energies[0].tev, n_events=n_gen, seed=seed, progress=progress
        )
        simulators: tuple[tuple[Simulator, str], ...] = (
            (chain, f"FlashSim, {card.name}"),
            (ReferenceDetector(), f"reference, {card.name}"),
        )
        both = [
            reconstructed(
                gen, one, analysis.needs, folds=folds, seed=seed + number, progress=progress, title=title
            )
            for number, (one, title) in enumerate(simulators)
        ]
        found.append([_Reconstruction.of(events, analysis) for events in both])
    progress("training", 0, 1)
    network, trained_on = _train(analysis, [process[1] for process in found], seed)
    progress("training", 1, 1)
    scored = [[_scored(one, network, analysis) for one in process] for process in found]
    processes = tuple(
        _compare(analysis, card, is_signal, n_gen, folds, *process)
        for card, is_signal, process in zip(cards, (True, False), scored, strict=True)
    )
    auc = tuple(_auc(scored[0][side], scored[1][side], analysis) for side in (0, 1))
    return AnalysisComparison(analysis, processes, (auc[0], auc[1]), trained_on)


def _inputs(one: _Reconstruction, analysis: Analysis) -> F64:
    return np.stack([one.features[name] for name in analysis.inputs], axis=1)


def _train(analysis: Analysis, reference: list[_Reconstruction], seed: int) -> tuple[Pipeline, int]:
    """The network, trained on the reference detector's signal and background, alike in number."""
    rng = np.random.default_rng(seed)
    rows = [_inputs(one, analysis)[one.flow[analysis.trained_after] & ~one.held_out] for one in reference]
    number = min(len(part) for part in rows)
    if number < _MIN_TRAINING:
        raise InputError(
            f"{analysis.name}: only {number} events pass the first cuts, too few to train a network with; "
            "take more --gen-events or a larger --oversample"
        )
    chosen = np.concatenate([part[rng.permutation(len(part))[:number]] for part in rows])
    label = np.repeat([1, 0], number)
    network = make_pipeline(
        StandardScaler(),
        MLPClassifier((64, 32), alpha=1e-3, early_stopping=True, max_iter=100, random_state=seed % 2**32),
    )
    # threads that wait actively for each other take many times longer on shared cores
    with threadpool_limits(limits=1):
        network.fit(chosen, label)
    return network, len(chosen)


def _scored(one: _Reconstruction, network: Pipeline, analysis: Analysis) -> _Reconstruction:
    """The same with the network's output, NaN for events that it was not made for."""
    output = np.full(len(one.gen), np.nan)
    there = one.flow[analysis.trained_after]
    if there.any():
        with threadpool_limits(limits=1):
            output[there] = network.predict_proba(_inputs(one, analysis)[there])[:, 1]
    return _Reconstruction({**one.features, "DNN": output}, one.gen, one.weight, one.flow)


def _auc(signal: _Reconstruction, background: _Reconstruction, analysis: Analysis) -> float:
    kept = [one.flow[analysis.trained_after] & one.held_out for one in (signal, background)]
    scores = [one.features["DNN"][mask] for one, mask in zip((signal, background), kept, strict=True)]
    label = np.repeat([1, 0], [len(part) for part in scores])
    return float(roc_auc_score(label, np.concatenate(scores)))


def _compare(
    analysis: Analysis,
    card: ProcessCard,
    is_signal: bool,
    n_gen: int,
    folds: int,
    sample: _Reconstruction,
    reference: _Reconstruction,
) -> ProcessComparison:
    names = ["all events", *(name for name, _ in analysis.cuts)]
    flow = [_flow_row(name, step, sample, reference) for step, name in enumerate(names) if step]
    steps = ((analysis.trained_after, names[analysis.trained_after]), (len(analysis.cuts), "signal region"))
    distributions = [
        _distribution(
            feature, f"after {name}" if step < len(analysis.cuts) else name, step, sample, reference
        )
        for step, name in steps
        for feature in analysis.shown
    ]
    return ProcessComparison(card.title, is_signal, n_gen, folds, tuple(flow), tuple(distributions))


def _flow_row(name: str, step: int, sample: _Reconstruction, reference: _Reconstruction) -> FlowRow:
    rates = [
        mean_and_width(one.entries(one.flow[step].astype(np.float64), np.ones(len(one.gen), dtype=bool)))[0]
        for one in (sample, reference)
    ]
    return FlowRow(name, rates[0].measured, rates[1].measured, rates[0].ratio(rates[1]))


def _distribution(
    feature: Feature, region: str, step: int, sample: _Reconstruction, reference: _Reconstruction
) -> Distribution:
    first, second = (
        one.entries(one.features[feature.name], one.flow[step] & one.held_out) for one in (sample, reference)
    )
    enough = min(len(first), len(second)) >= _MIN_ENTRIES and all(
        len(np.unique(one.gen)) >= _MIN_GEN for one in (first, second)
    )
    if not enough:
        return Distribution(feature, region, first, second, 0.0, 0.0, Test(0.0, 0, 1.0))
    return Distribution(
        feature, region, first, second, *distances(first, second), shape_test(first, second, discrete=False)
    )
