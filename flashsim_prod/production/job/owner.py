"""One process that has the networks' device: those that simulate ask it, and it runs what they ask for.

A device of its own in each process would hold all weights and all that its libraries take once for each, and
be given few rows at a time. What several ask for at the same time is run together.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from flashsim_prod.production.job.cores import leave, portable

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.devices.work import F32, Evaluator, Work
    from flashsim_prod.physics.producing import Producer

#: what was asked for, and by whom
Asked = list[tuple[Connection, "Sequence[Work]"]]


class Owner:
    """The part of `cores.Shared` for a producer's networks.

    Nothing of the device may have been touched before its process is forked: what was is of no use in it.

    Parameters
    ----------
    producer : Producer
    """

    def __init__(self, producer: Producer) -> None:
        self._producer, self._evaluator = producer, producer.evaluator

    def serve(self, ends: Sequence[Connection], ready: Callable[[], None]) -> None:
        """In the process that owns the device: answer whoever asks, until nobody is left to ask."""
        self._evaluator.prepare()
        ready()
        left = list(ends)
        while left:
            asked: Asked = []
            for end in wait(left):
                assert isinstance(end, Connection)
                works = _received(end)
                if works is None:
                    left.remove(end)
                else:
                    asked.append((end, works))
            for end, answer in zip((end for end, _ in asked), _answers(self._evaluator, asked), strict=True):
                # whoever is gone wants no answer; the next look at its pipe tells
                with suppress(BrokenPipeError):
                    end.send_bytes(pickle.dumps(answer))

    def meet(self, end: Connection) -> None:
        """In each process that simulates: have the owner asked from now on."""
        self._producer.evaluator = Asking(end)


class Asking:
    """An `Evaluator` whose networks are another process's.

    Parameters
    ----------
    end : Connection
        To the owner, who listens to nobody else at it.
    """

    takes_many = True

    def __init__(self, end: Connection) -> None:
        self._end = end

    def prepare(self) -> None:
        """Nothing: the owner has done so."""

    def evaluate(self, works: Sequence[Work]) -> list[F32]:
        """As of an `Evaluator`; an exception of the owner's is raised here."""
        if not works:
            return []
        try:
            self._end.send_bytes(pickle.dumps(works))
            answer: list[F32] | Exception = pickle.loads(self._end.recv_bytes())
        except (EOFError, OSError):
            # the owner is gone: the first process learns that, too, and says it
            leave()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _received(end: Connection) -> Sequence[Work] | None:
    """What is asked for, or ``None`` if nobody is there any more."""
    try:
        works: Sequence[Work] = pickle.loads(end.recv_bytes())
    except (EOFError, OSError):
        return None
    return works


def _answers(evaluator: Evaluator, asked: Asked) -> Iterable[Any]:
    """To each of those who asked, what it asked for; or to all of them why there is none."""
    every = [work for _, works in asked for work in works]
    try:
        found = iter(evaluator.evaluate(every))
    except Exception as error:  # noqa: BLE001 - it goes to where it is raised again
        return [portable(error)] * len(asked)
    return [[next(found) for _ in works] for _, works in asked]
