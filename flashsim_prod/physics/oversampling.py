"""Histograms of oversampled events, with uncertainties that know which entries belong together.

The folds of one generator event that fall into the same bin are correlated, so the variance of a bin is

    sigma_i^2 = sum over gen events g of ( sum over entries of g in bin i of w / k )^2

with the weight w of an entry and the number k of folds. The number of entries plays no part: they may be
several of one event (jets), weighted, and of either sign. This is the variance of a compound Poisson process
(generator events are independent, what each adds is not), for which the covariance of two bins is
sum_g S_gi S_gj with the sums S of the formula above; a fit to bins narrower than the resolution needs it.

For analysts, without anything else of this package being loaded::

    from flashsim_prod.physics.oversampling import OversampledHist
    h = OversampledHist(hist.axis.Regular(60, 60, 120, name="mll"))
    for chunk in chunks:
        h.fill(mll, gen_event=chunk["FlashSim_genEvent"], weight=weight)
    h.hist()         # a hist.Hist with Weight storage, to plot, scale and save
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
from hist import Hist
from hist.storage import Weight
from numpy.typing import NDArray
from scipy.sparse import csr_array

from flashsim_prod.physics.oversampled_entries import F64, I64, Flags, bins_of, flat_entries

#: cells of a dense table of gen events by bins that are worth it for each entry
_DENSE_PER_ENTRY = 16
#: cells of such a table at a time, so that it stays in the processor's cache
_DENSE_CELLS = 500_000
#: bins, flow included, that a covariance is kept of at most
_MOST_FOR_COVARIANCE = 5000


def sums_by_gen_event(cell: I64, gen: I64, weight: F64, n_gen: int, n_cells: int) -> csr_array:
    """The sum of weights of each gen event in each bin, as a sparse matrix.

    Parameters
    ----------
    cell : int array of shape (n,)
        Bin of each entry, from 0.
    gen : int array of shape (n,)
        Number of its gen event among those at hand, from 0.
    weight : array of shape (n,)
    n_gen, n_cells : int

    Returns
    -------
    csr_array of shape (n_gen, n_cells)
    """
    sums = csr_array((weight, (gen, cell)), shape=(n_gen, n_cells))
    sums.sum_duplicates()
    return sums


@dataclass
class _Open:
    """Gen events that another chunk may add to, and the ranges of those that none may."""

    sums: dict[int, dict[int, float]] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    #: [first, last] of gen events that are done, ordered and disjoint
    closed: list[tuple[int, int]] = field(default_factory=list)

    def check(self, closed: Sequence[tuple[int, int]], opened: Iterable[int]) -> None:
        """Refuse what cannot be added, before anything of it is."""
        for first, last in closed:
            position = bisect_left(self.numbers, first)
            again = self.numbers[position : position + 1]
            self._refuse(*self._closed_around(first, last), *[gen for gen in again if gen <= last])
        for gen in opened:
            if gen not in self.sums:
                self._refuse(*self._closed_around(gen, gen))

    def add(self, closed: Sequence[tuple[int, int]], opened: Mapping[int, Mapping[int, float]]) -> None:
        """Take in what `check` found nothing wrong with."""
        for one in closed:
            insort(self.closed, one)
        for gen, sums in opened.items():
            if gen not in self.sums:
                self.sums[gen] = {}
                insort(self.numbers, gen)
            known = self.sums[gen]
            for cell, more in sums.items():
                known[cell] = known.get(cell, 0.0) + more

    def _closed_around(self, first: int, last: int) -> list[int]:
        """A gen event of a closed range that overlaps [first, last], if there is one."""
        position = bisect_left(self.closed, (first, first))
        near = self.closed[max(0, position - 1) : position + 1]
        return [max(first, start) for start, stop in near if start <= last and stop >= first]

    def _refuse(self, *gens: int) -> None:
        if gens:
            raise ValueError(
                f"gen event {gens[0]} lies among those of an earlier fill: its entries must come "
                "in one fill, or at the end of one and the start of another; give all at once, "
                "and histograms of different datasets or disjoint regions their own OversampledHist"
            )


class OversampledHist:
    """A histogram of entries that belong to generator events.

    Fill it in any number of pieces, in any order, here or in other processes, and add the partial histograms:
    a gen event at the edge of a piece is kept aside until the end, so it may go on in another piece. That
    needs two of them for each piece, and no more memory than the bins.

    Parameters
    ----------
    *axes : axes of `hist`
        Any that do not grow.
    covariance : bool
        Whether to keep the covariance of all bins as well.

    Raises
    ------
    ValueError
        For axes that grow, or more bins than a covariance fits for.
    """

    def __init__(self, *axes: Any, covariance: bool = False) -> None:
        self._empty = Hist(*axes, storage=Weight())
        if any(axis.traits.growth for axis in self._empty.axes):
            raise ValueError("an axis that grows has no fixed bins; give all categories at the start")
        self._extents = tuple(axis.extent for axis in self._empty.axes)
        self.n_cells = int(np.prod(self._extents))
        if covariance and self.n_cells > _MOST_FOR_COVARIANCE:
            raise ValueError(f"{self.n_cells} bins are too many for a covariance of them all")
        self._sumw = np.zeros(self.n_cells)
        self._variance = np.zeros(self.n_cells)
        self._covariance = np.zeros((self.n_cells, self.n_cells)) if covariance else None
        self._open = _Open()
        self.entries = 0

    def fill(self, *values: Any, gen_event: Any, weight: Any = None, oversample: Any = 1) -> Self:
        """Add entries.

        Parameters
        ----------
        *values : arrays
            One for each axis: numpy, lists, or awkward arrays with any number of entries for each event.
            Missing values (None, or masked) are left out; NaN counts as overflow, as everywhere in `hist`.
        gen_event : array
            FlashSim_genEvent of each entry, or of each event if the values are jagged.
        weight : array or float, optional
            Of each entry, or of each event.
        oversample : array or int
            Number k of folds that the weights are to be divided by: FlashSim_oversample for sums that count
            gen events; 1, the default, if the weights contain genWeight / genEventSumw, which counts folds.

        Raises
        ------
        ValueError
            If lengths differ, or a gen event comes again that was complete. The histogram stays as it was.
        TypeError
            For values of a kind that an axis has no bins for: words, or fractions for whole numbers.
        """
        if len(values) != len(self._extents):
            raise ValueError(f"there are {len(self._extents)} axes, but values for {len(values)}")
        columns, gen, scale = flat_entries(values, gen_event, 1.0 if weight is None else weight, oversample)
        cell, inside = self._cells(columns)
        if not inside.all():
            cell, gen, scale = cell[inside], gen[inside], scale[inside]
        if len(gen):
            self._add(cell, gen, scale)
        return self

    def fill_events(self, events: Any, *values: Any, weight: Any = None, oversample: Any = 1) -> Self:
        """`fill` with the gen events of `events`: coffea's NanoEvents, or what has ``FlashSim_genEvent``."""
        if "FlashSim_genEvent" in getattr(events, "fields", events):
            return self.fill(
                *values, gen_event=events["FlashSim_genEvent"], weight=weight, oversample=oversample
            )
        return self.fill(*values, gen_event=events.FlashSim.genEvent, weight=weight, oversample=oversample)

    def hist(self) -> Hist[Any]:
        """The histogram: sums of weights and their variances, flow bins included, as a `Hist` of its own."""
        made = self._empty.copy()
        view = made.view(flow=True)
        view["value"] = self._sumw.reshape(self._extents)
        view["variance"] = self.variances(flow=True)
        return made

    def values(self, *, flow: bool = False) -> F64:
        """Sum of weights of every bin, in the shape of the axes."""
        values: F64 = self._shaped(self._sumw, flow=flow)
        return values

    def variances(self, *, flow: bool = False) -> F64:
        """Variance of every bin, in the shape of the axes."""
        variance = self._variance.copy()
        for sums in self._open.sums.values():
            for cell, one in sums.items():
                variance[cell] += one * one
        shaped: F64 = self._shaped(variance, flow=flow)
        return shaped

    def covariance(self, *, flow: bool = False) -> F64:
        """Covariance of all bins, in the order of ``hist().values(flow=flow).ravel()``.

        Raises
        ------
        ValueError
            If the histogram was made without ``covariance=True``.
        """
        if self._covariance is None:
            raise ValueError("this histogram keeps no covariance; make it with covariance=True")
        total: F64 = self._covariance.copy()
        for sums in self._open.sums.values():
            cells, values = np.array(list(sums)), np.array(list(sums.values()))
            total[np.ix_(cells, cells)] += np.outer(values, values)
        if flow:
            return total
        kept = self._shaped(np.arange(self.n_cells), flow=False).ravel()
        inner: F64 = total[np.ix_(kept, kept)]
        return inner

    def __iadd__(self, other: OversampledHist) -> Self:
        """Add a histogram of other entries of the same dataset, such as another chunk or job made it."""
        if not isinstance(other, OversampledHist):
            return NotImplemented
        if self._empty.axes != other._empty.axes:
            raise ValueError("histograms of different axes cannot be added")
        if (self._covariance is None) != (other._covariance is None):
            raise ValueError("one of the histograms keeps a covariance, the other does not")
        self._open.check(other._open.closed, other._open.sums)
        self._open.add(other._open.closed, other._open.sums)
        self._sumw += other._sumw
        self._variance += other._variance
        if self._covariance is not None and other._covariance is not None:
            self._covariance += other._covariance
        self.entries += other.entries
        return self

    def __add__(self, other: OversampledHist) -> OversampledHist:
        if not isinstance(other, OversampledHist):
            return NotImplemented
        made = self._copy()
        made += other
        return made

    def __radd__(self, other: object) -> OversampledHist:
        """``sum`` starts at 0."""
        return self._copy() if isinstance(other, int) and other == 0 else NotImplemented

    def _copy(self) -> OversampledHist:
        made = OversampledHist(*self._empty.axes, covariance=self._covariance is not None)
        made += self
        return made

    def _cells(self, columns: Sequence[NDArray[Any]]) -> tuple[I64, Flags]:
        """Bin of each entry among all, in C order, and whether the axes have a bin for it."""
        cell = np.zeros(len(columns[0]), dtype=np.int64)
        inside = np.ones(len(cell), dtype=bool)
        for axis, column, extent in zip(self._empty.axes, columns, self._extents, strict=True):
            index = bins_of(axis, column) + int(axis.traits.underflow)
            if not (axis.traits.underflow and axis.traits.overflow):
                inside &= (index >= 0) & (index < extent)
            cell *= extent
            cell += index
        return cell, inside

    def _shaped(self, cells: Any, *, flow: bool) -> Any:
        """Numbers of all bins in the shape of the axes, with or without the flow bins."""
        shaped = cells.reshape(self._extents)
        for number, axis in enumerate(() if flow else self._empty.axes):
            first = int(axis.traits.underflow)
            shaped = np.take(shaped, np.arange(first, first + len(axis)), axis=number)
        return shaped.copy()

    def _add(self, cell: I64, gen: I64, weight: F64) -> None:
        """Entries with their bins; those of one gen event need not be adjacent."""
        changes = np.flatnonzero(gen[1:] != gen[:-1]) + 1
        ends = self._ends(gen, changes)
        if (gen[changes] < gen[changes - 1]).any():
            order = np.argsort(gen, kind="stable")
            cell, gen, weight = cell[order], gen[order], weight[order]
            changes = np.flatnonzero(gen[1:] != gen[:-1]) + 1
        starts = np.append(0, changes)
        is_open = np.isin(gen[starts], ends)
        closed = self._stretches(gen[starts], is_open)
        self._open.check(closed, gen[starts][is_open].tolist())
        opened = {}
        for position in np.flatnonzero(is_open):
            one = slice(starts[position], starts[position + 1] if position + 1 < len(starts) else len(gen))
            cells, where = np.unique(cell[one], return_inverse=True)
            sums = np.bincount(where, weight[one])
            opened[int(gen[starts[position]])] = dict(zip(cells.tolist(), sums.tolist(), strict=True))
        sumw = np.bincount(cell, weight, minlength=self.n_cells)
        variance, covariance = self._squares(cell, weight, starts, is_open)
        # all that can go wrong has been tried: a fill that is refused or interrupted has added nothing
        self._open.add(closed, opened)
        self._sumw += sumw
        self._variance += variance
        if self._covariance is not None:
            self._covariance += covariance
        self.entries += len(cell)

    @staticmethod
    def _ends(gen: I64, changes: I64) -> I64:
        """Gen events at the ends of each stretch of rising numbers: others may hold more of them."""
        falls = changes[gen[changes] < gen[changes - 1]]
        ends: I64 = np.unique(np.concatenate((gen[[0, -1]], gen[falls - 1], gen[falls])))
        return ends

    @staticmethod
    def _stretches(gens: I64, is_open: Flags) -> list[tuple[int, int]]:
        """First and last of the stretches of gen events between those that stay open."""
        cuts = np.concatenate(([-1], np.flatnonzero(is_open), [len(gens)])).tolist()
        return [
            (int(gens[one + 1]), int(gens[other - 1])) for one, other in pairwise(cuts) if other - one > 1
        ]

    def _squares(self, cell: I64, weight: F64, starts: I64, is_open: Flags) -> tuple[F64, F64 | float]:
        """Squares of the sums of all gen events that are complete: of each bin, and of each two of them."""
        number = np.zeros(len(cell), dtype=np.int64)
        number[starts[1:]] = 1
        np.cumsum(number, out=number)
        if is_open.any():
            weight = np.where(is_open[number], 0.0, weight)
        n_gen = len(starts)
        if self._covariance is None and n_gen * self.n_cells <= _DENSE_PER_ENTRY * len(cell):
            return self._dense_squares(cell, weight, starts, number), 0.0
        sums = sums_by_gen_event(cell, number, weight, n_gen, self.n_cells)
        sums_of_squares = np.bincount(sums.indices, sums.data**2, minlength=self.n_cells)
        variance = sums_of_squares.astype(np.float64, copy=False)
        return variance, 0.0 if self._covariance is None else (sums.T @ sums).toarray()

    def _dense_squares(self, cell: I64, weight: F64, starts: I64, number: I64) -> F64:
        """The same by tables of gen events by bins: faster where most of their cells are filled."""
        variance = np.zeros(self.n_cells)
        step = max(1, _DENSE_CELLS // self.n_cells)
        bounds = np.append(starts, len(cell))
        for first in range(0, len(starts), step):
            last = min(first + step, len(starts))
            part = slice(bounds[first], bounds[last])
            place = (number[part] - first) * self.n_cells + cell[part]
            sums = np.bincount(place, weight[part], minlength=(last - first) * self.n_cells)
            table = sums.reshape(-1, self.n_cells)
            variance += np.einsum("ij,ij->j", table, table)
        return variance
