"""The nouns that every batch system shares, and what one that runs by itself can be asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from flashsim_prod.core.states import JobState, Stage


@dataclass(frozen=True, slots=True, order=True)
class NodeKey:
    """Which job of a request a node is: the same pair as in the ledger."""

    stage: Stage
    index: int

    def __str__(self) -> str:
        return f"{self.stage} {self.index}"


@dataclass(frozen=True, slots=True)
class Node:
    """A job in the graph of a request, with those that must be done before it."""

    key: NodeKey
    parents: tuple[NodeKey, ...] = ()


@dataclass(frozen=True)
class Command:
    """One attempt of a node, as a process.

    Attributes
    ----------
    argv : tuple of str
        Program and arguments; no shell is involved.
    log : Path
        File that gets standard error, and whatever on standard output is no progress line.
    environment : mapping
        Variables on top of those inherited.
    walltime_s : float, optional
        The attempt is ended after this time [s].
    """

    argv: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    walltime_s: float | None = None


class Payload(Protocol):
    """What the nodes run and how their ends are judged; called in the driver's own thread only."""

    def command(self, node: Node, attempt: int) -> Command:
        """The command of an attempt, counted from 1 in this run; called just before it starts.

        The place to write the intention down.
        """

    def judge(self, node: Node, attempt: int, exit_code: int) -> int:
        """The exit code that counts, after a look at what the attempt left.

        0 lets the children start, so a process that ended with 0 without a valid report must not be
        given 0. Negative codes are signals, as in `subprocess`.
        """


class Observer:
    """Is told what happens, in the driver's own thread; override what is of interest."""

    def started(self, node: Node, attempt: int, pid: int) -> None:
        """An attempt runs as process `pid`."""

    def progress(self, node: Node, attempt: int, events: int) -> None:
        """An attempt has made `events` events so far."""

    def finished(self, node: Node, attempt: int, exit_code: int, *, retrying: bool) -> None:
        """An attempt ended with the judged `exit_code`; `retrying` if another follows unless all stops."""

    def interrupted(self, node: Node, attempt: int) -> None:
        """An attempt was ended, or did not start any more, because the driver stops."""

    def blocked(self, node: Node) -> None:
        """The node was never started: one before it failed. Told when all else has ended."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a batch system says of a node."""

    key: NodeKey
    state: JobState
    exit_code: int | None = None
    reason: str | None = None


class BatchSystem(ABC):
    """A batch system that goes on by itself after the jobs were handed to it.

    The foreground engine (`flashsim_prod.grid.batch.local.LocalBatch`) is none: it runs the same nodes in
    processes of this machine while the command waits.
    """

    @abstractmethod
    def render(self, nodes: Iterable[Node], folder: Path) -> None:
        """Write all that a submission needs into `folder`, for people to read; submits nothing."""

    @abstractmethod
    def submit(self, folder: Path) -> str:
        """Hand a rendered folder over; the batch system's name for it."""

    @abstractmethod
    def poll(self, submission: str) -> Iterator[NodeStatus]:
        """Where the nodes of a submission stand; nodes it does not know any more are left out."""

    @abstractmethod
    def cancel(self, submission: str) -> None:
        """Take a submission back; one that is gone already is no error."""
