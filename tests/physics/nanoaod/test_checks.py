"""Every kind of damage to a produced file is found and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from flashsim_prod.core.report import LumiRange
from flashsim_prod.errors import EventsError
from flashsim_prod.physics.definitions.egamma import by_uncalibrated_pt
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.nanoaod import checks
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.runs import WEIGHT_SUMS, sums_of_weights
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")

Make = Callable[..., Events]
Change = Callable[[Events], Events]


def write(path: Path, events: Events) -> Path:
    with NanoWriter(path, schema=V9, provenance={}) as writer:
        writer.write(events)
    return path


@pytest.fixture
def events(make_events: Make) -> Events:
    """180 events: 60 gen events with 3 folds, in 3 lumis (49 and 100 begin new ones)."""
    multiplicity = {"Jet": 3, "GenJet": 2, "GenPart": 5, "Tau": 0.5, "GenVisTau": 0.3, "Muon": 1}
    return make_events(60, oversample=3, first=150, multiplicity=multiplicity)


def test_a_good_file_is_summed_up(
    events: Events, every_branch_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_STEP", 50)
    lumis = (LumiRange(run=1, first=2, last=3),)
    path = write(tmp_path / "good.root", events)
    summary = check_file(path, events=180, event_numbers=range(451, 631), lumis=lumis, schema=V9)
    assert summary.events == 180
    assert (summary.first_event, summary.last_event) == (451, 630)
    assert summary.lumis == lumis
    assert summary.sum_of_weights == events.scalars["genWeight"].sum(dtype=float)
    assert (summary.gen_events, summary.first_gen_event, summary.last_gen_event) == (60, 150, 209)
    assert check_file(every_branch_file, schema=V9).events == 90
    assert check_file(write(tmp_path / "linked.root", link_muons(events)), schema=V9).events == 180


def test_lumis_with_holes(events: Events, tmp_path: Path) -> None:
    lumi = np.repeat(np.uint32([7, 8, 10, 12]), 45)
    run = np.repeat(np.uint32([1, 2]), 90)
    path = write(tmp_path / "a.root", events.with_scalars({"luminosityBlock": lumi, "run": run}))
    assert [(one.run, one.first, one.last) for one in check_file(path, schema=V9).lumis] == [
        (1, 7, 8),
        (2, 10, 10),
        (2, 12, 12),
    ]


def test_what_was_asked_for_must_be_there(events: Events, tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", events)
    with pytest.raises(EventsError, match=r"a\.root holds 180 events, expected 181"):
        check_file(path, events=181, schema=V9)
    with pytest.raises(EventsError, match=r"event 1:3:630 \(entry 179\): event lies outside 451..629"):
        check_file(path, event_numbers=range(451, 630), schema=V9)
    with pytest.raises(EventsError, match=r"event 1:2:451 .*luminosityBlock lies outside"):
        check_file(path, lumis=[LumiRange(run=1, first=3, last=9)], schema=V9)


def scalar(name: str, entry: int, value: float) -> Change:
    """One value of a branch with one value per event replaced."""

    def change(events: Events) -> Events:
        column = events.scalars[name].copy()
        column[entry] = value
        return events.with_scalars({name: column})

    return change


def attribute(collection: str, name: str, value: float) -> Change:
    """The last value of an attribute replaced."""

    def change(events: Events) -> Events:
        column = events[collection][name].copy()
        column[-1] = value
        return events.with_collections({collection: events[collection].with_columns(**{name: column})})

    return change


def link_muons(events: Events) -> Events:
    """Muons of the first event with three muons and a jet: two in the jet's list, the third only names it."""
    entry = int(np.flatnonzero((events["Muon"].counts >= 3) & (events["Jet"].counts >= 1))[0])
    muons, jets = events["Muon"], events["Jet"]
    first, jet = muons.starts[entry], jets.starts[entry]
    jet_idx, lists = muons["jetIdx"].copy(), [jets[f"muonIdx{number}"].copy() for number in (1, 2)]
    jet_idx[first : first + 3] = 0
    lists[0][jet], lists[1][jet] = 2, 0
    return events.with_collections(
        {
            "Muon": muons.with_columns(jetIdx=jet_idx),
            "Jet": jets.with_columns(muonIdx1=lists[0], muonIdx2=lists[1]),
        }
    )


def forget_jet(events: Events) -> Events:
    """The same, but the muon that is first in the jet's list does not know it."""
    linked = link_muons(events)
    jet_idx = linked["Muon"]["jetIdx"].copy()
    jet_idx[np.flatnonzero(jet_idx == 0)[2]] = -1
    return linked.with_collections({"Muon": linked["Muon"].with_columns(jetIdx=jet_idx)})


