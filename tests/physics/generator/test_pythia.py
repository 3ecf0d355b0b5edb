"""The generator: reproducible, independent of chunks, silent, and clear about what it cannot do."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.errors import ConfigError, NodeError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator import pythia
from flashsim_prod.physics.generator.pythia import PythiaSource, check_settings


def _events(card, n, *, seed=3, pileup_seed=4, chunk=1000, name="dyjets"):
    source = PythiaSource(card(name), 13.0, n_events=n, seed=seed, pileup_seed=pileup_seed)
    return list(source.chunks(chunk))


def _same(one: Events, other: Events) -> bool:
    return all(np.array_equal(one.scalars[name], other.scalars[name]) for name in one.scalars) and all(
        np.array_equal(one[name].counts, other[name].counts)
        and all(np.array_equal(one[name][key], other[name][key]) for key in one[name].columns)
        for name in one.collections
    )


@pytest.fixture(scope="module")
def reference(card):
    return Events.concatenate(_events(card, 130))


@pytest.mark.parametrize("chunk", [7, 64, 130])
def test_contents_do_not_depend_on_the_chunk_size(card, reference, chunk):
    chunks = _events(card, 130, chunk=chunk)
    sizes = [one.n for one in chunks]
    assert sizes[:-1] == [chunk] * (len(sizes) - 1)
    assert _same(Events.concatenate(chunks), reference)


def test_contents_do_not_depend_on_how_many_are_generated_at_a_time(card, reference, monkeypatch):
    monkeypatch.setattr(pythia, "_BATCH", 33)
    assert _same(Events.concatenate(_events(card, 130)), reference)


def test_the_first_events_of_a_longer_job_are_those_of_a_shorter_one(card, reference):
    assert _same(Events.concatenate(_events(card, 20)), reference.slice(0, 20))


def test_seeds_decide_events_and_pileup_apart(card, reference):
    start = reference.slice(0, 20)
    other_pileup = Events.concatenate(_events(card, 20, pileup_seed=5))
    assert np.array_equal(other_pileup["GenPart"]["pt"], start["GenPart"]["pt"])
    assert not np.array_equal(other_pileup.scalars["Pileup_nPU"], start.scalars["Pileup_nPU"])
    other_events = Events.concatenate(_events(card, 20, seed=4))
    assert np.array_equal(other_events.scalars["Pileup_nPU"], start.scalars["Pileup_nPU"])
    assert not np.array_equal(other_events["GenPart"].counts, start["GenPart"].counts)


def test_nothing_is_printed(card, capfd):
    _events(card, 2, name="zprime_tt")
    assert capfd.readouterr() == ("", "")


def test_an_energy_that_the_card_lacks(card):
    with pytest.raises(ConfigError, match=r"card ttbar: no energy of 14 TeV; offered: 13, 13.6"):
        PythiaSource(card("ttbar"), 14.0, n_events=1, seed=1, pileup_seed=1)


def test_an_unknown_tune(card):
    other = card("ttbar").model_copy(update={"tune": "CP50"})
    with pytest.raises(ConfigError, match="unknown tune 'CP50'; did you mean 'CP5'"):
        check_settings(other)


@pytest.mark.parametrize("setting", ["Top:gg2ttbra = on", "PhaseSpace:pTHatMin = much"])
def test_a_setting_that_pythia_does_not_know(card, setting):
    odd = card("ttbar").model_copy(update={"settings": (setting,)})
    source = PythiaSource(odd, 13.0, n_events=1, seed=1, pileup_seed=1)
    with pytest.raises(ConfigError, match=f"card ttbar: Pythia8 does not take the setting '{setting}'"):
        next(source.chunks(1))
    with pytest.raises(ConfigError, match=f"card ttbar: Pythia8 does not take the setting '{setting}'"):
        check_settings(odd)


@pytest.mark.parametrize("setting", ["Beams:LHEF = events.lhe", "Beams:frameType = 4", "beams:frametype=5"])
def test_events_of_others_are_no_setting(card, setting):
    odd = card("ttbar").model_copy(update={"settings": (setting,)})
    with pytest.raises(ConfigError, match=r"reads events from elsewhere.*name the file as --input"):
        check_settings(odd)


def test_settings_with_which_pythia_cannot_start(card):
    odd = card("ttbar").model_copy(update={"settings": ("PDF:pSet = 77",)})
    source = PythiaSource(odd, 13.0, n_events=1, seed=1, pileup_seed=1)
    with pytest.raises(ConfigError, match="card ttbar: Pythia8 cannot start"):
        next(source.chunks(1))


class _Barren:
    def nextBatch(self, n):
        return []


class _Broken:
    def nextBatch(self, n):
        raise RuntimeError("failed to generate event 1")


@pytest.mark.parametrize(("stuck", "says"), [(_Barren, "makes no more events"), (_Broken, "event 1")])
def test_a_generator_that_is_stuck_is_left(card, monkeypatch, stuck, says):
    monkeypatch.setattr(PythiaSource, "_start", lambda source: stuck())
    source = PythiaSource(card("ttbar"), 13.0, n_events=1, seed=1, pileup_seed=1)
    with pytest.raises(NodeError, match=says):
        next(source.chunks(1))
