"""Cocktails: datasets of simulation that a bundle is to be trained on together, each with its part."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from flashsim_prod.core.strict import StrictModel

_NANOAOD = re.compile(r"/[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+/NANOAODSIM")
#: fractions that are typed with a few digits add up to one so well
_ROUNDED = 1e-6


class Ingredient(StrictModel):
    """One process of a cocktail: datasets of CERN Open Data, or files."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="what it is called in messages")
    fraction: float = Field(gt=0, le=1, description="part of the cocktail's events")
    record: int | None = Field(default=None, gt=0, description="number of its record, where it is known")
    dataset: str | None = Field(
        default=None, description="whole name of its dataset, by which the record is found otherwise"
    )
    files: tuple[str, ...] = Field(default=(), description="files or addresses instead of a record")

    @field_validator("dataset")
    @classmethod
    def _dataset_is_nanoaod(cls, value: str | None) -> str | None:
        if value is not None and not _NANOAOD.fullmatch(value):
            raise ValueError("not the name of a NanoAOD dataset: /PRIMARY/CAMPAIGN/NANOAODSIM")
        return value

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Ingredient:
        if bool(self.files) == (self.record is not None or self.dataset is not None):
            raise ValueError(f"{self.name}: give a record or a dataset, or else files")
        return self


class Cocktail(StrictModel):
    """What ``train all --cocktail`` trains on: ``jobs/cocktails/<name>.yaml``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$", description="what it is asked for by; its file's name")
    title: str = Field(description="what the bundle's models stand for, in one line")
    era: str = Field(description="data-taking period that the files simulate, as UL16postVFP")
    tag: str = Field(
        pattern=r"^[A-Za-z0-9]+$", description="word for names of datasets that the bundle makes"
    )
    events: int = Field(gt=0, description="in all, if nothing else is asked for")
    base: str | None = Field(default=None, description="bundle that models with too few objects come from")
    processes: tuple[Ingredient, ...] = Field(min_length=1, description="in the order of extraction")

    @model_validator(mode="after")
    def _fractions_add_up(self) -> Cocktail:
        total = sum(one.fraction for one in self.processes)
        if abs(total - 1) > _ROUNDED:
            raise ValueError(f"the fractions of the processes add up to {total:g}; make them add up to 1")
        for what in ("name", "record", "dataset"):
            known = [getattr(one, what) for one in self.processes if getattr(one, what) is not None]
            twice = sorted({str(one) for one in known if known.count(one) > 1})
            if twice:
                raise ValueError(f"the {what} {twice[0]} is there twice")
        return self

    def shares(self, events: int) -> dict[str, int]:
        """Events of each process, of `events` in all: at least one each."""
        return {one.name: max(1, round(one.fraction * events)) for one in self.processes}
