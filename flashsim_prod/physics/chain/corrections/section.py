"""What an entry of a bundle says of a correction, and whether that is of this very model; needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.core.options import Sampling
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import BundleError

#: before the names of a reweighter's tensors, in the file of the model's weights
REWEIGHTER = "reweighter"

Tensors = Mapping[str, NDArray[Any]]


class ReweighterSection(StrictModel):
    """A classifier of true objects and drawn ones, and what is done with the weights that it gives."""

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


def without_reweighter(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """The tensors of the model itself."""
    return {name: one for name, one in tensors.items() if not name.startswith(f"{REWEIGHTER}.")}


def model_digest(kind: str, form: int, tensors: Tensors) -> str:
    """sha256 over all that decides what a model draws: kind, form, and its own tensors as they are stored."""
    digest = hashlib.sha256(f"{kind}:{form}".encode())
    for name, one in sorted(without_reweighter(tensors).items()):
        tensor = np.ascontiguousarray(one)
        digest.update(f"{name}:{tensor.dtype.str}:{tensor.shape}".encode() + tensor.tobytes())
    return digest.hexdigest()


def check_is_of(section: ReweighterSection, model: str, digest: str) -> None:
    """`BundleError` if a reweighter was learned of other draws than those of the model with this digest."""
    if section.of != digest:
        raise BundleError(
            f"model {model} of the bundle: its reweighter is of another model ({section.of[:12]}..., this "
            f"one is {digest[:12]}...); learn it again: flashsim-prod train reweight {model}"
        )


def check_sampling(section: ReweighterSection | None, model: str, sampling: Sampling) -> None:
    """`BundleError` if draws are integrated otherwise than those that a reweighter knows."""
    if section is None or section.sampling in (None, sampling.model_copy(update={"teachers": False})):
        return
    wanted = section.sampling
    raise BundleError(
        f"model {model} of the bundle: its reweighter knows draws of --solver {wanted.solver} --evaluations "
        f"{wanted.evaluations} --grid-power {wanted.grid_power:g} only; ask for these, or learn it again: "
        f"flashsim-prod train reweight {model}"
    )
