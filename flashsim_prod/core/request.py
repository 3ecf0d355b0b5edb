"""A request: one dataset to be made, pinned down so that each of its jobs is a pure function of it."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.choices import Device, RegisterIn, Solver
from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.scopes import check_scope, lasting_rse
from flashsim_prod.core.site import Site
from flashsim_prod.core.strict import StrictModel

#: what changes neither what is in a dataset nor what it is called
_NOT_CONTENTS = {"name", "site", "catalog", "registration", "created", "device"}
#: luminosity sections and runs are 32-bit in NanoAOD
_UINT32_MAX = 2**32 - 1


class InputFile(StrictModel):
    """A file of generator-level NanoAOD that takes the generator's place."""

    url: str
    entries: int = Field(ge=1)
    bytes: int | None = Field(default=None, ge=0)
    lfn: str | None = Field(default=None, description="its name in the catalogue that it was found in")
    dataset: str | None = Field(default=None, description="the catalogue's dataset that it is of")


class BundleRef(StrictModel):
    """The model bundle that a request is bound to."""

    path: str = Field(description="name of a shipped bundle, or an absolute path")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 over the bundle's manifest")


class Sampling(StrictModel):
    """How the flows are integrated."""

    solver: Solver = Solver.MIDPOINT
    evaluations: int = Field(default=8, ge=1, le=1000, description="network evaluations per object")
    grid_power: float = Field(
        default=1.0, ge=1, le=10, description="times are 1-(1-s)^p: above 1 dense near t=1"
    )

    @field_validator("evaluations")
    @classmethod
    def _steps_are_whole(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("solver") is Solver.MIDPOINT and value % 2:
            raise ValueError(f"the midpoint solver takes two in each step, so {value} must be even")
        return value


class Split(StrictModel):
    """How a request is cut; all counts are per unit."""

    gen_events_per_job: int = Field(ge=1)
    gen_events_per_lumi: int = Field(ge=1)
    jobs_per_merge: int = Field(ge=1)
    files_per_block: int = Field(ge=1)


class Registration(StrictModel):
    """Where and under whose name a dataset is registered; nothing of it changes the dataset's contents."""

    scope: str = Field(default="cms", description="cms, user.<name> or group.<name>")
    rse: str | None = Field(default=None, description="storage element; the site's by default")
    rse_expression: str | None = Field(
        default=None, description="where a rule keeps the files; by default at the storage element"
    )
    lifetime_days: float | None = Field(
        default=None, gt=0, le=36_525, description="of the rule [days]; for ever by default"
    )

    @field_validator("scope")
    @classmethod
    def _scope_is_one(cls, value: str) -> str:
        return check_scope(value)


class Request(StrictModel):
    """Everything that decides what the dataset will hold: ``request.yaml``."""

    schema_version: Literal[1] = 1
    name: str
    dataset: DatasetName
    card: ProcessCard
    energy_tev: float
    gen_events: int = Field(ge=1, description="distinct generator events")
    oversample: int = Field(ge=1, le=10_000, description="folds per generator event")
    seed: int = Field(ge=0, lt=2**63)
    run: int = Field(default=1, ge=1, le=_UINT32_MAX)
    inputs: tuple[InputFile, ...] = ()
    bundle: BundleRef
    sampling: Sampling = Sampling()
    device: Device
    split: Split
    site: Site
    catalog: RegisterIn
    registration: Registration = Registration()
    software_version: str
    created: datetime

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.card.energy(self.energy_tev) is None:
            raise ValueError(f"card {self.card.name} has no energy of {self.energy_tev} TeV")
        if self.inputs and sum(file.entries for file in self.inputs) < self.gen_events:
            raise ValueError("the input files hold fewer events than gen_events")
        last_lumi = self.n_simulate * -(-self.split.gen_events_per_job // self.split.gen_events_per_lumi)
        if last_lumi > _UINT32_MAX:
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
    def n_simulate(self) -> int:
        """Number of simulate jobs."""
        return -(-self.gen_events // self.split.gen_events_per_job)

    @property
    def n_merge(self) -> int:
        """Number of merge jobs, and so of files in the dataset."""
        return -(-self.n_simulate // self.split.jobs_per_merge)

    @property
    def parents(self) -> tuple[str, ...]:
        """Datasets that its input files are of, each once."""
        return tuple(dict.fromkeys(file.dataset for file in self.inputs if file.dataset))

    @property
    def pileup(self) -> str:
        """Name of the pileup profile that goes with the energy."""
        return next(energy.pileup for energy in self.card.energies if energy.tev == self.energy_tev)

    def digest(self) -> str:
        """sha256 over all that decides the dataset's contents and names."""
        chosen = self.model_dump(mode="json", exclude=_NOT_CONTENTS)
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()
