"""The figure that an analysis ends with: the network's output, signal and backgrounds in both simulations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flashsim_prod.physics.validation.drawing.canvas import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    draw_caption,
    new_figure,
    to_png,
)
from flashsim_prod.physics.validation.drawing.plots import shares
from flashsim_prod.physics.validation.statistics.clustered import Entries

_BINS = 12
_COLOURS = (RED, BLUE, ORANGE, GREY)


def network_output(processes: Sequence[tuple[str, Entries, Entries]], *, caption: str) -> bytes:
    """Shares of the events of each process in bins of the network's output.

    Parameters
    ----------
    processes : sequence of (title, Entries, Entries)
        Of FlashSim and of the reference, the signal first.
    caption : str
        What is written above the figure.
    """
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    with new_figure(ratio=True) as (figure, (upper, lower)):
        top = 0.0
        for number, (title, sample, reference) in enumerate(processes):
            colour = _COLOURS[number % len(_COLOURS)]
            (of_reference, reference_error), (of_sample, error) = (
                shares(one, edges, None) for one in (reference, sample)
            )
            low, high = of_reference - reference_error, of_reference + reference_error
            upper.stairs(of_reference, edges, color=colour, linewidth=2.5)
            upper.stairs(high, edges, baseline=low, fill=True, color=colour, alpha=0.25)
            upper.errorbar(centres, of_sample, error, fmt="o", color=colour, markersize=7, label=title)
            ratio, ratio_error = (
                np.divide(one, of_reference, out=np.full_like(one, np.nan), where=of_reference > 0)
                for one in (of_sample, error)
            )
            # side by side, so that none hides another
            beside = (number - (len(processes) - 1) / 2) * 0.2 / _BINS
            lower.errorbar(centres + beside, ratio, ratio_error, fmt="o", color=colour, markersize=6)
            top = max(top, float(of_reference.max()), float(of_sample.max()))
        upper.set_ylim(0, 1.6 * top)
        upper.set_ylabel("fraction")
        heading = "points: FlashSim, lines: reference detector"
        upper.legend(loc="upper center", fontsize=20, title=heading, title_fontsize=20)
        draw_caption(upper, caption)
        lower.axhline(1.0, color="black", linewidth=1)
        lower.set_ylim(0.5, 1.5)
        lower.set_ylabel("ratio", loc="center")
        lower.set_xlabel("DNN output")
        lower.set_xlim(0.0, 1.0)
        return to_png(figure)
