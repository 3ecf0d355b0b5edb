"""All kinds of model that this software knows; needs no torch until one of them is to be run.

A new kind is a module with a `Kind` called ``KIND``, and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from flashsim_prod import __version__
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.kinds.base import Kind

FLOW, SPLINE, GAN, BIBAE, CLOUD = "flow", "spline", "gan", "bibae", "cloud"
#: what the network of a flow is called among those of a model
VELOCITY = "velocity"


class FlowSection(StrictModel):
    """Sizes of a flow's networks, as an entry's ``network`` says them."""

    width: int = Field(ge=1)
    blocks: int = Field(ge=1)
    time_frequencies: int = Field(ge=1)
    classifier: tuple[int, ...]
    knots: int = Field(default=0, ge=0)


class SplineSection(StrictModel):
    """Sizes of a discrete flow's networks, as an entry's ``network`` says them."""

    width: int = Field(ge=1)
    blocks: int = Field(ge=1)
    transforms: int = Field(ge=1)
    bins: int = Field(ge=2)
    classifier: tuple[int, ...]
    knots: int = Field(default=0, ge=0)


class GanSection(StrictModel):
    """Sizes of a generator's networks, as an entry's ``network`` says them."""

    width: int = Field(ge=1)
    blocks: int = Field(ge=1)
    classifier: tuple[int, ...]
    knots: int = Field(default=0, ge=0)


class BibAeSection(StrictModel):
    """Sizes of an autoencoder's networks, as an entry's ``network`` says them."""

    width: int = Field(ge=1)
    blocks: int = Field(ge=1)
    bottleneck: int = Field(ge=1)
    after: int = Field(ge=1)
    classifier: tuple[int, ...]
    knots: int = Field(default=0, ge=0)


class CloudSection(StrictModel):
    """Sizes of a generator of sets, as an entry's ``network`` says them."""

    width: int = Field(ge=1)
    blocks: int = Field(ge=1)
    messages: int = Field(ge=1)
    classifier: tuple[int, ...]
    knots: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Known:
    """Where a kind is, and what the section ``network`` of its entries has to be.

    Attributes
    ----------
    section : type of StrictModel
    module : str
        Holds the kind as ``KIND``; it is loaded when a model of the kind is run or trained.
    """

    section: type[StrictModel]
    module: str


#: every kind by the name that bundles give it
KINDS: dict[str, Known] = {
    FLOW: Known(FlowSection, "flashsim_prod.physics.chain.kinds.flow"),
    SPLINE: Known(SplineSection, "flashsim_prod.physics.chain.kinds.spline"),
    GAN: Known(GanSection, "flashsim_prod.physics.chain.kinds.gan"),
    BIBAE: Known(BibAeSection, "flashsim_prod.physics.chain.kinds.bibae"),
    CLOUD: Known(CloudSection, "flashsim_prod.physics.chain.kinds.sets.cloud"),
}


def find_kind(name: str) -> Kind[Any]:
    """The kind called `name`; `BundleError` if this software has none of that name."""
    _check_known(name, "a model")
    return cast("Kind[Any]", import_module(KINDS[name].module).KIND)


def read_section(
    name: str, section: Mapping[str, Any], where: str, software: Mapping[str, str] | None = None
) -> StrictModel:
    """The section ``network`` of an entry of the kind `name`.

    Parameters
    ----------
    name : str
    section : mapping
    where : str
        The file and the model, for errors.
    software : mapping of name to version, optional
        What made the bundle, for the error about a kind that is not known.

    Raises
    ------
    BundleError
        If there is no such kind here, or the section is not one of it.
    """
    _check_known(name, where, software)
    try:
        return KINDS[name].section.from_mapping(section, f"{where}: network")
    except ConfigError as error:
        raise BundleError(str(error)) from error


def _check_known(name: str, where: str, software: Mapping[str, str] | None = None) -> None:
    if name in KINDS:
        return
    made = ", ".join(f"{one} {version}" for one, version in (software or {}).items())
    raise BundleError(
        f"{where} is of the kind '{name}', which flashsim-prod {__version__} does not have; "
        f"known: {', '.join(sorted(KINDS))}; use the software that made it{f' ({made})' if made else ''}"
    )
