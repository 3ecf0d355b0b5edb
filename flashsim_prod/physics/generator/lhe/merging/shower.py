"""Pythia8 as it showers events of files made for merging: some of them leave, and which is known afterwards.

Merging needs all that a file says of an event, scales and numbers of partons included, so Pythia8 reads the
text of the events by itself. As elsewhere, each has a seed of its own, and what becomes of it does not depend
on those before it.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.sources.lhe import merging_of
from flashsim_prod.errors import InputError, NodeError
from flashsim_prod.files import write_whole
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.lhe.batch import ATTEMPTS, Batch, EventSeed
from flashsim_prod.physics.generator.lhe.event import HardEvent
from flashsim_prod.physics.generator.lhe.starting import start
from flashsim_prod.physics.generator.lhe.survey import Survey
from flashsim_prod.physics.generator.pythia import analyse

#: every event is taken, with its weight in pb, whichever sign that has
_STRATEGY = -4
#: momentum that may be lost to rounding, of the energy, as in Pythia8
_LOST_MOST = 1e-3
_COMPLETE, _VETOED_BY_MERGING = "COMPLETE", "MERGING_FAILED"


class MergingShower:
    """Showers batches of events and tells which are left; Pythia8 is started when it is first needed.

    Parameters
    ----------
    card : ProcessCard
        With the settings of the merging.
    of : Survey
    head : str
        All of the file before its first event.
    """

    def __init__(self, card: ProcessCard, of: Survey, head: str) -> None:
        self._card, self._of, self._head = card, of, head
        self._folder = tempfile.TemporaryDirectory(prefix="lhe_")
        self._pythia: Any = None
        self._reader: Any = None
        self._witness: Any = None

    def run(self, batch: Batch, seed: EventSeed, init_seed: int) -> tuple[Events | None, tuple[int, ...]]:
        """The generator-level collections of the events that are left, and their places in `batch`.

        Raises
        ------
        InputError
            If Pythia8 gives an event up, whatever its seed.
        """
        for where, event in zip(batch.where, batch.hard, strict=True):
            _check_momenta(event, where)
        found = self._tried(batch, [seed(number, 0) for number in batch.numbers], init_seed)
        if found is not None:
            return found
        parts: list[Events] = []
        kept: list[int] = []
        for place, one in enumerate(batch.singles()):
            tries = (self._tried(one, [seed(one.first, n)], init_seed) for n in range(ATTEMPTS))
            single = next((each for each in tries if each is not None), None)
            if single is None:
                raise InputError(f"{one.where[0]}: Pythia8 cannot shower it; it was tried {ATTEMPTS} times")
            if single[0] is not None:
                parts.append(single[0])
                kept.append(place)
        return (Events.concatenate(parts) if parts else None), tuple(kept)

    def _tried(
        self, batch: Batch, seeds: Sequence[int], init_seed: int
    ) -> tuple[Events | None, tuple[int, ...]] | None:
        """As `run`; ``None`` if one event was given up, rather than vetoed."""
        path = Path(self._folder.name) / "events.lhe"
        write_whole(path, self._head + "".join(f"{text}</event>\n" for text in batch.texts) + _END)
        if self._pythia is None:
            self._start(path, init_seed)
        self._reader.newEventFile(str(path))
        self._reader.give(seeds)
        self._witness.begin()
        try:
            records = self._pythia.nextBatch(len(seeds))
        except (RuntimeError, IndexError) as error:
            raise NodeError(f"card {self._card.name}: Pythia8 failed: {error}") from error
        ends = self._witness.ends
        if self._reader.given != list(range(1, len(seeds) + 1)) or any(one is None for one in ends):
            # it may have taken more than one for one
            self._pythia = None
            return None
        places = [place for place, is_left in enumerate(ends) if is_left]
        if len(ends) != len(seeds) or len(records) != len(places):
            raise NodeError(f"card {self._card.name}: Pythia8 lost count of {len(seeds)} events")
        # a weight of zero is how CKKW-L says that a history cannot be
        weighted = [bool(weight) for weight in records.info.weights[:, 0].to_list()] if places else []
        places = [place for place, counts in zip(places, weighted, strict=True) if counts]
        return (analyse(records[weighted]) if places else None), tuple(places)

    def _start(self, path: Path, init_seed: int) -> None:
        scheme = merging_of(self._card.settings)
        made: list[Any] = []

        def feed(pythia: Any) -> Any:
            # goes at once where what it has thrown away is wanted, not for another event in its stead
            pythia.readString("Check:abortIfVeto = on")
            witness = _make_witness(jets=scheme != "CKKW-L")
            pythia.setUserHooksPtr(witness)
            made.append((_make_reader(pythia, path, witness), witness))
            return made[0][0]

        with silenced():
            self._pythia = start(self._card, self._of, init_seed, feed)
        self._reader, self._witness = made[0]


_END = "</LesHouchesEvents>\n"


def _check_momenta(event: HardEvent, where: str) -> None:
    """`InputError` for momentum that is not conserved: a veto may come before Pythia8 would have seen it."""
    ends = [one for one in event.particles if abs(one.status) == 1]
    energy = sum(one.e for one in ends if one.status < 0)
    for component in ("px", "py", "pz", "e"):
        lost = sum(getattr(one, component) * -one.status for one in ends)
        if abs(lost) > _LOST_MOST * energy:
            raise InputError(f"{where}: Pythia8 cannot shower it; its momenta do not add up ({component})")


def _make_reader(pythia: Any, path: Path, witness: Any) -> Any:
    """A reader of LHE files that seeds Pythia8 as it gives an event, and counts what it gives."""
    import pythia8mc

    class Reader(pythia8mc.LHAupLHEF):  # type: ignore[misc]
        def __init__(self) -> None:
            self.info = pythia.infoPython()
            super().__init__(self.info, str(path))
            self.give(())

        def give(self, seeds: Sequence[int]) -> None:
            self.waiting = list(seeds)[::-1]
            self.given: list[int] = []

        def setInit(self) -> bool:
            is_read = bool(super().setInit())
            self.setStrategy(_STRATEGY)
            return is_read

        def setEvent(self, process: int = 0) -> bool:
            if not self.waiting:
                self.given.append(-1)
                return False
            pythia.rndm.init(self.waiting.pop())
            # as many as have ended, and this one
            self.given.append(len(witness.ends) + 1)
            return bool(super().setEvent(process))

    return Reader()


def _make_witness(*, jets: bool) -> Any:
    """What sees how each event ends, and, for merging of `jets`, does the merging.

    Its `ends` has True for what is left, False for what was vetoed, and None for what was given up.
    """
    import pythia8mc

    base = pythia8mc.JetMatchingMadgraph if jets else pythia8mc.UserHooks

    class Witness(base):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.begin()

        def begin(self) -> None:
            self.ends: list[bool | None] = []
            self.is_vetoed = False

        def doVetoProcessLevel(self, process: Any) -> bool:
            return self._noted(super().doVetoProcessLevel(process))

        def doVetoStep(self, *step: Any) -> bool:
            return self._noted(super().doVetoStep(*step))

        def doVetoPartonLevelEarly(self, event: Any) -> bool:
            return self._noted(super().doVetoPartonLevelEarly(event))

        def _noted(self, is_vetoed: bool) -> bool:
            self.is_vetoed = self.is_vetoed or bool(is_vetoed)
            return bool(is_vetoed)

        def onEndEvent(self, status: Any) -> None:
            name = str(status).rpartition(".")[2]
            vetoed = self.is_vetoed or name == _VETOED_BY_MERGING
            self.ends.append(True if name == _COMPLETE else False if vetoed else None)
            self.is_vetoed = False

    witness = Witness()
    # its destructor prints statistics, among what the program prints: it lives as long as the process
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(witness))
    return witness


@contextmanager
def silenced() -> Iterator[None]:
    """Nothing is seen that compiled code prints meanwhile: merging prints tables, however quiet Pythia8."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)
