"""What is noted of a fit."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from flashsim_prod.files import read_text, write_json
from flashsim_prod.physics.training.finite import LeftOut
from flashsim_prod.physics.training.optimise import FitSettings

#: (step, training loss, held-out loss) of each network
Losses = dict[str, list[tuple[int, float, float]]]


@dataclass
class FitRecord:
    """How a fit went.

    Attributes
    ----------
    rows, objects : int
        Source rows and reconstructed objects learned from.
    left_out : LeftOut
        Sources and objects that were not learned from, as they hold numbers that are not finite.
    version : str
        Of NanoAOD, that of the files; empty if it is not known.
    absent : tuple of str
        Branches that these files lacked, and the model with them.
    era : str
        That of the files; empty if nothing told it.
    detector : str
        Digest of the reference detector that made them; empty if it is not known.
    tables : str
        What tells the tables from others, by which it is known which rows were held out; empty if these were
        chosen otherwise.
    losses : mapping of network to list of (step, training loss, held-out loss)
    seconds : float
        Wall time, all sittings together.
    """

    rows: int
    objects: int
    settings: FitSettings
    losses: Losses = field(default_factory=dict)
    seconds: float = 0.0
    left_out: LeftOut = field(default_factory=LeftOut)
    version: str = ""
    absent: tuple[str, ...] = ()
    era: str = ""
    detector: str = ""
    tables: str = ""

    def write(self, target: Path) -> None:
        """As JSON, whole or not at all."""
        write_json(target, self)

    @staticmethod
    def losses_in(source: Path) -> Losses:
        """The losses of what `write` wrote; those that were not finite are NaN."""
        losses = json.loads(read_text(source))["losses"]
        return {
            network: [(step, _loss(training), _loss(held_out)) for step, training, held_out in points]
            for network, points in losses.items()
        }


def _loss(written: float | None) -> float:
    return math.nan if written is None else written
