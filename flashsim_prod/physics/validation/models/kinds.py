"""Kinds of model side by side: one object model, the same tables, the same time on one core."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import InputError
from flashsim_prod.files import json_text, read_text, write_json
from flashsim_prod.physics.chain.bundle import ModelEntry, read_tensors
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.training.assemble import ENTRY, save_fitted
from flashsim_prod.physics.training.fit import LEAST_OBJECTS, FitProgress, fit_model
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.table import Table, table_digest
from flashsim_prod.physics.validation.models.constituents import OF_CANDIDATES, summed_up
from flashsim_prod.physics.validation.statistics.c2st import tell_apart
from flashsim_prod.physics.validation.statistics.distances import (
    F64,
    I64,
    Measured,
    correlation_difference,
    wasserstein_in_sigma,
)

RESULT = "result.json"
#: beside it: what it was made on
_TERMS = "terms.json"
#: neighbouring sources that stay together, where there are many: those of an event, and of its folds
_STRETCH = 200
#: share of the objects that is held out, where so many are not there
_HELD_OUT = 0.25
#: objects to compare with at least
_LEAST_HELD_OUT = 200
#: sets to compare with at least, where objects are members of some
_LEAST_SETS = 100
#: where terms say what the tables hold
_DIGEST = "tables"
#: steps that a kind's time is measured with
_STEPS_TIMED = 20
#: rows held out meanwhile, at most
_ROWS_LOOKED_AT = 500


@dataclass(frozen=True)
class Terms:
    """What kinds of model have in common when they are compared.

    Attributes
    ----------
    minutes : float
        Training time on one core, in processor time.
    objects : int
        Held-out objects that are compared with, where the tables have four times as many.
    sampling : Sampling
        How flows are integrated.
    """

    minutes: float = 30.0
    objects: int = 50_000
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 1

    def told(self) -> dict[str, Any]:
        """In plain values."""
        return {**asdict(self), "sampling": self.sampling.model_dump(mode="json")}


@dataclass(frozen=True)
class Standing:
    """How one kind of one object model came out.

    Attributes
    ----------
    objects : int
        Held-out objects compared with.
    auc, auc_error, floor : float
        Of boosted trees that see targets and conditions; `floor` of two halves of the truth. Where there are
        `sets`, of these.
    median_w1 : float
        Of all targets' Wasserstein distances, in standard deviations.
    correlation_difference : float
        Largest difference of rank correlations between targets.
    objects_per_s : float
        Drawn on one core.
    weight_bytes : int
        Of the file of weights, without the classifier of numbers.
    minutes, steps : float, int
        Training: processor time, and steps that went into it.
    """

    model: str
    kind: str
    objects: int
    auc: float
    auc_error: float
    floor: float
    median_w1: float
    correlation_difference: float
    objects_per_s: float
    weight_bytes: int
    minutes: float
    steps: int
    #: what the objects are members of, where a source says how many it has; 0 where it does not
    sets: int = 0


def compare_kind(
    model: ObjectModel, table: Table, kind: str, terms: Terms, folder: Path, progress: FitProgress
) -> Standing:
    """Train `model` as one kind and measure it; what `folder` holds of the same terms is taken up.

    Raises
    ------
    InputError
        If there are too few objects.
    """
    try:
        learned, held_out = split(table, terms.objects)
    except InputError as error:
        raise InputError(f"{model.name}: {error}") from error
    if model.numbered_by and (sets := len(np.unique(held_out.row))) < _LEAST_SETS:
        raise InputError(
            f"{model.name}: only {sets} sets with {len(held_out.row)} members to compare with, at least "
            f"{_LEAST_SETS} are needed; give more --objects, or extract more events"
        )
    size = {"sources": len(table.number), "found": len(table.row)}
    notes = Notes.of(folder, {**terms.told(), **size, _DIGEST: table_digest(table)})
    if (folder / RESULT).is_file():
        return Standing(**json.loads(read_text(folder / RESULT)))
    # how many objects there are is drawn alike by all
    model = model if model.numbered_by else replace(model, most=0)
    settings = replace(FitSettings(seed=terms.seed), flow_steps=notes.steps or 1)
    if not notes.steps:
        notes.steps = max(10, int(60 * terms.minutes / _seconds_a_step(model, learned, kind, settings)))
        notes.write()
        settings = replace(settings, flow_steps=notes.steps)

    def shown(network: str, step: int, steps: int, loss: float) -> None:
        notes.write()
        progress(network, step, steps, loss)

    notes.begin()
    fitted, record = fit_model(model, learned, settings, folder, kind=kind, progress=shown)
    notes.write()
    save_fitted(fitted, record, folder)
    entry = ModelEntry.from_mapping(json.loads(read_text(folder / ENTRY)), str(folder / ENTRY))
    loaded = FittedModel.load(model, entry, read_tensors(folder / entry.file))
    standing = Standing(
        model=model.name,
        kind=kind,
        **_measured(loaded, held_out, _stretch(table), terms),
        weight_bytes=(folder / entry.file).stat().st_size,
        minutes=round(notes.seconds / 60, 2),
        steps=sum(losses[-1][0] for losses in record.losses.values()),
    )
    write_json(folder / RESULT, standing)
    return standing


def split(table: Table, objects: int) -> tuple[Table, Table]:
    """What is learned from, and the last sources with `objects` objects, but a quarter of all at most.

    Raises
    ------
    InputError
        If there are too few objects.
    """
    wanted = min(objects, int(_HELD_OUT * len(table.row)))
    if len(table.row) - wanted < LEAST_OBJECTS or wanted < _LEAST_HELD_OUT:
        least = max(LEAST_OBJECTS, int(_LEAST_HELD_OUT / _HELD_OUT)) + _LEAST_HELD_OUT
        raise InputError(f"only {len(table.row)} objects, at least {least} are needed to compare kinds")
    stretch = np.arange(len(table.number)) // _stretch(table)
    order = np.random.default_rng(1).permutation(stretch[-1] + 1)
    of_stretch = np.bincount(stretch[table.row], minlength=len(order))[order]
    held_out = np.isin(stretch, order[: 1 + int(np.searchsorted(of_stretch.cumsum(), wanted))])
    return _part(table, ~held_out), _part(table, held_out)


def _stretch(table: Table) -> int:
    """Neighbouring sources that stay together."""
    return max(1, min(_STRETCH, len(table.number) // 100))


def _part(table: Table, rows: NDArray[np.bool_]) -> Table:
    """The sources `rows` with their objects."""
    kept, place = rows[table.row], np.cumsum(rows) - 1
    return replace(
        table,
        conditions=table.conditions[rows],
        number=table.number[rows],
        row=place[table.row[kept]],
        targets={name: column[kept] for name, column in table.targets.items()},
    )


@dataclass
class Notes:
    """What a comparison that is taken up again has to know: its terms, its steps, the time spent so far."""

    path: Path
    terms: dict[str, Any]
    steps: int = 0
    before: float = 0.0
    began: float | None = None

    @classmethod
    def of(cls, folder: Path, terms: dict[str, Any]) -> Notes:
        """Those in `folder`, which holds what is of these terms; what was made on others is put beside it."""
        terms = json.loads(json_text(terms))
        path = folder / _TERMS
        if not _is_of(folder, terms):
            _put_beside(folder)
            for earlier in sorted(folder.parent.glob(f"{folder.name}.*")):
                if _is_of(earlier, terms):
                    earlier.rename(folder)
                    break
        if path.is_file():
            found = json.loads(read_text(path))
            notes = cls(path, terms, found["steps"], found["seconds"])
            notes.write()
            return notes
        folder.mkdir(parents=True, exist_ok=True)
        return cls(path, terms)

    def begin(self) -> None:
        """Time is spent from now on."""
        self.began = time.process_time()

    @property
    def seconds(self) -> float:
        """Processor time spent."""
        return self.before + (0.0 if self.began is None else time.process_time() - self.began)

    def write(self) -> None:
        """Keep them."""
        write_json(self.path, {"terms": self.terms, "steps": self.steps, "seconds": round(self.seconds, 1)})


def _is_of(folder: Path, terms: dict[str, Any]) -> bool:
    """Whether what is in a folder was made on these terms."""
    path = folder / _TERMS
    # what was begun before tables were looked at goes on
    return path.is_file() and {_DIGEST: terms[_DIGEST], **json.loads(read_text(path))["terms"]} == terms


def _put_beside(folder: Path) -> None:
    """Move a folder to a name that its terms have alone: somebody's afternoon went into it."""
    path = folder / _TERMS
    if path.is_file():
        terms = json.dumps(json.loads(read_text(path))["terms"], sort_keys=True)
        folder.rename(folder.with_name(f"{folder.name}.{hashlib.sha256(terms.encode()).hexdigest()[:8]}"))
    else:
        # nothing is trained before terms are written
        shutil.rmtree(folder, ignore_errors=True)


