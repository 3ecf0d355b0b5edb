"""A model bundle: a folder with a manifest and one safetensors file per object model.

The manifest names every file with its sha256, so its own sha256 is the digest of the whole bundle.
Reading needs no torch and never unpickles anything.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from flashsim_prod import resources
from flashsim_prod.core.names import check_processing_string
from flashsim_prod.core.strict import StrictModel, nearest
from flashsim_prod.errors import BundleError, ConfigError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
DEFAULT = "reference"

Tensors = dict[str, NDArray[Any]]


class NetworkEntry(StrictModel):
    """Sizes of an object model's networks."""

    width: int = Field(ge=1)
    blocks: int = Field(ge=1)
    time_frequencies: int = Field(ge=1)
    classifier: tuple[int, ...]
    knots: int = Field(default=0, ge=0)


class ModelEntry(StrictModel):
    """One object model's weights and what they were made for."""

    file: str = Field(pattern=r"^[A-Za-z0-9_\-]+\.safetensors$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    produces: str
    most: int = Field(ge=0)
    conditions: tuple[str, ...] = Field(description="name:scale, in the order of the weights")
    targets: tuple[str, ...] = Field(description="name:relation, in the order of the weights")
    network: NetworkEntry
    parameters: int = Field(ge=1, description="trainable parameters")
    fit: dict[str, float | int | str] = Field(default_factory=dict, description="how the training went")


class Manifest(StrictModel):
    """What a bundle is: ``manifest.json``."""

    schema_version: Literal[1]
    name: str
    title: str
    tag: str = Field(description="goes into dataset names: letters, digits, '_'")
    created: datetime
    software: dict[str, str]
    training_sample: tuple[str, ...] = Field(description="what the models were trained on, a line each")
    models: dict[str, ModelEntry] = Field(min_length=1)


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

    def tensors(self, model: str) -> Tensors:
        """The weights, scalings and knots of one object model."""
        return read_tensors(self.path / self.manifest.models[model].file)


def find_bundle(name_or_path: str) -> Path:
    """The folder of a shipped bundle, by name, or of any other, by path; `BundleError` if there is none."""
    shipped = resources.bundles_dir() / name_or_path
    if os.sep not in name_or_path and (shipped / MANIFEST).is_file():
        return shipped
    path = Path(name_or_path).expanduser()
    if (path / MANIFEST).is_file():
        return path.resolve()
    if path.is_dir():
        raise BundleError(f"{path}: no bundle there, {MANIFEST} is missing")
    raise BundleError(f"no bundle '{name_or_path}'{nearest(name_or_path, shipped_bundles())}")


def shipped_bundles() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(path.parent.name for path in resources.bundles_dir().glob(f"*/{MANIFEST}"))


def load_bundle(path: Path) -> Bundle:
    """The bundle in the folder `path`, every digest checked.

    Raises
    ------
    BundleError
        If the manifest is missing, malformed or of another schema, or a file of weights is missing or
        altered; the line names the file.
    """
    manifest_path = path / MANIFEST
    try:
        raw = manifest_path.read_bytes()
    except OSError as error:
        raise BundleError(f"{manifest_path}: cannot be read: {error.strerror}") from error
    manifest = _parse(raw, manifest_path)
    for name, entry in manifest.models.items():
        _verify(path / entry.file, entry.sha256, name)
    return Bundle(path, manifest, hashlib.sha256(raw).hexdigest())


def read_tensors(path: Path) -> Tensors:
    """What `save_model` wrote; `BundleError` if it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: cannot be read as safetensors: {error}") from error


def save_model(folder: Path, name: str, tensors: Mapping[str, NDArray[Any]]) -> tuple[str, str]:
    """Write one object model's tensors into `folder`; returns file name and sha256."""
    file = f"{name}.safetensors"
    temporary = folder / f".{file}.{os.getpid()}"
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, temporary)
    os.replace(temporary, folder / file)
    return file, _sha256(folder / file)


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, the last file of a bundle to be written."""
    check_processing_string(manifest.tag)
    temporary = folder / f".{MANIFEST}.{os.getpid()}"
    temporary.write_text(manifest.model_dump_json(indent=1) + "\n")
    os.replace(temporary, folder / MANIFEST)


def _parse(raw: bytes, path: Path) -> Manifest:
    try:
        mapping = json.loads(raw)
    except ValueError as error:
        raise BundleError(f"{path}: not valid JSON: {error}") from error
    version = mapping.get("schema_version") if isinstance(mapping, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(f"{path}: schema version {version}, this software reads {SCHEMA_VERSION}")
    try:
        return Manifest.from_mapping(mapping, str(path))
    except ConfigError as error:
        raise BundleError(str(error)) from error


def _verify(path: Path, sha256: str, model: str) -> None:
    if not path.is_file():
        raise BundleError(f"{path}: the weights of model {model} are missing")
    found = _sha256(path)
    if found != sha256:
        raise BundleError(f"{path}: altered: sha256 is {found[:12]}..., the manifest says {sha256[:12]}...")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
