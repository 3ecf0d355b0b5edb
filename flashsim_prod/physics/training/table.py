"""A training table, and its file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.detectors import together
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.registry import in_version
from flashsim_prod.physics.drawn_from import DrawnFrom
from flashsim_prod.physics.eras import DEFAULT
from flashsim_prod.physics.tensor_files import appearing_tensors
from flashsim_prod.physics.training.finite import LeftOut, finite

#: with fewer a network learns the objects by heart; here, as torch need not be loaded to tell it
LEAST_OBJECTS = 1000
_TARGET, _UNKNOWN = "target.", "unknown."
#: notes in a table's file
_LEFT_OUT, _MADE_FOR, _VERSION, _ABSENT = "left_out", "made_for", "version", "absent"
_ORIGIN, _ERA = "origin", "era"
_DETECTOR, _MIXED = "detector", "mixed"
_DRAWN_FROM = "drawn_from"


@dataclass(frozen=True)
class Table:
    """What one object model learns from.

    Attributes
    ----------
    conditions : float32 array of shape (n_rows, n_conditions)
        Before standardisation, for every source row.
    number : int64 array of shape (n_rows,)
        Reconstructed objects that came of the row.
    row : int64 array of shape (n_objects,)
        The source row of each reconstructed object, but of those that were left out.
    targets : mapping of target name to array of shape (n_objects,)
        As the flow is to learn them, in the type of the file.
    left_out : LeftOut
        Sources and objects that would be here if all their numbers were finite.
    version : str
        Of NanoAOD; empty if it is not known.
    absent : tuple of str
        Branches that the file lacked, and with them all targets that are made of them.
    weight : float array of shape (n_rows,), optional
        What each source counts for when a bundle's models are fine-tuned; all alike by default.
    origin : str
        What made the reconstruction if it is not FullSim; empty if the file does not say.
    era : str
        Of the file; empty if nothing tells it.
    detector : str
        Digest of the reference detector that made the file; empty if it is not known.
    is_mixed : bool
        Whether it may stand beside tables of other detectors.
    unknown : mapping of target name to bool array of shape (n_objects,)
        Where a target is not defined, and a value of another object stands in for it; those that always
        are defined are not named.
    sample : int64 array of shape (n_rows,), optional
        Which file each source is of, in numbers; by default all are of one.
    """

    conditions: NDArray[np.float32]
    number: NDArray[np.int64]
    row: NDArray[np.int64]
    targets: dict[str, NDArray[Any]]
    left_out: LeftOut = field(default_factory=LeftOut)
    version: str = ""
    absent: tuple[str, ...] = ()
    weight: NDArray[np.float64] | None = None
    origin: str = ""
    era: str = ""
    detector: str = ""
    is_mixed: bool = False
    unknown: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    sample: NDArray[np.int64] | None = None

    @property
    def counts_as(self) -> str:
        """The era that it must not be mixed with another; empty if nothing tells it of FullSim."""
        return era_counted(self.era, self.origin)

    @property
    def source_weight(self) -> NDArray[np.float64]:
        """What each source counts for, shape (n_rows,)."""
        return np.ones(len(self.number)) if self.weight is None else self.weight

    @property
    def object_weight(self) -> NDArray[np.float64]:
        """What each object counts for, shape (n_objects,)."""
        return self.source_weight[self.row]

    @property
    def source_sample(self) -> NDArray[np.int64]:
        """Which file each source is of, shape (n_rows,)."""
        return np.zeros(len(self.number), dtype=np.int64) if self.sample is None else self.sample

    def is_known(self, target: str) -> NDArray[np.bool_]:
        """Of which objects a target was seen, shape (n_objects,)."""
        unknown = self.unknown.get(target)
        return np.ones(len(self.row), dtype=bool) if unknown is None else ~unknown

    def of_objects(self, chosen: NDArray[np.bool_]) -> Table:
        """The same sources with those of their objects that are `chosen`."""
        targets, unknown = (
            {name: column[chosen] for name, column in columns.items()}
            for columns in (self.targets, self.unknown)
        )
        return replace(self, row=self.row[chosen], targets=targets, unknown=unknown)

    def save(self, path: Path, model: ObjectModel | None = None, source: DrawnFrom | None = None) -> None:
        """Write as safetensors, whole or not at all, with what of `model` it depends on."""
        tensors: dict[str, NDArray[Any]] = {
            "conditions": self.conditions,
            "number": self.number,
            "row": self.row,
        }
        tensors |= {_TARGET + name: np.ascontiguousarray(column) for name, column in self.targets.items()}
        tensors |= {_UNKNOWN + name: np.ascontiguousarray(column) for name, column in self.unknown.items()}
        notes = {_LEFT_OUT: self.left_out.to_json()}
        if self.version:
            notes[_VERSION] = self.version
        if self.absent:
            notes[_ABSENT] = json.dumps(self.absent)
        if model is not None:
            notes[_MADE_FOR] = json.dumps(model.signature())
        if self.origin:
            notes[_ORIGIN] = self.origin
        if self.era:
            notes[_ERA] = self.era
        if self.detector:
            notes[_DETECTOR] = self.detector
        if self.is_mixed:
            notes[_MIXED] = "1"
        if source is not None:
            notes[_DRAWN_FROM] = json.dumps(asdict(source))
        with appearing_tensors(path) as temporary:
            save_file(tensors, temporary, notes)

    @staticmethod
    def load(path: Path, model: ObjectModel | None = None) -> Table:
        """Read one table; `InputError` if it is damaged, or of another form or declaration of `model`."""
        try:
            with safe_open(path, framework="np") as file:
                notes = file.metadata() or {}
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            targets = {
                key.removeprefix(_TARGET): value for key, value in found.items() if key.startswith(_TARGET)
            }
            table = Table(
                found["conditions"],
                found["number"],
                found["row"],
                targets,
                LeftOut.from_json(notes.get(_LEFT_OUT, "{}")),
                notes.get(_VERSION, ""),
                tuple(json.loads(notes.get(_ABSENT, "[]"))),
                _weights(notes.get(_DRAWN_FROM), len(found["number"])),
                notes.get(_ORIGIN, ""),
                notes.get(_ERA, ""),
                notes.get(_DETECTOR, ""),
                _MIXED in notes,
                {
                    key.removeprefix(_UNKNOWN): value
                    for key, value in found.items()
                    if key.startswith(_UNKNOWN)
                },
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, error) from error
        if model is not None:
            _check_made_for(path, table, notes.get(_MADE_FOR), in_version(model, table.version))
        return table

    def finite(self) -> Table:
        """Without the rows that hold a number that is not finite."""
        columns = {f"condition {place}": column for place, column in enumerate(self.conditions.T)}
        sources, of_conditions = finite(columns, len(self.number))
        # objects of a source that goes are not counted by their own numbers
        there = sources[self.row]
        targets = {f"target {name}": column[there] for name, column in self.targets.items()}
        objects, of_targets = finite(targets, int(there.sum()))
        if not of_conditions and not of_targets:
            return self
        kept = np.flatnonzero(there)[objects]
        place = np.cumsum(sources) - 1
        lost = LeftOut(int((~sources).sum()), len(self.row) - len(kept), {**of_conditions, **of_targets})
        return replace(
            self,
            conditions=self.conditions[sources],
            number=self.number[sources],
            row=place[self.row[kept]],
            targets={name: column[kept] for name, column in self.targets.items()},
            left_out=self.left_out + lost,
            weight=None if self.weight is None else self.weight[sources],
            unknown={name: column[kept] for name, column in self.unknown.items()},
            sample=None if self.sample is None else self.sample[sources],
        )

    @staticmethod
    def concatenate(tables: Sequence[Table]) -> Table:
        """One table of several, with those targets that all have.

        They must be of one version, and of files that lack the same.
        """
        offsets = np.cumsum([0, *(len(table.number) for table in tables[:-1])])
        # few objects may not tell that a target depends on what is lacking
        names = [name for name in tables[0].targets if all(name in table.targets for table in tables)]
        return Table(
            np.concatenate([table.conditions for table in tables]),
            np.concatenate([table.number for table in tables]),
            np.concatenate([table.row + offset for table, offset in zip(tables, offsets, strict=True)]),
            {name: np.concatenate([table.targets[name] for table in tables]) for name in names},
            sum((table.left_out for table in tables), LeftOut()),
            tables[0].version,
            tables[0].absent,
            None
            if all(table.weight is None for table in tables)
            else np.concatenate([table.source_weight for table in tables]),
            " and ".join(sorted({table.origin for table in tables if table.origin})),
            next((table.era for table in tables if table.era), ""),
            together(table.detector for table in tables),
            any(table.is_mixed for table in tables),
            {
                name: np.concatenate([~table.is_known(name) for table in tables])
                for name in names
                if any(name in table.unknown for table in tables)
            },
            None
            if all(table.sample is None for table in tables)
            else np.concatenate([table.source_sample for table in tables]),
        )


def table_digest(table: Table) -> str:
    """What tells tables from others of as many objects."""
    found = hashlib.sha256()
    columns = {"": table.conditions, " number": table.number, " row": table.row, **table.targets}
    # in memory they stand in another order than in a file
    for name in sorted(columns):
        found.update(name.encode())
        found.update(np.ascontiguousarray(columns[name]).data)
    return found.hexdigest()[:12]


def _weights(drawn_from: str | None, n: int) -> NDArray[np.float64] | None:
    """What each of `n` sources counts for, if not all alike."""
    weight = 1.0 if drawn_from is None else float(json.loads(drawn_from).get("weight", 1.0))
    return None if weight == 1.0 else np.full(n, weight)


def _check_made_for(path: Path, table: Table, made_for: str | None, model: ObjectModel) -> None:
    """`InputError` for a table of another form or declaration, and for one that is none."""
    again = "remove it and run 'flashsim-prod train extract' again"
    if made_for is not None and made_for != json.dumps(model.signature()):
        raise InputError(f"{path}: drawn for another declaration or form of {model.name}; {again}")
    n, m = len(table.number), len(table.row)
    lacking = [target.name for target in model.targets if target.name not in table.targets]
    if lacking and not table.absent:
        raise InputError(f"{path}: no table of {model.name}, target.{lacking[0]} is missing; {again}")
    if table.conditions.shape != (n, len(model.conditions)) or any(
        column.shape != (m,) for column in table.targets.values()
    ):
        raise InputError(f"{path}: no table of {model.name}, its shapes do not fit; {again}")
    if m and not 0 <= table.row.min() <= table.row.max() < n:
        raise InputError(f"{path}: no table of {model.name}, 'row' points outside of it; {again}")


def _damaged(path: Path, error: Exception) -> InputError:
    """Tables that are there are not drawn again, whatever is in them."""
    return InputError(
        f"{path}: no training table ({error}); remove it and run 'flashsim-prod train extract' again"
    )


def sizes(path: Path) -> tuple[int, int]:
    """Sources and reconstructed objects in one table."""
    try:
        with safe_open(path, framework="np") as file:
            sources, objects = (int(file.get_slice(name).get_shape()[0]) for name in ("number", "row"))
            return sources, objects
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def left_out_of(path: Path) -> LeftOut:
    """What was left out of the table in `path` for numbers that are not finite."""
    try:
        return LeftOut.from_json(_notes(path).get(_LEFT_OUT, "{}"))
    except (TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def version_of_table(path: Path) -> str:
    """The version of NanoAOD that the table in `path` is of; empty if it does not say."""
    return _notes(path).get(_VERSION, "")


def origin_of_table(path: Path) -> str:
    """What made the reconstruction that the table in `path` is of; empty if it is FullSim, or not known."""
    return _notes(path).get(_ORIGIN, "")


def era_of_table(path: Path) -> str:
    """The era that the table in `path` is of; empty if nothing told it."""
    return _notes(path).get(_ERA, "")


def detector_of_table(path: Path) -> str:
    """Digest of the reference detector that the table in `path` is of; empty if it is not known."""
    return _notes(path).get(_DETECTOR, "")


def era_counted(era: str, origin: str) -> str:
    """The era that a table counts as: what is not FullSim and says none is of the default one."""
    return era or (DEFAULT if origin else "")


def drawn_from(path: Path) -> DrawnFrom | None:
    """What the table in `path` was drawn from; ``None`` if it is of before tables remembered."""
    told = _notes(path).get(_DRAWN_FROM)
    return None if told is None else DrawnFrom(**json.loads(told))


def lacking_in(path: Path, model: ObjectModel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Branches that the file of the table in `path` lacked, and targets of `model` that lack with them."""
    absent = tuple(json.loads(_notes(path).get(_ABSENT, "[]")))
    model = in_version(model, version_of_table(path))
    with safe_open(path, framework="np") as file:
        there = set(file.keys())
    return absent, tuple(one.name for one in model.targets if _TARGET + one.name not in there)


def _notes(path: Path) -> Mapping[str, str]:
    """What a table says of itself, but for what it was made; read once for as long as it is the same file."""
    try:
        state = path.stat()
    except OSError as error:
        raise _damaged(path, error) from error
    return _notes_of(path, state.st_ino, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1 << 16)
def _notes_of(path: Path, inode: int, changed: int, size: int) -> Mapping[str, str]:
    try:
        with safe_open(path, framework="np") as file:
            notes = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error
    return {name: note for name, note in notes.items() if name != _MADE_FOR}
