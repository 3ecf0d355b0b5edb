"""A request: one dataset to be made, pinned down so that each of its jobs is a pure function of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from flashsim_prod.core.analyses.ntuple import Ntuple
from flashsim_prod.core.campaigns.extension import Before, Extension
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.choices import FileFormat
from flashsim_prod.core.names import DatasetName, lasting_rse
from flashsim_prod.core.options import UINT32_MAX, Registration, RequestOptions, Sampling
from flashsim_prod.core.site import Site
from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.core.sources.kinds import HasSource, written
from flashsim_prod.core.strict import StrictModel

#: a request and all that it is made of
__all__ = ["BundleRef", "InputFile", "Registration", "Request", "Sampling", "Split"]

#: what changes neither what is in a dataset nor what it is called; other code may, which is why it is refused
_NOT_CONTENTS = {"name", "site", "created", "code", *RequestOptions.NOT_CONTENTS}
#: the keys of the first request files, in their order: these are always written, and part of all digests
_FIRST_FORM = (
    *("schema_version", "name", "dataset", "card", "energy_tev", "gen_events", "oversample", "seed", "run"),
    *("inputs", "bundle", "sampling", "device", "split", "site", "catalog", "registration"),
    *("software_version", "created"),
)


#: what is said of a source's contents that is true of ntuples, too
_OF_NTUPLES = frozenset({"drawn", "normalisation"})


class BundleRef(StrictModel):
    """The model bundle that a request is bound to."""

    path: str = Field(description="name of a shipped bundle, or an absolute path")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 over the bundle's manifest")


class Split(StrictModel):
    """How a request is cut; all counts are per unit."""

    gen_events_per_job: int = Field(ge=1)
    gen_events_per_lumi: int = Field(ge=1)
    jobs_per_merge: int = Field(ge=1)
    files_per_block: int = Field(ge=1)


class Request(HasSource, RequestOptions):
    """Everything that decides what the dataset will hold: ``request.yaml``."""

    schema_version: Literal[1] = 1
    name: str
    dataset: DatasetName
    card: ProcessCard
    energy_tev: float
    gen_events: int = Field(ge=1, description="distinct generator events")
    bundle: BundleRef
    split: Split
    site: Site
    software_version: str
    created: datetime
    extends: Extension | None = None
    analysis: Ntuple | None = Field(
        default=None, description="makes flat ntuples of this analysis, not NANOAOD"
    )
    code: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{12}$", description="digest of the code that draws its events"
    )

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.format is not FileFormat.ROOT and self.analysis is None:
            raise ValueError(f"format: {self.format} is of flat ntuples; NANOAOD is written as root")
        if self.card.energy(self.energy_tev) is None:
            raise ValueError(f"card {self.card.name} has no energy of {self.energy_tev} TeV")
        needed = self.before.gen_events + self.gen_events
        if self.source.available is not None and self.source.available < needed:
            raise ValueError("the input files hold fewer events than gen_events")
        if self.before.lumis + self.n_lumis > UINT32_MAX:
            raise ValueError("more luminosity sections than NanoAOD can number; raise gen_events_per_lumi")
        return self

    @property
    def rse(self) -> str:
        """The storage element at which its files are registered."""
        return self.registration.rse or self.site.storage.rse

    @property
    def rse_expression(self) -> str:
        """Where a rule keeps its files."""
        return self.registration.rse_expression or lasting_rse(self.rse)

    @property
    def events(self) -> int:
        """Output events: every fold of every gen event."""
        return self.gen_events * self.oversample

    @property
    def is_vetoed(self) -> bool:
        """Whether the shower may throw events away; its numbers of events are then of those tried."""
        return self.source.vetoes(self.card)

    @property
    def is_thinned(self) -> bool:
        """Whether events may be left out, thrown away by the shower or not selected by an analysis."""
        return self.is_vetoed or self.analysis is not None

    def contents(self) -> tuple[tuple[str, str], ...]:
        """What is in the events beside what was simulated, or what the ntuple is, in lines for people.

        Nothing of an input is carried into the ntuple of an analysis.
        """
        told = tuple(self.source.contents())
        if self.analysis is None:
            return told
        names = ", ".join(one.name for one in self.analysis.columns)
        form = "" if self.format is FileFormat.ROOT else f", as {self.format}"
        selected = f"events that pass the selection of the analysis {self.analysis.name}"
        selected = f"events that pass the selection of the analysis {self.analysis.name}"
        what = f"{selected}, no NANOAOD{form}: {names}"
        return (("ntuple", what), *(one for one in told if one[0] in _OF_NTUPLES))

    @property
    def n_simulate(self) -> int:
        """Number of simulate jobs."""
        return -(-self.gen_events // self.split.gen_events_per_job)

    @property
    def n_lumis(self) -> int:
        """Luminosity sections that are its own: as many for its last job as for each of the others."""
        return self.n_simulate * -(-self.split.gen_events_per_job // self.split.gen_events_per_lumi)

    @property
    def before(self) -> Before:
        """What comes before its first job, where it extends another request."""
        return Before() if self.extends is None else self.extends.before

    @property
    def n_merge(self) -> int:
        """Number of merge jobs, and so of files in the dataset."""
        return -(-self.n_simulate // self.split.jobs_per_merge)

    @property
    def pileup(self) -> str:
        """Name of the pileup profile that goes with the energy."""
        return next(energy.pileup for energy in self.card.energies if energy.tev == self.energy_tev)

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The keys in the order of the first request files, then what came later and is not as then."""
        fields: dict[str, Any] = handler(self)
        if "source" in fields:
            fields |= written(fields.pop("source"))
        ever = {key: fields[key] for key in _FIRST_FORM if key in fields}
        return ever | {key: fields[key] for key in fields if key not in ever and not self._is_default(key)}

    def _is_default(self, key: str) -> bool:
        field = type(self).model_fields[key]
        return not field.is_required() and getattr(self, key) == field.get_default(call_default_factory=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        # pydantic copies what is remembered as well, and of something else it is another one
        copied.__dict__.pop("_digest", None)
        return copied

    def digest(self) -> str:
        """sha256 over all that decides the dataset's contents and names."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        # of thousands of input files it takes as long as reading a report, and each of thousands of jobs asks
        chosen = self.model_dump(mode="json", exclude=_NOT_CONTENTS)
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()
