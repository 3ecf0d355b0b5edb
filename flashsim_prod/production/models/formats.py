"""The format that bundles come in: the page on it, and what the weights of each object model have to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flashsim_prod import resources
from flashsim_prod.files import read_text


@dataclass(frozen=True)
class ModelFormat:
    """What a bundle has to hold for one object model.

    Attributes
    ----------
    model : str
    kind : str
        What draws the attributes.
    form : int
        Version of the model's formulas.
    produces : str
    most : int
        Most objects of one source; 0 for what is there once.
    conditions, targets : sequence of str
        What it sees and what it draws.
    network : mapping
        Sizes that this software chooses itself.
    tensors : mapping of name to shape
        A length that each target chooses is ``knots``.
    """

    model: str
    kind: str
    form: int
    produces: str
    most: int
    conditions: Sequence[str]
    targets: Sequence[str]
    network: Mapping[str, object]
    tensors: Mapping[str, Sequence[int | str]]


def format_page() -> str:
    """The page on the format, as Markdown."""
    return read_text(resources.bundles_dir() / "FORMAT.md")


def model_format(model: str) -> ModelFormat:
    """What a bundle has to hold for `model`; `RequestError` if there is no such object model."""
    from flashsim_prod.physics.chain.tensors import contract

    return ModelFormat(**contract(model))


def all_formats() -> dict[str, ModelFormat]:
    """The same for every object model, by name."""
    from flashsim_prod.physics.chain.registry import MODELS, OPTIONAL_MODELS

    return {model.name: model_format(model.name) for model in (*MODELS, *OPTIONAL_MODELS)}
