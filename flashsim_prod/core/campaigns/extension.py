"""An extension: the request that goes on where another one ended, for more events of the same sample."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.strict import StrictModel


@dataclass(frozen=True)
class Before:
    """What comes before the first job of a request: nothing, but for an extension."""

    jobs: int = 0
    gen_events: int = 0
    lumis: int = 0


class Extension(StrictModel):
    """Which request this one extends, and where numbering and seeds go on.

    Both have the same seed, card, models and folds. Jobs, generator events, events and luminosity sections
    are counted through all of them, and all that is drawn is a function of the seed and these numbers: so
    nothing is ever made twice, and the datasets together are one sample.
    """

    request: str = Field(description="name of the first request")
    dataset: str = Field(description="what that one makes")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="of that request")
    number: int = Field(ge=1, description="which extension of it this is")
    jobs: int = Field(ge=1, description="simulate jobs before the first one of this request")
    gen_events: int = Field(ge=1, description="generator events before the first one of this request")
    lumis: int = Field(ge=1, description="luminosity sections before the first one of this request")

    @property
    def before(self) -> Before:
        """The numbers that come before."""
        return Before(self.jobs, self.gen_events, self.lumis)

    def dataset_name(self, version: int | None = None) -> DatasetName:
        """What the extension's dataset is called; by default in the version of the first request's."""
        first = DatasetName.parse(self.dataset)
        return first.extended(self.number, first.version if version is None else version)
