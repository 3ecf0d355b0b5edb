"""Pictures of a closure: each variable by the truth and by the model, and their ratio."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from flashsim_prod.files import write_whole
from flashsim_prod.physics.analysis.closure import TOLERANCE, Bins, Closure


def can_draw() -> bool:
    """Whether the libraries for it are installed."""
    return all(find_spec(name) is not None for name in ("matplotlib", "mplhep", "PIL"))


def draw(closure: Closure, folder: Path) -> tuple[Path, ...]:
    """A picture of each variable in `folder`; none without the libraries."""
    if not can_draw():
        return ()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for one in closure.variables:
        paths.append(folder / f"{one.name}.png")
        write_whole(paths[-1], _drawn(one))
    return tuple(paths)


def _drawn(one: Bins) -> bytes:
    from flashsim_prod.physics.validation.drawing.canvas import BLUE, RED, new_figure, to_png

    with new_figure(ratio=True) as (figure, (upper, lower)):
        upper.stairs(one.truth, one.edges, color=BLUE, fill=True, alpha=0.4, label="truth, held out")
        upper.stairs(one.model, one.edges, color=RED, linewidth=2, label="model")
        upper.set_ylabel("sum of weights")
        upper.legend(fontsize=20)
        centres, known = (one.edges[1:] + one.edges[:-1]) / 2, np.isfinite(one.ratio)
        enough = known & one.enough
        lower.errorbar(
            centres[enough], one.ratio[enough], one.error[enough], fmt="o", color=RED, markersize=5
        )
        few = known & ~one.enough
        lower.errorbar(
            centres[few], one.ratio[few], one.error[few], fmt="o", color=RED, markersize=4, alpha=0.25
        )
        for level in (1 - TOLERANCE, 1.0, 1 + TOLERANCE):
            lower.axhline(level, color="black", linewidth=0.8, linestyle="-" if level == 1 else ":")
        lower.set_ylim(0.8, 1.2)
        lower.set_ylabel("ratio")
        lower.set_xlabel(one.title, parse_math=is_math(one.title))
        return to_png(figure)


def is_math(title: str) -> bool:
    """Whether what stands between dollars can be set as formulas; what cannot is shown as it was typed."""
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("agg").parse(title)
    except ValueError:
        return False
    return True