def forget_muon(events: Events) -> Events:
    """The same, but a place of the jet's list is free for a muon that names it."""
    linked = link_muons(events)
    second = np.full_like(linked["Jet"]["muonIdx2"], -1)
    return linked.with_collections({"Jet": linked["Jet"].with_columns(muonIdx2=second)})


def reverse_jets(events: Events) -> Events:
    return events.with_collections({"Jet": events["Jet"].sorted_by("pt", descending=False)})


def drop_fold(events: Events) -> Events:
    return events.take(np.delete(np.arange(events.n), 5))


def drop_first_fold(events: Events) -> Events:
    return events.take(np.delete(np.arange(events.n), 6))


def merge_gen_events(events: Events) -> Events:
    return events.with_scalars({"FlashSim_genEvent": events.scalars["FlashSim_genEvent"] // 2})


def drop_fold_number(events: Events) -> Events:
    scalars = {name: column for name, column in events.scalars.items() if name != "FlashSim_fold"}
    return Events(events.n, scalars, events.collections)


def drop_gen_jets(events: Events) -> Events:
    rest = {name: one for name, one in events.collections.items() if name != "GenJet"}
    return Events(events.n, events.scalars, rest)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (scalar("event", 9, 459), r"event 1:2:459 \(entry 9\): run, luminosityBlock and event occur twice"),
        (drop_fold, r"event 1:2:455 .*FlashSim_oversample differs"),
        (drop_first_fold, r"event 1:2:458 .*FlashSim_fold does not follow"),
        (scalar("FlashSim_oversample", 4, 4), "FlashSim_fold does not follow"),
        (scalar("FlashSim_genEvent", 4, 10**9), r"\(entry 4\): FlashSim_fold does not follow"),
        (merge_gen_events, "FlashSim_genEvent occurs twice"),
        (scalar("MET_pt", 7, np.nan), r"event 1:2:458 \(entry 7\): MET_pt = nan is not finite"),
        (scalar("FlashSim_weight", 7, 0.0), r"\(entry 7\): FlashSim_weight is not above 0"),
        (scalar("genWeight", 7, np.inf), r"\(entry 7\): genWeight = inf is not finite"),
        (attribute("Jet", "mass", np.inf), r"event 1:3:6\d\d .*Jet_mass = inf is not finite"),
        (attribute("Jet", "jetId", 4), r"event 1:3:6\d\d .*Jet_jetId = 4 is no legal value"),
        (attribute("Muon", "genPartFlav", 2), r"Muon_genPartFlav = 2 is no legal value"),
        (attribute("Jet", "genJetIdx", 99), r"event 1:3:6\d\d .*Jet_genJetIdx = 99 points to no GenJet"),
        (attribute("Jet", "genJetIdx", -2), r"Jet_genJetIdx = -2 points to no GenJet"),
        (attribute("Jet", "electronIdx1", 0), r"Jet_electronIdx1 = 0 points to no Electron"),
        (attribute("Tau", "genPartIdx", 50), r"Tau_genPartIdx = 50 points to no GenPart or GenVisTau"),
        (drop_gen_jets, "Jet_genJetIdx = . points to no GenJet"),
        (forget_jet, r"event 1:\d:\d+ .*Jet_muonIdx1 = 2 points to a Muon that does not point back"),
        (forget_muon, r"Muon_jetIdx = 0 points to a Jet that does not point back"),
        (reverse_jets, "Jet is not ordered by Jet_pt"),
        (drop_fold_number, "has no branch 'FlashSim_fold'"),
    ],
)  # fmt: skip
def test_damage_to_events_is_found(
    change: Change, problem: str, events: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_STEP", 50)
    path = write(tmp_path / "bad.root", change(events))
    with pytest.raises(EventsError, match=problem) as caught:
        check_file(path, schema=V9)
    assert str(path) in str(caught.value)
    with pytest.raises(EventsError, match=r"^/store/mc/a\.root"):
        check_file(path, name="/store/mc/a.root", schema=V9)


def test_photons_are_ordered_by_pt_before_or_after_calibration(make_events: Make, tmp_path: Path) -> None:
    made = make_events(60, multiplicity={"Photon": 3, "Electron": 1, "Jet": 2, "GenPart": 5})
    rng = np.random.default_rng(6)
    photons = made["Photon"].with_columns(
        eCorr=rng.normal(1.0, 0.05, made["Photon"].n_objects).astype(np.float32)
    )
    orders = {"before": by_uncalibrated_pt(photons), "after": photons.sorted_by("pt")}
    assert not np.array_equal(orders["before"]["pt"], orders["after"]["pt"])
    for name, ordered in orders.items():
        path = write(tmp_path / f"{name}.root", made.with_collections({"Photon": ordered}))
        assert check_file(path, schema=V9).events == 60
    wrong = made.with_collections({"Photon": photons.sorted_by("pt", descending=False)})
    with pytest.raises(EventsError, match="Photon is not ordered by Photon_pt over Photon_eCorr, nor by"):
        check_file(write(tmp_path / "wrong.root", wrong), schema=V9)


def forge(
    path: Path,
    events: Events,
    *,
    count: int | None = None,
    sumw: float | None = None,
    lumis: tuple[int, ...] = (2, 3),
    pt_type: str = "float32",
    more: dict[str, Column] | None = None,
    weights: tuple[float, ...] | None = None,
) -> Path:
    """A file like `NanoWriter`'s, from scalars and Jet_pt only, with parts that may be wrong."""
    weight = events.scalars["genWeight"].astype(float)
    columns = {**events.scalars, **(more or {})}
    jet_pt = ak.unflatten(events["Jet"]["pt"].astype(pt_type), events["Jet"].counts)
    runs = {
        "run": np.array([1], np.uint32),
        "genEventCount": np.array([events.n if count is None else count]),
        "genEventSumw": np.array([weight.sum() if sumw is None else sumw]),
        "genEventSumw2": np.array([(weight**2).sum()]),
    }
    sums = sums_of_weights(events) if weights is None else weights
    runs |= {name: np.array([value]) for name, value in zip(WEIGHT_SUMS, sums, strict=False)}
    blocks = {"run": np.ones(len(lumis), np.uint32), "luminosityBlock": np.array(lumis, np.uint32)}
    with uproot.recreate(path) as file:
        types = {name: str(column.dtype) for name, column in columns.items()}
        tree = file.mktree("Events", {**types, "Jet": f"var * {{pt: {pt_type}}}"})
        tree.extend({**columns, "Jet": ak.zip({"pt": jet_pt})})
        for name, rows in (("Runs", runs), ("LuminosityBlocks", blocks)):
            file.mktree(name, {key: str(column.dtype) for key, column in rows.items()}).extend(rows)
    return path


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"count": 179}, "179.* as the sum of genEventCount in Runs, the events give 180"),
        ({"sumw": 1e6}, "as the sum of genEventSumw in Runs"),
        ({"sumw": np.nan}, "as the sum of genEventSumw in Runs"),
        ({"weights": ()}, "has no FlashSim_weightSum in Runs"),
        ({"weights": (1.0, 2.0, 3.0)}, "has 1.0 as the sum of FlashSim_weightSum in Runs, the events give"),
        ({"lumis": (2,)}, "LuminosityBlocks that does not list"),
        ({"lumis": (2, 3, 4)}, "LuminosityBlocks that does not list"),
        ({"pt_type": "float64"}, "has Jet_pt as float64, expected float32"),
        ({"more": {"mine": np.zeros(180)}}, "unknown branch 'mine'"),
    ],
)
def test_damage_to_the_rest_is_found(
    changes: dict[str, Any], problem: str, events: Events, tmp_path: Path
) -> None:
    assert check_file(forge(tmp_path / "good.root", events), schema=V9).events == 180
    with pytest.raises(EventsError, match=problem):
        check_file(forge(tmp_path / "bad.root", events, **changes), schema=V9)


def test_an_unreadable_file_is_invalid(events: Events, tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", events)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EventsError, match=r"a\.root is truncated"):
        check_file(path, schema=V9)
    with pytest.raises(EventsError, match=r"none\.root does not exist"):
        check_file(tmp_path / "none.root", schema=V9)


@pytest.mark.parametrize("at", [10, 60, 170])
def test_without_digests_stretches_are_checked_as_with_them(
    events: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(checks, "_STEP", 50)
    good = write(tmp_path / "good.root", events)
    summary = check_file(good, schema=V9, digests=False)
    assert (summary.events, summary.content) == (180, {})
    met = np.zeros(180, np.float32)
    met[at] = np.nan
    bad = write(tmp_path / "bad.root", events.with_scalars({"MET_pt": met}))
    said = []
    for digests in (True, False):
        with pytest.raises(EventsError, match=rf"\(entry {at}\): MET_pt = nan is not finite") as told:
            check_file(bad, schema=V9, digests=digests)
        said.append(str(told.value))
    assert said[0] == said[1]
