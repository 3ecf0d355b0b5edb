"""Pythia8 set up to take its hard processes from LHE files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.errors import ConfigError
from flashsim_prod.files import write_whole
from flashsim_prod.physics.generator.lhe.survey import Survey
from flashsim_prod.physics.generator.pythia import set_up


def start(card: ProcessCard, of: Survey, seed: int, make_feed: Callable[[Any], Any]) -> Any:
    """Pythia8, initialised with the settings of `card`, and fed by what `make_feed` makes of it.

    Raises
    ------
    ConfigError
        If it does not take the settings.
    """
    with tempfile.TemporaryDirectory(prefix="lhe_") as folder:
        run = ["Beams:frameType = 5", "Random:setSeed = on", f"Random:seed = {seed}"]
        if of.head.slha:
            model = Path(folder) / "model.slha"
            write_whole(model, of.head.slha + "\n")
            run += ["SLHA:readFrom = 2", "SLHA:verbose = 0", f"SLHA:file = {model}"]
        pythia = set_up(card, tuple(run))
        pythia.setLHAupPtr(make_feed(pythia))
        if not pythia.init():
            raise ConfigError(f"card {card.name}: Pythia8 cannot start with these settings")
    return pythia
