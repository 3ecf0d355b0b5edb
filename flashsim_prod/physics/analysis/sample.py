"""What an analysis is learned from, and judged by: events with both levels, cut into two parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from flashsim_prod.errors import ConfigError, InputError, MissingBranchError
from flashsim_prod.physics.analysis.model import Regression
from flashsim_prod.physics.analysis.values import F64
from flashsim_prod.physics.chain.model import Rows
from flashsim_prod.physics.copies import Copies
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.tensor_files import appearing_tensors
from flashsim_prod.physics.training.table import Table

_CHUNK_EVENTS = 5000
#: what the files of the reference detector say of themselves, in MetaData
_DETECTOR = "detector"


@dataclass(frozen=True)
class Sample:
    """Events with both levels.

    Attributes
    ----------
    conditions : float32 array of shape (n, n_conditions)
    passes : bool array of shape (n,)
    gen : int64 array of shape (n,)
        Generator event of each event: folds of one are not independent.
    weight : float64 array of shape (n,)
    columns : mapping of name to array of shape (n,)
        What variables are restored with.
    targets : mapping of variable to array of shape (n_passing,)
        As they are learned.
    """

    conditions: NDArray[np.float32]
    passes: NDArray[np.bool_]
    gen: NDArray[np.int64]
    weight: F64
    columns: Mapping[str, F64]
    targets: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.passes)

    def table(self) -> Table:
        """As trainings take it."""
        return Table(
            self.conditions, self.passes.astype(np.int64), np.flatnonzero(self.passes), dict(self.targets)
        )

    def rows(self, index: NDArray[np.int64]) -> Rows:
        """Rows of some of the events, for what is drawn of them to be restored."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return Rows(index, np.zeros(len(index), dtype=np.int64), columns)

    def part(self, kept: NDArray[np.bool_]) -> Sample:
        """Some of the events."""
        of_passing = kept[self.passes]
        return Sample(
            self.conditions[kept],
            self.passes[kept],
            self.gen[kept],
            self.weight[kept],
            {name: column[kept] for name, column in self.columns.items()},
            {name: column[of_passing] for name, column in self.targets.items()},
        )

    def cut(self, share: float, seed: int) -> tuple[Sample, Sample]:
        """Two parts, the second with that share of the generator events, none with an event of another's."""
        numbers, place = np.unique(self.gen, return_inverse=True)
        held_out = np.random.default_rng(seed).random(len(numbers))[place] < share
        return self.part(~held_out), self.part(held_out)

    @staticmethod
    def concatenate(parts: Sequence[Sample]) -> Sample:
        """One of several."""
        first = parts[0]
        return Sample(
            np.concatenate([one.conditions for one in parts]),
            np.concatenate([one.passes for one in parts]),
            np.concatenate([one.gen for one in parts]),
            np.concatenate([one.weight for one in parts]),
            {name: np.concatenate([one.columns[name] for one in parts]) for name in first.columns},
            {name: np.concatenate([one.targets[name] for one in parts]) for name in first.targets},
        )

    def save(self, path: Path, notes: Mapping[str, str]) -> None:
        """Write as safetensors, whole or not at all."""
        tensors: dict[str, NDArray[Any]] = {
            "conditions": self.conditions,
            "passes": self.passes,
            "gen": self.gen,
            "weight": self.weight,
            **{f"column.{name}": column for name, column in self.columns.items()},
            **{f"target.{name}": column for name, column in self.targets.items()},
        }
        with appearing_tensors(path) as temporary:
            save_file(
                {name: np.ascontiguousarray(one) for name, one in tensors.items()}, temporary, dict(notes)
            )

    @staticmethod
    def load(path: Path) -> tuple[Sample, dict[str, str]]:
        """What `save` wrote; `InputError` if it is damaged."""
        try:
            with safe_open(path, framework="np") as file:
                notes = dict(file.metadata() or {})
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Sample(
                found["conditions"],
                found["passes"],
                found["gen"],
                found["weight"],
                _below(found, "column."),
                _below(found, "target."),
            ), notes
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: damaged; start over with --anew") from error


