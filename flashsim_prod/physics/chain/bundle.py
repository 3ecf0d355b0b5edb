"""A model bundle: a folder with a manifest and a safetensors file per object model, and per student of one.

The manifest names every file with its sha256, so its own sha256 is the digest of the whole bundle.
Reading needs no torch and never unpickles anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from flashsim_prod import resources
from flashsim_prod.core.analyses.config import Analysis
from flashsim_prod.core.names import NANO_RUN3, NANO_VERSION, check_processing_string
from flashsim_prod.core.strict import StrictModel, nearest
from flashsim_prod.errors import BundleError, ConfigError
from flashsim_prod.files import read_bytes
from flashsim_prod.physics.chain.assessment import Assessment
from flashsim_prod.physics.chain.corrections import section
from flashsim_prod.physics.chain.distilled import Distilled, student_name
from flashsim_prod.physics.chain.kinds.registry import FLOW, KINDS, VELOCITY, read_section
from flashsim_prod.physics.eras import era_of_version, find_era
from flashsim_prod.physics.tensor_files import appearing_tensors

#: of manifests that are written; older ones are read, too
SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
DEFAULT = "reference"
#: instead of it, if it is there, for collisions whose events are written as this version by default
DEFAULT_OF = {NANO_RUN3: "reference_run3"}
#: where an entry's `fit` says which version of NanoAOD its tables were of, if it was not the default
NANO_KEY = "nano"
#: and which era they were of, if the files told it
ERA_KEY = "era"

_ENDING = ".safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,79}")

Tensors = dict[str, NDArray[Any]]


class ModelEntry(StrictModel):
    """One object model's weights and what they were made for."""

    file: str = Field(pattern=r"^[A-Za-z0-9_\-]+\.safetensors$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    kind: str = Field(description="what draws the attributes: a name of the registry of kinds")
    form: int = Field(default=0, ge=0, description="version of the model's formulas; 0 if it is not said")
    produces: str
    most: int = Field(ge=0)
    conditions: tuple[str, ...] = Field(description="name:scale, in the order of the weights")
    targets: tuple[str, ...] = Field(description="name:relation, in the order of the weights")
    network: dict[str, Any] = Field(description="sizes of the networks, as the kind has them")
    parameters: int = Field(ge=1, description="trainable parameters")
    fit: dict[str, float | int | str] = Field(default_factory=dict, description="how the training went")
    reweighter: section.ReweighterSection | None = Field(
        default=None, description="brings what the model draws nearer to the truth"
    )
    refiner: section.RefinerSection | None = Field(
        default=None, description="moves what the model draws, before a reweighter sees it"
    )
    distilled: Distilled | None = Field(default=None, description="what came of distilling it, if it was")

    @model_validator(mode="after")
    def _students_are_flows(self) -> Self:
        # a kind that is not known is told where kinds are looked for
        if self.distilled is not None and self.kind != FLOW and self.kind in KINDS:
            raise ValueError(f"distilled: of a {self.kind}; only flows take steps")
        return self

    @property
    def corrections(self) -> tuple[section.Section, ...]:
        """What is done to the model's draws, in this order."""
        return tuple(one for one in (self.refiner, self.reweighter) if one is not None)

    def without_corrections(self) -> Self:
        """The same of the model alone."""
        return self.model_copy(update={"refiner": None, "reweighter": None})

    @property
    def files(self) -> dict[str, str]:
        """sha256 of each file by name: that of the model, and what a student has of its own."""
        own = self.distilled
        if own is None or own.file is None or own.sha256 is None:
            return {self.file: self.sha256}
        return {self.file: self.sha256, own.file: own.sha256}

    @property
    def drawn_by(self) -> str:
        """sha256 of the file that says how the model draws: the student's, if it has one."""
        return list(self.files.values())[-1]

    @property
    def of_teacher(self) -> ModelEntry:
        """Without its student, if it has one, and what corrects the draws of that."""
        if len(self.files) == 1:
            return self
        return self.without_corrections().model_copy(update={"distilled": None})

    def renamed(self, model: str) -> ModelEntry:
        """With names for its files that no other model's can have."""
        changes: dict[str, Any] = {"file": f"{model}{_ENDING}"}
        if (own := self.distilled) is not None and own.taken:
            file = f"{student_name(model, own.evaluations)}{_ENDING}"
            changes["distilled"] = own.model_copy(update={"file": file})
        return self.model_copy(update=changes)

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a word of corrections and students where there are none."""
        found: dict[str, Any] = handler(self)
        unsaid = ("reweighter", "refiner", "distilled")
        return {key: value for key, value in found.items() if key not in unsaid or value is not None}


class Manifest(StrictModel):
    """What a bundle is: ``manifest.json``."""

    schema_version: int
    name: str
    title: str
    tag: str = Field(description="goes into dataset names: letters, digits, '_'")
    created: datetime
    software: dict[str, str]
    training_sample: tuple[str, ...] = Field(description="what the models were trained on, a line each")
    era: str | None = Field(
        default=None,
        description="data-taking period of that sample, as UL16postVFP; if it is not said 2018, "
        "for models of NanoAOD v15 2022",
    )
    fidelity: tuple[Assessment, ...] = Field(default=(), description="how close the models came")
    models: dict[str, ModelEntry] = Field(min_length=1)
    analysis: Analysis | None = Field(
        default=None, description="what its one model is of, if it is no object"
    )

    @field_validator("name")
    @classmethod
    def _name_can_be_a_folder(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                f"'{value}' cannot name a bundle; use at most 80 letters, digits, '-', '_' and '.', "
                "the first a letter or a digit"
            )
        return value

    @field_validator("era")
    @classmethod
    def _era_is_known(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                find_era(value)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return value

    @field_validator("tag")
    @classmethod
    def _tag_can_be_in_dataset_names(cls, value: str) -> str:
        return check_processing_string(value)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    path : Path
    manifest : Manifest
    digest : str
        sha256 of the manifest, and through it of all weights; 64 hexadecimal digits.
    """

    path: Path
    manifest: Manifest
    digest: str

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.manifest.name

    @property
    def title(self) -> str:
        """One line that says what the models stand for."""
        return self.manifest.title

    @property
    def nano(self) -> str:
        """Version of NanoAOD whose attributes the models make: that of the files that they were fitted to."""
        return nano_of(self.manifest, str(self.path))

    @property
    def era(self) -> str:
        """Data-taking period that the models stand for; if the manifest says none, that of their version."""
        return self.manifest.era or era_of_version(self.nano)

    @property
    def of_teachers(self) -> Bundle:
        """The same bundle, of the same digest, without its students: every model draws as it is asked to."""
        models = {name: entry.of_teacher for name, entry in self.manifest.models.items()}
        return replace(self, manifest=self.manifest.model_copy(update={"models": models}))

    @property
    def weights(self) -> dict[str, tuple[Path, ...]]:
        """The files of each object model, in the order in which its entry has them."""
        return {
            name: tuple(self.path / file for file in entry.files)
            for name, entry in self.manifest.models.items()
        }

    def tensors(self, model: str) -> Tensors:
        """The weights, scalings and knots of one object model, of a student if it has one."""
        return read_model(self.path, self.manifest.models[model])


def nano_of(manifest: Manifest, where: str) -> str:
    """Version of NanoAOD that the models of a manifest were fitted to; `BundleError` if there are several."""
    told = {str(entry.fit.get(NANO_KEY, NANO_VERSION)) for entry in manifest.models.values()}
    if len(told) > 1:
        versions = " and ".join(sorted(told))
        raise BundleError(
            f"{where}: its models were fitted to several versions of NanoAOD, {versions}; take those of one"
        )
    return told.pop()


def find_bundle(name_or_path: str) -> Path:
    """The folder of a shipped or imported bundle, by name, or of any other, by path.

    Raises
    ------
    BundleError
        If there is none.
    """
    path = Path(name_or_path).expanduser()
    if os.sep not in name_or_path:
        for folder in (resources.bundles_dir(), resources.imported_bundles_dir()):
            if (folder / name_or_path / MANIFEST).is_file():
                return folder / name_or_path
    if (path / MANIFEST).is_file():
        return path.resolve()
    if path.is_dir():
        raise BundleError(f"{path}: no bundle there, {MANIFEST} is missing")
    if path.is_file():
        raise BundleError(f"{path} is no folder; if it is an archive: flashsim-prod bundle import {path}")
    known = [*shipped_bundles(), *imported_bundles()]
    raise BundleError(f"no bundle '{name_or_path}'{nearest(name_or_path, known)}")


def shipped_bundles() -> list[str]:
    """Names of the bundles that come with the package."""
    return _names(resources.bundles_dir())


def imported_bundles() -> list[str]:
    """Names of the bundles that were imported into the state folder."""
    return _names(resources.imported_bundles_dir())


def _names(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob(f"[!.]*/{MANIFEST}"))


def load_bundle(path: Path) -> Bundle:
    """The bundle in the folder `path`, every digest checked.

    Raises
    ------
    BundleError
        If the manifest is missing, malformed or of another schema, names an unknown kind of model, or a file
        of weights is missing or altered; the line names the file.
    """
    manifest, raw = _read_manifest(path / MANIFEST)
    for name, entry in manifest.models.items():
        for file, sha256 in entry.files.items():
            _verify(path / file, sha256, name)
    return Bundle(path, manifest, hashlib.sha256(raw).hexdigest())


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file; `BundleError` if it is malformed or of another schema."""
    return _read_manifest(path)[0]


def read_tensors(path: Path) -> Tensors:
    """What `save_model` wrote; `BundleError` if it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError, TypeError) as error:
        # a TypeError is a type of numbers that numpy does not have
        raise BundleError(f"{path}: cannot be read as safetensors: {error}") from error


