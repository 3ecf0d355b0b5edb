"""Hard processes become events that do not depend on how a request is split; their weights stay."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pylhe
import pytest

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.core.splitting import event_pileup_seed, event_seed
from flashsim_prod.errors import ConfigError, InputError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.kinds import find_kind, kind_of_file
from flashsim_prod.physics.generator.lhe import shower
from flashsim_prod.physics.generator.lhe.kind import LheKind
from flashsim_prod.physics.generator.lhe.shower import LheSource

WriteLhe = Callable[..., Path]

#: without the underlying event, which takes a second to start
_QUICK = ("PartonLevel:MPI = off",)


def _card(*settings: str) -> ProcessCard:
    energy = Energy(tev=13, pileup="Run2_2018")
    return ProcessCard(name="z", title="z", primary="z", energies=(energy,), settings=settings)


def _events(
    files: list[tuple[str, int]], first: int, number: int, *, size: int = 100, settings: Any = _QUICK
) -> Events:
    source = LheSource(
        _card(*settings),
        files,
        first=first,
        n_events=number,
        pileup="Run2_2018",
        init_seed=5,
        event_seed=partial(event_seed, 7),
        pileup_seed=partial(event_pileup_seed, 7),
    )
    return Events.concatenate(source.chunks(size))


def _assert_equal(one: Events, other: Events) -> None:
    assert one.scalars.keys() == other.scalars.keys()
    assert one.collections.keys() == other.collections.keys()
    for name, column in one.scalars.items():
        np.testing.assert_array_equal(column, other.scalars[name], name)
    for name, collection in one.collections.items():
        np.testing.assert_array_equal(collection.counts, other[name].counts, name)
        for key, column in collection.columns.items():
            np.testing.assert_array_equal(column, other[name][key], f"{name}_{key}")


def test_one_job_three_or_seventeen_give_the_same_events(write_lhe: WriteLhe) -> None:
    files = [(str(write_lhe("a.lhe.gz", 9)), 9), (str(write_lhe("b.lhe", 8)), 8)]
    whole = _events(files, 0, 17)
    assert len(set(whole["GenPart"].counts.tolist())) > 3
    for jobs in (3, 17):
        edges = np.linspace(0, 17, jobs + 1).astype(int)
        parts = [_events(files, int(a), int(b - a), size=2) for a, b in itertools.pairwise(edges)]
        _assert_equal(Events.concatenate(parts), whole)


def test_the_underlying_event_depends_on_no_event_before(write_lhe: WriteLhe) -> None:
    files = [(str(write_lhe("a.lhe", 6)), 6)]
    settings = ("PartonLevel:all = on",)
    last = _events(files, 4, 2, settings=settings)
    _assert_equal(last, _events(files, 0, 6, settings=settings).slice(4, 6))


@pytest.mark.parametrize("how", ["ids", "plain", "none"])
def test_weights_are_those_of_the_file(write_lhe: WriteLhe, how: str) -> None:
    path = write_lhe("z.lhe", 5, how=how)
    events = _events([(str(path), 5)], 0, 5)
    judged: list[Any] = list(pylhe.LHEFile.fromfile(str(path)).events)
    nominal = np.array([one.eventinfo.weight for one in judged])
    assert (nominal < 0).any()
    for name in ("genWeight", "Generator_weight", "LHEWeight_originalXWGTUP"):
        np.testing.assert_array_equal(events.scalars[name], nominal.astype(np.float32))
    # in each branch, in NanoAOD's order
    expected = {
        "LHEScaleWeight": ["1003", "1002", "1001"],
        "LHEPdfWeight": ["2001", "2002"],
        "LHEReweightingWeight": ["1004", "3001", "c_hw_plus"],
    }
    if how == "none":
        assert not events.collections.keys() & expected.keys()
        return
    for name, ids in expected.items():
        assert events[name].counts.tolist() == [len(ids)] * 5
        varied = [[one.weights[key] for key in ids] for one in judged]
        stored = events[name][""].reshape(5, -1) * nominal[:, np.newaxis]
        np.testing.assert_allclose(stored, varied, rtol=1e-6)


def test_the_hard_process_is_told_as_nanoaod_does(write_lhe: WriteLhe) -> None:
    path = write_lhe("z.lhe", 3)
    events = _events([(str(path), 3)], 0, 3)
    part = events["LHEPart"]
    assert part["pdgId"].tolist() == [2, -2, 13, -13] * 3
    assert part["status"].tolist() == [-1, -1, 1, 1] * 3
    is_out = part["status"] == 1
    assert (part["pt"][~is_out] == 0).all()
    assert (part["incomingpz"][is_out] == 0).all()
    momentum = part["pt"] * np.sinh(part["eta"])
    for event in range(3):
        its = slice(4 * event, 4 * event + 4)
        assert momentum[its].sum() == pytest.approx(part["incomingpz"][its].sum(), abs=1e-3)
    assert events.scalars["LHE_Njets"].tolist() == [0, 0, 0]
    assert events.scalars["LHE_Vpt"] == pytest.approx(0, abs=1e-9)
    assert events.scalars["LHE_NpLO"].tolist() == [0, 0, 0]
    assert events.scalars["LHE_NpNLO"].tolist() == [255] * 3
    # the shower keeps the muons
    muons = np.bincount(events["GenPart"].event_index[np.abs(events["GenPart"]["pdgId"]) == 13], minlength=3)
    assert (muons >= 2).all()


def test_an_event_that_is_given_up_is_tried_again_and_the_others_stay(
    write_lhe: WriteLhe, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [(str(write_lhe("a.lhe", 4)), 4)]
    expected = _events(files, 0, 4)
    tried = shower._Shower._tried
    bad = event_seed(7, 2)

    def stubborn(self: Any, events: Any, seeds: Any, init_seed: int) -> Any:
        return None if bad in seeds else tried(self, events, seeds, init_seed)

    monkeypatch.setattr(shower._Shower, "_tried", stubborn)
    found = _events(files, 0, 4)
    for kept in (slice(0, 2), slice(3, 4)):
        _assert_equal(found.slice(kept.start, kept.stop), expected.slice(kept.start, kept.stop))
    assert found.scalars["genWeight"].tolist() == expected.scalars["genWeight"].tolist()
    monkeypatch.setattr(shower._Shower, "_tried", lambda *_: None)
    with pytest.raises(InputError, match=r"a\.lhe: event 0: Pythia8 cannot shower it"):
        _events(files, 0, 4)


def test_momentum_that_is_not_there_is_told(write_lhe: WriteLhe) -> None:
    path = write_lhe(
        "z.lhe", 1, how="none", change=lambda text: text.replace("-13 1 3 3 0 0 ", "-13 1 3 3 0 0 900 ")
    )
    with pytest.raises(InputError, match="event 0: Pythia8 cannot shower it"):
        _events([(str(path), 1)], 0, 1)


def _source(path: Path) -> Any:
    kind = kind_of_file(str(path))
    return kind.of([InputFile(url=str(path), entries=kind.entries(str(path)))])


def test_the_kind_tells_what_the_files_are(write_lhe: WriteLhe) -> None:
    path = write_lhe("unweighted_events.lhe.gz", 4)
    assert isinstance(kind_of_file(str(path)), LheKind)
    source = _source(path)
    assert (source.kind, source.available, source.runs_generator) == ("lhe", 4, True)
    facts = find_kind("lhe").facts(source)
    assert (facts.energy_tev, facts.cross_section_pb) == (13.0, 2000.0)
    assert facts.fallback == "unweighted-events_13TeV_FlashSim-pythia8"
    branches = {one.name: one for one in source.more_branches()}
    assert "id 2002" in branches["LHEPdfWeight"].title
    assert dict(source.contents())["carried"].endswith(
        "3 LHEScaleWeight, 2 LHEPdfWeight, 3 LHEReweightingWeight"
    )


def test_a_file_without_events_is_refused(write_lhe: WriteLhe) -> None:
    with pytest.raises(InputError, match="holds no events"):
        find_kind("lhe").entries(str(write_lhe("z.lhe", 0)))


def test_hard_processes_of_a_card_are_left_out(write_lhe: WriteLhe) -> None:
    source, kind = _source(write_lhe("z.lhe", 1)), find_kind("lhe")
    card = kind.showered(_card("Top:gg2ttbar = on", "23:mMin = 50", *_QUICK), None)
    assert card.settings == ("23:mMin = 50", *_QUICK)
    kind.check(source, card)
    other = kind.showered(_card("Top:gg2ttbar = on"), _card("TimeShower:pTmaxMatch = 1"))
    assert other.settings == ("TimeShower:pTmaxMatch = 1",)


@pytest.mark.parametrize("setting", ["Beams:LHEF = x.lhe", "Random:seed = 3", "Merging:nJetMax = 2"])
def test_what_would_change_which_events_there_are_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting):
        find_kind("lhe").showered(_card(setting), None)


def test_settings_that_make_hard_processes_beside_are_refused(write_lhe: WriteLhe) -> None:
    source = _source(write_lhe("z.lhe", 1))
    with pytest.raises(ConfigError, match="hard processes beside those of the LHE files"):
        find_kind("lhe").check(source, _card("Top:gg2ttbar = on", *_QUICK))
    with pytest.raises(ConfigError, match="Pythia8 does not take"):
        find_kind("lhe").check(source, _card("NoSuch:setting = on"))
