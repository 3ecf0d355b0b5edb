"""What an entry of a bundle says of a correction, and whether that is of this very model; needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.core.options import Sampling
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import BundleError

#: before the names of a correction's tensors, in the file of the model's weights
REWEIGHTER, REFINER = "reweighter", "refiner"
#: the same as they stand there
CORRECTIONS = (f"{REWEIGHTER}.", f"{REFINER}.")
#: form of what a refiner does that this software knows
REFINER_FORM = 1

Tensors = Mapping[str, NDArray[Any]]


class ReweighterSection(StrictModel):
    """A classifier of true objects and drawn ones, and what is done with the weights that it gives."""

    #: what messages call it, and the command of `train` that learns it
    WHAT: ClassVar[str] = REWEIGHTER
    COMMAND: ClassVar[str] = "reweight"

    of: str = Field(pattern=r"^[0-9a-f]{64}$", description="digest of the model whose draws it knows")
    use: WeightUse
    candidates: int = Field(ge=2, le=64, description="draws of which resampling takes one")
    least: float = Field(gt=0, description="weights are clipped to it from below")
    most: float = Field(gt=0, description="and to it from above")
    scale: float = Field(ge=0, description="the classifier's logit is calibrated: times this")
    shift: float = Field(description="and plus this")
    mean: float = Field(gt=0, description="of clipped weights, which they are divided by")
    classifier: tuple[int, ...]
    knots: int = Field(ge=0)
    sampling: Sampling | None = Field(
        default=None, description="how the draws were integrated, of a kind that integrates"
    )

    @property
    def told(self) -> str:
        """What is done to the model's draws, in words."""
        if self.use is WeightUse.WEIGHT:
            return "weighted: FlashSim_weight"
        return f"resampled: one of {self.candidates} draws"

    @model_validator(mode="after")
    def _there_is_a_range(self) -> Self:
        if self.least >= self.most:
            raise ValueError(f"least ({self.least:g}) is not below most ({self.most:g})")
        return self


class Moved(StrictModel):
    """How far one attribute is from the truth: Wasserstein distances in standard deviations."""

    before: float = Field(ge=0, description="as the model draws it")
    after: float = Field(ge=0, description="refined")
    chance: float = Field(ge=0, description="of two samples of the truth")


class RefinerJudgement(StrictModel):
    """What a refiner did to draws beside true objects that neither it nor the model has learned from."""

    objects: int = Field(ge=1)
    auc_before: float = Field(ge=0, le=1, description="of boosted trees that see attributes and conditions")
    auc_after: float = Field(ge=0, le=1)
    auc_error: float = Field(ge=0)
    floor: float = Field(ge=0, le=1, description="of two halves of the truth")
    loss_before: float = Field(description="on objects held out of the learning, as the model draws them")
    loss_after: float = Field(description="refined")
    w1: dict[str, Moved] = Field(min_length=1, description="of each attribute that the model draws")


class RefinerSection(StrictModel):
    """A residual network that moves what a model has drawn."""

    WHAT: ClassVar[str] = REFINER
    COMMAND: ClassVar[str] = "refine"

    of: str = Field(pattern=r"^[0-9a-f]{64}$", description="digest of the model whose draws it knows")
    form: int = Field(default=REFINER_FORM, ge=1, description="of what is computed with it")
    moves: tuple[str, ...] = Field(min_length=1, description="targets with a continuum; all others stay")
    width: int = Field(ge=1)
    blocks: int = Field(ge=1)
    sampling: Sampling | None = Field(
        default=None, description="how the draws were integrated, of a kind that integrates"
    )
    judgement: RefinerJudgement | None = Field(default=None, description="by what came after learning")

    @property
    def told(self) -> str:
        """What is done to the model's draws, in words."""
        found = self.judgement
        by = "" if found is None else f", AUC {found.auc_before:.3f} to {found.auc_after:.3f}"
        return f"refined: {len(self.moves)} attributes{by}"

    @field_validator("form")
    @classmethod
    def _form_is_known(cls, value: int) -> int:
        if value > REFINER_FORM:
            raise ValueError(
                f"of form {value}, and this software knows {REFINER_FORM}; use that which the manifest names"
            )
        return value


#: what an entry says of either
Section = ReweighterSection | RefinerSection


def without_corrections(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """The tensors of the model alone: neither those of a reweighter nor those of a refiner."""
    return {name: one for name, one in tensors.items() if not name.startswith(CORRECTIONS)}


def without_reweighter(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """The tensors of what a reweighter corrects: the model, and its refiner if it has one."""
    return {name: one for name, one in tensors.items() if not name.startswith(f"{REWEIGHTER}.")}


def model_digest(kind: str, form: int, tensors: Tensors) -> str:
    """sha256 over all that decides what a model draws: kind, form, and its own tensors as they are stored.

    What a refiner makes of it is another thing, which a reweighter knows; of `without_corrections` it is what
    the model alone draws, which a refiner knows.
    """
    digest = hashlib.sha256(f"{kind}:{form}".encode())
    for name, one in sorted(without_reweighter(tensors).items()):
        tensor = np.ascontiguousarray(one)
        digest.update(f"{name}:{tensor.dtype.str}:{tensor.shape}".encode() + tensor.tobytes())
    return digest.hexdigest()


def check_is_of(section: Section, model: str, digest: str) -> None:
    """`BundleError` if a correction was learned of other draws than those of the model with this digest."""
    if section.of != digest:
        raise BundleError(
            f"model {model} of the bundle: its {section.WHAT} is of another model ({section.of[:12]}..., "
            f"this one is {digest[:12]}...); learn it again: flashsim-prod train {section.COMMAND} {model}"
        )


def check_sampling(section: Section | None, model: str, sampling: Sampling) -> None:
    """`BundleError` if draws are integrated otherwise than those that a correction knows."""
    if section is None or section.sampling in (None, sampling.model_copy(update={"teachers": False})):
        return
    wanted = section.sampling
    raise BundleError(
        f"model {model} of the bundle: its {section.WHAT} knows draws of --solver {wanted.solver} "
        f"--evaluations {wanted.evaluations} --grid-power {wanted.grid_power:g} only; ask for these, or "
        f"learn it again: flashsim-prod train {section.COMMAND} {model}"
    )
