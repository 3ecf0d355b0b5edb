"""Proof that the uncertainties of oversampled histograms are right, with the reference detector.

A sample of N events is compared with N/6 generator events that are oversampled, many times over. The
population is a pool of generator events with many reconstructions of each: a toy draws generator events from
it with replacement and of each as many reconstructions as it takes folds. If the uncertainties are right, the
differences between the two samples, in units of them, have unit width, and chi2 has its distribution.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hist
import numpy as np
from scipy import stats

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.errors import InputError
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.oversampling import OversampledHist
from flashsim_prod.physics.validation.analyses.samples import generator_events, reconstructed
from flashsim_prod.physics.validation.dataset.observables import Observable, of_quantity
from flashsim_prod.physics.validation.dataset.samples import StageProgress
from flashsim_prod.physics.validation.quantities import QUANTITIES
from flashsim_prod.physics.validation.statistics.clustered import chi2_test
from flashsim_prod.physics.validation.statistics.distances import F64, I64

#: the whole sample has so many times the generator events of the oversampled one
SHARE = 6
#: bins of every observable
_BINS = 12
#: mean number of generator events below which a bin is too few for its difference to be nearly Gaussian
_MIN_EXPECTED = 25
#: a p-value below which the claim that was tested is false
REFUTED = 1e-4


@dataclass(frozen=True)
class Treatment:
    """One way to give uncertainties to the bins of an oversampled histogram, tested with many toys.

    Attributes
    ----------
    width : float
        Of the pulls; 1 if the uncertainties are right.
    width_error : float
        Statistical, from toy to toy.
    p_value : float
        Probability that pulls with right uncertainties have a width so far from 1.
    chi2_p_value : float
        Probability that the p-values of the toys' chi2 come from a uniform distribution.
    """

    width: float
    width_error: float
    p_value: float
    chi2_p_value: float

    @property
    def holds(self) -> bool:
        """Whether neither test refutes it."""
        return min(self.p_value, self.chi2_p_value) >= REFUTED


@dataclass(frozen=True)
class Proof:
    """What came of one observable with one oversampling factor.

    Attributes
    ----------
    observable : str
    label : str
    folds : int
    correlated, naive : Treatment
        With the folds of a generator event taken as correlated, and as independent.
    gain : float
        Generator events that one would need without oversampling for the same uncertainties, over those
        used: mean over the bins, in the shares in which they are filled.
    edges, whole, whole_error, oversampled, oversampled_error, naive_error : tuples of float
        One toy, for a figure: generator events of each bin, the oversampled ones scaled by `SHARE`.
    pulls, naive_pulls : tuples of float
        All of them, with the folds correlated, and independent.
    """

    observable: str
    label: str
    folds: int
    correlated: Treatment
    naive: Treatment
    gain: float
    edges: tuple[float, ...]
    whole: tuple[float, ...]
    whole_error: tuple[float, ...]
    oversampled: tuple[float, ...]
    oversampled_error: tuple[float, ...]
    naive_error: tuple[float, ...]
    pulls: tuple[float, ...]
    naive_pulls: tuple[float, ...]

    @property
    def is_proven(self) -> bool:
        """The correlated uncertainties hold and the naive ones fail."""
        return self.correlated.holds and not self.naive.holds


@dataclass(frozen=True)
class ProofOfProcess:
    """All proofs with one process.

    Attributes
    ----------
    title : str
        The process.
    n_gen, n_folds : int
        Generator events of the pool, and reconstructions of each.
    n_events, n_toys : int
        Events of the sample that is not oversampled, and how often it was drawn.
    """

    title: str
    n_gen: int
    n_folds: int
    n_events: int
    n_toys: int
    proofs: tuple[Proof, ...]

    @property
    def is_proven(self) -> bool:
        """Whether every observable is."""
        return all(proof.is_proven for proof in self.proofs)


@dataclass(frozen=True)
class EventPool:
    """Generator events with many reconstructions.

    Attributes
    ----------
    events : Events
        All folds, those of a generator event adjacent.
    n_gen, n_folds : int
    """

    events: Events
    n_gen: int
    n_folds: int

    @staticmethod
    def of(events: Events) -> EventPool:
        """Folded events as a pool; `InputError` if their generator events have different numbers of folds."""
        gen, counts = np.unique(events.scalars["FlashSim_genEvent"], return_counts=True)
        if len(set(counts.tolist())) != 1:
            raise InputError("the generator events of a pool must all have the same number of folds")
        return EventPool(events, len(gen), int(counts[0]))


def prove(
    pool: EventPool,
    *,
    n_events: int,
    factors: Sequence[int],
    n_toys: int,
    seed: int,
    progress: StageProgress = lambda stage, done, total: None,
    observables: Sequence[Observable] | None = None,
) -> list[Proof]:
    """Test the uncertainties of all observables and oversampling factors.

    Parameters
    ----------
    pool : Pool
        With at least as many folds as the largest factor.
    n_events : int
        Events of the whole sample; the oversampled one has ``n_events / SHARE`` generator events.
    factors : sequence of int
        Oversampling factors.
    n_toys : int
    seed : int
    progress : callable
    observables : sequence of Observable, optional
        By default all quantities of whole events that the pool has.

    Raises
    ------
    InputError
        If the pool has too few folds.
    """
    if max(factors) > pool.n_folds:
        raise InputError(f"the pool has {pool.n_folds} folds, too few for a factor of {max(factors)}")
    found = list(
        observables or (of_quantity(one) for one in QUANTITIES if all(map(pool.events.has_branch, one.needs)))
    )
    tables = [_Table.of(one, pool) for one in found]
    tables = [one for one in tables if one.n_cells > 1]
    proofs = []
    for folds in factors:
        toys: list[list[_Toy]] = [[] for _ in tables]
        rng = np.random.default_rng([seed, folds, pool.events.n])
        for toy in range(n_toys):
            progress(f"toys x{folds}", toy, n_toys)
            drawn = _Drawn.from_pool(pool, n_events, folds, rng)
            for table, kept in zip(tables, toys, strict=True):
                kept.append(table.toy(drawn))
        progress(f"toys x{folds}", n_toys, n_toys)
        made = [_proof(table, folds, kept) for table, kept in zip(tables, toys, strict=True)]
        proofs += [one for one in made if one is not None]
    return proofs


@dataclass(frozen=True)
class _Drawn:
    """Positions in the pool of what a toy has drawn.

    Attributes
    ----------
    whole : int array of shape (n,)
        One reconstruction of each generator event.
    oversampled : int array of shape (n_gen * folds,)
        Several of each, adjacent.
    gen : int array of the same shape
        The toy's own number of the generator event.
    folds : int
    """

    whole: I64
    oversampled: I64
    gen: I64
    folds: int

    @staticmethod
    def from_pool(pool: EventPool, n_events: int, folds: int, rng: np.random.Generator) -> _Drawn:
        # the numbers of events of samples of fixed luminosity
        n_whole, n_gen = rng.poisson(n_events), rng.poisson(n_events / SHARE)
        whole = rng.integers(0, pool.n_gen, n_whole) * pool.n_folds
        whole += rng.integers(0, pool.n_folds, n_whole)
        first = rng.integers(0, pool.n_gen, n_gen) * pool.n_folds
        order = np.argsort(rng.random((n_gen, pool.n_folds)), axis=1)[:, :folds]
        return _Drawn(whole, (first[:, None] + order).ravel(), np.repeat(np.arange(n_gen), folds), folds)


@dataclass(frozen=True)
class _Toy:
    """Bins of one toy: the difference of the two samples and its covariances."""

    whole: F64
    oversampled: F64
    covariance: F64
    naive: F64
    n_gen: int


@dataclass(frozen=True)
class _Table:
    """The bin of every reconstruction in the pool for one observable; -1 where it has no value."""

    observable: Observable
    edges: F64
    cells: I64
    n_cells: int

    @staticmethod
    def of(observable: Observable, pool: EventPool) -> _Table:
        values, event = observable.values(pool.events)
        edges = _edges(values)
        cells = np.full(pool.events.n, -1, dtype=np.int64)
        cells[event] = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        return _Table(observable, edges, cells, len(edges) - 1)

    def toy(self, drawn: _Drawn) -> _Toy:
        """Histograms of what a toy has drawn."""
        whole = np.bincount(self.cells[drawn.whole] + 1, minlength=self.n_cells + 1)[1:].astype(np.float64)
        cells = self.cells[drawn.oversampled]
        there = cells >= 0
        axis = hist.axis.Integer(0, self.n_cells, flow=False)
        made = OversampledHist(axis, covariance=True).fill(
            cells[there], gen_event=drawn.gen[there], weight=float(SHARE), oversample=drawn.folds
        )
        entries = np.bincount(cells[there], minlength=self.n_cells).astype(np.float64)
        naive = entries * (SHARE / drawn.folds) ** 2
        n_gen = int(drawn.gen[-1]) + 1 if len(drawn.gen) else 0
        return _Toy(whole, made.values(), made.covariance(), naive, n_gen)


def run_proof(
    card: ProcessCard,
    folder: Path,
    *,
    n_gen: int,
    n_events: int,
    factors: Sequence[int],
    n_toys: int,
    seed: int,
    progress: StageProgress,
) -> ProofOfProcess:
    """Generate and reconstruct a pool of one process and prove with it.

    Parameters
    ----------
    card : ProcessCard
    folder : Path
        Where the generator events are kept.
    n_gen : int
        Generator events of the pool; each is reconstructed half as often again as the largest factor says.
    n_events, factors, n_toys, seed, progress
        As for `prove`.
    """
    energy = card.energies[0].tev
    gen = generator_events(card, folder, energy_tev=energy, n_events=n_gen, seed=seed, progress=progress)
    keep = [name for one in QUANTITIES for name in (*one.needs, *one.gen_needs)]
    folds = max(factors) * 3 // 2
    events = reconstructed(
        gen, ReferenceDetector(), keep, folds=folds, seed=seed, progress=progress, title="reconstructing"
    )
    pool = EventPool.of(events)
    # toys of their own for every process
    seed += zlib.crc32(card.name.encode())
    proofs = prove(pool, n_events=n_events, factors=factors, n_toys=n_toys, seed=seed, progress=progress)
    return ProofOfProcess(f"{card.title}, {energy:g} TeV", n_gen, folds, n_events, n_toys, tuple(proofs))


def _edges(values: F64) -> F64:
    """Bins with equal shares of the values; one each for whole numbers, rare ones joined."""
    if not len(values):
        return np.zeros(1)
    levels = np.quantile(values, np.linspace(0, 1, _BINS + 1), method="inverted_cdf")
    if np.all(values == np.round(values)):
        numbers = np.arange(np.quantile(values, 0.02), np.quantile(values, 0.98) + 1)
        return np.append(numbers, numbers[-1] + 1)
    # the outermost bins hold all beyond; their edges are where a figure ends
    levels[[0, -1]] = np.quantile(values, (0.002, 0.985))
    return np.unique(levels)


def _proof(table: _Table, folds: int, toys: Sequence[_Toy]) -> Proof | None:
    """What all toys say together; nothing if they fill less than two bins."""
    whole, oversampled = (np.array([getattr(toy, name) for toy in toys]) for name in ("whole", "oversampled"))
    filled = whole.mean(axis=0) >= _MIN_EXPECTED * SHARE
    if filled.sum() < 2:
        return None
    difference = (oversampled - whole)[:, filled]
    of_whole = whole[:, filled]
    covariance = np.array([toy.covariance for toy in toys])[:, filled][:, :, filled]
    naive = np.array([toy.naive for toy in toys])[:, filled]
    variance = np.einsum("tii->ti", covariance).mean(axis=0)
    n_gen = np.array([toy.n_gen for toy in toys])
    diagonal = np.einsum("ti,ij->tij", of_whole, np.eye(of_whole.shape[1]))
    of_naive = np.einsum("ti,ij->tij", naive, np.eye(naive.shape[1]))
    correlated = _treatment(difference, covariance + diagonal, n_gen)
    share = of_whole.mean(axis=0)
    # one fold of each generator event would have this variance
    single = naive.mean(axis=0) * folds
    gain = float(np.average(single / variance, weights=share))
    example, pulls = toys[0], difference / np.sqrt(variance + share)
    return Proof(
        table.observable.name,
        table.observable.label,
        folds,
        correlated,
        _treatment(difference, of_naive + diagonal, n_gen),
        gain,
        tuple(table.edges.tolist()),
        tuple(example.whole.tolist()),
        tuple(np.sqrt(example.whole).tolist()),
        tuple(example.oversampled.tolist()),
        tuple(np.sqrt(np.diag(example.covariance)).tolist()),
        tuple(np.sqrt(example.naive).tolist()),
        tuple(pulls.ravel().tolist()),
        tuple((difference / np.sqrt(naive.mean(axis=0) + share)).ravel().tolist()),
    )


def _treatment(difference: F64, covariance: F64, n_gen: I64) -> Treatment:
    """How the differences of all toys, of shape (n_toys, n_cells), go with the covariances given to them."""
    # a variance taken from few generator events rises and falls with their sum, which would widen the pulls:
    # what is stated is right if it is so on average
    squares = difference**2 / np.einsum("tii->ti", covariance).mean(axis=0)
    # the bins of a toy are correlated, the toys are not
    of_toy = squares.mean(axis=1)
    mean, error = float(of_toy.mean()), float(of_toy.std(ddof=1) / np.sqrt(len(of_toy)))
    p_value = float(2 * stats.norm.sf(abs(mean - 1) / error))
    p_values = [
        chi2_test(one, matrix, number).p_value
        for one, matrix, number in zip(difference, covariance, n_gen.tolist(), strict=True)
    ]
    uniform = float(stats.kstest(p_values, "uniform").pvalue)
    return Treatment(float(np.sqrt(mean)), error / (2 * np.sqrt(mean)), p_value, uniform)
