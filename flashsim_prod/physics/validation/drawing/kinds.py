"""The picture of kinds of model side by side."""

from __future__ import annotations

from collections.abc import Sequence

from flashsim_prod.physics.validation.drawing.canvas import BLUE, GREY, ORANGE, RED, own_figure, to_png
from flashsim_prod.physics.validation.models.kinds import Standing

_COLOURS = (BLUE, ORANGE, RED, GREY, "black")
_MARKERS = "osD^vPX*"


def area_against_cost(standings: Sequence[Standing]) -> bytes:
    """Area of the classifier against processor time for an object: a colour a kind, a marker a model."""
    from matplotlib.ticker import LogLocator, NullLocator

    kinds = list(dict.fromkeys(one.kind for one in standings))
    models = list(dict.fromkeys(one.model for one in standings))
    with own_figure() as (figure, axes):
        for one in standings:
            colour = _COLOURS[kinds.index(one.kind) % len(_COLOURS)]
            marker = _MARKERS[models.index(one.model) % len(_MARKERS)]
            cost = 1e6 / one.objects_per_s
            axes.errorbar(cost, one.auc, one.auc_error, fmt=marker, color=colour, markersize=12)
            axes.plot(cost, one.floor, "_", color=colour, markersize=18)
        for kind, colour in zip(kinds, _COLOURS, strict=False):
            axes.plot([], [], "o", color=colour, markersize=12, label=kind)
        for model, marker in zip(models, _MARKERS, strict=False):
            axes.plot([], [], marker, color="black", fillstyle="none", markersize=12, label=model)
        axes.plot([], [], "_", color="black", markersize=18, label="two halves of the truth")
        axes.axhline(0.5, color=GREY, linestyle="--")
        axes.set_xscale("log")
        axes.set_xlim(*_around([1e6 / one.objects_per_s for one in standings]))
        # plain numbers, at several places of each decade
        for numbers in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            numbers("{x:g}")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("processor time for an object [\u00b5s]")
        axes.set_ylabel("area under the ROC curve")
        axes.legend(fontsize=16)
        return to_png(figure)


def _around(costs: Sequence[float]) -> tuple[float, float]:
    """Where the axis of costs begins and ends: half a decade or more, so that what is alike looks so."""
    return min(costs) / 1.8, max(costs) * 1.8