def _seconds_a_step(model: ObjectModel, table: Table, kind: str, settings: FitSettings) -> float:
    """Processor time of a step, all stages together, from a few of them."""
    looks: dict[str, list[tuple[int, float]]] = {}

    def look(network: str, step: int, steps: int, loss: float) -> None:
        looks.setdefault(network, []).append((step, time.process_time()))

    # looks at rows held out are many here: they must not take longer than steps
    share = min(settings.held_out, _ROWS_LOOKED_AT / max(len(table.row), 1))
    few = replace(settings, flow_steps=_STEPS_TIMED, report_every=2, held_out=share)
    with tempfile.TemporaryDirectory() as folder:
        fit_model(model, table, few, Path(folder), kind=kind, progress=look)
    seconds = 0.0
    for found in looks.values():
        (first, begun), (last, ended) = found[0], found[-1]
        seconds += (ended - begun) / (last - first) * last
    return seconds / _STEPS_TIMED


def _measured(fitted: FittedModel, held_out: Table, stretch: int, terms: Terms) -> dict[str, Any]:
    """All figures that are of what is drawn."""
    conditions = held_out.conditions[held_out.row]
    n, names = len(held_out.row), list(held_out.targets)
    normals = np.random.default_rng(terms.seed).normal(size=(n, fitted.n_normals))
    few = slice(min(n, 512))
    # compiles, and fills caches
    fitted.sample(conditions[few], normals[few], terms.sampling, sets=held_out.row[few])
    began = time.process_time()
    found = fitted.sample(conditions, normals, terms.sampling, sets=held_out.row)
    seconds = time.process_time() - began
    drawn, truth = (
        np.stack([columns[name].astype(np.float64) for name in names], axis=1)
        for columns in (found, held_out.targets)
    )
    rows, of_set = np.unique(held_out.row, return_inverse=True)
    if fitted.model.numbered_by:
        seen, group = held_out.conditions[rows], rows // stretch
        whole, whole_drawn = (on_the_whole(one, of_set) for one in _finished(truth, drawn, names, of_set))
        told, floor = _areas(whole, whole_drawn, seen, group, terms.seed)
    else:
        told, floor = _areas(truth, drawn, conditions, held_out.row // stretch, terms.seed)
    apart = [wasserstein_in_sigma(drawn[:, column], truth[:, column]) for column in range(len(names))]
    off = correlation_difference(drawn, truth)
    return {
        "objects": n,
        "sets": len(rows) if fitted.model.numbered_by else 0,
        "auc": round(told.value, 4),
        "auc_error": round(told.error, 4),
        "floor": round(floor.value, 4),
        "median_w1": round(float(np.median(apart)), 4),
        "correlation_difference": round(float(np.abs(off).max()), 4),
        "objects_per_s": round(n / max(seconds, 1e-9), 1),
    }


def _finished(truth: F64, drawn: F64, names: list[str], of_set: I64) -> Iterator[F64]:
    """Members less what is made right of them afterwards, whatever a network gives."""
    for members in (truth, drawn):
        if not {*OF_CANDIDATES} <= {*names}:
            yield members
            continue
        columns = summed_up(dict(zip(names, members.T, strict=True)), of_set)
        yield np.stack([columns[name] for name in names], axis=1)


def on_the_whole(members: F64, of_set: I64) -> F64:
    """What sets are, a row each: means and widths of each column, its means where the first is large, and the
    member whose first is largest.
    """
    first = members[:, 0]
    weights = np.exp(np.clip(first - first.mean(), None, 4 * first.std()) / max(float(first.std()), 1e-12))
    last = np.lexsort((first, of_set))[np.cumsum(np.bincount(of_set)) - 1]
    mean, leading = _mean_of_sets(members, np.ones(len(members)), of_set), members[last]
    width = np.sqrt(_mean_of_sets((members - mean[of_set]) ** 2, np.ones(len(members)), of_set))
    return np.hstack((mean, width, _mean_of_sets(members, weights, of_set), leading))


def _mean_of_sets(members: F64, weights: F64, of_set: I64) -> F64:
    total = np.bincount(of_set, weights)
    return np.stack([np.bincount(of_set, weights * column) / total for column in members.T], axis=1)


def _areas(
    truth: F64, drawn: F64, conditions: NDArray[np.float32], group: I64, seed: int
) -> tuple[Measured, Measured]:
    """Area of trees that tell drawn from true objects, and one half of the true ones from the other."""
    seen = conditions.astype(np.float64)
    both, both_drawn = np.hstack((truth, seen)), np.hstack((drawn, seen))
    second = np.random.default_rng(seed).random(len(truth)) < 0.5
    floor = tell_apart(both[~second], both[second], (group[~second], group[second]), seed=seed)
    return tell_apart(both, both_drawn, (group, group), seed=seed).auc, floor.auc
