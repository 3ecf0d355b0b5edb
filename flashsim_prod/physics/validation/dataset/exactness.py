"""What distributions do not show: the order of objects, stored precision, exact values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.validation.dataset.figures import NamedRates, Precision, Spike
from flashsim_prod.physics.validation.dataset.samples import Sample
from flashsim_prod.physics.validation.statistics.clustered import Entries, compare_rates, mean_and_width
from flashsim_prod.physics.validation.statistics.distances import F64

#: entries, and generator events, of either sample below which nothing is said
_MIN_ENTRIES, _MIN_GEN = 200, 40
#: bits of a single precision number behind the leading one
_MANTISSA_BITS = 23
#: values that may be stored with more bits than an attribute is said to have: defaults, say
_STRAY = 0.01
#: objects that have one value exactly, of all, for it to be a spike; and of these the most
_SHARE, _MOST_SPIKES = 0.02, 5


def order_of(name: str, sample: Sample, reference: Sample) -> Iterator[NamedRates]:
    """How often an object has less pt than the one before it, along that one's pt."""
    if not all("pt" in one.events[name] for one in (sample, reference)):
        return
    (first, falls), (second, other_falls) = (_neighbours(one, name) for one in (sample, reference))
    if min(len(first), len(second)) >= _MIN_ENTRIES:
        rates = compare_rates(first, falls, second, other_falls)
        yield NamedRates(f"share of {name} with less pt than the one before", "falling", f"{name}_pt", rates)


def _neighbours(sample: Sample, name: str) -> tuple[Entries, np.typing.NDArray[np.bool_]]:
    objects = sample.events[name]
    pt: F64 = objects["pt"].astype(np.float64)
    behind = np.flatnonzero(objects.local_index > 0)
    behind = behind[np.isfinite(pt[behind]) & np.isfinite(pt[behind - 1])]
    return sample.entries(pt[behind - 1], objects.event_index[behind]), pt[behind] < pt[behind - 1]


def precision_of(name: str, sample: Entries, reference: Entries) -> Precision | None:
    """The stored precision of a branch of floats; None where there are too few values to say."""
    if not _enough(sample, reference):
        return None
    return Precision(name, (stored_bits(sample.values), stored_bits(reference.values)))


def stored_bits(values: F64) -> int:
    """Bits behind the leading one that single precision `values`, but for a few, are stored with."""
    raw = values.astype(np.float32)
    raw = raw[raw != 0]
    if not len(raw):
        return 0
    mantissa = raw.view(np.uint32) & np.uint32((1 << _MANTISSA_BITS) - 1) | np.uint32(1 << _MANTISSA_BITS)
    lowest = mantissa & (~mantissa + np.uint32(1))
    bits = _MANTISSA_BITS - np.log2(lowest.astype(np.float64)).astype(np.int64)
    return int(np.quantile(bits, 1 - _STRAY, method="higher"))


def spikes_of(name: str, sample: Entries, reference: Entries) -> list[Spike]:
    """Values that many objects of either sample have exactly."""
    if not _enough(sample, reference):
        return []
    found = []
    values = sorted({*_common(sample), *_common(reference)})
    for value in values:
        (mean, _), (other, _) = (
            mean_and_width(Entries((one.values == value).astype(np.float64), one.gen, one.weight))
            for one in (sample, reference)
        )
        gap = mean.difference(other)
        pull = abs(gap.value) / gap.error if gap.error else (np.inf if gap.value else 0.0)
        # several values are looked at, and one that differs is enough (Bonferroni)
        chance = min(1.0, len(values) * float(2 * stats.norm.sf(pull)))
        found.append(Spike(name, value, (mean.value, other.value), chance))
    return found


def _common(entries: Entries) -> Sequence[float]:
    values, numbers = np.unique(entries.values, return_counts=True)
    order = np.argsort(-numbers, kind="stable")[:_MOST_SPIKES]
    return [float(values[one]) for one in order if numbers[one] >= _SHARE * len(entries)]


def _enough(sample: Entries, reference: Entries) -> bool:
    both = (sample, reference)
    return min(map(len, both)) >= _MIN_ENTRIES and min(len(np.unique(one.gen)) for one in both) >= _MIN_GEN


def is_single(name: str, schema: Schema) -> bool:
    """Whether a branch holds numbers in single precision."""
    return name in schema.branches and schema.branch(name).dtype == np.float32
