"""The figures of the fidelity report, as PNG images in the style of the CMS experiment's plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hist
import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from flashsim_prod.physics.oversampling import OversampledHist
from flashsim_prod.physics.validation.dataset.histogram import Filled
from flashsim_prod.physics.validation.drawing.canvas import (
    BLUE,
    DPI,
    GREY,
    ORANGE,
    RED,
    draw_caption,
    new_figure,
    to_png,
)
from flashsim_prod.physics.validation.statistics.clustered import ClusteredRates, Entries
from flashsim_prod.physics.validation.statistics.distances import F64, Curve

Column = NDArray[Any]

_BINS, _FEWEST_BINS = 40, 12
#: integers with at most this many values get a bin each, whatever the values are
_CATEGORIES = 12
#: a positive axis that reaches this many times its start is a logarithmic one
_MANY_SCALES = 30.0
#: a logarithmic axis ends at so many times the fullest bin
_HEADROOM = 30.0
#: of a heat map: a cell, a letter of its names, and its scale with all beside it [inches]
_CELL, _LETTER, _BAR = 0.42, 0.155, 2.4
#: a fullest bin this many times the median one asks for a logarithmic axis
_STEEP = 100.0


def overlay(
    reference: Column, drawn: F64, *, label: str, title: str, discrete: bool, name: str = "FlashSim"
) -> bytes:
    """Two samples' histograms of unit area, with their ratio.

    Parameters
    ----------
    reference, drawn : arrays of shapes (n,) and (m,)
    label : str
        Of the axis.
    title : str
        What the reference is.
    discrete : bool
        Whether every value gets a bin, if there are few.
    """
    values = np.asarray(reference, dtype=np.float64)
    edges, ticks = _binning(values, drawn, discrete)
    counts = [_counts(sample, edges, ticks) for sample in (values, drawn)]
    heights = [count / max(1.0, count.sum()) for count in counts]
    errors = [np.sqrt(count) / max(1.0, count.sum()) for count in counts]
    return _overlay(heights, errors, edges, ticks, label=label, titles=(title, name), caption="")


def overlay_entries(
    sample: Entries,
    reference: Entries,
    *,
    label: str,
    titles: tuple[str, str],
    discrete: bool,
    caption: str,
) -> bytes:
    """The same for entries that belong to generator events, with the uncertainties that follow from these.

    Parameters
    ----------
    sample, reference : Entries
    label : str
        Of the axis.
    titles : (str, str)
        Of the reference and of the sample.
    discrete : bool
    caption : str
        What is written above the figure.
    """
    # Rice's rule: not more bins than the entries can fill
    bins = min(_BINS, max(_FEWEST_BINS, int(2 * np.cbrt(min(len(sample), len(reference))))))
    edges, ticks = _binning(reference.values, sample.values, discrete, bins)
    heights, errors = zip(*(shares(one, edges, ticks) for one in (reference, sample)), strict=True)
    return _overlay(heights, errors, edges, ticks, label=label, titles=titles, caption=caption)


def shares(entries: Entries, edges: F64, ticks: list[str] | None) -> tuple[F64, F64]:
    """Share of each bin and its uncertainty, entries beyond the range in the outermost bins."""
    inside = np.clip(
        entries.values, edges[0], np.nextafter(edges[-1], -np.inf) if ticks is None else edges[-2]
    )
    made = OversampledHist(hist.axis.Variable(edges)).fill(
        inside, gen_event=entries.gen, weight=entries.weight
    )
    total = float(entries.weight.sum()) or 1.0
    return made.values() / total, np.sqrt(made.variances()) / abs(total)


def _overlay(
    heights: Sequence[F64],
    errors: Sequence[F64],
    edges: F64,
    ticks: list[str] | None,
    *,
    label: str,
    titles: tuple[str, str],
    caption: str,
) -> bytes:
    """Reference (first) and sample (second) with their ratio."""
    with new_figure(ratio=True) as (figure, (upper, lower)):
        positions = edges if ticks is None else np.arange(len(edges), dtype=np.float64) - 0.5
        centres = (positions[1:] + positions[:-1]) / 2
        upper.stairs(heights[0], positions, fill=True, color=GREY, alpha=0.5, label=titles[0])
        upper.stairs(heights[1], positions, color=RED, label=titles[1], linewidth=2.5)
        upper.errorbar(centres, heights[1], errors[1], fmt="none", ecolor=RED, elinewidth=2.5)
        if _is_steep(heights[0]):
            upper.set_yscale("log")
            # room for the legend
            upper.set_ylim(0.5 * float(heights[0][heights[0] > 0].min()), _HEADROOM * float(heights[0].max()))
        else:
            upper.set_ylim(0, 1.35 * max(heights[0].max(), heights[1].max()))
        upper.set_ylabel("fraction")
        upper.legend(loc="upper right")
        draw_caption(upper, caption)
        _ratio_panel(lower, centres, heights, errors, positions)
        lower.set_xlabel(label)
        if ticks is not None:
            lower.set_xticks(centres, ticks)
            lower.xaxis.minorticks_off()
        lower.set_xlim(positions[0], positions[-1])
        return to_png(figure)


def _binning(reference: F64, drawn: F64, discrete: bool, bins: int = _BINS) -> tuple[F64, list[str] | None]:
    """Edges, and the names of categories where each value has its bin."""
    values = np.unique(reference)
    if discrete and len(values) <= _CATEGORIES:
        values = np.union1d(values, np.unique(drawn)[:_CATEGORIES])
        return np.append(values, values[-1] + 1), [f"{value:g}" for value in values]
    lowest, highest = np.quantile(reference, (0.002, 0.998))
    if discrete:
        step = max(1, int(np.ceil((highest - lowest + 1) / bins)))
        return np.arange(np.floor(lowest), highest + 1 + step, step) - 0.5, None
    if lowest == highest:
        lowest, highest = lowest - 0.5, highest + 0.5
    margin = 0.02 * (highest - lowest)
    return np.linspace(lowest - margin, highest + margin, bins + 1), None


def _counts(sample: F64, edges: F64, ticks: list[str] | None) -> F64:
    """Entries of each bin, those beyond the range in the outermost ones."""
    inside = np.clip(sample, edges[0], edges[-1] if ticks is None else edges[-2])
    return np.histogram(inside, edges)[0].astype(np.float64)


def _is_steep(heights: F64) -> bool:
    filled = heights[heights > 0]
    return len(filled) > 2 and bool(heights.max() > _STEEP * np.median(filled))


def _ratio_panel(axes: Axes, centres: F64, heights: Sequence[F64], errors: Sequence[F64], edges: F64) -> None:
    reference, drawn = heights
    filled = reference > 0
    ratio = np.divide(drawn, reference, out=np.full_like(drawn, np.nan), where=filled)
    of_drawn = np.divide(errors[1], reference, out=np.zeros_like(drawn), where=filled)
    band = np.divide(errors[0], reference, out=np.zeros_like(drawn), where=filled)
    axes.stairs(1 + band, edges, baseline=1 - band, fill=True, color=GREY, alpha=0.4)
    axes.errorbar(centres, ratio, yerr=of_drawn, fmt="o", color=RED, markersize=6)
    axes.axhline(1.0, color="black", linewidth=1)
    axes.set_ylim(0.5, 1.5)
    axes.set_ylabel("ratio", loc="center")


def efficiency(curve: Curve, *, label: str, title: str, quantity: str) -> bytes:
    """Predicted and observed mean numbers along an axis, with their ratio."""
    edges = np.array(curve.edges)
    centres, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    observed, predicted, error = (np.array(x) for x in (curve.observed, curve.predicted, curve.error))
    with new_figure(ratio=True) as (figure, (upper, lower)):
        upper.stairs(predicted, edges, color=RED, linewidth=2.5, label="FlashSim", baseline=None)
        upper.errorbar(centres, observed, error, half, fmt="o", color="black", markersize=6, label=title)
        top, bottom = max(observed.max(), predicted.max()), min(observed.min(), predicted.min())
        upper.set_ylim(max(0.0, bottom - 0.1 * (top - bottom)), top + 0.65 * (top - bottom) + 1e-9)
        upper.set_ylabel(quantity)
        upper.legend(loc="upper left", title=f"$\\chi^2$/ndf = {curve.chi2.chi2:.1f}/{curve.chi2.ndf}")
        positive = predicted > 0
        ratio, ratio_error = (
            np.divide(x, predicted, out=np.full_like(predicted, np.nan), where=positive)
            for x in (observed, error)
        )
        lower.errorbar(centres, ratio, ratio_error, half, fmt="o", color="black", markersize=6)
        lower.axhline(1.0, color=RED, linewidth=2)
        reach = float(np.nanmax(np.abs(ratio - 1) + ratio_error, initial=0.02))
        lower.set_ylim(1 - min(1.2 * reach, 1.0), 1 + min(1.2 * reach, 1.0))
        lower.set_ylabel("obs./pred.", loc="center")
        lower.set_xlabel(label)
        if edges[0] > 0 and edges[-1] > _MANY_SCALES * edges[0]:
            lower.set_xscale("log")
        return to_png(figure)


def oversampled(filled: Filled) -> bytes:
    """A histogram with its uncertainties, and how much less they would be if folds were independent."""
    made = filled.by_gen
    edges = made.hist().axes[0].edges
    centres = (edges[1:] + edges[:-1]) / 2
    errors, independent = (np.sqrt(one.variances()) for one in (made, filled.by_event))
    with new_figure(ratio=True) as (figure, (upper, lower)):
        values = made.values()
        mplhep.histplot(values, edges, ax=upper, histtype="fill", color=GREY, alpha=0.5, yerr=False)
        upper.errorbar(centres, values, errors, fmt="o", color="black", markersize=5, label="FlashSim")
        upper.set_ylim(0, 1.3 * float((values + errors).max(initial=1e-9)))
        upper.set_ylabel("generator events")
        upper.legend(loc="upper right", title=f"{filled.folds:g} folds")
        draw_caption(upper, "Simulation")
        ratio = np.divide(errors, independent, out=np.full_like(errors, np.nan), where=independent > 0)
        lower.stairs(np.nan_to_num(ratio), edges, color=RED, linewidth=2.5)
        lower.axhline(1.0, color="black", linewidth=1)
        lower.set_ylim(0.8, max(1.2, 1.1 * float(np.nanmax(ratio, initial=1.0))))
        lower.set_ylabel("error / naive", loc="center")
        lower.set_xlabel(filled.observable.label)
        lower.set_xlim(edges[0], edges[-1])
        return to_png(figure)


def rates(
    found: ClusteredRates, *, label: str, titles: tuple[str, str], quantity: str, caption: str
) -> bytes:
    """A fraction along an axis in the reference (first title) and in a sample, with their ratio."""
    edges = np.array(found.edges)
    centres, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    reference, sample, of_reference, of_sample = (
        np.array(one) for one in (found.reference, found.sample, found.reference_error, found.sample_error)
    )
    with new_figure(ratio=True) as (figure, (upper, lower)):
        upper.stairs(reference, edges, color="black", linewidth=2, label=titles[0], baseline=None)
        upper.stairs(
            reference + of_reference,
            edges,
            baseline=reference - of_reference,
            fill=True,
            color=GREY,
            alpha=0.4,
        )
        upper.errorbar(centres, sample, of_sample, half, fmt="o", color=RED, markersize=6, label=titles[1])
        upper.set_ylim(0, 1.4 * max(reference.max(), sample.max(), 1e-9))
        upper.set_ylabel(quantity)
        upper.legend(loc="upper right")
        draw_caption(upper, caption)
        _ratio_panel(lower, centres, (reference, sample), (of_reference, of_sample), edges)
        lower.set_xlabel(label)
        if edges[0] > 0 and edges[-1] > _MANY_SCALES * edges[0]:
            lower.set_xscale("log")
            lower.xaxis.set_minor_formatter(NullFormatter())
        return to_png(figure)


def calibration(curve: Curve, *, title: str, quantity: str) -> bytes:
    """Observed against predicted mean numbers, a point each bin, with their ratio."""
    observed, predicted, error = (np.array(x) for x in (curve.observed, curve.predicted, curve.error))
    top = 1.1 * max(observed.max(), predicted.max())
    ratio, ratio_error = (x / np.maximum(predicted, 1e-9) for x in (observed, error))
    with new_figure(ratio=True) as (figure, (upper, lower)):
        upper.plot([0, top], [0, top], color=RED, linewidth=2, label="FlashSim")
        upper.errorbar(predicted, observed, error, fmt="o", color="black", markersize=8, label=title)
        upper.set_xlim(0, top)
        upper.set_ylim(0, top)
        upper.set_ylabel(f"observed {quantity}")
        upper.legend(loc="upper left", title=f"$\\chi^2$/ndf = {curve.chi2.chi2:.1f}/{curve.chi2.ndf}")
        lower.errorbar(predicted, ratio, ratio_error, fmt="o", color="black", markersize=8)
        lower.axhline(1.0, color=RED, linewidth=2)
        reach = min(1.0, 1.2 * float(np.max(np.abs(ratio - 1) + ratio_error, initial=0.02)))
        lower.set_ylim(1 - reach, 1 + reach)
        lower.set_ylabel("obs./pred.", loc="center")
        lower.set_xlabel(f"predicted {quantity}")
        return to_png(figure)


def heat_map(difference: F64, rows: Sequence[str], columns: Sequence[str]) -> bytes:
    """Difference of correlations, attributes against attributes and conditions."""
    # room by the lengths of the names: to let matplotlib find it takes longer than to draw
    left, below = (0.5 + _LETTER * max(map(len, names)) for names in (rows, columns))
    inner, tall = max(3.0, _CELL * len(columns)), max(5.5, _CELL * len(rows))
    width, height = left + inner + _BAR, below + tall + 0.3
    with mpl.rc_context(mplhep.style.CMS):
        figure = Figure(figsize=(width, height), dpi=DPI)
        axes = figure.add_axes((left / width, below / height, inner / width, tall / height))
        bar = figure.add_axes(((left + inner + 0.2) / width, below / height, 0.4 / width, tall / height))
        reach = max(0.05, float(np.abs(difference).max()))
        image = axes.imshow(difference, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=20)
        axes.set_yticks(range(len(rows)), rows, fontsize=20)
        axes.tick_params(which="both", length=0)
        axes.minorticks_off()
        axes.axvline(len(rows) - 0.5, color="black", linewidth=2)
        figure.colorbar(image, cax=bar)
        bar.set_ylabel("rank correlation, FlashSim - reference", fontsize=20)
        return to_png(figure, colours=256)


def loss_curves(losses: Sequence[tuple[int, float, float]], *, network: str) -> bytes:
    """Training and held-out loss against the step."""
    step, training, held_out = np.array(losses, dtype=np.float64).T
    with new_figure(ratio=False) as (figure, (axes,)):
        axes.plot(step, training, color=BLUE, linewidth=1.5, label="training")
        axes.plot(step, held_out, color=ORANGE, linewidth=3, label="held out")
        axes.set_xlabel("step")
        axes.set_ylabel(f"loss of the {network} network")
        axes.legend(loc="upper right")
        return to_png(figure)
