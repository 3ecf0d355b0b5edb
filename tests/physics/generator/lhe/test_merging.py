"""Events of files made for merging: which are left depends on the event alone; nothing merges unseen."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.report import Accepted
from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.core.sources.lhe import merging_of
from flashsim_prod.core.splitting import event_pileup_seed, event_seed
from flashsim_prod.errors import ConfigError, InputError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.kinds import find_kind
from flashsim_prod.physics.generator.lhe.merging import shower as merged
from flashsim_prod.physics.generator.lhe.merging.settings import MadeFor, made_for, settings_for
from flashsim_prod.physics.generator.lhe.shower import LheSource
from tests.lhe_files import mlm_head

WriteLhe = Callable[..., Path]

SAMPLES = os.environ.get("FLASHSIM_PROD_LHE_SAMPLES")
_QUICK = ("PartonLevel:MPI = off",)
_MLM = MadeFor("MLM", 10.0, 4, 1)


def _card(*settings: str, tev: float = 13) -> ProcessCard:
    energy = Energy(tev=tev, pileup="Run2_2018")
    return ProcessCard(name="z", title="z", primary="z", energies=(energy,), settings=settings)


def _source_of(files: list[Path]) -> Any:
    kind = find_kind("lhe")
    return kind.of([InputFile(url=str(one), entries=kind.entries(str(one))) for one in files])


def _opened(card: ProcessCard, files: list[tuple[str, int]], first: int, number: int) -> LheSource:
    return LheSource(
        card,
        files,
        first=first,
        n_events=number,
        pileup="Run2_2018",
        init_seed=5,
        event_seed=partial(event_seed, 7),
        pileup_seed=partial(event_pileup_seed, 7),
    )


def _merged(card: ProcessCard, files: list[tuple[str, int]], first: int, number: int) -> Any:
    source = _opened(card, files, first, number)
    return list(source.chunks(3)), source.accepted


def _numbers(parts: list[Events]) -> list[int]:
    return [number for part in parts for number in part.scalars["FlashSim_genEvent"].tolist()]


def _values(parts: list[Events]) -> dict[str, list[float]]:
    whole = Events.concatenate(parts)
    columns = {
        f"{name}_{key}": one for name, its in whole.collections.items() for key, one in its.columns.items()
    }
    return {name: one.tolist() for name, one in {**whole.scalars, **columns}.items()}


@pytest.mark.slow
def test_one_job_three_or_seventeen_leave_the_same_events(write_lhe: WriteLhe) -> None:
    paths = [write_lhe("a.lhe.gz", 9, head=mlm_head()), write_lhe("b.lhe", 8, head=mlm_head())]
    source = _source_of(paths)
    card = find_kind("lhe").showered(_card(*_QUICK), None, source)
    files = [(one.url, one.entries) for one in source.files]
    whole, all_accepted = _merged(card, files, 0, 17)
    assert 2 < all_accepted.accepted < 15
    assert _numbers(whole) == sorted(set(_numbers(whole)))
    assert len(_numbers(whole)) == all_accepted.accepted
    for jobs in (3, 17):
        edges = np.linspace(0, 17, jobs + 1).astype(int)
        found = [_merged(card, files, int(a), int(b - a)) for a, b in itertools.pairwise(edges)]
        assert _values([part for parts, _ in found for part in parts]) == _values(whole)
        total = sum((accepted for _, accepted in found), Accepted())
        assert (total.tried, total.accepted) == (17, all_accepted.accepted)
        assert total.sumw_accepted == pytest.approx(all_accepted.sumw_accepted)


def test_what_is_left_is_told_with_its_weights(write_lhe: WriteLhe) -> None:
    path = write_lhe("a.lhe", 17, head=mlm_head())
    source = _source_of([path])
    card = find_kind("lhe").showered(_card(*_QUICK), None, source)
    parts, accepted = _merged(card, [(str(path), 17)], 0, 17)
    # the file's weights, one in three of them negative
    weight = np.array([(-1.0 if number % 3 == 2 else 1.0) * (1900 + 10 * number) for number in range(17)])
    left = weight[_numbers(parts)]
    assert Events.concatenate(parts).scalars["genWeight"].tolist() == left.tolist()
    assert accepted.sumw_tried == pytest.approx(weight.sum())
    assert accepted.sumw_accepted == pytest.approx(left.sum())
    assert accepted.share == pytest.approx(left.sum() / weight.sum())
    assert accepted.share_error > 0


def test_the_error_of_a_share_is_a_binomials() -> None:
    found = Accepted(
        tried=100, accepted=30, sumw_tried=200, sumw_accepted=60, sumw2_tried=400, sumw2_accepted=120
    )
    assert found.share == pytest.approx(0.3)
    assert found.share_error == pytest.approx((0.3 * 0.7 / 100) ** 0.5)
    assert Accepted().share is None


def test_a_job_of_which_nothing_is_left_still_has_all_branches(write_lhe: WriteLhe) -> None:
    path = write_lhe("a.lhe", 3)
    # any jet at all is one too many
    settings = ("JetMatching:merge = on", "JetMatching:setMad = off", "JetMatching:qCut = 0.01")
    card = _card(*_QUICK, *settings, "JetMatching:nJetMax = 1")
    source = _opened(card, [(str(path), 3)], 0, 3)
    assert list(source.chunks(2)) == []
    assert (source.accepted.tried, source.accepted.accepted) == (3, 0)
    specimen = source.specimen()
    assert specimen.n == 1
    assert specimen["LHEPdfWeight"].counts.tolist() == [2]
    assert specimen.scalars["FlashSim_genEvent"].tolist() == [0]


def test_an_event_that_is_given_up_is_no_vetoed_one(
    write_lhe: WriteLhe, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lhe("a.lhe", 6, head=mlm_head())
    card = find_kind("lhe").showered(_card(*_QUICK), None, _source_of([path]))
    expected, _ = _merged(card, [(str(path), 6)], 0, 6)
    tried, bad = merged.MergingShower._tried, event_seed(7, 2)

    def stubborn(self: Any, batch: Any, seeds: Any, init_seed: int) -> Any:
        return None if bad in seeds else tried(self, batch, seeds, init_seed)

    monkeypatch.setattr(merged.MergingShower, "_tried", stubborn)
    found, _ = _merged(card, [(str(path), 6)], 0, 6)
    assert [one for one in _numbers(found) if one != 2] == [one for one in _numbers(expected) if one != 2]
    monkeypatch.setattr(merged.MergingShower, "_tried", lambda *_: None)
    with pytest.raises(InputError, match=r"a\.lhe: event 0: Pythia8 cannot shower it"):
        _merged(card, [(str(path), 6)], 0, 6)


def test_momentum_that_is_not_there_is_no_veto(write_lhe: WriteLhe) -> None:
    change = lambda text: text.replace("-13 1 3 3 0 0 ", "-13 1 3 3 0 0 900 ")  # noqa: E731
    path = write_lhe("z.lhe", 1, how="none", head=mlm_head(), change=change)
    card = find_kind("lhe").showered(_card(*_QUICK), None, _source_of([path]))
    with pytest.raises(InputError, match="event 0: Pythia8 cannot shower it"):
        _merged(card, [(str(path), 1)], 0, 1)


def test_fxfx_goes_by_the_numbers_of_partons_of_each_event(write_lhe: WriteLhe) -> None:
    of_fxfx = [
        *("JetMatching:merge = on", "JetMatching:doFxFx = on", "JetMatching:setMad = off"),
        *("JetMatching:qCut = 20", "JetMatching:qCutME = 10", "JetMatching:nJetMax = 1"),
    ]
    source = _source_of([write_lhe("a.lhe", 8, head="  3 = ickkw\n")])
    kind = find_kind("lhe")
    with pytest.raises(InputError, match="made for FxFx merging"):
        kind.showered(_card(*_QUICK), None, source)
    card = kind.showered(_card(*_QUICK, *of_fxfx), None, source)
    left = []
    for partons in ("0", "1"):
        path = write_lhe(
            f"{partons}.lhe", 8, change=lambda text, n=partons: text.replace('npNLO="-1"', f'npNLO="{n}"')
        )
        left.append(_numbers(_merged(card, [(str(path), 8)], 0, 8)[0]))
    # of a Born event with a jet that is not there, nothing is left
    assert left[0]
    assert left[0] != left[1]


def test_ckkw_l_weights_and_vetoes(write_lhe: WriteLhe) -> None:
    settings = ("Merging:doKTMerging = on", "Merging:ktType = 2", "Merging:nJetMax = 1", "Merging:TMS = 15")
    path = write_lhe("a.lhe", 12, head="  20.0 = ktdurham\n")
    source, kind = _source_of([path]), find_kind("lhe")
    with pytest.raises(InputError, match="made for CKKW-L merging"):
        kind.showered(_card(*_QUICK), None, source)
    card = kind.showered(_card(*_QUICK, *settings, "Merging:Process = pp>mu+mu-"), None, source)
    kind.check(source, card)
    parts, accepted = _merged(card, [(str(path), 12)], 0, 12)
    assert 0 < accepted.accepted < 12
    assert all((part.scalars["genWeight"] != 0).all() for part in parts)


def test_what_a_file_was_made_for_is_in_its_head() -> None:
    assert made_for(mlm_head(2)) == MadeFor("MLM", 10.0, 4, 2)
    assert not made_for(" 0 = ickkw\n -1 = ktdurham\n 10 = xqcut\n")
    assert made_for(" 0 = ickkw\n 30.0 = ktdurham\n").scheme == "CKKW-L"
    assert made_for(" 3 = ickkw\n 10.0 = ptj\n").cut_gev == 10
    # couplings, decays, intermediate states and definitions of definitions
    card = "define q = u d\ndefine j = q g\ngenerate p p > w+ > l+ vl j j QCD=2 @3, t > j j b\n"
    assert made_for(f"<MG5ProcCard>\n{card}</MG5ProcCard>\n 1 = ickkw\n 20 = xqcut").most_jets == 2


def test_settings_are_made_of_the_head_and_what_is_said_goes_before() -> None:
    made = dict(one.split(" = ") for one in settings_for(_MLM, (), "it") if " = " in one)
    assert (made["JetMatching:qCut"], made["JetMatching:nJetMax"]) == ("15", "1")
    assert made["JetMatching:nQmatch"] == "4"
    own = settings_for(_MLM, ("JetMatching:qCut = 22",), "it")
    assert [one for one in own if "qCut" in one] == ["JetMatching:qCut = 22"]
    full = ("JetMatching:merge = on", "JetMatching:qCut = 12", "JetMatching:setMad = off")
    assert settings_for(_MLM, full, "it") == full


@pytest.mark.parametrize(
    ("made", "settings", "told"),
    [
        (MadeFor("MLM"), (), "does not tell xqcut"),
        (MadeFor("MLM", 10.0), (), "does not tell the most jets"),
        (_MLM, ("JetMatching:merge = off",), "without JetMatching:merge jets are counted twice"),
        (
            _MLM,
            ("JetMatching:merge = on", "JetMatching:setMad = off", "JetMatching:qCut = 8"),
            "below the xqcut",
        ),
        (_MLM, ("Merging:doKTMerging = on",), "the settings are of CKKW-L"),
        (MadeFor(), ("JetMatching:merge on", "JetMatching:scheme 2"), "Alpgen"),
        (MadeFor(), ("JetMatching:merge = on", "JetMatching:doVeto = off"), "doVeto"),
        (MadeFor(), ("JetMatching:qCut = 20",), "no merging is switched on"),
        (MadeFor(), ("Merging:doUMEPSTree = on",), "doUMEPSTree"),
        (MadeFor(), ("Merging:doUNLOPSLoop = on",), "doUNLOPSLoop"),
        (MadeFor(), ("Merging:doKTMerging = on", "Merging:doUserMerging = on"), "doUserMerging"),
    ],
)
def test_what_cannot_be_merged_is_refused(made: MadeFor, settings: tuple[str, ...], told: str) -> None:
    with pytest.raises((ConfigError, InputError), match=told):
        settings_for(made, settings, "it")


def test_settings_are_read_as_pythia_reads_them() -> None:
    assert merging_of(("jetmatching:MERGE=On",)) == "MLM"
    assert merging_of(("JetMatching:merge yes", "JetMatching:doFxFx = true")) == "FxFx"
    assert merging_of(("JetMatching:merge = on", "JetMatching:merge = off")) == ""
    assert merging_of(("Merging:doPTLundMerging = on",)) == "CKKW-L"


def test_files_of_other_merging_are_not_mixed(write_lhe: WriteLhe) -> None:
    paths = [write_lhe("a.lhe", 1, head=mlm_head()), write_lhe("b.lhe", 1, head=mlm_head(2))]
    with pytest.raises(InputError, match="is not of the merging of"):
        _source_of(paths)


def test_merging_prints_nothing(write_lhe: WriteLhe, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_lhe("a.lhe", 2, head=mlm_head())
    card = find_kind("lhe").showered(_card(*_QUICK), None, _source_of([path]))
    _merged(card, [(str(path), 2)], 0, 2)
    assert capfd.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLES, reason="FLASHSIM_PROD_LHE_SAMPLES names no folder of LHE files")
def test_as_many_are_left_of_a_real_sample_as_pythia_leaves_alone() -> None:
    import pythia8mc

    url = str(Path(SAMPLES or "") / "madgraph-2.2.1-Z-mlm.lhe.gz")
    source = _source_of([Path(url)])
    card = find_kind("lhe").showered(_card(*_QUICK, tev=7), None, source)
    _, accepted = _merged(card, [(url, source.available)], 0, 1000)
    pythia = pythia8mc.Pythia("", False)
    own = (*card.settings, "Beams:frameType = 4", f"Beams:LHEF = {url}", "Check:abortIfVeto = on")
    for setting in ("Print:quiet = on", *own, "Tune:pp = 14"):
        assert pythia.readString(setting)
    hook = pythia8mc.JetMatchingMadgraph()
    pythia.setUserHooksPtr(hook)
    assert pythia.init()
    alone = sum(pythia.next() for _ in range(1000))
    # two draws of a binomial, four of their standard deviations
    assert abs(accepted.accepted - alone) < 4 * (2 * 1000 * 0.25) ** 0.5
    assert 0.4 < accepted.share < 0.6