def read_model(folder: Path, entry: ModelEntry) -> Tensors:
    """The tensors of one object model, whose files are in `folder`.

    Raises
    ------
    BundleError
        If a file cannot be read, or a student's holds anything but what is its own.
    """
    tensors = read_tensors(folder / entry.file)
    if entry.distilled is None or entry.distilled.file is None:
        return tensors
    own = read_tensors(folder / entry.distilled.file)
    wanted = own_of_student(tensors).keys()
    for odd in sorted(section.without_corrections(own).keys() ^ wanted):
        what = "lacks" if odd in wanted else "holds"
        raise BundleError(
            f"{folder / entry.distilled.file}: {what} {odd}; a student has all of {VELOCITY} and no more"
        )
    return tensors | own


def own_of_student(tensors: Tensors) -> Tensors:
    """Those of a flow's tensors that a student has its own of, and what corrects its draws."""
    own = (f"{VELOCITY}.", *section.CORRECTIONS)
    return {name: one for name, one in tensors.items() if name.startswith(own)}


def save_model(folder: Path, name: str, tensors: Mapping[str, NDArray[Any]]) -> tuple[str, str]:
    """Write one object model's tensors into `folder`; returns file name and sha256."""
    file = f"{name}{_ENDING}"
    contents = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    with appearing_tensors(folder / file) as temporary:
        save_file(contents, temporary)
    return file, _sha256(folder / file)


