"""Pictures of how a fit went."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from flashsim_prod.files import write_whole
from flashsim_prod.physics.training.record import FitRecord

#: what draws; training needs none of it
_LIBRARIES = ("matplotlib", "mplhep")


def can_draw() -> bool:
    """Whether the libraries that draw are installed."""
    return all(find_spec(name) is not None for name in _LIBRARIES)


def draw_losses(record: FitRecord, folder: Path) -> list[Path]:
    """Write ``<network>_loss.png`` for each network into `folder`; none without the libraries."""
    if not can_draw():
        return []
    # matplotlib takes a second to load
    from flashsim_prod.physics.validation.drawing.plots import loss_curves

    made = []
    for network, losses in record.losses.items():
        path = folder / f"{network}_loss.png"
        made.append(write_whole(path, loss_curves(losses, network=network)))
    return made
