"""Efficiencies and shares of true objects, from the links between reconstruction and generator level.

Which generator-level objects a collection should find is not written down anywhere: it is those of the kinds,
and from the lowest pt and up to the largest |eta|, that its links point to in the reference.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection
from flashsim_prod.physics.validation.dataset.figures import NamedRates
from flashsim_prod.physics.validation.dataset.samples import Sample, is_generator_level
from flashsim_prod.physics.validation.statistics.clustered import Entries, compare_rates
from flashsim_prod.physics.validation.statistics.distances import F64, I64

#: GenPart_statusFlags: last copy
_LAST_COPY = 1 << 13
#: links, of all, that a kind of particle needs to be what the collection is to find
_SHARE = 0.2
#: found objects with less pt, or more |eta|, are chance
_STRAY = 0.005
_MIN_ENTRIES = 200
Bools = NDArray[np.bool_]


def matching_rates(name: str, sample: Sample, reference: Sample) -> Iterator[NamedRates]:
    """Efficiency along pt and eta of generated objects, and share of matched ones along the objects' pt."""
    both = (sample, reference)
    for link, targets in sample.schema.links(name).items():
        if len(targets) != 1 or not is_generator_level(targets[0]):
            continue
        if all(targets[0] in one.events and link in one.events[name] for one in both):
            yield from _of_link(name, link, targets[0], sample, reference)


def _of_link(name: str, link: str, target: str, sample: Sample, reference: Sample) -> Iterator[NamedRates]:
    targets = reference.events[target]
    pointed = _pointed(reference.events[name], link, targets)
    if not len(pointed):
        return
    kinds = _kinds(targets, pointed)
    lowest_pt = float(np.quantile(targets["pt"][pointed], _STRAY))
    largest_eta = float(np.quantile(np.abs(targets["eta"][pointed]), 1 - _STRAY))
    what = target + (f" ({', '.join(f'|pdgId| {kind}' for kind in kinds)})" if kinds else "")
    chosen = [_findable(one.events[target], kinds, lowest_pt, largest_eta) for one in (sample, reference)]
    for axis in ("pt", "eta"):
        first, second = (
            _found(one, name, link, target, kept, axis)
            for one, kept in zip((sample, reference), chosen, strict=True)
        )
        if min(len(first[0]), len(second[0])) >= _MIN_ENTRIES:
            title = f"share of {what} found in {name}"
            yield NamedRates(title, "efficiency", f"{target}_{axis}", compare_rates(*first, *second))
    first, second = (_matched(one, name, link) for one in (sample, reference))
    if min(len(first[0]), len(second[0])) >= _MIN_ENTRIES:
        title = f"share of {name} with a match in {target}"
        yield NamedRates(title, "matched fraction", f"{name}_pt", compare_rates(*first, *second))


def _pointed(objects: Collection, link: str, targets: Collection) -> I64:
    """Positions of the targets that objects point to."""
    index = objects[link].astype(np.int64)
    linking = index >= 0
    positions: I64 = targets.starts[objects.event_index[linking]] + index[linking]
    return positions


def _kinds(targets: Collection, pointed: I64) -> list[int]:
    """The |pdgId| that links mostly point to; empty for objects that have none."""
    if "pdgId" not in targets or not len(pointed):
        return []
    kinds, numbers = np.unique(np.abs(targets["pdgId"][pointed]), return_counts=True)
    return [int(kind) for kind in kinds[numbers >= _SHARE * len(pointed)]]


def _findable(targets: Collection, kinds: list[int], lowest_pt: float, largest_eta: float) -> Bools:
    """Generated objects that the collection is to find."""
    chosen: Bools = (targets["pt"] >= lowest_pt) & (np.abs(targets["eta"]) <= largest_eta)
    if kinds:
        chosen &= np.isin(np.abs(targets["pdgId"]), kinds)
        if "statusFlags" in targets:
            chosen &= (targets["statusFlags"].astype(np.int64) & _LAST_COPY) > 0
    return chosen


def _found(
    sample: Sample, name: str, link: str, target: str, chosen: Bools, axis: str
) -> tuple[Entries, Bools]:
    """Generated objects along `axis`, and which of them are pointed to."""
    targets = sample.events[target]
    found = np.zeros(targets.n_objects, dtype=bool)
    found[_pointed(sample.events[name], link, targets)] = True
    values: F64 = targets[axis].astype(np.float64)
    chosen = chosen & np.isfinite(values)
    return sample.entries(values[chosen], targets.event_index[chosen]), found[chosen]


def _matched(sample: Sample, name: str, link: str) -> tuple[Entries, Bools]:
    objects = sample.events[name]
    values: F64 = objects["pt"].astype(np.float64)
    finite = np.isfinite(values)
    return sample.entries(values, objects.event_index), objects[link][finite] >= 0