def _read_manifest(path: Path) -> tuple[Manifest, bytes]:
    try:
        raw = read_bytes(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    return _parse(raw, path), raw


def _parse(raw: bytes, path: Path) -> Manifest:
    try:
        mapping = json.loads(raw)
    except ValueError as error:
        raise BundleError(f"{path}: not valid JSON: {error}") from error
    version = mapping.get("schema_version") if isinstance(mapping, dict) else None
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise BundleError(f"{path}: schema version {version}, this software reads 1 to {SCHEMA_VERSION}")
    if version == 1:
        mapping = _with_kinds(mapping, path)
    try:
        manifest = Manifest.from_mapping(mapping, str(path))
    except ConfigError as error:
        raise BundleError(str(error)) from error
    for name, entry in manifest.models.items():
        read_section(entry.kind, entry.network, f"{path}: model {name}", manifest.software)
    return manifest


def _with_kinds(mapping: dict[str, Any], path: Path) -> dict[str, Any]:
    """A manifest of version 1, which knew flows only, as one of this version."""
    models = mapping.get("models")
    entries = models.items() if isinstance(models, dict) else ()
    for name, entry in entries:
        if isinstance(entry, dict) and "kind" in entry:
            raise BundleError(
                f"{path}: models.{name}.kind: schema version 1 has no such key; write version 2"
            )
    named = {name: of_a_flow(entry) for name, entry in entries}
    return {**mapping, "schema_version": SCHEMA_VERSION, "models": named or models}


def of_a_flow(entry: object) -> object:
    """An entry that says no kind, as those did before there was another one, as a flow's."""
    return {"kind": FLOW, **entry} if isinstance(entry, dict) else entry


def _verify(path: Path, sha256: str, model: str) -> None:
    if not path.is_file():
        raise BundleError(f"{path}: the weights of model {model} are missing")
    found = _sha256(path)
    if found != sha256:
        raise BundleError(f"{path}: altered: sha256 is {found[:12]}..., the manifest says {sha256[:12]}...")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
