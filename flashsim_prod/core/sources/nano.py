"""Generator-level events of existing NanoAOD or NanoGEN files."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.sources.base import InputFile, Source


class NanoFiles(Source):
    """The events of some files, end to end; each job has its share of them."""

    kind: Literal["nano"] = "nano"
    runs_generator: ClassVar[bool] = False

    files: tuple[InputFile, ...] = Field(min_length=1)

    def generator(self, card: ProcessCard) -> str:
        return "existing files"

    def summary(self, card: ProcessCard) -> str:
        return f"{len(self.files)} files, the first {self.files[0].url}"

    def headline(self, energy_tev: float) -> str:
        return f"{len(self.files):,} input file{'' if len(self.files) == 1 else 's'}"
