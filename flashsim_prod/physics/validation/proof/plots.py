"""Figures of the proof of oversampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from flashsim_prod.physics.validation.drawing.canvas import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    draw_caption,
    new_figure,
    own_figure,
    to_png,
)
from flashsim_prod.physics.validation.proof.proof import SHARE, Proof


def example(proof: Proof, *, caption: str) -> bytes:
    """One toy: the whole sample and the oversampled one, and their difference in units of its uncertainty."""
    edges, whole, sample = (np.array(one) for one in (proof.edges, proof.whole, proof.oversampled))
    of_whole, of_sample, naive = (
        np.array(one) for one in (proof.whole_error, proof.oversampled_error, proof.naive_error)
    )
    width = np.diff(edges)
    centres = (edges[1:] + edges[:-1]) / 2
    with new_figure(ratio=True) as (figure, (upper, lower)):
        upper.stairs(
            whole / width, edges, fill=True, color=GREY, alpha=0.5, label=f"{whole.sum():,.0f} events"
        )
        label = f"1/{SHARE} of them, x{proof.folds}"
        upper.errorbar(
            centres, sample / width, of_sample / width, fmt="o", color=RED, markersize=6, label=label
        )
        upper.set_ylabel("events / unit")
        upper.set_ylim(0, 1.4 * float((sample / width).max(initial=1e-9)))
        upper.legend(loc="upper right")
        draw_caption(upper, caption)
        total = np.hypot(of_whole, of_sample)
        lower.bar(
            centres,
            np.divide(sample - whole, total, where=total > 0, out=np.zeros_like(total)),
            width,
            color=RED,
        )
        wrong = np.hypot(of_whole, naive)
        naive_pull = np.divide(sample - whole, wrong, where=wrong > 0, out=np.zeros_like(wrong))
        lower.stairs(naive_pull, edges, color=BLUE, linewidth=2)
        lower.axhline(0, color="black", linewidth=1)
        lower.set_ylim(-4.5, 4.5)
        lower.set_ylabel("pull", loc="center")
        lower.set_xlabel(proof.label)
        lower.set_xlim(edges[0], edges[-1])
        return to_png(figure)


def pulls(proof: Proof, *, caption: str) -> bytes:
    """Pulls of all toys and bins with a normal distribution of unit width."""
    with new_figure(ratio=False) as (figure, (axes,)):
        edges = np.linspace(-5, 5, 51).tolist()
        values = np.clip(np.array(proof.pulls), -4.99, 4.99)
        label = f"width {proof.correlated.width:.3f} ± {proof.correlated.width_error:.3f}"
        axes.hist(values, edges, density=True, color=RED, alpha=0.45, label=label)
        naive = np.clip(np.array(proof.naive_pulls), -4.99, 4.99)
        label = f"folds independent: {proof.naive.width:.3f}"
        axes.hist(naive, edges, density=True, color=BLUE, histtype="step", linewidth=2, label=label)
        x = np.linspace(-5, 5, 201)
        axes.plot(x, stats.norm.pdf(x), color="black", linewidth=2, label="normal, width 1")
        axes.set_ylim(0, 0.62)
        axes.set_xlabel("(oversampled - whole) / uncertainty")
        axes.set_ylabel("toys and bins")
        axes.legend(loc="upper right")
        draw_caption(axes, caption)
        return to_png(figure)


def gains(proofs: Sequence[Proof], *, caption: str) -> bytes:
    """Effective gain of every observable, factors side by side."""
    names = list(dict.fromkeys(proof.observable for proof in proofs))
    factors = sorted({proof.folds for proof in proofs})
    place = np.arange(len(names), dtype=np.float64)
    height = 0.8 / len(factors)
    with own_figure() as (figure, axes):
        for number, folds in enumerate(factors):
            by_name = {proof.observable: proof.gain for proof in proofs if proof.folds == folds}
            where = place + (number - (len(factors) - 1) / 2) * height
            axes.barh(
                where, [by_name.get(name, 0.0) for name in names], 0.9 * height,
                color=(RED, ORANGE, BLUE)[number % 3], label=f"x{folds}",
            )  # fmt: skip
        axes.set_yticks(place, names, fontsize=22)
        axes.yaxis.minorticks_off()
        axes.invert_yaxis()
        axes.set_xlim(1.0, None)
        axes.set_xlabel("effective gain in generator events")
        axes.legend(loc="upper right")
        draw_caption(axes, caption)
        # names need more room than numbers
        axes.set_position((0.36, 0.13, 0.6, 0.82))
        return to_png(figure)