def _below(found: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): one for name, one in found.items() if name.startswith(prefix)}


def sample_of(events: Events, regression: Regression, gen: NDArray[np.int64]) -> Sample:
    """The sample of a batch of events."""
    weight = events.scalars["genWeight"].astype(np.float64)
    if not np.isfinite(weight).all():
        raise InputError(f"genWeight is not finite in {int((~np.isfinite(weight)).sum()):,} events")
    passes, values = regression.reconstructed(events)
    rows = regression.rows(events)
    conditions = regression.model.condition_matrix(rows)
    # as for the chain's models: what is not finite is learned from by nobody
    good = np.isfinite(conditions).all(axis=1)
    passing = rows.take(np.flatnonzero(passes))
    targets = regression.express({name: one[passes] for name, one in values.items()}, passing)
    columns = {
        name: column.astype(np.float64)
        for name, column in rows.columns.items()
        if name.startswith(("gen_", "has_"))
    }
    whole = Sample(conditions, passes, gen, weight, columns, targets)
    return whole if good.all() else whole.part(np.asarray(good))


def refuse_twice(files: Sequence[str]) -> None:
    """`InputError` if a file is named twice: an event would be learned from and judged by."""
    seen: dict[str, str] = {}
    for url in files:
        place = url if "://" in url and not url.startswith("file:") else str(Path(_plain(url)).resolve())
        if place in seen:
            also = "" if seen[place] == url else f", as {seen[place]} too"
            raise InputError(f"{url}: named twice{also}; its events would be no other ones, leave one out")
        seen[place] = url


def _plain(url: str) -> str:
    return url.removeprefix("file://")


def read_samples(
    files: Sequence[str], regression: Regression, told: dict[str, str]
) -> Iterator[tuple[str, int, int, Sample]]:
    """The samples of files, chunk after chunk, with the file, its events read so far, and all of them.

    Parameters
    ----------
    told : dict
        Is given, for each file, what it says of the detector; empty if nothing.

    Raises
    ------
    InputError
        If a file lacks a branch, or cannot be read.
    ConfigError
        If a variable is not defined in an event that passes.
    """
    refuse_twice(files)
    first, copies = 0, Copies()
    for url in files:
        with NanoFile(url, Schema.default(), declared=True) as file:
            copies.refuse(url, file)
            names = [*regression.needs, "genWeight"]
            file.require(names)
            if not file.n_entries:
                raise InputError(f"{url} holds no events; leave it out")
            told[url] = " ".join(sorted(set(file.provenance().get(_DETECTOR, ()))))
            own = "FlashSim_genEvent" in file.branches
            last = first
            for start in range(0, file.n_entries, _CHUNK_EVENTS):
                stop = min(start + _CHUNK_EVENTS, file.n_entries)
                events = file.read([*names, *(["FlashSim_genEvent"] if own else [])], start, stop)
                numbers = events.scalars["FlashSim_genEvent"] if own else np.arange(start, stop)
                gen = first + numbers.astype(np.int64)
                last = max(last, int(gen.max()) + 1)
                try:
                    yield url, stop, file.n_entries, sample_of(events, regression, gen)
                except ConfigError as error:
                    raise ConfigError(f"{error} ({url})") from error
                except InputError as error:
                    raise InputError(f"{url}: {error}") from error
                except MissingBranchError as error:
                    raise InputError(f"{url}: {error}") from error
            first = last


def notes_of(regression: Regression, files: Sequence[str]) -> dict[str, str]:
    """What a sample depends on: the analysis, but for how it is trained, and the files."""
    sizes = {url: Path(url).stat().st_size if "://" not in url and Path(url).exists() else 0 for url in files}
    analysis = regression.analysis.model_dump_json(exclude={"fit", "title", "tag"})
    cut = [regression.analysis.fit.held_out, regression.analysis.fit.seed]
    return {"analysis": analysis, "files": json.dumps(sizes), "cut": json.dumps(cut)}
