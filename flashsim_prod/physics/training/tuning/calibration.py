"""Calibration: a fitted model's transforms and numbers moved to a sample, its networks left as they are.

Each target's transform takes the model's own latent numbers, on the sources of the sample, to the sample's
distribution, quantile by quantile. The logits of the numbers of objects get two biases, b1 k + b2 k^2, by
which mean and width of these numbers are right. Neither goes farther than the sample shows more than its own
noise, and both, the transforms together, are taken only if they hold on events that they were not found on,
so that a base which is near already is not made worse.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, ndtr

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.numbers import shift_logits
from flashsim_prod.physics.chain.transforms import Gaussianiser
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tuning.evidence import share_of_base, trusted
from flashsim_prod.physics.training.tuning.holding import Judged, Stretches, alike, ranks
from flashsim_prod.physics.training.tuning.settings import Done, TuneSettings

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: draws of each object, fewer where there are many: two tell how far they are from each other
_LEAST_DRAWS, _MOST_DRAWS = 2, 10
#: of all objects together, about
_DRAWS = 20_000
#: shares of the base's distribution below and above which there is one of both alone
_NOTHING_OLD, _NOTHING_NEW = 0.02, 0.98


def calibrated(
    fitted: FittedModel, table: Table, settings: TuneSettings, sampling: Sampling | None = None
) -> FittedModel:
    """`fitted` with transforms and biases that fit `table`; targets that the table lacks stay as they are.

    Parameters
    ----------
    sampling : Sampling, optional
        How the latent numbers are drawn, as requests draw them.
    """
    fitted = with_numbers_of(fitted, table, settings)
    if settings.done_with(len(table.row)) is Done.NUMBERS:
        return fitted
    return with_marginals_of(fitted, table, settings, sampling or Sampling())


def with_marginals_of(
    fitted: FittedModel, table: Table, settings: TuneSettings, sampling: Sampling
) -> FittedModel:
    """`fitted` with transforms by which what it draws on the sources of `table` is distributed as there."""
    latents = drawn_latents(fitted, table, settings.seed, sampling)
    stretches = Stretches.of_table(table, settings.seed)

    def found_on(objects: NDArray[np.bool_]) -> FittedModel:
        gaussianisers = []
        for place, (target, base) in enumerate(zip(fitted.model.targets, fitted.gaussianisers, strict=True)):
            chosen = objects & table.is_known(target.name)
            if target.name not in table.targets or chosen.sum() < settings.least:
                gaussianisers.append(base)
                continue
            column, stretch = table.targets[target.name][chosen], stretches.of[table.row[chosen]]
            seen = _Seen(column, table.object_weight[chosen], stretch, latents[:, chosen, place], settings)
            gaussianisers.append(seen.transform(base))
        return replace(fitted, gaussianisers=tuple(gaussianisers))

    judged, gain = Judged.by(table, fitted.targets(latents)), np.zeros(len(table.row))
    for learned, others in stretches.parts():
        there = others[table.row]
        before, after = (one.targets(latents[:, there]) for one in (fitted, found_on(learned[table.row])))
        gain[there] = judged.missed(before, there) - judged.missed(after, there)
    if not stretches.hold(gain * table.object_weight, table.row):
        return fitted
    return found_on(np.ones(len(table.row), dtype=bool))


def with_own_draws(fitted: FittedModel, table: Table, seed: int) -> Table:
    """`table` with what the model draws itself where a target was not seen.

    What stands there are copies of other objects' values, often a few that are taken again and again: these
    are to be learned neither as frequent nor as what belongs to these sources.
    """
    if not any(unknown.any() for unknown in table.unknown.values()):
        return table
    latents = drawn_latents(fitted, table, seed + 2, Sampling())
    targets = dict(table.targets)
    for place, (target, base) in enumerate(zip(fitted.model.targets, fitted.gaussianisers, strict=True)):
        if target.name in table.unknown and target.name in targets:
            column, unknown = targets[target.name], table.unknown[target.name]
            own = base.from_normal(latents[0, :, place])
            targets[target.name] = np.where(unknown, own.astype(column.dtype), column)
    return replace(table, targets=targets)


@dataclass(frozen=True)
class _Seen:
    """Values of one target, their weights and stretches, and latent numbers drawn for each: shape (m, n)."""

    column: NDArray[Any]
    weight: F64
    stretch: I64
    latents: F32
    settings: TuneSettings

    def transform(self, base: Gaussianiser) -> Gaussianiser:
        """The transform by which these latents are distributed as the values, as far as they show."""
        is_blended = self.settings.done_with(len(self.column)) is Done.BLENDED
        pseudo = self.settings.pseudo_objects if is_blended else 0.0
        latents = self.latents.ravel()
        drawn = base.from_normal(latents)
        values = self.column.astype(np.float32)
        of_one = alike(ranks(np.sort(values), values), self.stretch)
        share = share_of_base(self.column, self.weight, drawn, of_one)
        share = max(pseudo / (pseudo + self.weight.sum()), share)
        if share > _NOTHING_NEW:
            return base
        level = ndtr(latents.astype(np.float64))
        weight = np.tile(self.weight, len(self.latents))
        return _through(_wanted(self.column, self.weight, drawn, share), level, weight)


def drawn_latents(
    fitted: FittedModel,
    table: Table,
    seed: int,
    sampling: Sampling,
    objects: NDArray[np.bool_] | None = None,
) -> F32:
    """What the networks draw for the objects of `table`, several times each: shape (m, n, n_targets).

    For some `objects` alone, all of each source, it is the same as for all.
    """
    n = len(table.row)
    draws = min(_MOST_DRAWS, max(_LEAST_DRAWS, _DRAWS // max(1, n)))
    chosen = np.ones(n, dtype=bool) if objects is None else objects
    rng = np.random.default_rng([seed, zlib.crc32(fitted.model.name.encode())])
    normals = rng.normal(size=(draws, n, fitted.n_normals))[:, chosen]
    row = np.tile(table.row[chosen], draws)
    # the objects of a source are a set in each draw, for kinds that draw them together
    sets = np.repeat(np.arange(draws), int(chosen.sum())) * len(table.number) + row
    found = fitted.latents(
        table.conditions[row], normals.reshape(len(row), fitted.n_normals), sampling, sets=sets
    )
    return found.reshape(draws, -1, len(fitted.model.targets))


def _wanted(column: NDArray[Any], weight: F64, of_base: F64, share: float) -> Gaussianiser:
    """The distribution of the sample, with so large a share of the base's."""
    if share < _NOTHING_OLD:
        return Gaussianiser.fit(column, weight)
    is_discrete = column.dtype.kind in "iub"
    both = np.concatenate((column.astype(np.float32), of_base.astype(np.float32)))
    each = np.full(len(of_base), weight.sum() * share / (1.0 - share) / len(of_base))
    return Gaussianiser.fit(both.astype(np.int64) if is_discrete else both, np.concatenate((weight, each)))


