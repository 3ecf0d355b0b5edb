"""A request card: what a process is and how it is generated."""

from __future__ import annotations

import os
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from flashsim_prod.core.names import check_primary
from flashsim_prod.core.strict import StrictModel


class Energy(StrictModel):
    """Centre-of-mass energy that a card offers, with the pileup profile that goes with it."""

    tev: float = Field(gt=0, le=100, description="centre-of-mass energy [TeV]")
    pileup: str = Field(description="name of the pileup profile drawn from")
    cross_section_pb: float | None = Field(
        default=None, gt=0, description="cross section [pb], for users to normalise"
    )


class ProcessCard(StrictModel):
    """One process that can be requested: ``jobs/<name>.yaml``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$", description="what it is asked for by; its file's name")
    title: str = Field(description="one line for people")
    primary: str = Field(description="primary dataset name; {energy} becomes 13TeV or 13p6TeV")
    energies: tuple[Energy, ...] = Field(min_length=1, description="the first one is the default")
    tune: str = Field(default="CP5", description="name of the set of tune settings")
    settings: tuple[str, ...] = Field(min_length=1, description="Pythia8 settings, in order")
    reference: str = Field(default="", description="where the settings come from")
    gridpack: str = Field(
        default="",
        description="tarball that makes hard processes, a path or an address; settings are then the shower's",
    )

    @field_validator("primary")
    @classmethod
    def _primary_follows_the_grammar(cls, value: str) -> str:
        check_primary(value.replace("{energy}", "13p6TeV"))
        return value

    @field_validator("gridpack")
    @classmethod
    def _gridpack_is_found_from_everywhere(cls, value: str) -> str:
        value = os.path.expanduser(value)
        if value and "://" not in value and not os.path.isabs(value):
            raise ValueError("give the whole path, or an address")
        return value

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the gridpack where there is none, as cards were before there were any."""
        fields: dict[str, Any] = handler(self)
        return fields if fields.get("gridpack") else {k: v for k, v in fields.items() if k != "gridpack"}

    @field_validator("energies")
    @classmethod
    def _energies_differ(cls, value: tuple[Energy, ...]) -> tuple[Energy, ...]:
        if len({energy.tev for energy in value}) != len(value):
            raise ValueError("the same energy is listed twice")
        return value

    def energy(self, tev: float | None) -> Energy | None:
        """The entry for `tev`, the default one for ``None``, or ``None`` if the card has no such energy."""
        if tev is None:
            return self.energies[0]
        return next((energy for energy in self.energies if energy.tev == tev), None)

    def primary_name(self, tev: float) -> str:
        """The primary dataset name at `tev`."""
        return self.primary.replace("{energy}", f"{tev:g}".replace(".", "p") + "TeV")
