"""The flat ntuple of one analysis: what requests, bundles and files say of it."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from flashsim_prod.core.strict import StrictModel

#: where a file's MetaData declares the ntuple that it is
ANALYSIS = "analysis"
#: tier of datasets of ntuples
NTUPLE_TIER = "NTUPLE"
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
#: what every event has beside the variables
_TAKEN = re.compile(r"run|luminosityBlock|event|genWeight|FlashSim_\w*|n[A-Z]\w*")


def check_word(name: str, what: str) -> str:
    """`name` itself if it can name a variable or an analysis; `ValueError` otherwise."""
    if not _WORD.fullmatch(name):
        raise ValueError(
            f"'{name}' cannot name {what}; use at most 60 letters, digits and '_', the first a letter"
        )
    return name


class Column(StrictModel):
    """One variable of the ntuple."""

    name: str
    type: Literal["float", "int"] = "float"
    title: str = Field(min_length=1, description="what it is, with its unit in brackets")

    @field_validator("name")
    @classmethod
    def _name_is_a_branch(cls, value: str) -> str:
        if _TAKEN.fullmatch(value):
            raise ValueError(
                f"'{value}' is a branch that every ntuple has, or begins like a counter; rename it"
            )
        return check_word(value, "a variable")


class Ntuple(StrictModel):
    """What the events of an analysis have: those that pass its selection, a number for each variable."""

    name: str
    columns: tuple[Column, ...] = Field(min_length=1)

    @field_validator("name")
    @classmethod
    def _name_is_a_word(cls, value: str) -> str:
        return check_word(value, "an analysis")
