"""What the tables of a file do not hold, and why: told to those who extract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.left_out import check_left_out
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.registry import MODELS, OPTIONAL_MODELS, in_version, models_of
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.training.drawn import table_path
from flashsim_prod.physics.training.finite import LeftOut
from flashsim_prod.physics.training.stream import open_declared
from flashsim_prod.physics.training.table import (
    drawn_from,
    lacking_in,
    left_out_of,
    sizes,
    version_of_table,
)


@dataclass(frozen=True)
class Lacking:
    """What a file could not give of one model.

    Attributes
    ----------
    branches : tuple of str
        That the file lacks.
    targets : tuple of str
        That are made of them.
    trouble : str
        Why no bundle can have the model without these; empty if one can.
    """

    branches: tuple[str, ...]
    targets: tuple[str, ...]
    trouble: str


def lacking(url: str, models: Sequence[ObjectModel], folder: Path) -> dict[str, Lacking]:
    """What the tables of one NANOAOD file lack since the file does, by model."""
    paths = {model: table_path(folder, url, model) for model in models}
    found = {model: lacking_in(path, model) for model, path in paths.items() if path.exists()}
    return {
        model.name: Lacking(
            absent, targets, _trouble(in_version(model, version_of_table(paths[model])), targets)
        )
        for model, (absent, targets) in found.items()
        if absent
    }


def _trouble(model: ObjectModel, lacking: Sequence[str]) -> str:
    """Why no bundle can have `model` without some targets; empty if one can."""
    drawn = model.drawing({str(target) for target in model.targets if target.name not in lacking})
    try:
        models = [drawn if one.name == model.name else one for one in models_of(model.version)]
        check_left_out(models, Schema.default(), "")
    except BundleError as error:
        return str(error).removeprefix(": ").partition(";")[0]
    return ""


def not_finite(url: str, models: Sequence[ObjectModel], folder: Path) -> dict[str, LeftOut]:
    """What was left out of the tables of one NANOAOD file for numbers that are not finite, by model."""
    paths = {model.name: table_path(folder, url, model) for model in models}
    found = {name: left_out_of(path) for name, path in paths.items() if path.exists()}
    return {name: one for name, one in found.items() if one}


def left_out(url: str, models: Sequence[ObjectModel], folder: Path) -> dict[str, tuple[int, int]]:
    """Objects of one NANOAOD file that went into no table, and all of them, by collection.

    Every object has one source, but two kinds of objects none: taus and secondary vertices of an event
    without any jet within the tracker, and those beyond the most that a model gives for one source. Only
    collections with all their sources among `models` are counted, and only such with objects left out
    are told.
    """
    found: dict[str, tuple[int, int]] = {}
    for name in dict.fromkeys(model.produces for model in models if not model.scalar):
        known = (*MODELS, *OPTIONAL_MODELS)
        sources = [model for model in known if model.produces == name]
        paths = [table_path(folder, url, model) for model in sources]
        if not all(model in models for model in sources) or not all(path.exists() for path in paths):
            continue
        origin = drawn_from(paths[0])
        total = _count(url, name) if origin is None else origin.objects
        taken = sum(sizes(path)[1] + left_out_of(path).objects for path in paths)
        if taken < total:
            found[name] = (total - taken, total)
    return found


def _count(url: str, name: str) -> int:
    """Objects of a collection in a whole file, of which tables do not remember."""
    with open_declared(url) as file:
        return file.read([f"{name}_pt"], 0, file.n_entries)[name].n_objects
