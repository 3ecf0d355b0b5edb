"""FlashSim next to the reference detector in an analysis: cut flow, distributions, and the final network.

Both reconstruct the same generator events, so what these have in common cancels in every comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.validation.analyses.network import (
    Reconstruction,
    Separation,
    scored,
    separation,
    train,
)
from flashsim_prod.physics.validation.analyses.samples import Simulator, generator_events, reconstructed
from flashsim_prod.physics.validation.analyses.selections import Analysis, Feature
from flashsim_prod.physics.validation.dataset.figures import SHAPE_LIMITS, judged
from flashsim_prod.physics.validation.dataset.samples import Progress
from flashsim_prod.physics.validation.models.figures import Light, light, worst
from flashsim_prod.physics.validation.statistics.clustered import (
    Entries,
    Test,
    distances,
    mean_and_width,
    shape_test,
)
from flashsim_prod.physics.validation.statistics.distances import Measured

#: deviations of an efficiency's ratio from 1 up to which it is green, and amber
FLOW_LIMITS = (0.05, 0.10)
SIGNAL_REGION = "signal region"
#: entries, and generator events, below which distributions are not compared
_MIN_ENTRIES, _MIN_GEN = 100, 30


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
    auc : Separation
    trained_on : int
        Reconstructed events, of generator events that nothing here is compared with.
    """

    analysis: Analysis
    processes: tuple[ProcessComparison, ...]
    auc: Separation
    trained_on: int

    @property
    def light(self) -> Light:
        """The worst of all."""
        return worst([self.auc.light, *(one.light for one in self.processes)])


def compare_analysis(
    analysis: Analysis,
    cards: Sequence[ProcessCard],
    chain: Simulator,
    folder: Path,
    *,
    n_gen: int,
    folds: int,
    seed: int,
    progress: Progress,
) -> AnalysisComparison:
    """Generate signal and backgrounds, reconstruct them by both simulations, and compare.

    Parameters
    ----------
    analysis : Analysis
    cards : sequence of ProcessCard
        Of the analysis' processes.
    chain : Simulator
        FlashSim.
    folder : Path
        Where generator events are kept.
    n_gen, folds : int
        Generator events of the signal, and reconstructions of each event by either simulation.
    seed : int
    progress : callable

    Raises
    ------
    InputError
        If too few events pass the first cuts to train a network with.
    """
    numbers = [n_gen * process.share for process in analysis.processes]
    found = [
        _reconstruct(analysis, card, chain, folder, n_gen=number, folds=folds, seed=seed, progress=progress)
        for card, number in zip(cards, numbers, strict=True)
    ]
    progress("training", 0, 1)
    network, trained_on = train(analysis, [process[1] for process in found], seed)
    progress("training", 1, 1)
    found = [[scored(one, network, analysis) for one in process] for process in found]
    processes = tuple(
        _compare(analysis, card, position == 0, number, folds, *both)
        for position, (card, number, both) in enumerate(zip(cards, numbers, found, strict=True))
    )
    return AnalysisComparison(analysis, processes, separation(found, analysis, seed), trained_on)


def _reconstruct(
    analysis: Analysis,
    card: ProcessCard,
    chain: Simulator,
    folder: Path,
    *,
    n_gen: int,
    folds: int,
    seed: int,
    progress: Progress,
) -> list[Reconstruction]:
    """One process by FlashSim and by the reference detector."""
    gen = generator_events(
        card, folder, energy_tev=card.energies[0].tev, n_events=n_gen, seed=seed, progress=progress
    )
    simulators: tuple[tuple[Simulator, str], ...] = (
        (chain, f"FlashSim, {card.name}"),
        (ReferenceDetector(), f"reference, {card.name}"),
    )
    made = (
        reconstructed(
            gen, one, analysis.needs, folds=folds, seed=seed + number, progress=progress, title=title
        )
        for number, (one, title) in enumerate(simulators)
    )
    return [Reconstruction.of(events, analysis) for events in made]


def _compare(
    analysis: Analysis,
    card: ProcessCard,
    is_signal: bool,
    n_gen: int,
    folds: int,
    sample: Reconstruction,
    reference: Reconstruction,
) -> ProcessComparison:
    names = ["all events", *(name for name, _ in analysis.cuts)]
    flow = [_flow_row(name, step, sample, reference) for step, name in enumerate(names) if step]
    steps = ((analysis.trained_after, names[analysis.trained_after]), (len(analysis.cuts), SIGNAL_REGION))
    distributions = [
        _distribution(
            feature, f"after {name}" if step < len(analysis.cuts) else name, step, sample, reference
        )
        for step, name in steps
        for feature in analysis.shown
    ]
    return ProcessComparison(card.title, is_signal, n_gen, folds, tuple(flow), tuple(distributions))


def _flow_row(name: str, step: int, sample: Reconstruction, reference: Reconstruction) -> FlowRow:
    rates = [
        mean_and_width(one.entries(one.flow[step].astype(np.float64), np.ones(len(one.gen), dtype=bool)))[0]
        for one in (sample, reference)
    ]
    return FlowRow(name, rates[0].measured, rates[1].measured, rates[0].ratio(rates[1]))


def _distribution(
    feature: Feature, region: str, step: int, sample: Reconstruction, reference: Reconstruction
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
