"""What the values of a file's events have to be: legal, finite, in order, and links that lead somewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import EventsError
from flashsim_prod.physics.events import Collection, Column, Events, full_name
from flashsim_prod.physics.nanoaod.schema import Branch, Schema

#: collections that NanoAOD orders by falling transverse momentum; electrons and photons by that before they
#: were calibrated
PT_ORDERED = ("Jet", "FatJet", "Muon", "Electron", "Photon", "Tau")


NUMBERS = ("run", "luminosityBlock", "event")
FOLDS = ("FlashSim_genEvent", "FlashSim_fold", "FlashSim_oversample")
#: how far a quotient may rise in the order that it was before rounding
_ROUNDED = 1e-6


class Where:
    """Says what is wrong, and in which event of which file."""

    def __init__(self, name: str) -> None:
        self._name, self._numbers, self._start = name, Events(0), 0

    def of(self, numbers: Events, start: int = 0) -> None:
        """Have events told by `numbers`, of which the first is at entry `start`."""
        self._numbers, self._start = numbers, start

    def fail(self, problem: str, index: int | None = None) -> None:
        """Raise `EventsError`; `index` is the position of the event in the file."""
        if index is None:
            raise EventsError(f"{self._name} {problem}")
        at = index - self._start
        run, lumi, event = (int(self._numbers.scalars[name][at]) for name in NUMBERS)
        raise EventsError(f"{self._name}, event {run}:{lumi}:{event} (entry {index}): {problem}")

    def fail_first(self, bad: NDArray[np.bool_], problem: str) -> None:
        """Raise if any event is marked in `bad`."""
        if bad.any():
            self.fail(problem, int(np.argmax(bad)))


def check_values(events: Events, schema: Schema, start: int, where: Where) -> None:
    """Every column of a stretch of events that begins at entry `start`."""
    for name, column in events.scalars.items():
        if name in schema.branches:
            check_column(schema.branch(name), column, np.arange(events.n), start, where)
    for name, one in events.collections.items():
        counter = events.scalars.get(f"n{name}")
        # events that are not of a file have their counts alone
        if counter is not None and (wrong := np.flatnonzero(counter != one.counts)).size:
            where.fail(f"n{name} differs from the number of objects", start + int(wrong[0]))
        for key, column in one.columns.items():
            known = schema.branch(full_name(name, key))
            check_column(known, column, one.event_index, start, where)
            _check_links(known, column, one, events, start, where)
        if name in PT_ORDERED and "pt" in one:
            _check_order(name, one, start, where)
    _check_answers(events, schema, start, where)


def _check_answers(events: Events, schema: Schema, start: int, where: Where) -> None:
    """Where two collections point to each other, an object that is pointed to points back.

    Unless all its places are taken: a jet names two muons at most, and a third one still names the jet.
    """
    between = _links_between(events, schema)
    for (source, target), names in between.items():
        back = [events[target][name].astype(np.int64) for name in between.get((target, source), ())]
        if not back:
            continue
        one, other = events[source], events[target]
        for name in names:
            index = one[name].astype(np.int64)
            linking = np.flatnonzero(index >= 0)
            pointed = other.starts[one.event_index[linking]] + index[linking]
            answers = [column[pointed] for column in back]
            good = np.any([answer == one.local_index[linking] for answer in answers], axis=0)
            bad = ~(good | np.all([answer >= 0 for answer in answers], axis=0))
            if bad.any():
                at = int(linking[np.argmax(bad)])
                where.fail(
                    f"{source}_{name} = {index[at]} points to a {target} that does not point back",
                    start + int(one.event_index[at]),
                )


def _links_between(events: Events, schema: Schema) -> dict[tuple[str, str], list[str]]:
    """The attributes by which the objects of one collection point to those of one other."""
    found: dict[tuple[str, str], list[str]] = {}
    for source, one in events.collections.items():
        targets = schema.links(source)
        for name in one.columns:
            links = targets.get(name, ())
            if len(links) == 1 and links[0] != source and links[0] in events.collections:
                found.setdefault((source, links[0]), []).append(name)
    return found


def check_column(known: Branch, column: Column, event: NDArray[np.int64], start: int, where: Where) -> None:
    """Type, finiteness and legal values; `event` holds the event of each value."""
    if column.dtype != known.dtype:
        where.fail(f"has {known.name} as {column.dtype}, expected {known.dtype}")
    if known.is_carried:
        return
    if known.dtype.kind == "f":
        good = np.isfinite(column)
        problem = "is not finite"
    elif known.legal is not None:
        good = np.isin(column, np.array(known.legal, dtype=known.dtype))
        problem = "is no legal value"
    else:
        return
    if not good.all():
        at = int(np.argmin(good))
        where.fail(f"{known.name} = {column[at]} {problem}", start + int(event[at]))


def _check_links(
    known: Branch, column: Column, one: Collection, events: Events, start: int, where: Where
) -> None:
    """Indices are -1 or point to an object of the same event."""
    if not known.links:
        return
    targets = [events.collections[name].counts for name in known.links if name in events.collections]
    room = np.max(targets, axis=0) if targets else np.zeros(events.n, dtype=np.int64)
    bad = (column < -1) | (column >= room[one.event_index])
    if bad.any():
        at = int(np.argmax(bad))
        target = " or ".join(known.links)
        where.fail(f"{known.name} = {column[at]} points to no {target}", start + int(one.event_index[at]))


def _check_order(name: str, one: Collection, start: int, where: Where) -> None:
    """Fails where pt rises, and so does pt before calibration, in the very same event."""
    odd = _unordered(one, one["pt"])
    known = f"{name}_pt"
    if "eCorr" in one:
        odd &= _unordered(one, one["pt"].astype(np.float64) / one["eCorr"])
        known = f"{name}_pt over {name}_eCorr, nor by {name}_pt"
    if odd.any():
        where.fail(f"{name} is not ordered by {known}", start + int(np.argmax(odd)))


def _unordered(one: Collection, key: Column) -> NDArray[np.bool_]:
    """Events in which `key` rises from an object to the next by more than rounding."""
    rises = (np.diff(key) > _ROUNDED * key[1:]) & (np.diff(one.event_index) == 0)
    found: NDArray[np.bool_] = np.zeros(one.n_events, bool)
    found[one.event_index[1:][rises]] = True
    return found
