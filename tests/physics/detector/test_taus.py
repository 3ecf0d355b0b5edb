"""Taus and secondary vertices of the reference detector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.taus import raw_isolation, tau_flags
from flashsim_prod.physics.definitions.vertices import jets_by_kind, nearest_jet
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.detector.taus import tau_efficiency
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")

N_EVENTS = 3000


def _with_taus(gen: Events) -> Events:
    """One hadronic tau with its jet in every event; every other event's prompt muons become electrons."""
    rng = np.random.default_rng(5)
    n = gen.n
    taus = {
        "pt": rng.uniform(12.0, 90.0, n),
        "eta": rng.uniform(-2.6, 2.6, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "mass": np.full(n, 0.8),
        "charge": rng.choice([-1, 1], n),
        "status": rng.choice([0, 1, 2, 10, 11, 15], n),
        "genPartIdxMother": np.full(n, -1),
    }
    jet = {name: taus[name].astype(np.float32) for name in ("pt", "eta", "phi", "mass")}
    jet |= {"partonFlavour": np.zeros(n, np.int32), "hadronFlavour": np.zeros(n, np.uint8)}
    one = np.ones(n, np.int64)
    jets = Collection.join([gen["GenJet"], Collection(one, jet)]).sorted_by("pt")
    parts = gen["GenPart"]
    prompt = (parts["pdgId"] == -13) & (parts["statusFlags"] & 1 > 0) & (parts.event_index % 2 == 0)
    parts = parts.with_columns(pdgId=np.where(prompt, -11, parts["pdgId"]).astype(np.int32))
    return gen.with_collections({"GenJet": jets, "GenPart": parts, "GenVisTau": Collection(one, taus)})


@pytest.fixture(scope="module")
def reco(gen_events: Callable[..., Events]) -> Events:
    return ReferenceDetector().simulate(_with_taus(gen_events(N_EVENTS)), seed=7)


def _kind(taus: Collection, *flavours: int) -> Collection:
    return taus.select(np.isin(taus["genPartFlav"], flavours))


@pytest.mark.parametrize("name", ["Tau", "SV"])
def test_columns_types_and_values_are_those_of_nanoaod(reco: Events, name: str) -> None:
    objects = reco[name]
    assert objects.n_objects > 500
    assert {one.attribute: one.dtype for one in V9.attributes(name)} == {
        column: values.dtype for column, values in objects.columns.items()
    }
    for one in V9.attributes(name):
        values = objects[one.attribute]
        assert np.isfinite(values.astype(np.float64)).all(), one.name
        assert one.legal is None or set(np.unique(values).tolist()) <= set(one.legal), one.name
    falling = (np.diff(objects["pt"]) <= 0)[np.diff(objects.event_index) == 0]
    # vertices stand in no order of what NanoAOD stores
    assert falling.all() if name == "Tau" else 0.4 < falling.mean() < 0.6


def test_other_collections_do_not_notice(gen_events: Callable[..., Events]) -> None:
    gen = _with_taus(gen_events(50))
    without = Events(
        gen.n, gen.scalars, {name: one for name, one in gen.collections.items() if name != "GenVisTau"}
    )
    with_taus, bare = (ReferenceDetector().simulate(one, seed=3) for one in (gen, without))
    assert "Tau" not in bare
    for name in ("Jet", "Muon"):
        for column, values in bare[name].columns.items():
            assert np.array_equal(values, with_taus[name][column])
    assert all(np.array_equal(bare.scalars[name], with_taus.scalars[name]) for name in bare.scalars)


def test_all_kinds_of_taus_are_there_in_their_numbers(reco: Events) -> None:
    share = np.bincount(reco["Tau"]["genPartFlav"], minlength=6) / N_EVENTS
    assert share[[1, 2, 5]].min() > 0.1
    jets = reco["Jet"]
    central = ((jets["pt"] > 20) & (np.abs(jets["eta"]) < 2.4)).sum() / N_EVENTS
    # a few per cent of all jets
    assert 0.005 < share[0] / central < 0.10


def test_efficiency_turns_on(reco: Events) -> None:
    gen, taus = reco["GenVisTau"], _kind(reco["Tau"], 5)
    found = np.zeros(gen.n_objects, bool)
    found[links.flat(taus["genPartIdx"], taus, gen)] = True
    # two taus never have one truth
    assert found.sum() == taus.n_objects
    central = np.abs(gen["eta"]) < 2.3
    efficiency = [
        found[central & (gen["pt"] > low) & (gen["pt"] < high)].mean()
        for low, high in ((12, 15), (18, 22), (35, 90))
    ]
    assert efficiency[0] < 0.1 < efficiency[1] < 0.85 < efficiency[2]
    assert not found[np.abs(gen["eta"]) > 2.58].any()


def test_efficiency_never_falls_with_pt_and_ends_with_the_tracker() -> None:
    pt = np.linspace(10, 200, 50)
    assert (np.diff(tau_efficiency(pt, np.zeros(50))) >= 0).all()
    assert tau_efficiency(np.array([50.0]), np.array([2.6])) == 0


def test_links_of_taus_and_jets(reco: Events) -> None:
    taus, jets = reco["Tau"], reco["Jet"]
    jet = links.flat(taus["jetIdx"], taus, jets)
    assert (jet >= 0).all()
    assert len(np.unique(jet)) == len(jet)
    # generator jets overlap here, so that a tau now and then has the jet beside its own
    assert np.quantile(links.delta_r(taus, jets, np.arange(len(jet)), jet), 0.99) < 0.2
    assert (taus["cleanmask"] == 1).all()


def test_identification_and_isolation_follow_from_the_attributes(reco: Events) -> None:
    taus = reco["Tau"]
    for name, column in tau_flags(taus.columns).items():
        assert np.array_equal(column, taus[name]), name
    parts = [taus[one].astype(float) for one in ("chargedIso", "neutralIso", "puCorr")]
    np.testing.assert_allclose(raw_isolation(*parts), taus["rawIso"], rtol=1e-5, atol=1e-5)
    assert (taus["rawIsodR03"] <= taus["rawIso"] * (1 + 1e-6)).all()


def test_scores_know_what_the_candidate_is(reco: Events) -> None:
    taus = reco["Tau"]
    genuine, electron, muon, jet = (_kind(taus, *flavours) for flavours in ((5,), (1,), (2, 4), (0,)))
    medians = {
        against: [
            float(np.median(one[f"rawDeepTau2017v2p1VS{against}"])) for one in (genuine, electron, muon, jet)
        ]
        for against in ("jet", "e", "mu")
    }
    assert medians["jet"][3] < 0.5 < 0.9 < medians["jet"][0]
    assert medians["e"][1] < 0.05 < 0.9 < medians["e"][0]
    assert medians["mu"][2] < 0.01 < 0.4 < medians["mu"][1] < 0.95 < medians["mu"][0]
    assert (muon["idAntiMu"] == 0).mean() > 0.9 > 0.05 > (genuine["idAntiMu"] == 0).mean()


def test_isolation_pulls_the_score_down(reco: Events) -> None:
    taus = _kind(reco["Tau"], 5)
    score = taus["rawDeepTau2017v2p1VSjet"]
    assert score[taus["rawIso"] > 4].mean() < score[taus["rawIso"] == 0].mean() - 0.05


def test_decay_modes_follow_the_generator_and_the_mass_the_mode(reco: Events) -> None:
    taus, gen = _kind(reco["Tau"], 5), reco["GenVisTau"]
    mode = gen["status"][links.flat(taus["genPartIdx"], taus, gen)]
    for status, least in ((0, 0.75), (1, 0.7), (10, 0.5)):
        assert (taus["decayMode"][mode == status] == status).mean() > least
    single = taus["decayMode"] == 0
    assert taus["mass"][single] == pytest.approx(0.13957)
    assert (taus["mass"][~single] > 0.27).all()
    assert np.array_equal(reco["Tau"]["idDecayModeOldDMs"], np.isin(reco["Tau"]["decayMode"], (0, 1, 2, 10)))


def test_what_is_no_track_of_a_single_track_is_photons(reco: Events) -> None:
    taus = reco["Tau"].select(reco["Tau"]["decayMode"] == 0)
    beside = (1 - taus["leadTkPtOverTauPt"].astype(float)) * taus["pt"]
    radiated = taus["photonsOutsideSignalCone"] > 0
    assert 0.05 < radiated.mean() < 0.6
    np.testing.assert_allclose(taus["photonsOutsideSignalCone"][radiated], beside[radiated], rtol=1e-3)
    assert (taus["leadTkPtOverTauPt"][~radiated] > 0.9995).all()
    assert np.abs(taus["leadTkDeltaEta"][~radiated]).max() < 1e-3


def test_charges_of_genuine_taus_are_right(reco: Events) -> None:
    taus, gen = _kind(reco["Tau"], 5), reco["GenVisTau"]
    right = gen["charge"][links.flat(taus["genPartIdx"], taus, gen)] == taus["charge"]
    assert 0.9 < right.mean() < 0.995


def test_vertices_lie_where_their_flight_says(reco: Events) -> None:
    vertices = reco["SV"]
    x, y, z = (
        vertices[axis] - reco.scalars[f"PV_{axis}"].astype(float)[vertices.event_index] for axis in "xyz"
    )
    np.testing.assert_allclose(np.sqrt(x**2 + y**2 + z**2), vertices["dlen"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(np.hypot(x, y), vertices["dxy"], rtol=1e-3, atol=1e-5)
    eta, phi = vertices["eta"].astype(float), vertices["phi"].astype(float)
    along = (x * np.cos(phi) + y * np.sin(phi) + z * np.sinh(eta)) / np.cosh(eta) / vertices["dlen"]
    np.testing.assert_allclose(np.cos(np.pi - vertices["pAngle"]), along, atol=1e-3)
    assert vertices["dlenSig"].min() > 3
    assert vertices["pt"].min() >= 1.6


def test_charge_and_degrees_of_freedom_go_with_the_tracks(reco: Events) -> None:
    vertices = reco["SV"]
    tracks, charge = vertices["ntracks"].astype(int), vertices["charge"]
    assert tracks.min() == 2 < tracks.max()
    assert (np.abs(charge) <= tracks).all()
    assert ((tracks + charge) % 2 == 0).all()
    assert (vertices["ndof"] < 2 * tracks - 3).all()


def test_heavy_flavour_gives_more_and_heavier_vertices(reco: Events) -> None:
    jets, vertices = jets_by_kind(reco), reco["SV"]
    jet = nearest_jet(vertices, jets)
    inside = (jet >= 0) & (links.delta_r(vertices, jets, np.arange(len(jet)), np.maximum(jet, 0)) < 0.3)
    number = np.bincount(jet[inside], minlength=jets.n_objects)
    central = (np.abs(jets["eta"]) < 2.2) & (jets["pt"] > 30)
    rate = [number[central & (jets["hadronFlavour"] == flavour)].mean() for flavour in (0, 4, 5)]
    assert 0.02 < rate[0] < 0.2 < rate[1] < rate[2] < 1.0
    mass = {flavour: vertices["mass"][inside & (jets["hadronFlavour"][jet] == flavour)] for flavour in (0, 5)}
    assert np.median(mass[5]) > 2 * np.median(mass[0])
    # tagged jets have more
    tagged = jets["btagDeepFlavB"] > 0.5
    bottom = central & (jets["hadronFlavour"] == 5)
    assert number[bottom & tagged].mean() > 1.2 * number[bottom & ~tagged].mean()


def test_events_without_taus_or_jets(gen_events: Callable[..., Events]) -> None:
    gen = _with_taus(gen_events(3))
    nothing = {
        name: Collection(
            np.zeros(3, np.int64), {column: values[:0] for column, values in one.columns.items()}
        )
        for name, one in gen.collections.items()
    }
    quiet = {"Pileup_nPU": np.zeros(3, np.int32), "Pileup_nTrueInt": np.zeros(3, np.float32)}
    made = ReferenceDetector().simulate(gen.with_collections(nothing).with_scalars(quiet), seed=1)
    assert made["Tau"].n_objects == 0
    assert made["SV"].n_events == 3
