"""Generator-level events of existing NanoAOD or NanoGEN files."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.sources.base import CarriedBranch, InputFile, Source
from flashsim_prod.core.strict import StrictModel


class InputSums(StrictModel):
    """What one input file counts for: the sums of its tree Runs, else of its own events."""

    count: int = Field(ge=0)
    sumw: float
    sumw2: float = Field(ge=0)


class Contents(StrictModel):
    """What becomes of the input, a line each, for people."""

    carried: str
    dropped: str
    drawn: str
    normalisation: str


class NanoFiles(Source):
    """The events of some files, end to end; each job has its share of them."""

    kind: Literal["nano"] = "nano"
    runs_generator: ClassVar[bool] = False

    files: tuple[InputFile, ...] = Field(min_length=1)
    carried: tuple[CarriedBranch, ...] = Field(default=(), description="branches that are in every file")
    sums: tuple[InputSums, ...] = Field(
        default=(), description="of each file; the events' own where there are none"
    )
    run_vectors: tuple[str, ...] = Field(default=(), description="arrays of Runs that every file has")
    absent: tuple[str, ...] = Field(default=(), description="generator-level branches that the files lack")
    told: Contents | None = None

    @model_validator(mode="after")
    def _each_file_has_its_sums(self) -> Self:
        if self.sums and len(self.sums) != len(self.files):
            raise ValueError("there must be one entry of sums for each file, or none")
        return self

    def more_branches(self) -> tuple[CarriedBranch, ...]:
        return self.carried

    def contents(self) -> tuple[tuple[str, str], ...]:
        return () if self.told is None else tuple(self.told.model_dump().items())

    def repeated_for(self, gen_events: int) -> Self:
        repeated = super().repeated_for(gen_events)
        rounds = len(repeated.files) // len(self.files)
        return repeated.model_copy(update={"sums": self.sums * rounds})

    def generator(self, card: ProcessCard) -> str:
        return "existing files"

    def summary(self, card: ProcessCard) -> str:
        return f"{len(self.files)} files, the first {self.files[0].url}"

    def headline(self, energy_tev: float) -> str:
        return f"{len(self.files):,} input file{'' if len(self.files) == 1 else 's'}"
