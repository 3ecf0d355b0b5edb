"""The table that the reference detector's attributes are moved by, measured on real files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.physics.detector.retuning.curves import Curve
from flashsim_prod.physics.detector.retuning.table import (
    Source,
    Table,
    covariates,
    goes_together,
    kept,
    parts,
)
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.training.tables import match_objects
from flashsim_prod.physics.validation.statistics.distances import F64

#: objects of a source from which there are quantiles
FEWEST = 40
#: standard errors that a correlation has to differ by, to be another one
_CLEAR = 2.0

Columns = Mapping[str, F64]


def measured(real: Events, parametric: Events) -> Table:
    """Quantiles and correlations, source by source, where real events have enough objects.

    Parameters
    ----------
    real, parametric : Events
        Both levels of real events, and of the detector without any table.
    """
    found = {}
    for model in MODELS:
        if any(use not in side for use in model.uses for side in (real, parametric)):
            continue
        first, second = (_columns(side, model) for side in (real, parametric))
        for name in first:
            if min(len(next(iter(side[name][1].values()), ())) for side in (first, second)) >= FEWEST:
                found[name] = _source(first[name], second[name], turned=goes_together(model))
    return found


def _columns(events: Events, model: ObjectModel) -> dict[str, tuple[Columns, Columns]]:
    """What stays, and what is to be moved, of the objects of each part of one source."""
    matched = match_objects(events, model)
    rows = matched.rows.take(matched.row)
    with np.errstate(all="ignore"):
        targets = model.express_targets(matched.attributes, rows)
    given = covariates(model, targets, rows)
    free = {name: value.astype(np.float64) for name, value in targets.items() if name not in kept(model)}
    good = np.all([np.isfinite(one) for one in (*given.values(), *free.values())], axis=0)
    return {
        key: (
            {name: one[good & chosen] for name, one in given.items()},
            {name: one[good & chosen] for name, one in free.items()},
        )
        for key, chosen in parts(model, rows).items()
    }


def _source(real: tuple[Columns, Columns], parametric: tuple[Columns, Columns], *, turned: bool) -> Source:
    stays = [name for name in real[0] if name in parametric[0] and len(np.unique(parametric[0][name])) > 1]
    names = (*stays, *real[1])
    both = [{**given, **free} for given, free in (parametric, real)]
    before = {name: Curve.of(both[0][name]) for name in names}
    first, second = (correlations([one[name] for name in names]) for one in both)
    error = 1.0 / np.sqrt(max(len(both[1][names[0]]) - 3, 1))
    clear = np.abs(np.arctanh(0.995 * second) - np.arctanh(0.995 * first)) > _CLEAR * error
    clear[: len(stays), : len(stays)] = False
    clear &= turned
    after = {name: Curve.of(one) for name, one in real[1].items()}
    return Source(names, before, after, (first, np.where(clear, second, first)))


def correlations(columns: Sequence[F64]) -> F64:
    """Of normal scores with the rank correlations of `columns`; 0 where one of them is constant."""
    ranks = np.stack([rankdata(one) - (len(one) + 1) / 2 for one in columns])
    size = np.sqrt(np.maximum((ranks**2).sum(axis=1), 1e-12))
    found = 2.0 * np.sin(np.pi / 6.0 * (ranks @ ranks.T) / np.outer(size, size))
    np.fill_diagonal(found, 1.0)
    return np.asarray(np.clip(found, -1.0, 1.0))
