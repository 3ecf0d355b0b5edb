"""Whether the model of an analysis closes: each variable drawn for held-out events, beside the truth.

Both are of the same generator events, so what is compared bin by bin is paired. With T_g and R_g the weights
that generator event g puts into a bin, by the truth and by the model, the ratio sum R / sum T has the
variance sum (R_g - T_g)^2 / (sum T)^2 if the model is right, however many folds and draws a generator event
has: so it is that of what is to be refuted, and not zero where the model gives nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.analyses.config import Variable
from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.analysis.model import Regression
from flashsim_prod.physics.analysis.sample import Sample
from flashsim_prod.physics.analysis.values import F64
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.randoms import DrawKeys, Draws

#: how far a bin may be off, and with which uncertainty of its ratio it has enough events to tell
TOLERANCE = 0.05
ENOUGH = TOLERANCE / 3
_BINS, _DRAWS = 20, 4
#: with fewer generator events, a bin's uncertainty is not known either
_FEWEST = 30
#: whole numbers with more values than this are binned like others
_MOST_VALUES = 25
_NAME_OF_RATE = "events that pass"


@dataclass(frozen=True)
class Bins:
    """A histogram of a variable, by the truth and by the model.

    Attributes
    ----------
    edges : array of shape (n_bins + 1,)
        The first and the last bin hold what is beyond, too.
    truth, model : array of shape (n_bins,)
        Sums of weights; of the model over its draws, divided by their number.
    ratio, error : array of shape (n_bins,)
        NaN in bins that the truth has nothing in.
    gen_events : array of shape (n_bins,)
        That the truth has in a bin.
    clear : bool array of shape (n_bins,)
        Where the difference is beyond what it may be by three of its errors, however few events there are:
        what a wrong model adds makes errors larger, and it must not hide behind these.
    """

    name: str
    title: str
    edges: F64
    truth: F64
    model: F64
    ratio: F64
    error: F64
    gen_events: NDArray[np.int64]
    clear: NDArray[np.bool_]

    @property
    def enough(self) -> NDArray[np.bool_]:
        """Bins with enough events to tell."""
        return np.asarray(self.clear | ((self.error <= ENOUGH) & (self.gen_events >= _FEWEST)))

    @property
    def off(self) -> NDArray[np.bool_]:
        """Bins with enough events that are off by more than they may be."""
        return self.clear | (self.enough & (np.abs(self.ratio - 1) > TOLERANCE))

    @property
    def worst(self) -> int | None:
        """The bin with enough events that is off the most; ``None`` if none has enough."""
        if not self.enough.any():
            return None
        return int(np.argmax(np.where(self.enough, np.abs(self.ratio - 1), -1.0)))


@dataclass(frozen=True)
class Closure:
    """What was found.

    Attributes
    ----------
    events, gen_events, passing : int
        Held-out ones.
    rate : Bins
        Of one bin: events that pass.
    variables : tuple of Bins
    correlations : float
        Largest difference of two variables' rank correlation.
    pair : tuple of str
        Which those are.
    """

    events: int
    gen_events: int
    passing: int
    rate: Bins
    variables: tuple[Bins, ...]
    correlations: float
    pair: tuple[str, str]

    @property
    def closes(self) -> bool:
        """Whether no bin with enough events is off by more than it may be."""
        return not any(one.off.any() for one in (self.rate, *self.variables))


def close(regression: Regression, fitted: FittedModel, held_out: Sample, *, seed: int = 1) -> Closure:
    """Draw every held-out event some times, and compare."""
    passing = np.flatnonzero(held_out.passes)
    truth = regression.restore(
        {name: column.astype(np.float64) for name, column in held_out.targets.items()},
        held_out.rows(passing),
    )
    drawn, row = _drawn(regression, fitted, held_out, seed)
    sides = _Sides(held_out, passing, row)
    rate = _compared(
        _NAME_OF_RATE, _NAME_OF_RATE, np.array([0.0, 2.0]), np.ones(len(passing)), np.ones(len(row)), sides
    )
    variables = tuple(
        _compared(
            name,
            one.title,
            _edges(truth[name].astype(np.float64), one),
            truth[name].astype(np.float64),
            drawn[name],
            sides,
        )
        for name, one in regression.analysis.variables.items()
    )
    largest, pair = _correlations(truth, drawn, list(regression.analysis.variables))
    n_gen = len(np.unique(held_out.gen))
    return Closure(len(held_out), n_gen, len(passing), rate, variables, largest, pair)


def _drawn(
    regression: Regression, fitted: FittedModel, held_out: Sample, seed: int
) -> tuple[dict[str, F64], NDArray[np.int64]]:
    """Variables of what passes, and the event of each."""
    passing = fitted.probabilities(held_out.conditions)[:, 1]
    rows = []
    for draw in range(_DRAWS):
        chance = _keyed(seed, "closure.passes", np.arange(len(held_out)), draw, 1)[:, 0]
        rows.append(np.flatnonzero(chance < passing))
    row, draws = np.concatenate(rows), np.repeat(np.arange(_DRAWS), [len(one) for one in rows])
    keys = DrawKeys(row, draws, np.zeros(len(row), dtype=np.int64))
    noise = Draws(seed, "closure").normals(keys, fitted.n_normals)
    found = fitted.sample(held_out.conditions[row], noise, Sampling())
    restored = regression.restore(found, held_out.rows(row))
    return {name: column.astype(np.float64) for name, column in restored.items()}, row


def _keyed(seed: int, stream: str, events: NDArray[np.int64], draw: int, number: int) -> F64:
    fold = np.full(len(events), draw)
    return Draws(seed, stream).uniforms(DrawKeys(events, fold, np.zeros_like(events)), number)


@dataclass(frozen=True)
class _Sides:
    """Whose the entries of both sides are."""

    held_out: Sample
    truth: NDArray[np.int64]
    model: NDArray[np.int64]

    def sums(self, cell: NDArray[np.int64], n: int, *, model: bool) -> tuple[F64, NDArray[np.int64]]:
        """Weights of entries in bins, and the generator event of each, counted from 0."""
        row = self.model if model else self.truth
        weight = self.held_out.weight[row] / (_DRAWS if model else 1)
        return weight, self.gen[row]

    @property
    def gen(self) -> NDArray[np.int64]:
        """Generator event of each held-out event, from 0 on."""
        return np.unique(self.held_out.gen, return_inverse=True)[1]


def _compared(name: str, title: str, edges: F64, truth: F64, model: F64, sides: _Sides) -> Bins:
    n = len(edges) - 1
    gens = int(sides.gen.max()) + 1
    tables = []
    for values, is_model in ((truth, False), (model, True)):
        cell = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, n - 1)
        weight, gen = sides.sums(cell, n, model=is_model)
        tables.append(np.bincount(gen * n + cell, weight, minlength=gens * n).reshape(gens, n))
    of_truth, of_model = (table.sum(axis=0) for table in tables)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = of_model / of_truth
        sigma = np.sqrt(((tables[1] - tables[0]) ** 2).sum(axis=0))
        error = sigma / np.abs(of_truth)
    gen_events, of_either = (np.count_nonzero(one, axis=0) for one in (tables[0], tables[0] + tables[1]))
    beyond = np.abs(of_model - of_truth) - TOLERANCE * np.abs(of_truth)
    clear = (beyond > 3 * sigma) & (of_either >= _FEWEST)
    return Bins(name, title, edges, of_truth, of_model, ratio, error, gen_events, clear)


def _edges(values: F64, variable: Variable) -> F64:
    """Bins of equal width over where nearly all is; one for each value of a whole number that has few.

    What stands for a missing value has a bin of its own, the first one.
    """
    there = values if variable.missing is None else values[values != np.float32(variable.missing)]
    if not len(there):
        there = values
    low, high = np.quantile(there, (0.003, 0.99))
    if variable.type == "int" and high - low < _MOST_VALUES:
        edges = np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    else:
        edges = np.linspace(low, max(high, low + 1e-6), _BINS + 1)
    if variable.missing is not None and variable.missing < edges[0]:
        edges = np.concatenate(([variable.missing - 0.5], edges))
    return np.asarray(edges, dtype=np.float64)


def _correlations(
    truth: dict[str, NDArray[np.generic]], drawn: dict[str, F64], names: list[str]
) -> tuple[float, tuple[str, str]]:
    """The largest difference of rank correlations, and of which two variables."""
    if len(names) < 2 or min(len(side[names[0]]) for side in (truth, drawn)) < 2:
        return 0.0, (names[0], names[0])
    found = []
    for side in (truth, drawn):
        ranks = np.stack([_ranks(np.asarray(side[name], dtype=np.float64)) for name in names])
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(np.nan_to_num(np.corrcoef(ranks)))
    difference = np.abs(found[0] - found[1])
    one, other = np.unravel_index(int(np.argmax(difference)), difference.shape)
    return float(difference[one, other]), (names[int(one)], names[int(other)])


def _ranks(values: F64) -> F64:
    """Ranks, those of equal values alike."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    return np.asarray(middle[place], dtype=np.float64)
