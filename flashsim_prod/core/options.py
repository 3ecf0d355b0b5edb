"""What can be chosen for a request, written once: orders and requests hold it, a command offers it."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, SerializerFunctionWrapHandler, ValidationInfo, field_validator, model_serializer

from flashsim_prod.core.choices import Device, FileFormat, RegisterIn, Solver
from flashsim_prod.core.names import NANO_VERSION, check_scope
from flashsim_prod.core.strict import StrictModel

#: folds of one gen event, at most
MAX_OVERSAMPLE = 10_000
#: seeds are below this
SEED_END = 2**63
#: luminosity sections and runs are 32-bit in NanoAOD
UINT32_MAX = 2**32 - 1


class Sampling(StrictModel):
    """How the flows are integrated."""

    solver: Solver = Solver.MIDPOINT
    evaluations: int = Field(default=8, ge=1, le=1000, description="network evaluations per object")
    grid_power: float = Field(
        default=1.0, ge=1, le=10, description="times are 1-(1-s)^p: above 1 dense near t=1"
    )
    teachers: bool = Field(
        default=False, description="models that have students, with steps of their own, draw without these"
    )

    @field_validator("evaluations")
    @classmethod
    def _steps_are_whole(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("solver") is Solver.MIDPOINT and value % 2:
            raise ValueError(f"the midpoint solver takes two in each step, so {value} must be even")
        return value

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a word of teachers where none is wanted: requests and bundles keep their digests."""
        found: dict[str, Any] = handler(self)
        return found if self.teachers else {key: one for key, one in found.items() if key != "teachers"}


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


class RequestOptions(StrictModel):
    """What was chosen for a request, as it was chosen.

    A new option is one more field here, with a default, and an option of the same name of the command
    `request`. A request without it, from before there was one, has the default, and the same digest as ever
    (`Request` writes what came later only where it is not the default).
    """

    oversample: int = Field(ge=1, le=MAX_OVERSAMPLE, description="folds per generator event")
    seed: int = Field(ge=0, lt=SEED_END)
    run: int = Field(default=1, ge=1, le=UINT32_MAX)
    sampling: Sampling = Sampling()
    nano: str = Field(
        default=NANO_VERSION, pattern=r"^v\d+$", description="version of NanoAOD that is written"
    )
    format: FileFormat = Field(
        default=FileFormat.ROOT, description="of the files of a flat ntuple; NANOAOD is ROOT"
    )
    device: Device
    catalog: RegisterIn
    registration: Registration = Registration()
    keep_unrefined: bool = Field(
        default=False, description="write beside what a bundle refines what it was before, as Jet_ptunrefined"
    )
    virtual: bool = Field(default=False, description="register what it would hold, and make no file yet")

    #: those of them that change neither what is in a dataset nor what it is called
    NOT_CONTENTS: ClassVar[frozenset[str]] = frozenset({"device", "catalog", "registration", "virtual"})

    def chosen(self) -> dict[str, Any]:
        """These options alone, of a model that has more."""
        return {name: getattr(self, name) for name in RequestOptions.model_fields}
