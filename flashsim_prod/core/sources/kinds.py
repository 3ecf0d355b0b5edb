"""All kinds of sources, and how ``request.yaml`` names the one that a request has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.core.sources.gridpack import GridpackEvents
from flashsim_prod.core.sources.hepmc import HepmcFiles
from flashsim_prod.core.sources.lhe import LheFiles
from flashsim_prod.core.sources.nano import NanoFiles
from flashsim_prod.core.sources.pythia import PythiaEvents
from flashsim_prod.core.strict import StrictModel

#: one of the kinds there are; a new one is one more class here
AnySource = Annotated[
    PythiaEvents | NanoFiles | LheFiles | GridpackEvents | HepmcFiles, Field(discriminator="kind")
]

#: the key of existing files since the first requests
_INPUTS = "inputs"
#: what is known of files that were looked at as a whole, which the first requests did not do
_SURVEYED = ("carried", "sums", "run_vectors", "absent", "told")
#: where pydantic sees what that key holds
_FILES = ("source", "nano", "files")


class HasSource(StrictModel):
    """Whatever has a source of generator-level events.

    The two kinds that requests have had from the first are written as ever: Pythia8 as no ``inputs``,
    existing NanoAOD of which nothing else is known as a list of them. So old files are read, and the digest
    of what they ask for stays. All else is the key ``source``, with its ``kind``.
    """

    source: AnySource = PythiaEvents()

    @classmethod
    def known_keys(cls) -> list[str]:
        return [*super().known_keys(), _INPUTS]

    @classmethod
    def model_below(cls, key: str) -> type[BaseModel] | None:
        return InputFile if key == _INPUTS else super().model_below(key)

    @model_validator(mode="wrap")
    @classmethod
    def _inputs_are_a_source(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, Mapping) or _INPUTS not in data:
            return handler(data)
        if "source" in data:
            raise ValueError(f"'{_INPUTS}' and 'source' both say where events come from; leave one out")
        rest = {key: value for key, value in data.items() if key != _INPUTS}
        inputs = data[_INPUTS]
        is_empty = isinstance(inputs, list | tuple) and not inputs
        try:
            return handler(rest if is_empty else {**rest, "source": {"kind": "nano", "files": inputs}})
        except ValidationError as error:
            raise _as_written(error) from error


def written(source: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a file that stand for a source as pydantic dumps it."""
    if source["kind"] in ("pythia", "nano") and not any(source.get(key) for key in _SURVEYED):
        return {_INPUTS: source["files"]}
    return {"source": dict(source)}


def _as_written(error: ValidationError) -> ValidationError:
    """The same, told of the keys that are in the file."""
    found = [
        InitErrorDetails(
            type=PydanticCustomError(one["type"], one["msg"]),
            loc=(_INPUTS, *one["loc"][3:]) if one["loc"][:3] == _FILES else one["loc"],
            input=one["input"],
        )
        for one in error.errors()
    ]
    return ValidationError.from_exception_data(error.title, found)
