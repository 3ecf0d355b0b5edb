"""The table that the reference detector's attributes are moved by, measured on real files.

Files need not have the same attributes: each is measured on those that have it, and how two go together on
those that have both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.errors import InputError, MissingBranchError
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.registry import plain_models_of, variant_of
from flashsim_prod.physics.detector.retuning.curves import Curve
from flashsim_prod.physics.detector.retuning.table import (
    Source,
    Table,
    covariates,
    goes_together,
    kept,
    parts,
)
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.training.finite import Noting
from flashsim_prod.physics.training.partial import partial_targets
from flashsim_prod.physics.training.tables import match_objects
from flashsim_prod.physics.validation.statistics.distances import F64

#: objects of a source from which there are quantiles
FEWEST = 40
#: objects from which one number for all of them says that it is none
_MANY = 20
#: standard errors that a correlation has to differ by, to be another one
_CLEAR = 2.0

Columns = Mapping[str, F64]
#: of real events, and of what the detector makes of their generator level
Pair = tuple[Events, Events]


def measured(pairs: Sequence[Pair], version: str = NANO_VERSION) -> Table:
    """Quantiles and correlations, source by source, where real events have enough objects.

    Parameters
    ----------
    pairs : sequence of pairs of Events
        Real events and the detector's, without the table, of each file.
    version : str
        Of NanoAOD, whose models are asked.
    """
    found: dict[str, Source] = {}
    pooled: dict[str, list[tuple[tuple[Columns, Columns], frozenset[str]]]] = {}
    for model in plain_models_of(version):
        for part, sides in _of_parts(pairs, model).items():
            real, parametric = (_joined([side[place] for side in sides]) for place in (0, 1))
            stays = kept(model)
            if (source := _source(real, parametric, stays, turned=goes_together(model))) is not None:
                found[part] = source
            pooled.setdefault(model.produces, []).append(((real, parametric), _alike(model)))
    for name, of_sources in pooled.items():
        names = frozenset.intersection(*(alike for _, alike in of_sources))
        if names:
            real, parametric = (
                _joined(
                    [{key: side[place][key] for key in side[place] if key in names} for side, _ in of_sources]
                )
                for place in (0, 1)
            )
            if (source := _source(real, parametric, frozenset(), turned=True)) is not None:
                found[name] = source
    return found


def _alike(model: ObjectModel) -> frozenset[str]:
    """Scores that a version adds, whose quantiles are told of whole collections, too."""
    return frozenset(one.name for one in variant_of(model).added)


def _of_parts(pairs: Sequence[Pair], model: ObjectModel) -> dict[str, list[tuple[Columns, Columns]]]:
    """Real and parametric columns of each part of a source, of each file that has what the model asks for."""
    found: dict[str, list[tuple[Columns, Columns]]] = {}
    for real, parametric in pairs:
        if any(use not in side for use in model.uses for side in (real, parametric)):
            continue
        if not model.scalar and any(model.produces not in side for side in (real, parametric)):
            continue
        try:
            first, second = _columns(real, model), _columns(parametric, model)
        except InputError:
            # the file lacks what finds the sources
            continue
        for part, columns in first.items():
            # what a file lacks is not told of the detector's events beside it, either
            beside = {name: second[part][name] for name in columns if name in second[part]}
            found.setdefault(part, []).append((columns, beside))
    return found


def _columns(events: Events, model: ObjectModel) -> dict[str, Columns]:
    """What stays, and what is to be moved, of the objects of each part of one source."""
    matched = match_objects(events, model)
    rows = matched.rows.take(matched.row)
    known_as = "{}" if model.scalar else f"{model.produces}_{{}}"
    with np.errstate(all="ignore"):
        try:
            targets = model.express_targets(Noting(matched.attributes, known_as), rows)
        except MissingBranchError:
            targets, _, _ = partial_targets(model, matched.attributes, rows, known_as)
    columns = {name: one.astype(np.float64) for name, one in targets.items() if not _is_blank(one)}
    columns = {**covariates(model, targets, rows), **columns}
    good = np.all([np.isfinite(one) for one in columns.values()], axis=0)
    # none of these is negative but where a file does not know it
    for one in variant_of(model).added:
        if one.name in columns:
            columns[one.name] = np.where(columns[one.name] < 0, np.nan, columns[one.name])
    return {
        part: {name: one[good & chosen] for name, one in columns.items()}
        for part, chosen in parts(model, rows, targets).items()
    }


def _is_blank(column: Column) -> bool:
    """Whether a number is the same for all objects of a file: something stood for it there."""
    return column.dtype.kind == "f" and len(column) >= _MANY and len(np.unique(column)) == 1


def _joined(columns: Sequence[Columns]) -> Columns:
    """The columns of several files, not a number where one lacks it."""
    names = dict.fromkeys(name for one in columns for name in one)
    lengths = [len(next(iter(one.values()), ())) for one in columns]
    return {
        name: np.concatenate(
            [one.get(name, np.full(n, np.nan)) for one, n in zip(columns, lengths, strict=True)]
        )
        for name in names
    }


def _source(real: Columns, parametric: Columns, stay: frozenset[str], *, turned: bool) -> Source | None:
    """What is known of one source; ``None`` if that is nothing."""

    def is_enough(name: str) -> bool:
        return name in parametric and min(_known(side[name]).sum() for side in (real, parametric)) >= FEWEST

    told = [name for name in real if is_enough(name)]
    is_given = {name: name in stay or name.startswith("source_") for name in told}
    stays = [name for name in told if is_given[name] and len(np.unique(_finite(parametric[name]))) > 1]
    moved = [name for name in told if not is_given[name]]
    if not moved:
        return None
    names = (*stays, *moved)
    before = {name: Curve.of(_finite(parametric[name])) for name in names}
    second = correlations([real[name] for name in names])
    first = correlations([parametric[name] for name in names])
    known = np.stack([_known(real[name]) for name in names]).astype(np.float64)
    together = known @ known.T
    error = 1.0 / np.sqrt(np.maximum(together - 3, 1))
    clear = np.abs(np.arctanh(0.995 * second) - np.arctanh(0.995 * first)) > _CLEAR * error
    clear[: len(stays), : len(stays)] = False
    clear &= turned & (together >= FEWEST)
    after = {name: Curve.of(_finite(real[name])) for name in moved}
    return Source(names, before, after, (first, np.where(clear, second, first)))


def _known(column: F64) -> np.ndarray:
    return np.isfinite(column)


def _finite(column: F64) -> F64:
    return np.asarray(column[_known(column)])


def correlations(columns: Sequence[F64]) -> F64:
    """Of normal scores with the rank correlations of `columns`; 0 where one of them is constant.

    Of two that are not known of the same objects it is that of those that both are known of.
    """
    known = np.stack([_known(one) for one in columns])
    found = np.zeros((len(columns), len(columns)))
    # columns that are known of the same objects are ranked once
    same = {tuple(row): np.flatnonzero((known == row).all(axis=1)) for row in known}
    for one, places in same.items():
        for other, others in same.items():
            both = np.array(one) & np.array(other)
            if both.any():
                ranks = [
                    _ranked([columns[place][both] for place in group])
                    for group in (places.tolist(), others.tolist())
                ]
                found[np.ix_(places, others)] = ranks[0] @ ranks[1].T
    found = 2.0 * np.sin(np.pi / 6.0 * found)
    np.fill_diagonal(found, 1.0)
    return np.asarray(np.clip(found, -1.0, 1.0))


def _ranked(columns: Sequence[F64]) -> F64:
    """Ranks about their mean, of length one."""
    ranks = np.stack([rankdata(one) - (len(one) + 1) / 2 for one in columns])
    size = np.sqrt(np.maximum((ranks**2).sum(axis=1), 1e-12))
    return np.asarray(ranks / size[:, None])
