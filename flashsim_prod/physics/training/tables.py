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

from flashsim_prod.errors import BundleError, InputError, MissingBranchError
from flashsim_prod.physics.chain.left_out import check_left_out
from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.training.finite import LeftOut, Noting, finite
from flashsim_prod.physics.training.partial import partial_targets
from flashsim_prod.physics.training.portion import WHOLE, Portion
from flashsim_prod.physics.training.table import (
    Table,
    lacking_in,
    left_out_of,
    origin_of_table,
    portion_of,
    sizes,
    version_of_table,
)

_CHUNK_EVENTS = 5000


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


def extract(events: Events, model: ObjectModel, *, partial: bool = False) -> Table:
    """The table of one object model from events that hold gen and reconstructed objects.

    Parameters
    ----------
    partial : bool
        Whether the table may lack targets that are made of attributes that the events lack.

    Raises
    ------
    InputError
        If the events lack what the model uses or, unless `partial`, is to learn.
    """
    return tabulate(match_objects(events, model), model, partial=partial)[0]


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


def tabulate(matched: Matched, model: ObjectModel, *, partial: bool = False) -> tuple[Table, Matched]:
    """The table of what was matched, and what of it the table holds: all with finite numbers.

    Raises
    ------
    InputError
        If it lacks what the model is to learn, unless `partial`.
    """
    with _asking(model):
        kept, left_out = _finite_sources(matched, model)
        targets, used, absent = _targets(model, kept, partial)
        good, names = finite(used, len(kept.row))
        if names:
            kept = kept.of_objects(good)
            targets, _, absent = _targets(model, kept, partial)
        # what is not finite only now was divided by nothing
        defined, more = finite({f"target {name}": column for name, column in targets.items()}, len(kept.row))
        if more:
            kept = kept.of_objects(defined)
            targets = {name: column[defined] for name, column in targets.items()}
        lost = int((~good).sum() + (~defined).sum())
        left_out += LeftOut(0, lost, {**names, **more})
        matrix = model.condition_matrix(kept.rows)
        table = Table(matrix, kept.number, kept.row, targets, left_out, absent=absent)
    return table, kept


def _finite_sources(matched: Matched, model: ObjectModel) -> tuple[Matched, LeftOut]:
    matrix = model.condition_matrix(matched.rows)
    columns = {f"condition {one.name}": matrix[:, place] for place, one in enumerate(model.conditions)}
    good, names = finite(columns, len(matched.rows))
    if not names:
        return matched, LeftOut()
    kept = matched.of_sources(good)
    return kept, LeftOut(int((~good).sum()), len(matched.row) - len(kept.row), names)


def _targets(
    model: ObjectModel, matched: Matched, partial: bool
) -> tuple[dict[str, Column], dict[str, Column], tuple[str, ...]]:
    """Targets, all columns that they were made of, and branches that are lacking."""
    known_as = "{}" if model.scalar else f"{model.produces}_{{}}"
    rows = matched.rows.take(matched.row)
    attributes, columns = Noting(matched.attributes, known_as), Noting(rows.columns, "source {}")
    try:
        targets = model.express_targets(attributes, replace(rows, columns=columns))
    except MissingBranchError:
        if not partial:
            raise
        return partial_targets(model, matched.attributes, rows, known_as)
    return targets, columns.used | attributes.used, ()


def _first_matches(origin: NDArray[np.int64], n_rows: int, model: ObjectModel) -> NDArray[np.int64]:
    """Reconstructed objects that have a row, at most as many of one row as the model can give."""
    matched = np.flatnonzero(origin >= 0)
    order = matched[np.argsort(origin[matched], kind="stable")]
    counts = np.bincount(origin[order], minlength=n_rows)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank < max(1, model.most)])


