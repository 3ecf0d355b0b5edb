"""Events of LHE files: showered and hadronised by Pythia8, with their weights and hard processes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.report import Accepted
from flashsim_prod.core.sources.lhe import merging_of
from flashsim_prod.errors import ConfigError, InputError, NodeError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.lhe.batch import ATTEMPTS, Batch, EventSeed
from flashsim_prod.physics.generator.lhe.columns import hard_process
from flashsim_prod.physics.generator.lhe.event import HardEvent, parse_event
from flashsim_prod.physics.generator.lhe.feed import OutOfEventsError, make_feed
from flashsim_prod.physics.generator.lhe.file import event_texts, head_text
from flashsim_prod.physics.generator.lhe.merging.powheg import make_veto, vetoes_emissions
from flashsim_prod.physics.generator.lhe.merging.shower import MergingShower
from flashsim_prod.physics.generator.lhe.starting import start
from flashsim_prod.physics.generator.lhe.survey import Survey, survey
from flashsim_prod.physics.generator.pileup import PileupDraws, find_profile
from flashsim_prod.physics.generator.pythia import analyse
from flashsim_prod.physics.generator.source import regrouped

#: events that are showered and analysed together; bounds the memory, changes no content
_BATCH = 100
#: an event's weight after the shower is the file's, but for rounding
_SAME_WEIGHT = 1e-6
_OF_MERGING = re.compile(r"\s*(JetMatching|Merging):", re.IGNORECASE)


class _AnyShower(Protocol):
    """What makes events of hard processes."""

    def run(self, batch: Batch, seed: EventSeed, init_seed: int) -> tuple[Events | None, tuple[int, ...]]:
        """The events that are left, ``None`` for none, and their places in `batch`."""
        ...


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
    number_of_first : int, optional
        Number of the first event in the dataset, if it is not its place in the files.
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
        number_of_first: int | None = None,
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
        self._number = first if number_of_first is None else number_of_first
        self._profile = find_profile(pileup)
        self._init_seed, self._event_seed, self._pileup_seed = init_seed, event_seed, pileup_seed
        self._survey = survey(self._files[0][0])
        self._is_vetoed = bool(merging_of(card.settings))
        self._accepted = Accepted()

    def chunks(self, size: int) -> Iterator[Events]:
        """All events, at most `size` at a time; their contents do not depend on `size`."""
        return regrouped(self._batches(), size)

    @property
    def accepted(self) -> Accepted:
        """What was tried so far, and what merging has left of it."""
        return self._accepted

    def specimen(self) -> Events:
        """The first event as if there were no merging: it has all branches, if no event is left at all."""
        settings = tuple(one for one in self._card.settings if not _OF_MERGING.match(one))
        card = self._card.model_copy(update={"settings": settings})
        batch = next(self._read(1))
        showered, _ = _Shower(card, self._survey).run(batch, self._event_seed, self._init_seed)
        assert showered is not None
        return self._joined(showered, batch, (0,), self._weight(showered, batch.hard))

    def _batches(self) -> Iterator[Events]:
        shower: _AnyShower = _Shower(self._card, self._survey)
        if self._is_vetoed:
            shower = MergingShower(self._card, self._survey, head_text(self._files[0][0]))
        for batch in self._read(_BATCH):
            showered, kept = shower.run(batch, self._event_seed, self._init_seed)
            hard = [batch.hard[place] for place in kept]
            weight = np.zeros(0) if showered is None else self._weight(showered, hard)
            self._accepted += _counted(batch.hard, weight)
            if showered is not None:
                yield self._joined(showered, batch, kept, weight)

    @staticmethod
    def _weight(showered: Events, hard: Sequence[HardEvent]) -> NDArray[np.float64]:
        """genWeight: the file's weight, times what the shower's settings may have made of it."""
        nominal = np.array([event.weight for event in hard])
        ratio = showered.scalars["genWeight"].astype(np.float64) / nominal
        return np.where(np.abs(ratio - 1) < _SAME_WEIGHT, nominal, nominal * ratio)

    def _joined(
        self, showered: Events, batch: Batch, kept: Sequence[int], weight: NDArray[np.float64]
    ) -> Events:
        hard, numbers = [batch.hard[place] for place in kept], [batch.numbers[place] for place in kept]
        told = hard_process(hard, self._survey.weights, self._survey.branches)
        pileup = [Events(1, PileupDraws(self._profile, self._pileup_seed(one)).draw(1)) for one in numbers]
        scalars = {name: weight.astype(np.float32) for name in ("genWeight", "Generator_weight")}
        if self._is_vetoed:
            scalars["FlashSim_genEvent"] = np.array(numbers, dtype=np.uint64)
        return Events(
            len(hard),
            {**showered.scalars, **told.scalars, **Events.concatenate(pileup).scalars, **scalars},
            {**showered.collections, **told.collections},
        )

    def _read(self, size: int) -> Iterator[Batch]:
        """All events, at most `size` at a time."""
        events, number = self._events(), self._number
        while part := list(islice(events, size)):
            where, texts, hard = zip(*part, strict=True)
            yield Batch(where, texts, hard, number)
            number += len(hard)

    def _events(self) -> Iterator[tuple[str, str, HardEvent]]:
        """Name, text and contents of each event, in order."""
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
                yield where, text, parse_event(text, self._survey.weights, where)


def _counted(tried: Sequence[HardEvent], left: NDArray[np.float64]) -> Accepted:
    before = np.array([event.weight for event in tried])
    return Accepted(
        tried=len(before),
        accepted=len(left),
        sumw_tried=float(before.sum()),
        sumw_accepted=float(left.sum()),
        sumw2_tried=float((before**2).sum()),
        sumw2_accepted=float((left**2).sum()),
    )


class _Shower:
    """Pythia8 as it showers batches of hard processes; started when it is first needed."""

    def __init__(self, card: ProcessCard, of: Survey) -> None:
        self._card, self._of = card, of
        self._pythia: Any = None
        self._feed: Any = None

    def run(self, batch: Batch, seed: EventSeed, init_seed: int) -> tuple[Events | None, tuple[int, ...]]:
        """The generator-level collections of all events, and their places.

        Raises
        ------
        InputError
            If Pythia8 gives one up, whatever its seed.
        """
        everywhere = tuple(range(len(batch.hard)))
        found = self._tried(batch.hard, [seed(number, 0) for number in batch.numbers], init_seed)
        if found is not None:
            return found, everywhere
        # one was given up; alone, each of the others comes out as it would have here
        singles = []
        for one in batch.singles():
            tries = (self._tried(one.hard, [seed(one.first, n)], init_seed) for n in range(ATTEMPTS))
            single = next((each for each in tries if each is not None), None)
            if single is None:
                raise InputError(f"{one.where[0]}: Pythia8 cannot shower it; it was tried {ATTEMPTS} times")
            singles.append(single)
        return Events.concatenate(singles), everywhere

    def _tried(self, events: Sequence[HardEvent], seeds: Sequence[int], init_seed: int) -> Events | None:
        """All of `events`, or ``None`` if one was given up."""
        if self._pythia is None:
            self._pythia, self._feed = _start_plain(self._card, self._of, init_seed)
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


def _start_plain(card: ProcessCard, of: Survey, seed: int) -> tuple[Any, Any]:
    feeds: list[Any] = []

    def feed(pythia: Any) -> Any:
        feeds.append(make_feed(pythia, sum(of.head.energies_gev)))
        if vetoes_emissions(card.settings):
            feeds[0].veto = make_veto(pythia, card.settings)
            pythia.setUserHooksPtr(feeds[0].veto)
        return feeds[0]

    return start(card, of, seed, feed), feeds[0]


def check_shower(card: ProcessCard, of: Survey, url: str) -> None:
    """See that Pythia8 starts with the settings of `card` and showers nothing but what it is given.

    Parameters
    ----------
    card : ProcessCard
    of : Survey
        Of the file `url`, whose first event is tried.
    url : str

    Raises
    ------
    ConfigError
        If it does not take the settings, or they make it generate hard processes of its own.
    """
    where, text = f"{url}: event 0", next(event_texts(url, 0, 1))
    event = parse_event(text, of.weights, where)
    settings = tuple(one for one in card.settings if not _OF_MERGING.match(one))
    pythia, feed = _start_plain(card.model_copy(update={"settings": settings}), of, 1)
    feed.give([event], [1])
    with suppress(OutOfEventsError):
        pythia.nextBatch(1)
    # known only from the first event on
    if len(pythia.infoPython().codesHard()) > 1:
        raise ConfigError(
            f"card {card.name}: its settings make hard processes beside those of the LHE files; "
            "leave out all but tune, shower, hadronisation and decays"
        )
    if merging_of(card.settings):
        MergingShower(card, of, head_text(url)).run(Batch((where,), (text,), (event,), 0), _one_seed, 1)


def _one_seed(number: int, attempt: int) -> int:
    return 1 + number + attempt
