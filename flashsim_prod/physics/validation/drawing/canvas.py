"""The paper that figures are drawn on, in the style of the CMS experiment's plots."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import matplotlib as mpl
import mplhep
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

BLUE, ORANGE, RED, GREY = "#5790fc", "#f89c20", "#e42536", "#9c9ca1"
#: pixels an inch: with the style's 10 inches and letters of 26 points, a figure for half a phone's width
DPI = 44
_WIDTH, _HEIGHT = 10.0, 9.0
#: colours of lines and letters
_FEW = 64
#: the field's, less the small ticks of linear axes: they would take a quarter of the time that a figure takes
STYLE = {**mplhep.style.CMS, "xtick.minor.visible": False, "ytick.minor.visible": False}
#: where labels of axes stand: to find out what room numbers leave takes as long as to draw these
_BESIDE, _BELOW = -0.105, -0.3


@contextmanager
def new_figure(*, ratio: bool) -> Iterator[tuple[Figure, list[Axes]]]:
    """A blank figure in the field's style, with a ratio panel below if wanted.

    It is good until the context is left: a page has hundreds of figures, and to make axes and ticks anew for
    each would take as long as to draw them. What moves the axes or styles the ticks needs an `own_figure`.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _paper(ratio)
        try:
            yield figure, list(axes)
        finally:
            for one in axes:
                _clear(one)


@contextmanager
def own_figure() -> Iterator[tuple[Figure, Axes]]:
    """A blank figure without a ratio panel that is not used again."""
    with mpl.rc_context(mplhep.style.CMS):
        figure, (axes,) = _blank(False)
        yield figure, axes


def _blank(ratio: bool) -> tuple[Figure, tuple[Axes, ...]]:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=DPI)
    # fixed margins: to let matplotlib find them takes more time than all else
    grid = {"left": 0.15, "right": 0.96, "bottom": 0.13, "top": 0.95, "hspace": 0.07}
    if ratio:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1), gridspec_kw=grid)
        for axes in (upper, lower):
            axes.yaxis.set_label_coords(_BESIDE, 1.0)
        lower.xaxis.set_label_coords(1.0, _BELOW)
        return figure, (upper, lower)
    return figure, (figure.subplots(gridspec_kw=grid),)


_paper = cache(_blank)


def _clear(axes: Axes) -> None:
    """Take away all that was drawn; unlike ``Axes.clear`` the ticks stay."""
    for artist in (*axes.lines, *axes.patches, *axes.collections, *axes.texts):
        artist.remove()
    # a legend would list them
    axes.containers.clear()
    if (legend := axes.get_legend()) is not None:
        legend.remove()
    axes.set_xlabel("")
    axes.set_ylabel("")
    axes.set_prop_cycle(None)
    # a scale that is set brings its own locators and formatters
    axes.set_xscale("linear")
    axes.set_yscale("linear")
    axes.relim()
    axes.autoscale()


def to_png(figure: Figure, colours: int = _FEW) -> bytes:
    """The figure with few colours, which makes it a third of the size."""
    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="rgba")
    drawn = Image.frombytes("RGBA", figure.canvas.get_width_height(), raw.getvalue()).convert("RGB")
    # the better way for many shades takes ten times as long
    way = Image.Quantize.FASTOCTREE if colours <= _FEW else Image.Quantize.MEDIANCUT
    drawn.quantize(colours, way).save(small, format="png")
    return small.getvalue()


def draw_caption(axes: Axes, text: str) -> None:
    """A line above the frame; as a title it would take a third of the time that a figure takes."""
    axes.text(0.0, 1.01, text, transform=axes.transAxes, fontsize=24, style="italic", va="bottom")
