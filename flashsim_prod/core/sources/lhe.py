"""Hard processes of LHE files, showered and hadronised by Pythia8 in the job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.sources.base import CarriedBranch, InputFile, Source
from flashsim_prod.core.sources.nano import Contents

#: what the index of a file is called beside it
INDEX = ".index"
_ON = ("on", "yes", "true", "ok", "1")
_CKKW_L = ("doktmerging", "doptlundmerging", "domgmerging", "docutbasedmerging")


def values_of(settings: Iterable[str]) -> dict[str, str]:
    """What settings of Pythia8 come to: by names in lower case, the last of each counts."""
    found: dict[str, str] = {}
    for setting in settings:
        name, _, value = " ".join(setting.replace("=", " ").split()).partition(" ")
        found[name.lower()] = value
    return found


def merging_of(settings: Iterable[str]) -> str:
    """The merging of samples with several numbers of jets that `settings` switch on; empty for none."""
    values = values_of(settings)
    on = {name for name, value in values.items() if value.lower() in _ON}
    if "jetmatching:merge" in on:
        return "FxFx" if "jetmatching:dofxfx" in on else "MLM"
    return "CKKW-L" if any(f"merging:{name}" in on for name in _CKKW_L) else ""


class LheFiles(Source):
    """The events of some LHE files, end to end: each job has its share, each event has its own seeds."""

    kind: Literal["lhe"] = "lhe"
    runs_generator: ClassVar[bool] = True
    seeds_by_event: ClassVar[bool] = True

    files: tuple[InputFile, ...] = Field(min_length=1)
    carried: tuple[CarriedBranch, ...] = Field(description="branches of the hard process and its weights")
    told: Contents
    indices: tuple[str, ...] = Field(default=(), description="files beside some, by which events are found")

    @property
    def sent(self) -> tuple[InputFile, ...]:
        return (*super().sent, *self._indices_of(super().sent))

    def sent_for(self, first: int, number: int) -> tuple[InputFile, ...]:
        files = super().sent_for(first, number)
        return (*files, *self._indices_of(files))

    def _indices_of(self, files: Iterable[InputFile]) -> Iterator[InputFile]:
        names = {f"{file.url}{INDEX}" for file in files}
        yield from (InputFile(url=one, entries=1) for one in self.indices if one in names)

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without indices where there are none, as before there were any."""
        fields: dict[str, Any] = handler(self)
        return fields if fields.get("indices") else {k: v for k, v in fields.items() if k != "indices"}

    def more_branches(self) -> tuple[CarriedBranch, ...]:
        return self.carried

    def vetoes(self, card: ProcessCard) -> bool:
        return bool(merging_of(card.settings))

    def contents(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.told.model_dump().items())

    def generator(self, card: ProcessCard) -> str:
        return f"LHE files, showered by Pythia8, tune {card.tune}"

    def summary(self, card: ProcessCard) -> str:
        files = f"{len(self.files)} LHE file{'' if len(self.files) == 1 else 's'}"
        return f"{files}, the first {self.files[0].url}; showered by Pythia8, tune {card.tune}"

    def headline(self, energy_tev: float) -> str:
        files = f"{len(self.files):,} LHE file{'' if len(self.files) == 1 else 's'}"
        return f"{files} and Pythia8 at {energy_tev:g} TeV"
