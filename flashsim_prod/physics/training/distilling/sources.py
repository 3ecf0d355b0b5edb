"""What students are taught and judged by: conditions of objects, and these as they were reconstructed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.bundle import ModelEntry
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.tensor_files import appearing_tensors
from flashsim_prod.physics.training.assemble import is_fit_of
from flashsim_prod.physics.training.optimise import FitSettings, split_rows
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tuning.folder import BASE_DIGEST

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

#: neighbouring sources whose objects belong together: those of an event, and of its folds
_STRETCH = 200


@dataclass(frozen=True)
class Sources:
    """Objects of one model.

    Attributes
    ----------
    conditions : float32 array of shape (n_objects, n_conditions)
        Of each object's source, before standardisation.
    group : int64 array of shape (n_objects,)
        Which objects belong together.
    targets : mapping of target name to array of shape (n_objects,)
        As they were reconstructed; empty where nobody did.
    held_out : bool array of shape (n_objects,)
        Those that the teacher is known not to have learned from.
    """

    conditions: F32
    group: I64
    held_out: NDArray[np.bool_]
    targets: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.group)

    @classmethod
    def of_table(cls, table: Table, teacher: ModelEntry) -> Sources:
        """The objects of a table; those that the teacher's fit held out are marked if it was of the same."""
        n = len(table.row)
        held_out = np.zeros(n, dtype=bool)
        # what was tuned held out others, by which its networks alone were not taught
        is_of_these = is_fit_of(teacher, table) and BASE_DIGEST not in teacher.fit
        if n and is_of_these and isinstance(seed := teacher.fit.get("seed"), int):
            held_out[split_rows(n, FitSettings(seed=seed))[0].numpy()] = True
        stretch = max(1, min(_STRETCH, len(table.number) // 100))
        drawn = [target.partition(":")[0] for target in teacher.targets]
        # of files that lack some, nothing whole can be compared
        there = all(name in table.targets for name in drawn)
        targets = {name: table.targets[name] for name in drawn} if there else {}
        return cls(table.conditions[table.row], table.row // stretch, held_out, targets)

    def digest(self) -> str:
        """What tells them from others, in a few digits."""
        found = hashlib.sha256()
        for column in (self.conditions, self.held_out, *self.targets.values()):
            found.update(np.ascontiguousarray(column).tobytes())
        return found.hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write what a chain was asked for, whole or not at all."""
        with appearing_tensors(path) as temporary:
            save_file({"conditions": self.conditions, "group": self.group}, temporary)

    @classmethod
    def load(cls, path: Path) -> Sources:
        """What `save` wrote; `InputError` if it is damaged."""
        try:
            found = load_file(path)
            conditions, group = found["conditions"], found["group"]
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(f"{path}: damaged ({error}); remove it, and it is made again") from error
        return cls(conditions, group, np.zeros(len(group), dtype=bool))

    def to_judge_by(self, most: int, seed: int) -> I64:
        """At most so many objects, whole groups of them: those held out first, then others by chance."""
        return _some(self.group, most, seed, first=self.held_out)

    def to_teach_by(self) -> F32:
        """Conditions of the objects that a student may see: those that its teacher saw, if that is known."""
        seen = ~self.held_out
        return self.conditions[seen] if seen.any() else self.conditions


def _some(group: I64, most: int, seed: int, first: NDArray[np.bool_]) -> I64:
    """At most so many objects, whole groups of them: those that are `first`, then others, each by chance.

    A group's chance does not depend on what other groups there are.
    """
    chance = np.random.default_rng(seed).random(int(group.max(initial=0)) + 1)
    return np.sort(np.lexsort((group, chance[group], ~first))[:most])


class Gathered:
    """Conditions of the objects that a chain makes, of each model at most so many.

    Of more objects those of some generator events are kept, by chance: events of one process come after those
    of another.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: dict[str, list[tuple[F32, I64]]] = {}
        self._number: dict[str, int] = {}

    def see(self, model: str, conditions: F32, gen_event: I64) -> None:
        """Objects of a model, with the generator event of each."""
        if not len(conditions):
            return
        self._parts.setdefault(model, []).append((conditions, gen_event))
        self._number[model] = self._number.get(model, 0) + len(conditions)
        # not after every part, which would look at all of them each time
        if self._number[model] > 2 * self._most:
            self._thin(model)

    def _thin(self, model: str) -> None:
        conditions, events = (np.concatenate(columns) for columns in zip(*self._parts[model], strict=True))
        kept = _some(events, self._most, 0, first=np.zeros(len(events), dtype=bool))
        self._parts[model] = [(conditions[kept], events[kept])]
        self._number[model] = len(kept)

    def sources(self) -> dict[str, Sources]:
        """All that was kept, by model."""
        found = {}
        for model in self._parts:
            self._thin(model)
            [(conditions, events)] = self._parts[model]
            group = np.unique(events, return_inverse=True)[1]
            found[model] = Sources(conditions, group.astype(np.int64), np.zeros(len(group), dtype=bool))
        return found


def gather(
    chain: Chain,
    batches: Iterable[Events],
    seed: int,
    most: int,
    done: Callable[[int], None] = lambda events: None,
) -> dict[str, Sources]:
    """What each model of a chain is asked for in some folds; no two generator events have one number."""
    found = Gathered(most)
    for folds in batches:
        chain.simulate(folds, seed=seed, asked=found.see)
        done(folds.n)
    return found.sources()