def extract_file(
    url: str,
    models: Sequence[ObjectModel],
    folder: Path,
    *,
    impossible: dict[str, str] | None = None,
    portion: Portion = WHOLE,
) -> Iterator[tuple[int, int]]:
    """Write the tables of `models` from one NANOAOD file; those that are there already are kept.

    Parameters
    ----------
    impossible : dict, optional
        Is told the models that the file does not have enough for, and why; without it one is an error.
    portion : Portion
        Which events, and what they count for.

    Yields
    ------
    tuple of int
        Events done and events to be done, after each chunk.

    Raises
    ------
    InputError
        If a model cannot be extracted and that is an error, or none can; or if there are tables of another
        version.
    """
    wanted = [model for model in models if not table_path(folder, url, model).exists()]
    _refuse_other_portion(folder, [model for model in models if model not in wanted], url, portion)
    with open_declared(url) as file:
        if not file.n_entries:
            raise InputError(f"{url} holds no events; leave it out")
        refuse_other_version(folder, wanted, url, file.version)
        found = _Found(url, wanted, impossible)
        names = readable(file) if wanted else []
        first, last = portion.of(file.n_entries, url)
        origin = origin_of(file)
        for start in range(first, last if wanted else first, _CHUNK_EVENTS):
            stop = min(start + _CHUNK_EVENTS, last)
            found.add(file.read(names, start, stop))
            yield stop - first, last - first
    tables = {model: Table.concatenate(parts) for model, parts in found.parts.items()}
    for model, table in tables.items():
        _refuse_nothing(url, table, model)
    if impossible and len(impossible) == len(models):
        raise InputError(f"{url}: no model can be extracted; {next(iter(impossible.values()))}")
    for model, table in tables.items():
        path = table_path(folder, url, model)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(table, version=file.version, origin=origin).save(path, model, portion)


def origin_of(file: NanoFile) -> str:
    """What made the reconstruction in a file, in short; empty for what does not say it: FullSim."""
    about = file.provenance()
    if "bundle_digest" in about:
        return "FlashSim"
    # what stands before a remark in brackets
    return " and ".join(sorted({text.partition(" (")[0] for text in about.get("detector", ())}))


def _refuse_other_portion(folder: Path, models: Sequence[ObjectModel], url: str, portion: Portion) -> None:
    """`InputError` if a table that is there already is of other events of the file, or counts otherwise."""
    wanted = ("" if portion.is_whole else str(portion), portion.weight)
    for model in models:
        path = table_path(folder, url, model)
        events, weight = portion_of(path)
        if (events, weight) != wanted:
            there = f"{f'events {events}' if events else 'all events'}, weight {weight:g}"
            raise InputError(
                f"{path} is there already, of {there}; remove it to draw it again, or extract into "
                "another --work"
            )


def open_declared(url: str) -> NanoFile:
    """A file of any version, under the names and with the types that models declare."""
    return NanoFile(url, Schema.default(), declared=True)


def readable(file: NanoFile) -> list[str]:
    """The branches of a file that models can ask for."""
    return sorted(file.branches & Schema.default().branches.keys())


class _Found:
    """What the chunks of a file gave of each model, and which models it cannot give."""

    def __init__(self, url: str, models: Sequence[ObjectModel], impossible: dict[str, str] | None) -> None:
        self._url, self._impossible = url, impossible
        self.parts: dict[ObjectModel, list[Table]] = {model: [] for model in models}

    def add(self, events: Events) -> None:
        """The next chunk; what it lacks, all lack."""
        for model in list(self.parts):
            try:
                self.parts[model].append(extract(events, model, partial=True))
            except InputError as error:
                if self._impossible is None:
                    advice = "name the models wanted with --model, or take other files"
                    raise InputError(f"{self._url}: {error}; {advice}") from error
                self._impossible[model.name] = str(error)
                del self.parts[model]


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


def lacking(url: str, models: Sequence[ObjectModel], folder: Path) -> dict[str, Lacking]:
    """What the tables of one NANOAOD file lack since the file does, by model."""
    paths = {model: table_path(folder, url, model) for model in models}
    found = {model: lacking_in(path, model) for model, path in paths.items() if path.exists()}
    return {
        model.name: Lacking(absent, targets, _trouble(model, targets))
        for model, (absent, targets) in found.items()
        if absent
    }


def _trouble(model: ObjectModel, lacking: Sequence[str]) -> str:
    """Why no bundle can have `model` without some targets; empty if one can."""
    drawn = model.drawing({str(target) for target in model.targets if target.name not in lacking})
    try:
        models = [drawn if one.name == model.name else one for one in MODELS]
        check_left_out(models, Schema.default(), "")
    except BundleError as error:
        return str(error).removeprefix(": ").partition(";")[0]
    return ""


