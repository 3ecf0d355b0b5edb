"""Held-out events as object models see them: NANOAOD files read piece by piece into tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.detectors import detectors_of, unlike
from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.copies import Copies
from flashsim_prod.physics.event_range import WHOLE, EventRange
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tables import match_objects, tabulate
from flashsim_prod.physics.validation.dataset.years import UNKNOWN, Years, years_of
from flashsim_prod.physics.validation.statistics.distances import I64

REFERENCE_DETECTOR = "reference detector"

_CHUNK_EVENTS = 1000
#: trigger decisions, which are most of FullSim's branches and none of the models' business
_UNUSED = ("HLT_", "L1_", "DST_")

#: axes that a multiplicity is shown along, where the source has them, with their labels
AXES = {
    "pt": "$p_T$ of the source [GeV]",
    "eta": r"$\eta$ of the source",
    "pileup_nPU": "pileup interactions",
    "gen_ht": "generator-level $H_T$ [GeV]",
}


@dataclass(frozen=True)
class HeldOut:
    """What one object model is compared with.

    Attributes
    ----------
    table : Table
        Conditions, numbers and targets, as for training.
    axes : mapping of name to array of shape (n_rows,)
        Those of `AXES` that the source has.
    gen_event : int64 array of shape (n_rows,)
        Generator event of each row; unique among all files.
    fold : int64 array of shape (n_rows,)
        Which reconstruction of its generator event a row belongs to.
    sources : Rows
        The source of each reconstructed object.
    attributes : mapping of name to array of shape (n_objects,)
        Of the reconstructed objects, as the file has them.
    """

    table: Table
    axes: dict[str, Column]
    gen_event: I64
    fold: I64
    sources: Rows
    attributes: dict[str, Column]

    @property
    def n_objects(self) -> int:
        """Reconstructed objects."""
        return len(self.table.row)

    def finite(self) -> tuple[HeldOut, dict[str, int]]:
        """Without objects and sources of which something is not finite; what that was, and how often."""
        odd_rows = np.asarray(~np.isfinite(self.table.conditions).all(axis=1))
        odd = {name: ~np.isfinite(one.astype(np.float64)) for name, one in self.attributes.items()}
        counts = {name: int(np.count_nonzero(where)) for name, where in odd.items() if where.any()}
        if odd_rows.any():
            counts["conditions of sources"] = int(np.count_nonzero(odd_rows))
        if not counts:
            return self, {}
        kept = ~np.stack([odd_rows[self.table.row], *odd.values()]).any(axis=0)
        number = np.cumsum(~odd_rows) - 1
        table = Table(
            self.table.conditions[~odd_rows],
            self.table.number[~odd_rows],
            number[self.table.row[kept]],
            {name: column[kept] for name, column in self.table.targets.items()},
            self.table.left_out,
        )
        axes = {name: column[~odd_rows] for name, column in self.axes.items()}
        attributes = {name: column[kept] for name, column in self.attributes.items()}
        sources = self.sources.take(np.flatnonzero(kept))
        found = HeldOut(table, axes, self.gen_event[~odd_rows], self.fold[~odd_rows], sources, attributes)
        return found, counts

    @staticmethod
    def concatenate(parts: Sequence[HeldOut]) -> HeldOut:
        """One of several."""
        return HeldOut(
            Table.concatenate([part.table for part in parts]),
            {name: np.concatenate([part.axes[name] for part in parts]) for name in parts[0].axes},
            np.concatenate([part.gen_event for part in parts]),
            np.concatenate([part.fold for part in parts]),
            Rows.concatenate([part.sources for part in parts]),
            {name: np.concatenate([part.attributes[name] for part in parts]) for name in parts[0].attributes},
        )

    def head(self, most: int) -> HeldOut:
        """The first rows, with at most `most` objects of theirs."""
        if self.n_objects <= most:
            return self
        rows = int(np.searchsorted(np.cumsum(self.table.number), most, side="right"))
        kept = self.table.row < rows
        table = Table(
            self.table.conditions[:rows],
            self.table.number[:rows],
            self.table.row[kept],
            {name: column[kept] for name, column in self.table.targets.items()},
            self.table.left_out,
        )
        axes = {name: column[:rows] for name, column in self.axes.items()}
        attributes = {name: column[kept] for name, column in self.attributes.items()}
        sources = self.sources.take(np.flatnonzero(kept))
        return HeldOut(table, axes, self.gen_event[:rows], self.fold[:rows], sources, attributes)


def view(events: Events, model: ObjectModel) -> HeldOut:
    """`events` as `model` sees them; they must have FlashSim_genEvent and FlashSim_fold.

    Raises
    ------
    InputError
        If the events lack what the model uses or is to draw.
    """
    table, matched = tabulate(match_objects(events, model), model)
    rows = matched.rows
    return HeldOut(
        table,
        axes_of(rows),
        events.scalars["FlashSim_genEvent"].astype(np.int64)[rows.event_index],
        events.scalars["FlashSim_fold"].astype(np.int64)[rows.event_index],
        rows.take(matched.row),
        # of an event's scalars only those that the model makes
        {name: one for name, one in matched.attributes.items() if not model.scalar or name in model.outputs},
    )


def axes_of(rows: Rows) -> dict[str, Column]:
    """Where sources are along `AXES`; those that are jets, of whose fakes any has any pt, by the jet's."""
    columns = {**rows.columns, "pt": rows["jet_pt"]} if "in_jet" in rows.columns else rows.columns
    return {name: columns[name] for name in AXES if name in columns}


