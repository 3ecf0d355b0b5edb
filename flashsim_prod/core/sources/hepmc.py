"""Whole events of HepMC3 files: any generator's, with its own shower and hadronisation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.sources.base import CarriedBranch, InputFile, Source
from flashsim_prod.core.sources.nano import Contents


class HepmcFiles(Source):
    """The events of some HepMC files, end to end: each job has its share."""

    kind: Literal["hepmc"] = "hepmc"
    runs_generator: ClassVar[bool] = False
    seeds_by_event: ClassVar[bool] = True

    files: tuple[InputFile, ...] = Field(min_length=1)
    weights: tuple[str, ...] = Field(description="names of each event's weights, in the files' order")
    nominal: int = Field(ge=0, description="which of them is genWeight")
    numbered: bool = Field(description="whether all events have numbers from 0 on")
    beams_gev: float | None = Field(description="energy of both beams together, if the events have beams")
    made_by: str = Field(description="the generator, as the files call it")
    carried: tuple[CarriedBranch, ...] = Field(description="branches of the weights")
    told: Contents

    def more_branches(self) -> tuple[CarriedBranch, ...]:
        return self.carried

    def contents(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.told.model_dump().items())

    def generator(self, card: ProcessCard) -> str:
        return f"HepMC files of {self.made_by}"

    def summary(self, card: ProcessCard) -> str:
        files = f"{len(self.files)} HepMC file{'' if len(self.files) == 1 else 's'}"
        return f"{files} of {self.made_by}, the first {self.files[0].url}"

    def headline(self, energy_tev: float) -> str:
        return f"{len(self.files):,} HepMC file{'' if len(self.files) == 1 else 's'}"
