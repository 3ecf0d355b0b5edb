"""Training tables: what each object model is to learn, drawn from NANOAOD with truth.

The extraction runs the very sources, conditions and matching that the chain declares, so training and
simulation cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import InputError, MissingBranchError
from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.training.finite import LeftOut, Noting, finite
from flashsim_prod.physics.training.table import Table, left_out_of, sizes

_CHUNK_EVENTS = 5000


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
    number : int64 array of shape (n_rows,)
        Objects that came of each source.
    row : int64 array of shape (n_objects,)
        The source of each reconstructed object.
    attributes : mapping of name to array of shape (n_objects,)
        In their NanoAOD form.
    """

    rows: Rows
    number: NDArray[np.int64]
    row: NDArray[np.int64]
    attributes: dict[str, Column]

    def of_sources(self, kept: NDArray[np.bool_]) -> Matched:
        """Some of the sources with their objects."""
        place = np.cumsum(kept) - 1
        rows = self.rows.take(np.flatnonzero(kept))
        there = self.of_objects(kept[self.row])
        return Matched(rows, self.number[kept], place[there.row], there.attributes)

    def of_objects(self, kept: NDArray[np.bool_]) -> Matched:
        """All sources with some of the objects; the others still count."""
        attributes = {name: column[kept] for name, column in self.attributes.items()}
        return Matched(self.rows, self.number, self.row[kept], attributes)


def extract(events: Events, model: ObjectModel) -> Table:
    """The table of one object model from events that hold gen and reconstructed objects.

    Raises
    ------
    InputError
        If the events lack what the model uses or is to learn.
    """
    return tabulate(match_objects(events, model), model)[0]


@contextmanager
def _asking(model: ObjectModel) -> Iterator[None]:
    """Branches that are asked for and not there are told with the model that asks."""
    try:
        # what comes of numbers that are not finite is left out, and told
        with np.errstate(invalid="ignore"):
            yield
    except MissingBranchError as error:
        raise InputError(f"{model.name} cannot be extracted: {error}") from error


def match_objects(events: Events, model: ObjectModel) -> Matched:
    """The reconstructed objects of one model; `InputError` if the events lack what the model uses."""
    for name in (*model.uses, *(() if model.scalar else (model.produces,))):
        if name not in events:
            raise InputError(f"{model.name} cannot be extracted: the events have no {name}")
    with _asking(model):
        rows = model.source(events)
        origin = model.match(events, rows)
    chosen = _first_matches(origin, len(rows), model)
    if model.scalar:
        attributes = dict(events.scalars)
    else:
        attributes = {name: column[chosen] for name, column in events[model.produces].columns.items()}
    row = origin[chosen]
    return Matched(rows, np.bincount(row, minlength=len(rows)).astype(np.int64), row, attributes)


def tabulate(matched: Matched, model: ObjectModel) -> tuple[Table, Matched]:
    """The table of what was matched, and what of it the table holds: all with finite numbers.

    Raises
    ------
    InputError
        If it lacks what the model is to learn.
    """
    with _asking(model):
        kept, left_out = _finite_sources(matched, model)
        targets, used = _targets(model, kept)
        good, names = finite(used, len(kept.row))
        if names:
            kept, (targets, _) = kept.of_objects(good), _targets(model, kept.of_objects(good))
        # what is not finite only now was divided by nothing
        defined, more = finite({f"target {name}": column for name, column in targets.items()}, len(kept.row))
        if more:
            kept = kept.of_objects(defined)
            targets = {name: column[defined] for name, column in targets.items()}
        lost = int((~good).sum() + (~defined).sum())
        left_out += LeftOut(0, lost, {**names, **more})
        table = Table(model.condition_matrix(kept.rows), kept.number, kept.row, targets, left_out)
    return table, kept


def _finite_sources(matched: Matched, model: ObjectModel) -> tuple[Matched, LeftOut]:
    matrix = model.condition_matrix(matched.rows)
    columns = {f"condition {one.name}": matrix[:, place] for place, one in enumerate(model.conditions)}
    good, names = finite(columns, len(matched.rows))
    if not names:
        return matched, LeftOut()
    kept = matched.of_sources(good)
    return kept, LeftOut(int((~good).sum()), len(matched.row) - len(kept.row), names)


def _targets(model: ObjectModel, matched: Matched) -> tuple[dict[str, Column], dict[str, Column]]:
    """Targets, and all columns that they were made of."""
    attributes = Noting(matched.attributes, "{}" if model.scalar else f"{model.produces}_{{}}")
    rows = matched.rows.take(matched.row)
    columns = Noting(rows.columns, "source {}")
    targets = model.express_targets(attributes, replace(rows, columns=columns))
    return targets, columns.used | attributes.used


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
        if not file.n_entries:
            raise InputError(f"{url} holds no events; leave it out")
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
        table = Table.concatenate(parts[model.name])
        _refuse_nothing(url, table, model)
        path.parent.mkdir(parents=True, exist_ok=True)
        table.save(path, model)


def _refuse_nothing(url: str, table: Table, model: ObjectModel) -> None:
    """`InputError` if all that there was to learn from had to be left out."""
    lost = table.left_out
    for what, left, number in (
        ("sources", len(table.number), lost.sources),
        ("objects", len(table.row), lost.objects),
    ):
        if number and not left:
            raise InputError(
                f"{url}: {model.name} has nothing to learn from, all {number:,} {what} are left out, "
                f"{lost.told()}; name the models wanted with --model, or take other files"
            )


def not_finite(url: str, models: Sequence[ObjectModel], folder: Path) -> dict[str, LeftOut]:
    """What was left out of the tables of one NANOAOD file for numbers that are not finite, by model."""
    found = {model.name: left_out_of(table_path(folder, url, model)) for model in models}
    return {name: one for name, one in found.items() if one}


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
            paths = [table_path(folder, url, model) for model in sources]
            taken = sum(sizes(path)[1] + left_out_of(path).objects for path in paths)
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
    found = [sizes(path) for path in (folder / model.name).glob("*.safetensors")]
    return sum(sources for sources, _ in found), sum(objects for _, objects in found)


def load_tables(folder: Path, model: ObjectModel) -> Table:
    """All tables of one object model, finite rows only; `InputError` if there is none, or one is unfit."""
    paths = sorted((folder / model.name).glob("*.safetensors"))
    if not paths:
        raise InputError(
            f"{folder}: no training table of {model.name}; run 'flashsim-prod train extract' first"
        )
    return Table.concatenate([Table.load(path, model).finite() for path in paths])