@dataclass
class Gathering:
    """The held-out rows of one object model while files are read."""

    model: ObjectModel
    quota: int
    parts: list[HeldOut] = field(default_factory=list)
    of_file: list[HeldOut] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether the file at hand has given its share."""
        return sum(part.n_objects for part in self.of_file) >= self.quota

    def add(self, events: Events, url: str) -> None:
        """Take what is needed of `events`."""
        if self.is_full:
            return
        try:
            self.of_file.append(view(events, self.model))
        except InputError as error:
            raise InputError(f"{url}: {error}; name the models to report on with --model") from error

    def end_file(self) -> None:
        """Cut what the file gave to its share."""
        if self.of_file:
            self.parts.append(HeldOut.concatenate(self.of_file).head(self.quota))
        self.of_file = []

    def result(self) -> HeldOut:
        """All rows of all files."""
        return HeldOut.concatenate(self.parts)


@dataclass(frozen=True)
class HeldOutFile:
    """One of the files compared with.

    Attributes
    ----------
    entries : int
    detector : str
        What made the reconstruction, as the file's MetaData says; empty if it does not.
    years : Years
        Version of NanoAOD, data-taking period, and which reference detector it is of.
    identity : (str, int)
        What it has in common with its copies alone; of no file if empty.
    """

    name: str
    entries: int
    detector: str
    years: Years = UNKNOWN
    identity: tuple[str, int] = ("", 0)


def inspect_all(urls: Sequence[str]) -> tuple[HeldOutFile, ...]:
    """What files are; `InputError` as of `inspect`."""
    copies = Copies()
    return tuple(inspect(url, copies) for url in urls)


def inspect(url: str, copies: Copies | None = None) -> HeldOutFile:
    """What a file is.

    Raises
    ------
    InputError
        If it cannot be read, is empty, was made by FlashSim itself, or is one of `copies`.
    """
    with NanoFile(url) as file:
        about = file.provenance()
        if not file.n_entries:
            raise InputError(f"{url} holds no events; leave it out")
        if "bundle_digest" in about:
            raise InputError(
                f"{url} was made by FlashSim itself; compare with FullSim or with the reference detector"
            )
        if copies is not None:
            copies.refuse(url, file)
        detectors = set(about.get("detector", ()))
        detector = detectors.pop() if len(detectors) == 1 else ""
        return HeldOutFile(Path(url).name, file.n_entries, detector, years_of(file))


def of_other_detector(file: HeldOutFile, bundle: Bundle) -> list[str]:
    """Lines on models of a bundle that learned from another reference detector than a file is of."""
    found = detectors_of(bundle.manifest.models)
    there = dict.fromkeys(found, file.years.detector)
    lines = unlike(found, there, f"of bundle {bundle.name}", f"{file.name} is")
    return [f"{line}: they are not to agree" for line in lines]


def sample_title(files: Sequence[HeldOutFile]) -> str:
    """What the sample may be called in a figure."""
    if all(file.detector.startswith(REFERENCE_DETECTOR) for file in files):
        return REFERENCE_DETECTOR
    return "input NANOAOD"


def read_chunks(
    url: str, number: int, schema: Schema, event_range: EventRange = WHOLE
) -> Iterator[tuple[int, Events]]:
    """A file's events in the types of `schema`, in pieces, each with the events that were before it.

    Every event has FlashSim_genEvent, unique among files of different `number`, and FlashSim_fold.
    """
    with NanoFile(url, schema, declared=True) as file:
        names = sorted(name for name in file.branches if not name.startswith(_UNUSED))
        first, last = event_range.of(file.n_entries, url)
        for start in range(first, last, _CHUNK_EVENTS):
            events = file.read(names, start, min(start + _CHUNK_EVENTS, last))
            yield start - first, _traceable(events, start, number)


def _traceable(events: Events, start: int, number: int) -> Events:
    if "FlashSim_genEvent" in events:
        gen_event, fold = (
            events.scalars[name].astype(np.int64) for name in ("FlashSim_genEvent", "FlashSim_fold")
        )
    else:
        gen_event = np.arange(start, start + events.n, dtype=np.int64)
        fold = np.zeros(events.n, dtype=np.int64)
    return events.with_scalars(
        {"FlashSim_genEvent": gen_event + (number << 40), "FlashSim_fold": fold},
    )
