"""What distributions do not show: order, stored precision, exact values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.precision import rounded
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.validation.dataset.exactness import order_of, precision_of, spikes_of, stored_bits
from flashsim_prod.physics.validation.dataset.samples import Sample, is_generator_level
from flashsim_prod.physics.validation.statistics.clustered import Entries

N = 600
RNG = np.random.default_rng(3)


def _entries(values: np.ndarray) -> Entries:
    return Entries(values.astype(np.float64), np.arange(len(values)), np.ones(len(values)))


def _sample(pt: list[list[float]]) -> Sample:
    counts = np.array([len(one) for one in pt])
    events = Events(len(pt), {}, {"SV": Collection(counts, {"pt": np.concatenate(pt).astype(np.float32)})})
    return Sample("", (), events, np.arange(len(pt)), np.ones(len(pt)), Schema.load("v9"))


@given(st.integers(1, 23))
def test_stored_bits_are_those_that_were_kept(bits: int) -> None:
    values = np.random.default_rng(bits).normal(size=500).astype(np.float32)
    kept = rounded(values, bits) if bits < 23 else values
    assert stored_bits(kept.astype(np.float64)) == bits
    # some defaults in full precision do not count, nor do zeros
    few = np.concatenate((kept, np.zeros(300, np.float32), np.float32([-99.9])))
    assert stored_bits(few.astype(np.float64)) == bits


def test_constants_have_the_bits_that_they_need() -> None:
    assert stored_bits(np.zeros(10)) == 0
    assert stored_bits(np.array([1.0, 2.0, 4.0])) == 0
    assert stored_bits(np.array([1.5, -3.0])) == 1


def test_another_precision_is_amber() -> None:
    values = RNG.normal(size=N).astype(np.float32)
    found = precision_of("Muon_eta", _entries(rounded(values, 16)), _entries(rounded(values, 12)))
    assert (found.bits, found.light) == ((16, 12), "amber")
    assert precision_of("Muon_eta", _entries(values), _entries(values[::-1])).light == "green"
    assert precision_of("Muon_eta", _entries(values), _entries(values[:50])) is None


def test_a_spike_that_one_sample_lacks_is_red() -> None:
    values = RNG.normal(size=N)
    spiked = np.where(np.arange(N) % 5 == 0, -10.0, RNG.normal(size=N))
    (found,) = spikes_of("FatJet_deepTagMD_ZHbbvsQCD", _entries(values), _entries(spiked))
    assert (found.value, found.light) == (-10.0, "red")
    assert found.share == pytest.approx((0.0, 0.2))
    (same,) = spikes_of("FatJet_deepTagMD_ZHbbvsQCD", _entries(np.roll(spiked, 1)), _entries(spiked))
    assert same.light == "green"
    assert spikes_of("Jet_pt", _entries(values), _entries(values)) == []


def test_folds_of_a_generator_event_make_no_spike_significant() -> None:
    gens = np.repeat(np.arange(60), 10)
    values = RNG.normal(size=600)
    # two generator events of all have it in all their folds
    spiked = np.where(gens < 2, 7.0, RNG.normal(size=600))
    first, second = (Entries(one, gens, np.ones(600)) for one in (values, spiked))
    assert [one.light for one in spikes_of("x", first, second)] == ["green"]


def test_objects_in_another_order_are_seen() -> None:
    events = [sorted(RNG.exponential(20, size=4).tolist(), reverse=True) for _ in range(N)]
    shuffled = [RNG.permutation(one).tolist() for one in events]
    (found,) = order_of("SV", _sample(events), _sample(shuffled))
    assert found.light == "red"
    assert min(found.rates.sample) == 1.0
    assert np.mean(found.rates.reference) < 0.6
    (same,) = order_of("SV", _sample(shuffled), _sample([RNG.permutation(one).tolist() for one in events]))
    assert same.light == "green"


def test_what_is_carried_from_the_generator_is_no_reconstruction() -> None:
    assert all(
        map(is_generator_level, ("genTtbarId", "LHE_HT", "HTXS_stage_0", "MET_fiducialGenPt", "nGenJet"))
    )
    assert not any(map(is_generator_level, ("MET_pt", "Jet_pt", "nJet", "PV_npvs")))
