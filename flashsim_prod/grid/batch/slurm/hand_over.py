"""Handing over what is missing of a submission: as few arrays as can be, merges after the tasks they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from flashsim_prod.core.site import Site
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import ConfigError, FlashSimError
from flashsim_prod.grid.batch.base import Node, NodeKey, Submission
from flashsim_prod.grid.batch.slurm.arrays import Array, drop, read_arrays, write_array, write_number
from flashsim_prod.grid.batch.slurm.client import Slurm
from flashsim_prod.grid.batch.slurm.judge import Verdict
from flashsim_prod.grid.batch.slurm.render import options_of_array, script_of
from flashsim_prod.grid.batch.slurm.section import SlurmRules


@dataclass(frozen=True)
class _Group:
    """Jobs that can be one array."""

    stage: Stage
    memory_mb: int | None
    exclude: str
    #: jobs that must have ended well before
    parents: tuple[NodeKey, ...] = ()


@dataclass
class Done:
    """What came of it.

    Attributes
    ----------
    arrays : list of Array
        Those that Slurm has taken just now.
    handed : set of NodeKey
        Their jobs.
    trouble : FlashSimError or None
        Why it ended before all was handed over.
    remarks : list of str
        What to tell the user.
    """

    arrays: list[Array] = field(default_factory=list)
    handed: set[NodeKey] = field(default_factory=set)
    trouble: FlashSimError | None = None
    remarks: list[str] = field(default_factory=list)


class HandOver:
    """Hands over jobs of one submission.

    Parameters
    ----------
    site : Site
    submission : Submission
    plan : frozenset of NodeKey
        Its jobs; others of the request are done.
    """

    def __init__(self, site: Site, submission: Submission, plan: frozenset[NodeKey]) -> None:
        self._site, self._submission, self._plan = site, submission, plan
        self._rules = site.rules_as(SlurmRules)
        self._slurm = Slurm()

    def advance(self, verdicts: Mapping[NodeKey, Verdict], live: frozenset[NodeKey]) -> Done:
        """Hand over what never was, and what is to be tried again, as far as the queue takes it."""
        done = Done()
        try:
            for group, keys in self._missing(verdicts, live).items():
                again = sum(key in verdicts for key in keys)
                handed = self._hand_over(group, keys, done)
                if again and handed:
                    done.remarks.append(_told(group, handed))
        except FlashSimError as error:
            done.trouble = error
        return done

    def _missing(
        self, verdicts: Mapping[NodeKey, Verdict], live: frozenset[NodeKey]
    ) -> dict[_Group, list[NodeKey]]:
        """What can be handed over now, simulate jobs first."""
        room = self._rules.most_jobs - len(live) if self._rules.most_jobs else len(self._plan)
        lacking = (node for node in self._submission.nodes if self._lacks(node, verdicts, live))
        taken: set[NodeKey] = set()
        groups: dict[_Group, list[NodeKey]] = {}
        for node in islice(sorted(lacking, key=_order), max(room, 0)):
            waits = [key for key in node.parents if key in self._plan and not _is_done(verdicts.get(key))]
            if any(key not in live and key not in taken for key in waits):
                continue
            taken.add(node.key)
            verdict = verdicts.get(node.key)
            memory, exclude = (verdict.memory_mb, verdict.exclude) if verdict else (None, "")
            groups.setdefault(_Group(node.key.stage, memory, exclude, tuple(waits)), []).append(node.key)
        return groups

    def _lacks(self, node: Node, verdicts: Mapping[NodeKey, Verdict], live: frozenset[NodeKey]) -> bool:
        verdict = verdicts.get(node.key)
        return node.key in self._plan and node.key not in live and (verdict is None or verdict.again)

    def _hand_over(self, group: _Group, keys: Sequence[NodeKey], done: Done) -> list[NodeKey]:
        """Arrays of a group, none larger than Slurm takes."""
        handed: list[NodeKey] = []
        left = iter(keys)
        while some := list(islice(left, self._size)):
            array = write_array(self._submission, some)
            options = options_of_array(
                self._site,
                array,
                self._submission.request_file.parent,
                memory_mb=group.memory_mb,
                exclude=group.exclude,
                after=self._tasks(group.parents),
            )
            script = script_of(self._submission, group.stage)
            try:
                number = self._slurm.submit(options, script, str(array.path))
            except ConfigError:
                # refused for certain; where there was no answer, the next look finds out
                drop(array)
                raise
            done.arrays.append(write_number(array, number))
            done.handed.update(some)
            handed += some
        return handed

    @cached_property
    def _size(self) -> int:
        """The most tasks of an array."""
        return self._slurm.most_tasks()

    def _tasks(self, keys: Sequence[NodeKey]) -> Iterator[str]:
        """The newest tasks of these jobs, as Slurm calls them."""
        if not keys:
            return
        wanted, newest = set(keys), dict[NodeKey, str]()
        for array in read_arrays(self._submission):
            newest |= {key: f"{array.number}_{task}" for task, key in enumerate(array.keys) if key in wanted}
        yield from (newest[key] for key in keys)


def _order(node: Node) -> tuple[bool, int]:
    return node.key.stage is Stage.MERGE, node.key.index


def _is_done(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.state is JobState.DONE


def _told(group: _Group, keys: Sequence[NodeKey]) -> str:
    more = f" with {group.memory_mb} MB" if group.memory_mb else ""
    other = f", not on {group.exclude}" if group.exclude else ""
    return f"tried again{more}{other}: {', '.join(map(str, keys[:5]))}{' ...' if len(keys) > 5 else ''}"
