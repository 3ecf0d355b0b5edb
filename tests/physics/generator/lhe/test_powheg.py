"""Emissions harder than POWHEG's are vetoed, and nothing else changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.core.splitting import event_pileup_seed, event_seed
from flashsim_prod.errors import ConfigError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.kinds import find_kind
from flashsim_prod.physics.generator.lhe.merging.powheg import _distance, is_of_powheg, powheg_settings
from flashsim_prod.physics.generator.lhe.shower import LheSource

WriteLhe = Callable[..., Path]

_QUICK = ("PartonLevel:MPI = off", "BeamRemnants:primordialKT = off")
_LIMITS = ("SpaceShower:pTmaxMatch = 2", "TimeShower:pTmaxMatch = 2")
_VETO = (*_LIMITS, "POWHEG:veto = 1", "POWHEG:pTdef = 1", "POWHEG:vetoCount = 100")
_HEAD = "file generated with POWHEG-BOX-V2\n"


def _card(*settings: str) -> ProcessCard:
    energy = Energy(tev=13, pileup="Run2_2018")
    return ProcessCard(name="z", title="z", primary="z", energies=(energy,), settings=(*_QUICK, *settings))


def _events(path: Path, settings: tuple[str, ...], first: int, number: int) -> Events:
    source = LheSource(
        _card(*settings),
        [(str(path), 30)],
        first=first,
        n_events=number,
        pileup="Run2_2018",
        init_seed=5,
        event_seed=partial(event_seed, 7),
        pileup_seed=partial(event_pileup_seed, 7),
    )
    return Events.concatenate(source.chunks(100))


def _with_scale(scale_gev: float) -> Callable[[str], str]:
    """Every event's SCALUP."""
    return lambda text: re.sub(r"(?m)^(5 1 \S+) \S+", rf"\g<1> {scale_gev:.6E}", text)


def _z_pt(events: Events) -> Any:
    part = events["GenPart"]
    last = (part["pdgId"] == 23) & ((part["statusFlags"].astype(int) & (1 << 13)) != 0)
    return part["pt"][last]


def test_no_emission_is_harder_than_powhegs(write_lhe: WriteLhe) -> None:
    path = write_lhe("z.lhe", 30, how="none", change=_with_scale(4.0))
    free, vetoed = (_z_pt(_events(path, settings, 0, 30)) for settings in (_LIMITS, _VETO))
    assert len(vetoed) == len(free) == 30
    # recoils of several soft emissions add up, but there is no hard one
    assert np.max(free) > 30
    assert np.max(vetoed) < 15


def test_a_veto_that_nothing_reaches_changes_nothing(write_lhe: WriteLhe) -> None:
    path = write_lhe("z.lhe", 30, how="none", change=_with_scale(1e5))
    free, vetoed = (_events(path, settings, 0, 10) for settings in (_LIMITS, _VETO))
    np.testing.assert_array_equal(free["GenPart"]["pt"], vetoed["GenPart"]["pt"])


def test_vetoed_events_do_not_depend_on_those_before(write_lhe: WriteLhe) -> None:
    path = write_lhe("z.lhe", 30, how="none", change=_with_scale(6.0))
    whole = _events(path, _VETO, 0, 12)
    parts = Events.concatenate([_events(path, _VETO, 0, 5), _events(path, _VETO, 5, 7)])
    np.testing.assert_array_equal(whole["GenPart"]["pt"], parts["GenPart"]["pt"])


def test_files_of_powheg_are_vetoed_by_themselves(write_lhe: WriteLhe) -> None:
    kind = find_kind("lhe")
    path = write_lhe("z.lhe", 2, head=_HEAD)
    source = kind.of([InputFile(url=str(path), entries=2)])
    card = kind.showered(_card(), None, source)
    assert set(_VETO) <= set(card.settings)
    kind.check(source, card)
    assert "POWHEG:veto" in dict(kind.settled(source, card).contents())["normalisation"]
    assert not source.vetoes(card)
    off = kind.showered(_card("POWHEG:veto = 0"), None, source)
    assert off.settings == (*_QUICK, "POWHEG:veto = 0")
    own = kind.showered(_card("POWHEG:vetoCount = 3"), None, source)
    assert [one for one in own.settings if "vetoCount" in one] == ["POWHEG:vetoCount = 3"]
    with pytest.raises(ConfigError, match="cannot both be"):
        kind.showered(_card("JetMatching:merge = on"), None, source)


class _Parton:
    """A massless one, as Pythia8's event record has it."""

    def __init__(self, *momentum: float) -> None:
        self._momentum = momentum

    def __getattr__(self, name: str) -> Callable[[], float]:
        where = {"px": 0, "py": 1, "pz": 2}
        value = float(np.linalg.norm(self._momentum)) if name == "e" else self._momentum[where[name]]
        return lambda: value


def test_the_distance_of_two_partons_is_powhegs() -> None:
    # at right angles: the mass squared is twice the product of the energies
    assert _distance(_Parton(30, 0, 0), _Parton(0, 10, 0), 0.0) == pytest.approx((2 * 300 * 300) ** 0.5 / 40)
    # whatever frame they are told in
    beta, gamma = 0.6, 1.25
    moved = [_Parton(px, py, gamma * beta * np.hypot(px, py)) for px, py in ((30.0, 0.0), (0.0, 10.0))]
    assert _distance(*moved, beta) == pytest.approx((2 * 300 * 300) ** 0.5 / 40)


def test_who_made_a_file_is_in_its_head() -> None:
    assert is_of_powheg("<!--\nfile generated with POWHEG-BOX-V2\n")
    assert not is_of_powheg('rivetAnalysis "POWHEG_2023_DILEPTONS"')


@pytest.mark.parametrize(
    "settings",
    [
        ("POWHEG:veto = 1", "POWHEG:pThard = 2"),
        ("POWHEG:pTdef = 2",),
        ("POWHEG:emitted = 3",),
        ("POWHEG:MPIveto 1",),
    ],
)
def test_ways_to_veto_that_are_not_there_are_refused(settings: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="that way to veto is not there"):
        powheg_settings(settings, is_powheg=True)


def test_settings_of_a_veto_that_is_off_are_refused() -> None:
    with pytest.raises(ConfigError, match="does nothing"):
        powheg_settings(("POWHEG:pTdef = 1",), is_powheg=False)
    assert powheg_settings(("POWHEG:veto = 0",), is_powheg=False) == ("POWHEG:veto = 0",)
