"""Events of one job: hard processes of LHE files, showered and hadronised by Pythia8."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.errors import ConfigError, InputError, NodeError
from flashsim_prod.files import write_whole
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.generator.lhe.columns import hard_process
from flashsim_prod.physics.generator.lhe.event import HardEvent, parse_event
from flashsim_prod.physics.generator.lhe.feed import OutOfEventsError, make_feed
from flashsim_prod.physics.generator.lhe.file import event_texts
from flashsim_prod.physics.generator.lhe.survey import Survey, survey
from flashsim_prod.physics.generator.pileup import PileupDraws, find_profile
from flashsim_prod.physics.generator.pythia import analyse, set_up
from flashsim_prod.physics.generator.source import regrouped

#: events that are showered and analysed together; bounds the memory, changes no content
_BATCH = 100
#: tries of an event that Pythia8 gives up, each with another seed
_ATTEMPTS = 10
#: an event's weight after the shower is the file's, but for rounding
_SAME_WEIGHT = 1e-6

#: the generator's seed of a gen event, by its number and the attempt at it
EventSeed = Callable[[int, int], int]


class LheSource:
    """Events [first, first + n_events) of some LHE files, end to end.

    Parameters
    ----------
    card : ProcessCard
        Its tune and settings are those of the shower.
    files : sequence of (str, int)
        Path of each file and its number of events.
    first, n_events : int
        The job's events; `first` counts from 0.
    pileup : str
        Name of the profile that pileup is drawn from.
    init_seed : int
        What Pythia8 starts with; the same in all jobs.
    event_seed : callable
    pileup_seed : callable
        The seed of an event's pileup, by its number.

    Raises
    ------
    InputError
        The files hold fewer events than asked for; later also if an event cannot be used.
    """

    def __init__(
        self,
        card: ProcessCard,
        files: Sequence[tuple[str, int]],
        *,
        first: int,
        n_events: int,
        pileup: str,
        init_seed: int,
        event_seed: EventSeed,
        pileup_seed: Callable[[int], int],
    ) -> None:
        total = sum(entries for _, entries in files)
        if first + n_events > total:
            raise InputError(
                f"events {first} to {first + n_events} were asked for, the LHE files hold {total}"
            )
        self._card = card
        self._files = tuple(files)
        self._first, self._n_events = first, n_events
        self._profile = find_profile(pileup)
        self._init_seed, self._event_seed, self._pileup_seed = init_seed, event_seed, pileup_seed
        self._survey = survey(self._files[0][0])

    def chunks(self, size: int) -> Iterator[Events]:
        """All events, at most `size` at a time; their contents do not depend on `size`."""
        return regrouped(self._batches(), size)

    def _batches(self) -> Iterator[Events]:
        shower = _Shower(self._card, self._survey)
        events, number = self._read(), self._first
        while batch := list(islice(events, _BATCH)):
            where, hard = zip(*batch, strict=True)
            showered = shower.run(
                hard, where, range(number, number + len(hard)), self._event_seed, self._init_seed
            )
            yield self._joined(showered, hard, number)
            number += len(hard)

    def _joined(self, showered: Events, hard: Sequence[HardEvent], number: int) -> Events:
        told = hard_process(hard, self._survey.weights, self._survey.branches)
        pileup = [
            Events(1, PileupDraws(self._profile, self._pileup_seed(one)).draw(1))
            for one in range(number, number + len(hard))
        ]
        weight = _weight(showered, hard)
        return Events(
            len(hard),
            {**showered.scalars, **weight, **told.scalars, **Events.concatenate(pileup).scalars},
            {**showered.collections, **told.collections},
        )

    def _read(self) -> Iterator[tuple[str, HardEvent]]:
        """Name and contents of each event, in order."""
        offset, last = 0, self._first + self._n_events
        for url, entries in self._files:
            start, stop = max(self._first - offset, 0), min(last - offset, entries)
            offset += entries
            if start >= stop:
                continue
            if survey(url).weights != self._survey.weights:
                raise InputError(f"{url} has not the same weights as {self._files[0][0]}; make a new request")
            for place, text in enumerate(event_texts(url, start, stop - start), start):
                where = f"{url}: event {place}"
                yield where, parse_event(text, self._survey.weights, where)


class _Shower:
    """Pythia8 as it showers batches of hard processes; started when it is first needed."""

    def __init__(self, card: ProcessCard, of: Survey) -> None:
        self._card, self._of = card, of
        self._pythia: Any = None
        self._feed: Any = None

    def run(
        self,
        events: Sequence[HardEvent],
        where: Sequence[str],
        numbers: Sequence[int],
        seed: EventSeed,
        init_seed: int,
    ) -> Events:
        """The generator-level collections of `events`, of which `numbers` are those in the dataset."""
        found = self._tried(events, [seed(number, 0) for number in numbers], init_seed)
        if found is not None:
            return found
        # one was given up; alone, each of the others comes out as it would have here
        singles = []
        for event, name, number in zip(events, where, numbers, strict=True):
            tries = (self._tried([event], [seed(number, one)], init_seed) for one in range(_ATTEMPTS))
            single = next((one for one in tries if one is not None), None)
            if single is None:
                raise InputError(f"{name}: Pythia8 cannot shower it; it was tried {_ATTEMPTS} times")
            singles.append(single)
        return Events.concatenate(singles)

    def _tried(self, events: Sequence[HardEvent], seeds: Sequence[int], init_seed: int) -> Events | None:
        """All of `events`, or ``None`` if one was given up."""
        if self._pythia is None:
            self._pythia, self._feed = start(self._card, self._of, init_seed)
        self._feed.give(events, seeds)
        try:
            records = self._pythia.nextBatch(len(events))
        except OutOfEventsError:
            # left in the middle of an event
            self._pythia = None
            return None
        except (RuntimeError, IndexError) as error:
            raise NodeError(f"card {self._card.name}: Pythia8 failed: {error}") from error
        is_whole = len(records) == len(events) and not self._feed.waiting
        return analyse(records) if is_whole else None


def start(card: ProcessCard, of: Survey, seed: int) -> tuple[Any, Any]:
    """Pythia8, initialised with the settings of `card`, and the feed that it takes hard processes from.

    Raises
    ------
    ConfigError
        If it does not take the settings.
    """
    with tempfile.TemporaryDirectory(prefix="lhe_") as folder:
        run = ["Beams:frameType = 5", "Random:setSeed = on", f"Random:seed = {seed}"]
        if of.head.slha:
            model = Path(folder) / "model.slha"
            write_whole(model, of.head.slha + "\n")
            run += ["SLHA:readFrom = 2", "SLHA:verbose = 0", f"SLHA:file = {model}"]
        pythia = set_up(card, tuple(run))
        feed = make_feed(pythia, sum(of.head.energies_gev))
        pythia.setLHAupPtr(feed)
        if not pythia.init():
            raise ConfigError(f"card {card.name}: Pythia8 cannot start with these settings")
    return pythia, feed


def check_shower(card: ProcessCard, of: Survey, event: HardEvent) -> None:
    """See that Pythia8 starts with the settings of `card` and showers nothing but what it is given.

    Raises
    ------
    ConfigError
        If it does not take the settings, or they make it generate hard processes of its own.
    """
    pythia, feed = start(card, of, 1)
    feed.give([event], [1])
    with suppress(OutOfEventsError):
        pythia.nextBatch(1)
    # known only from the first event on
    if len(pythia.infoPython().codesHard()) > 1:
        raise ConfigError(
            f"card {card.name}: its settings make hard processes beside those of the LHE files; "
            "leave out all but tune, shower, hadronisation and decays"
        )


def _weight(showered: Events, hard: Sequence[HardEvent]) -> dict[str, Column]:
    """genWeight: the file's weight, times what the shower's settings may have made of it."""
    nominal = np.array([event.weight for event in hard])
    ratio = showered.scalars["genWeight"].astype(np.float64) / nominal
    weight = np.where(np.abs(ratio - 1) < _SAME_WEIGHT, nominal, nominal * ratio).astype(np.float32)
    return {"genWeight": weight, "Generator_weight": weight}