def _through(wanted: Gaussianiser, level: F64, weight: F64) -> Gaussianiser:
    """`wanted` for numbers whose distribution is not the normal one but that of the sample `level`."""
    order = np.argsort(level, kind="stable")
    below = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    cdf = np.interp(
        wanted.cdf, np.concatenate(([0.0], below, [1.0])), np.concatenate(([0.0], level[order], [1.0]))
    )
    return Gaussianiser(np.maximum.accumulate(cdf).astype(np.float32), wanted.value)


def with_numbers_of(fitted: FittedModel, table: Table, settings: TuneSettings) -> FittedModel:
    """`fitted` with biases on the logits of its numbers, which gives them the table's mean and width."""
    if not fitted.model.draws_number or not len(table.number):
        return fitted
    logits = np.log(np.maximum(fitted.probabilities(table.conditions), 1e-30))
    number, weight = np.minimum(table.number, fitted.model.most), table.source_weight
    if not _numbers_hold(logits, number, weight, Stretches.of_table(table, settings.seed), settings):
        return fitted
    biases = _biases(logits, number, weight, settings)
    networks = shift_logits(fitted.networks, torch.from_numpy(biases.astype(np.float32)))
    return fitted.with_networks(networks)


def _numbers_hold(
    logits: F64, number: I64, weight: F64, stretches: Stretches, settings: TuneSettings
) -> bool:
    """Whether biases that are found on some of the events make the numbers of others likelier."""
    gain = np.zeros(len(number))
    for learned, judged in stretches.parts():
        biases = _biases(logits[learned], number[learned], weight[learned], settings)
        norm = logsumexp(logits[judged] + biases, axis=1) - logsumexp(logits[judged], axis=1)
        gain[judged] = weight[judged] * (biases[number[judged]] - norm)
    return stretches.hold(gain, np.arange(len(gain)))


def _biases(logits: F64, number: NDArray[np.int64], weight: F64, settings: TuneSettings) -> F64:
    """What is to be added to the logits of 0, 1, ...: the likeliest, with a guess that it is little."""
    n = logits.shape[1]
    k = np.arange(n, dtype=np.float64)
    powers = np.stack((k, k**2) if n > 2 else (k,), axis=1)
    seen = weight @ powers[number]

    def loss(b: F64) -> tuple[float, F64]:
        shifted = logits + powers @ b
        norm = logsumexp(shifted, axis=1)
        expected = weight @ (np.exp(shifted - norm[:, None]) @ powers)
        value = weight @ norm - b @ seen + b @ b / (2 * settings.width_of_biases**2)
        return float(value), expected - seen + b / settings.width_of_biases**2

    start = np.zeros(powers.shape[1])
    found: F64 = minimize(loss, start, jac=True, method="BFGS").x
    gain = 2.0 * (loss(start)[0] - loss(found)[0])
    return powers @ found * trusted(gain, len(found))
