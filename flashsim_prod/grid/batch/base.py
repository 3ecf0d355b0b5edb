"""The nouns that every batch system shares, and what one that runs by itself can be asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol

from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Site
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
    """What a batch system says of a node.

    Attributes
    ----------
    state : JobState
        DONE only says that the batch system counts it as done: the job's report decides. What it waits for
        itself (the nodes before it, a throttle) is IDLE.
    exit_code : int, optional
        Of the last end that it saw.
    reason : str, optional
        Why it is held, failed, or still idle, in one line.
    since : datetime, optional
        When it came into this state.
    host : str, optional
        Where it runs, or ran last.
    starts : int
        How many times it was started, as far as the batch system says.
    """

    key: NodeKey
    state: JobState
    exit_code: int | None = None
    reason: str | None = None
    since: datetime | None = None
    host: str | None = None
    starts: int = 0


@dataclass(frozen=True)
class Submission:
    """A graph of jobs that is handed over as one.

    Attributes
    ----------
    request : Request
    request_file : Path
        Its ``request.yaml``; logs and reports of its jobs are beside it.
    home : Path
        The state folder.
    folder : Path
        What is handed over, rendered for people to read; the same for all submissions of a request.
    nodes : tuple of Node
        The graph, all nodes of the request.
    done : frozenset of NodeKey
        Those that are done already and must not run again.
    number : int
        Counted from 1 over all submissions of the request.
    token : str
        Unique; handed over with the jobs, so that they are found again if the answer was lost.
    """

    request: Request
    request_file: Path
    home: Path
    folder: Path
    nodes: tuple[Node, ...]
    done: frozenset[NodeKey] = frozenset()
    number: int = 1
    token: str = ""


@dataclass(frozen=True)
class Receipt:
    """What came of handing a submission over.

    Attributes
    ----------
    batch_id : str or None
        The batch system's name for it; ``None`` if nothing was handed over, because a person has to do it.
    remarks : tuple of str
        What to tell the user, a line each: above all what to run by hand.
    """

    batch_id: str | None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Poll:
    """What a batch system says of a submission.

    Attributes
    ----------
    alive : bool
        Whether the batch system still works on it: then nothing of it may be handed over again.
    nodes : dict of NodeKey to NodeStatus
        Nodes that it says nothing of are left out; nobody knows what became of them.
    notes : tuple of str
        What a user should know, a line each.
    stopped : str, optional
        Why it was ended as a whole before its jobs had, in one line, if it was: who took it back, or what
        broke. Jobs that had not ended are cancelled by it.
    """

    alive: bool
    nodes: dict[NodeKey, NodeStatus]
    notes: tuple[str, ...] = ()
    stopped: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing about a site that was looked at."""

    what: str
    is_fine: bool
    detail: str


class BatchSystem(ABC):
    """A batch system that goes on by itself after a graph of jobs was handed to it; made of its `Site`.

    The foreground engine (`flashsim_prod.grid.batch.local.LocalBatch`) is none: it runs the same nodes in
    processes of this machine while the command waits. A batch system keeps no state of its own: all that
    it is asked about is in the submission and the name it gave it.

    All methods raise `StorageError` if it cannot be reached and `ConfigError` if it is not set up here.

    Parameters
    ----------
    site : Site
        Its `rules` are those that name this class as their `batch_system`.
    """

    #: what it runs; jobs of other stages are run on this machine when their inputs are there
    stages: ClassVar[frozenset[Stage]] = frozenset(Stage)

    def __init__(self, site: Site) -> None:
        self._site = site

    @abstractmethod
    def render(self, submission: Submission) -> None:
        """Write all that is handed over into the submission's folder; hands nothing over.

        Raises
        ------
        RequestError
            If the request is nothing for this batch system (too many jobs, a limit of the site).
        """

    @abstractmethod
    def submit(self, submission: Submission) -> Receipt:
        """Hand a rendered submission over."""

    @abstractmethod
    def find(self, submission: Submission) -> str | None:
        """The name of a submission whose receipt was lost; ``None`` if it was certainly never handed over.

        Raises
        ------
        StateError
            If that cannot be told.
        """

    @abstractmethod
    def poll(self, submission: Submission, batch_id: str) -> Poll:
        """Where the nodes of a submission stand.

        The request is held meanwhile, so that a batch system that does not try jobs again by itself can hand
        over here what its rules say.
        """

    def complete(self, submission: Submission) -> tuple[str, ...]:
        """Hand over what is missing of a submission that is at work, where `submit` could not hand over all.

        Returns
        -------
        tuple of str
            What to tell the user, a line each.
        """
        return ()

    def leftovers(self, submission: Submission) -> tuple[str, ...]:
        """What a person has to remove once the dataset is complete, a line each, with what to type."""
        return ()

    @abstractmethod
    def cancel(self, submission: Submission, batch_id: str) -> None:
        """Take a submission back; one that is gone already is no error."""

    def check_software(self) -> None:  # noqa: B027 - most sites have what this machine has
        """See that jobs will find their software; `ConfigError` if none of them could start."""

    @abstractmethod
    def check(self) -> Iterator[Finding]:
        """What of the site can be reached, and what jobs would find there right now."""


@dataclass(frozen=True)
class Training:
    """Tables and fits that are handed over as one, and the bundle after them.

    Attributes
    ----------
    work : Path
        Folder of tables and fits; what is handed over is written into its folder ``batch``.
    models : tuple of str
        Those to be fitted, a job each.
    options : tuple of str
        Further words for ``train fit``.
    output : Path, optional
        Folder of the bundle; none is made without.
    drawings : tuple of tuple of str
        Words for ``train extract``, a job for each, before all fits.
    bundle : tuple of str
        Further words for ``train bundle``.
    """

    work: Path
    models: tuple[str, ...]
    options: tuple[str, ...]
    output: Path | None
    drawings: tuple[tuple[str, ...], ...] = ()
    bundle: tuple[str, ...] = ()


class TrainingBatch(BatchSystem):
    """A batch system that training can be handed to as well."""

    @abstractmethod
    def train(self, training: Training) -> tuple[int, bool]:
        """Hand tables and fits over, unless some of this folder are at work; its number, and if it is new.

        Raises
        ------
        ConfigError
            If its nodes cannot train.
        """

    @abstractmethod
    def is_training(self, work: Path) -> bool:
        """Whether tables or fits of this folder are at work."""