def not_finite(url: str, models: Sequence[ObjectModel], folder: Path) -> dict[str, LeftOut]:
    """What was left out of the tables of one NANOAOD file for numbers that are not finite, by model."""
    paths = {model.name: table_path(folder, url, model) for model in models}
    found = {name: left_out_of(path) for name, path in paths.items() if path.exists()}
    return {name: one for name, one in found.items() if one}


def left_out(
    url: str, models: Sequence[ObjectModel], folder: Path, portion: Portion = WHOLE
) -> dict[str, tuple[int, int]]:
    """Objects of one NANOAOD file that went into no table, and all of them, by collection.

    Every object has one source, but two kinds of objects none: taus and secondary vertices of an event
    without any jet within the tracker, and those beyond the most that a model gives for one source. Only
    collections with all their sources among `models` are counted, and only such with objects left out
    are told.
    """
    found: dict[str, tuple[int, int]] = {}
    with open_declared(url) as file:
        for name in dict.fromkeys(model.produces for model in models if not model.scalar):
            sources = [model for model in MODELS if model.produces == name]
            paths = [table_path(folder, url, model) for model in sources]
            if not all(model in models for model in sources) or not all(path.exists() for path in paths):
                continue
            first, last = portion.of(file.n_entries, url)
            total = file.read([f"{name}_pt"], first, last)[name].n_objects
            taken = sum(sizes(path)[1] + left_out_of(path).objects for path in paths)
            if taken < total:
                found[name] = (total - taken, total)
    return found


def table_sizes(folder: Path, model: ObjectModel) -> tuple[int, int]:
    """Sources and reconstructed objects in all tables of one object model; `InputError` if one is damaged."""
    found = [sizes(path) for path in (folder / model.name).glob("*.safetensors")]
    return sum(sources for sources, _ in found), sum(objects for _, objects in found)


def table_files(folder: Path, model: ObjectModel) -> list[Path]:
    """The tables of one object model."""
    return sorted((folder / model.name).glob("*.safetensors"))


def origins(folder: Path, model: ObjectModel) -> dict[str, Path]:
    """What made the reconstruction in the tables of a model, each with one of these; "" is FullSim."""
    return {origin_of_table(path): path for path in table_files(folder, model)}


def load_tables(folder: Path, model: ObjectModel) -> Table:
    """All tables of one object model, finite rows only; `InputError` if there is none, or one is unfit."""
    paths = table_files(folder, model)
    if not paths:
        raise InputError(
            f"{folder}: no training table of {model.name}; run 'flashsim-prod train extract' first"
        )
    tables = [Table.load(path, model).finite() for path in paths]
    _refuse_mixture(paths, tables)
    return Table.concatenate(tables)


def _refuse_mixture(paths: Sequence[Path], tables: Sequence[Table]) -> None:
    """`InputError` if tables are of several versions, or of files that lack different branches."""
    first, one = paths[0], tables[0]
    for path, table in zip(paths[1:], tables[1:], strict=True):
        if table.version != one.version and table.version and one.version:
            raise InputError(
                f"{path} is of NanoAOD {table.version} and {first} of {one.version}; fit each version in a "
                "--work of its own"
            )
        if odd := sorted(set(table.absent) ^ set(one.absent)):
            poor, rich = (path, first) if odd[0] in table.absent else (first, path)
            raise InputError(
                f"{poor} is of a file without {odd[0]}, which the one of {rich} has; fit on files that hold "
                "the same, or leave one out"
            )


def refuse_other_version(folder: Path, models: Sequence[ObjectModel], url: str, version: str) -> None:
    """`InputError` if there are tables of another version of NanoAOD than that of the file `url`."""
    for model in models:
        for path in sorted((folder / model.name).glob("*.safetensors")):
            there = version_of_table(path)
            if version and there and there != version:
                raise InputError(
                    f"{url} is NanoAOD {version}, and {path} is of {there}; extract each version into a "
                    "--work of its own"
                )
