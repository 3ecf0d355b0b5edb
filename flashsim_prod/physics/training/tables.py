"""Training tables: what each object model is to learn, drawn from NANOAOD with truth.

The extraction runs the very sources, conditions and matching that the chain declares, so training and
simulation cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import InputError, MissingBranchError
from flashsim_prod.physics.chain.detectors import detector_of_file
from flashsim_prod.physics.chain.forms import noting_fills
from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.chain.registry import in_version
from flashsim_prod.physics.drawn_from import DrawnFrom
from flashsim_prod.physics.era_of_file import settled_era
from flashsim_prod.physics.event_range import WHOLE, EventRange
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.versions.names import declared_in
from flashsim_prod.physics.training.drawn import (
    NoEventsError,
    is_drawn,
    known_impossible,
    refuse_copies,
    refuse_empty,
    refuse_mixture,
    refuse_other_detector,
    refuse_other_era,
    refuse_other_file,
    refuse_other_version,
    refuse_same_events,
    refuse_several_detectors,
    remember_empty,
    remember_impossible,
    table_files,
    table_path,
    told_url,
)
from flashsim_prod.physics.training.finite import LeftOut, Noting, finite
from flashsim_prod.physics.training.needed import PROBED_EVENTS, asked_for, needed_branches
from flashsim_prod.physics.training.partial import partial_targets
from flashsim_prod.physics.training.stream import Stream
from flashsim_prod.physics.training.table import Table, origin_of_table, sizes

#: of files with no more events all branches are read: to find out which are needed takes longer
WHOLE_EVENTS = 5000


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
        targets, unknown, used, absent = _targets(model, kept, partial)
        good, names = finite(used, len(kept.row))
        if names:
            kept = kept.of_objects(good)
            targets, unknown, _, absent = _targets(model, kept, partial)
        # what is not finite only now was divided by nothing
        defined, more = finite({f"target {name}": column for name, column in targets.items()}, len(kept.row))
        if more:
            kept = kept.of_objects(defined)
            targets = {name: column[defined] for name, column in targets.items()}
            unknown = {name: column[defined] for name, column in unknown.items()}
        lost = int((~good).sum() + (~defined).sum())
        left_out += LeftOut(0, lost, {**names, **more})
        matrix = model.condition_matrix(kept.rows)
        table = Table(matrix, kept.number, kept.row, targets, left_out, absent=absent, unknown=unknown)
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
) -> tuple[dict[str, Column], dict[str, NDArray[np.bool_]], dict[str, Column], tuple[str, ...]]:
    """Targets, where these are unknown, all columns that they were made of, and branches that are lacking."""
    known_as = "{}" if model.scalar else f"{model.produces}_{{}}"
    rows = matched.rows.take(matched.row)
    attributes, columns = Noting(matched.attributes, known_as), Noting(rows.columns, "source {}")
    with noting_fills() as fills:
        try:
            targets = model.express_targets(attributes, replace(rows, columns=columns))
        except MissingBranchError:
            if not partial:
                raise
            targets, used, absent = partial_targets(model, matched.attributes, rows, known_as)
            return targets, fills.of(targets), used, absent
    return targets, fills.of(targets), columns.used | attributes.used, ()


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
    n_events: int | None = None,
    part: EventRange = WHOLE,
    era: str = "",
    mixed: bool = False,
) -> Iterator[tuple[int, int]]:
    """Write the tables of `models` from one NANOAOD file; those that are there already are kept.

    Parameters
    ----------
    impossible : dict, optional
        Is told the models that the file does not have enough for, and why; without it one is an error.
    n_events : int, optional
        Only the first events of the file; tables of another number of events are drawn again.
    part : EventRange
        Which events of the file, and what they count for; likewise.
    era : str
        That the file is of, if nothing in it tells.
    mixed : bool
        Whether its tables may stand beside those of another reference detector.

    Yields
    ------
    tuple of int
        Events done and events to be done, after each portion.

    Raises
    ------
    InputError
        If a model cannot be extracted and that is an error, or none can (`NoEventsError` if there are no
        events, which is remembered); or if there are tables of another version, era or detector, or of
        another file of the same name; or if the file's era is not known, or not `era`.
    StorageError
        If a server drops the file again and again.
    """

    def left(here: DrawnFrom | None = None) -> tuple[dict[str, str], list[ObjectModel], list[ObjectModel]]:
        none = {} if impossible is None else known_impossible(folder, url, models, n_events, part, here)
        missing = [model for model in models if model.name not in none]
        drawn = (is_drawn(folder, url, model, n_events, part, era) for model in missing)
        return none, missing, [model for model, there in zip(missing, drawn, strict=True) if not there]

    remembered, missing, wanted = left()
    if not wanted and "://" in url:
        refuse_empty(url, remembered)
        if impossible is not None:
            impossible |= remembered
        return
    with Stream(url, n_events, part) as stream:
        file = stream.file
        whence = stream.origin(told_url(url), part.weight)
        if not file.n_entries:
            if impossible is not None:
                remember_empty(folder, url, models, whence)
            raise NoEventsError(f"{url} holds no events; leave it out")
        remembered, missing, wanted = left(whence)
        if impossible is not None:
            impossible |= remembered
        refuse_other_file(folder, missing, url, whence)
        refuse_copies(folder, missing, url, whence)
        refuse_other_version(folder, wanted, url, file.version)
        wanted = [in_version(model, file.version) for model in wanted]
        found, origin = _Found(url, wanted, impossible), origin_of(file)
        era = settled_era(file, era) if wanted else era
        refuse_other_era(folder, wanted, url, era, origin)
        detector = detector_of_file(file.provenance())
        if not mixed:
            refuse_other_detector(folder, wanted, url, detector)
        everything = readable(file) if wanted else []
        names = _looked_at(stream, wanted, everything)
        for start, stop in stream.portions(everything) if wanted else ():
            if not found.add(stream.read(names, start, stop), frozenset(everything).difference(names)):
                names = everything
                found.add(stream.read(names, start, stop), frozenset())
            yield stop - stream.first, stream.events
    tables = {model: Table.concatenate(parts) for model, parts in found.parts.items()}
    for model, table in tables.items():
        _refuse_nothing(url, table, model)
    if impossible and len(impossible) == len(models):
        raise InputError(f"{url}: no model can be extracted; {next(iter(impossible.values()))}")
    for model, table in tables.items():
        path = table_path(folder, url, model)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = replace(table, version=file.version, origin=origin, era=era)
        whole = replace(whole, detector=detector, is_mixed=mixed)
        whole.save(path, model, replace(whence, objects=found.objects[model]))
    remember_impossible(folder, url, impossible or {}, whence)


def origin_of(file: NanoFile) -> str:
    """What made the reconstruction in a file, in short; empty for what does not say it: FullSim."""
    about = file.provenance()
    if "bundle_digest" in about:
        return "FlashSim"
    # what stands before a remark in brackets
    return " and ".join(sorted({text.partition(" (")[0] for text in about.get("detector", ())}))


def readable(file: NanoFile) -> list[str]:
    """The branches of a file that models can ask for."""
    return sorted(file.branches & declared_in(file.version).branches.keys())


def _looked_at(stream: Stream, models: Sequence[ObjectModel], everything: list[str]) -> list[str]:
    """What of `everything` is worth reading: all of a small file."""
    if not models or stream.events <= WHOLE_EVENTS:
        return everything
    found = needed_branches(
        stream.read(everything, stream.first, stream.first + PROBED_EVENTS), models, extract
    )
    return everything if found is None else found


class _Found:
    """What the chunks of a file gave of each model, and which models it cannot give."""

    def __init__(self, url: str, models: Sequence[ObjectModel], impossible: dict[str, str] | None) -> None:
        self._url, self._impossible = url, impossible
        self.parts: dict[ObjectModel, list[Table]] = {model: [] for model in models}
        #: objects of each model's collection
        self.objects = dict.fromkeys(models, 0)

    def add(self, events: Events, unread: AbstractSet[str]) -> bool:
        """The next chunk, but nothing of it if what is `unread` is asked for; what it lacks, all lack."""
        drawn: dict[ObjectModel, Table] = {}
        lost: dict[ObjectModel, str] = {}
        for model in self.parts:
            try:
                drawn[model] = extract(events, model, partial=True)
            except InputError as error:
                if asked_for(error, unread):
                    return False
                if self._impossible is None:
                    advice = "name the models wanted with --model, or take other files"
                    raise InputError(f"{self._url}: {error}; {advice}") from error
                lost[model] = str(error)
            else:
                if not unread.isdisjoint(drawn[model].absent):
                    return False
        for model, why in lost.items():
            assert self._impossible is not None
            self._impossible[model.name] = why
            del self.parts[model]
        for model, table in drawn.items():
            self.parts[model].append(table)
            self.objects[model] += 0 if model.scalar else events[model.produces].n_objects
        return True


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


def table_sizes(folder: Path, model: ObjectModel) -> tuple[int, int]:
    """Sources and reconstructed objects in all tables of one object model; `InputError` if one is damaged."""
    found = [sizes(path) for path in table_files(folder, model)]
    return sum(sources for sources, _ in found), sum(objects for _, objects in found)


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
    refuse_same_events(paths)
    refuse_mixture(paths, tables)
    refuse_several_detectors(paths, tables)
    return Table.concatenate(
        [
            replace(table, sample=np.full(len(table.number), place, dtype=np.int64))
            for place, table in enumerate(tables)
        ]
    )
