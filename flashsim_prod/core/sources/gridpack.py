"""Hard processes that a gridpack makes in the job, showered and hadronised by Pythia8."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.sources.base import CarriedBranch, InputFile, Source
from flashsim_prod.core.sources.lhe import merging_of
from flashsim_prod.core.sources.nano import Contents


class GridpackEvents(Source):
    """As many events as are asked for; each job runs the gridpack with a seed of its own.

    Attributes
    ----------
    url : str
        The tarball: a path, or an address that it is fetched from.
    bytes : int
    sha256 : str
        Of the tarball; what a job finds must have it.
    carried : tuple of CarriedBranch
        Branches of the hard process and its weights, as a first run of the gridpack had them.
    told : Contents
    """

    kind: Literal["gridpack"] = "gridpack"
    runs_generator: ClassVar[bool] = True

    files: tuple[InputFile, ...] = Field(default=(), max_length=0)
    url: str
    bytes: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    carried: tuple[CarriedBranch, ...]
    told: Contents

    @property
    def sent(self) -> tuple[InputFile, ...]:
        return () if "://" in self.url else (InputFile(url=self.url, entries=1, bytes=self.bytes),)

    def sent_for(self, first: int, number: int) -> tuple[InputFile, ...]:
        return self.sent

    def more_branches(self) -> tuple[CarriedBranch, ...]:
        return self.carried

    def vetoes(self, card: ProcessCard) -> bool:
        return bool(merging_of(card.settings))

    def contents(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.told.model_dump().items())

    def generator(self, card: ProcessCard) -> str:
        name = self.url.rpartition("/")[2]
        return f"gridpack {name} (sha256 {self.sha256[:12]}), showered by Pythia8, tune {card.tune}"

    def headline(self, energy_tev: float) -> str:
        return f"gridpack {self.url.rpartition('/')[2]} and Pythia8 at {energy_tev:g} TeV"
