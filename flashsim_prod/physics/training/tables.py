"""Training tables: what each object model is to learn, drawn from NANOAOD with truth.

The extraction runs the very sources, conditions and matching that the chain declares, so training and
simulation cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.tensor_files import appearing_tensors

_CHUNK_EVENTS = 5000
_TARGET = "target."


@dataclass(frozen=True)
class Table:
    """What one object model learns from.

    Attributes
    ----------
    conditions : float32 array of shape (n_rows, n_conditions)
        Before standardisation, for every source row.
    number : int64 array of shape (n_rows,)
        Reconstructed objects that came of the row.
    row : int64 array of shape (n_objects,)
        The source row of each reconstructed object.
    targets : mapping of target name to array of shape (n_objects,)
        As the flow is to learn them, in the type of the file.
    """

    conditions: NDArray[np.float32]
    number: NDArray[np.int64]
    row: NDArray[np.int64]
    targets: dict[str, NDArray[Any]]

    def save(self, path: Path) -> None:
        """Write as safetensors, whole or not at all."""
        tensors: dict[str, NDArray[Any]] = {
            "conditions": self.conditions,
            "number": self.number,
            "row": self.row,
        }
        tensors |= {_TARGET + name: np.ascontiguousarray(column) for name, column in self.targets.items()}
        with appearing_tensors(path) as temporary:
            save_file(tensors, temporary)

    @staticmethod
    def load(path: Path) -> Table:
        """Read one table; `InputError` if it is damaged."""
        try:
            found = load_file(path)
            targets = {
                key.removeprefix(_TARGET): value for key, value in found.items() if key.startswith(_TARGET)
            }
            return Table(found["conditions"], found["number"], found["row"], targets)
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(f"{path}: no training table ({error}); extract it again") from error

    @staticmethod
    def concatenate(tables: Sequence[Table]) -> Table:
        """One table of several."""
        offsets = np.cumsum([0, *(len(table.number) for table in tables[:-1])])
        names = tables[0].targets
        return Table(
            np.concatenate([table.conditions for table in tables]),
            np.concatenate([table.number for table in tables]),
            np.concatenate([table.row + offset for table, offset in zip(tables, offsets, strict=True)]),
            {name: np.concatenate([table.targets[name] for table in tables]) for name in names},
        )


def table_path(folder: Path, file: str, model: ObjectModel) -> Path:
    """Where the table of `model` from one NANOAOD `file` stands."""
    return folder / model.name / f"{Path(file).stem}.safetensors"


@dataclass(frozen=True)
class Matched:
    """Reconstructed objects beside the sources that they came from.

    Attributes
    ----------
    rows : Rows
        All sources.
    row : int64 array of shape (n_objects,)
        The source of each reconstructed object.
    attributes : mapping of name to array of shape (n_objects,)
        In their NanoAOD form.
    """

    rows: Rows
    row: NDArray[np.int64]
    attributes: dict[str, Column]


def extract(events: Events, model: ObjectModel) -> Table:
    """The table of one object model from events that hold gen and reconstructed objects.

    Raises
    ------
    InputError
        If the events lack what the model uses or is to learn.
    """
    return tabulate(match_objects(events, model), model)


def match_objects(events: Events, model: ObjectModel) -> Matched:
    """The reconstructed objects of one model; `InputError` if the events lack what the model uses."""
    for name in (*model.uses, *(() if model.scalar else (model.produces,))):
        if name not in events:
            raise InputError(f"{model.name} cannot be extracted: the events have no {name}")
    rows = model.source(events)
    origin = model.match(events, rows)
    chosen = _first_matches(origin, len(rows), model)
    if model.scalar:
        attributes = dict(events.scalars)
    else:
        attributes = {name: column[chosen] for name, column in events[model.produces].columns.items()}
    return Matched(rows, origin[chosen], attributes)


def tabulate(matched: Matched, model: ObjectModel) -> Table:
    """The table of what was matched; `InputError` if it lacks what the model is to learn."""
    rows, row = matched.rows, matched.row
    return Table(
        model.condition_matrix(rows),
        np.bincount(row, minlength=len(rows)).astype(np.int64),
        row,
        _targets(model, matched.attributes, rows.take(row)),
    )


def _targets(model: ObjectModel, attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    try:
        return model.express_targets(attributes, rows)
    except KeyError as error:
        lacking = error.args[0] if model.scalar else f"{model.produces}_{error.args[0]}"
        raise InputError(f"{model.name} cannot be extracted: the events have no branch {lacking}") from error


def _first_matches(origin: NDArray[np.int64], n_rows: int, model: ObjectModel) -> NDArray[np.int64]:
    """Reconstructed objects that have a row, at most as many of one row as the model can give."""
    matched = np.flatnonzero(origin >= 0)
    order = matched[np.argsort(origin[matched], kind="stable")]
    counts = np.bincount(origin[order], minlength=n_rows)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank < max(1, model.most)])


def extract_file(url: str, models: Sequence[ObjectModel], folder: Path) -> Iterator[tuple[int, int]]:
    """Write the tables of `models` from one NANOAOD file; those that are there already are kept.

    Yields
    ------
    tuple of int
        Events done and events in the file, after each chunk.
    """
    wanted = [model for model in models if not table_path(folder, url, model).exists()]
    with NanoFile(url) as file:
        parts: dict[str, list[Table]] = {model.name: [] for model in wanted}
        names = sorted(file.branches) if wanted else []
        for start in range(0, file.n_entries if wanted else 0, _CHUNK_EVENTS):
            stop = min(start + _CHUNK_EVENTS, file.n_entries)
            events = file.read(names, start, stop)
            for model in wanted:
                parts[model.name].append(_extract_named(url, events, model))
            yield stop, file.n_entries
    for model in wanted:
        path = table_path(folder, url, model)
        path.parent.mkdir(parents=True, exist_ok=True)
        Table.concatenate(parts[model.name]).save(path)


def left_out(url: str, models: Sequence[ObjectModel], folder: Path) -> dict[str, tuple[int, int]]:
    """Objects of one NANOAOD file that went into no table, and all of them, by collection.

    Every object has one source, but two kinds of objects none: taus and secondary vertices of an event
    without any jet within the tracker, and those beyond the most that a model gives for one source. Only
    collections with all their sources among `models` are counted, and only such with objects left out
    are told. The tables must be there.
    """
    found: dict[str, tuple[int, int]] = {}
    with NanoFile(url) as file:
        for name in dict.fromkeys(model.produces for model in models if not model.scalar):
            sources = [model for model in MODELS if model.produces == name]
            if not all(model in models for model in sources):
                continue
            total = file.read([f"{name}_pt"], 0, file.n_entries)[name].n_objects
            taken = sum(_sizes(table_path(folder, url, model))[1] for model in sources)
            if taken < total:
                found[name] = (total - taken, total)
    return found


def _extract_named(url: str, events: Events, model: ObjectModel) -> Table:
    try:
        return extract(events, model)
    except InputError as error:
        advice = "name the models wanted with --model, or take other files"
        raise InputError(f"{url}: {error}; {advice}") from error


def table_sizes(folder: Path, model: ObjectModel) -> tuple[int, int]:
    """Sources and reconstructed objects in all tables of one object model; `InputError` if one is damaged."""
    sizes = [_sizes(path) for path in (folder / model.name).glob("*.safetensors")]
    return sum(sources for sources, _ in sizes), sum(objects for _, objects in sizes)


def _sizes(path: Path) -> tuple[int, int]:
    """Sources and reconstructed objects in one table."""
    try:
        with safe_open(path, framework="np") as file:
            sources, objects = (int(file.get_slice(name).get_shape()[0]) for name in ("number", "row"))
            return sources, objects
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: no training table ({error}); extract it again") from error


def load_tables(folder: Path, model: ObjectModel) -> Table:
    """All tables of one object model; `InputError` if there is none."""
    paths = sorted((folder / model.name).glob("*.safetensors"))
    if not paths:
        raise InputError(
            f"{folder}: no training table of {model.name}; run 'flashsim-prod train extract' first"
        )
    return Table.concatenate([Table.load(path) for path in paths])
