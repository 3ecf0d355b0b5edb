"""Generator-level events that Pythia8 makes in the job, by the card's settings."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.sources.base import InputFile, Source


class PythiaEvents(Source):
    """As many events as are asked for; each job has a seed of its own."""

    kind: Literal["pythia"] = "pythia"
    runs_generator: ClassVar[bool] = True

    files: tuple[InputFile, ...] = Field(default=(), max_length=0)

    def generator(self, card: ProcessCard) -> str:
        return f"Pythia8, tune {card.tune}"

    def headline(self, energy_tev: float) -> str:
        return f"Pythia8 at {energy_tev:g} TeV"
