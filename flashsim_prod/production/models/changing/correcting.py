"""What learning a refiner and learning a reweighter have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.choices import Device
from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import InputError
from flashsim_prod.grid.locks import fit_lock
from flashsim_prod.production.models.bundles import open_bundle

if TYPE_CHECKING:
    from flashsim_prod.physics.training.correcting.folder import Correction, Unseen
    from flashsim_prod.physics.validation.models.reweighted import Judged

#: called with the task, its steps done, all of them, and a loss
Step = Callable[[str, int, int, float], None]


@dataclass(frozen=True, kw_only=True)
class CorrectionOptions:
    """How a correction learns.

    Attributes
    ----------
    sampling : Sampling
        How draws are integrated, which requests then have to repeat.
    steps : int, optional
        Of its network.
    quick : bool
        A tenth of the steps.
    """

    sampling: Sampling
    steps: int | None = None
    quick: bool = False
    device: Device = Device.AUTO
    threads: int = 1
    seed: int = 1


@contextmanager
def alone_with(name: str, base: str | None, work: Path, wanted: Correction) -> Iterator[Unseen]:
    """A model and what it has not seen; nobody makes its fit in `work` meanwhile: that would be lost."""
    from flashsim_prod.physics.chain.registry import find_model
    from flashsim_prod.physics.training.correcting.folder import unseen

    model = find_model(name)
    with fit_lock(work, name):
        yield unseen(model, work, None if base is None else open_bundle(base), wanted)


def refuse_useless(model: str, what: str, figures: Judged) -> None:
    """`InputError` if a correction, a refiner or a reweighter, does not bring draws nearer to the truth."""
    if not figures.helps:
        raise InputError(
            f"{model}: of no use, nothing was written: trees tell draws from {figures.objects:,} true "
            f"objects with an area of {figures.auc_before:.3f} without the {what} and "
            f"{figures.auc_after:.3f} +- {figures.auc_error:.3f} with it (two samples of the truth: "
            f"{figures.floor:.3f}); learn from more objects, or do without"
        )
