"""What one analysis looks at, as its configuration file says it and its bundle keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from flashsim_prod.core.analyses.ntuple import Column, Ntuple, check_word
from flashsim_prod.core.choices import ModelKind
from flashsim_prod.core.names import check_processing_string
from flashsim_prod.core.strict import StrictModel


class Against(StrEnum):
    """How a variable is learned against its generator-level counterpart."""

    VALUE = "value"
    RATIO = "ratio"
    DIFFERENCE = "difference"


class Variable(StrictModel):
    """One variable: what it is of reconstructed events, and what it is like at generator level."""

    value: str = Field(description="expression of reconstructed columns and named objects")
    title: str = Field(min_length=1, description="what it is, with its unit in brackets")
    type: Literal["float", "int"] = "float"
    gen: str | None = Field(
        default=None, description="expression of generator-level columns that it is near to, if there is one"
    )
    against: Against = Field(
        default=Against.VALUE,
        description="what is learned: the value, or its ratio to or difference from gen",
    )
    missing: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="what stands for it in selected events that have none; an error by default",
    )

    @model_validator(mode="after")
    def _against_something(self) -> Self:
        if self.against is not Against.VALUE and self.gen is None:
            raise ValueError(f"against: {self.against} needs gen, an expression of generator-level columns")
        if self.against is not Against.VALUE and self.type == "int":
            raise ValueError(f"against: {self.against} is of numbers with fractions; leave it out of an int")
        return self


class Activation(StrEnum):
    """What follows a layer of a network."""

    NONE = "none"
    RELU = "relu"
    LEAKY_RELU = "leaky_relu"
    ELU = "elu"
    SILU = "silu"
    TANH = "tanh"
    SIGMOID = "sigmoid"


class Network(StrictModel):
    """A small network of the analysis, as that which separates its signal: dense layers, one number out."""

    file: str = Field(
        min_length=1,
        description="safetensors with weight and bias of each layer, as torch's Sequential has them",
    )
    inputs: tuple[str, ...] = Field(
        min_length=1, description="expressions of reconstructed columns and named objects, in its order"
    )
    hidden: Activation = Field(default=Activation.RELU, description="after all layers but the last")
    output: Activation = Field(default=Activation.SIGMOID, description="after the last layer")
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="of the file, which must then be that one"
    )


class FitOptions(StrictModel):
    """How the networks are trained."""

    kind: ModelKind = Field(default=ModelKind.SPLINE, description="what draws the variables")
    steps: int | None = Field(
        default=None,
        ge=100,
        description="of what draws the variables; by default as many as its generator events are worth",
    )
    efficiency_steps: int | None = Field(
        default=None, ge=100, description="of the selection's efficiency; by default in the same way"
    )
    width: int | None = Field(default=None, ge=8)
    blocks: int | None = Field(default=None, ge=1)
    held_out: float = Field(
        default=0.2, ge=0.02, le=0.8, description="share of the generator events kept for the closure"
    )
    seed: int = Field(default=1, ge=0)


class Analysis(StrictModel):
    """An analysis: a selection of reconstructed events, and variables of those that pass."""

    name: str
    title: str = Field(min_length=1)
    tag: str | None = Field(default=None, description="word for dataset names; the name's letters and digits")
    objects: Mapping[str, str] = Field(default_factory=dict, description="reconstructed objects, by name")
    gen_objects: Mapping[str, str] = Field(default_factory=dict, description="generator-level ones, by name")
    networks: Mapping[str, Network] = Field(
        default_factory=dict, description="networks whose output is a number of each event, by name"
    )
    selection: str = Field(description="expression: the event passes where it is true")
    variables: Mapping[str, Variable] = Field(min_length=1)
    fit: FitOptions = FitOptions()

    @field_validator("name")
    @classmethod
    def _name_is_a_word(cls, value: str) -> str:
        return check_word(value, "an analysis")

    @field_validator("tag")
    @classmethod
    def _tag_can_be_in_dataset_names(cls, value: str | None) -> str | None:
        return None if value is None else check_processing_string(value)

    @model_validator(mode="after")
    def _names_are_good(self) -> Self:
        for what, names in (
            ("an object", self.objects),
            ("an object", self.gen_objects),
            ("a network", self.networks),
        ):
            for name in names:
                check_word(name, what)
        if both := sorted(self.networks.keys() & self.objects.keys()):
            raise ValueError(f"networks: '{both[0]}' is the name of objects, too; rename one of them")
        # what a column must be called
        self.ntuple()
        return self

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without networks as before there were any: what was written then stays what it is."""
        fields: dict[str, Any] = handler(self)
        return {key: value for key, value in fields.items() if key != "networks" or value}

    def ntuple(self) -> Ntuple:
        """What its files hold."""
        columns = (Column(name=name, type=one.type, title=one.title) for name, one in self.variables.items())
        return Ntuple(name=self.name, columns=tuple(columns))

    @property
    def dataset_tag(self) -> str:
        """Its word in names of datasets."""
        return self.tag or "".join(word[:1].upper() + word[1:] for word in self.name.split("_"))


class AnalysisConfig(Analysis):
    """A configuration file: an analysis, and the files that it is learned from."""

    files: tuple[str, ...] = Field(
        default=(), description="NANOAOD with both levels, from the file's folder on"
    )

    @field_validator("variables")
    @classmethod
    def _whole_numbers_are_missed_as_such(cls, value: Mapping[str, Variable]) -> Mapping[str, Variable]:
        # asked of files alone: bundles go on as they are
        for name, one in value.items():
            if one.type == "int" and one.missing is not None and not one.missing.is_integer():
                raise ValueError(
                    f"variables.{name}.missing: {one.missing:g} is no whole number, as those of an int are"
                )
        return value

    def analysis(self) -> Analysis:
        """What a bundle keeps of it."""
        return Analysis(**{name: getattr(self, name) for name in Analysis.model_fields})
