"""Electrons and photons of the reference detector, from single particles shot into otherwise empty events."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.egamma import energy_shifts, in_barrel, smeared, supercluster_eta
from flashsim_prod.physics.detector.electrons import conversion_probability, electron_efficiency
from flashsim_prod.physics.detector.photons import photon_efficiency
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")

PROMPT, LAST_COPY = 1 << 0, 1 << 13
N = 20_000


def _shot(
    pdg_id: int, *, prompt: bool = True, low: float = 3.0, high: float = 120.0, seed: int = 1
) -> Events:
    """One stable particle in each event, of flat log pt, with a generator jet around it."""
    rng = np.random.default_rng(seed)
    one = np.ones(N, np.int64)
    direction = {
        "pt": np.exp(rng.uniform(np.log(low), np.log(high), N)).astype(np.float32),
        "eta": rng.uniform(-2.8, 2.8, N).astype(np.float32),
        "phi": rng.uniform(-np.pi, np.pi, N).astype(np.float32),
        "mass": np.zeros(N, np.float32),
    }
    particle = {
        "pdgId": np.full(N, pdg_id, np.int32),
        "status": np.ones(N, np.int32),
        "statusFlags": np.full(N, LAST_COPY | (PROMPT if prompt else 0), np.int32),
        "genPartIdxMother": np.full(N, -1, np.int32),
    }
    no_flavour = {"partonFlavour": np.zeros(N, np.int32), "hadronFlavour": np.zeros(N, np.uint8)}
    scalars = {
        "GenMET_pt": np.full(N, 20.0, np.float32),
        "GenMET_phi": np.zeros(N, np.float32),
        "Pileup_nTrueInt": np.full(N, 30.0, np.float32),
        "Pileup_nPU": rng.poisson(30.0, N).astype(np.int32),
    }
    jets = direction | no_flavour | {"mass": np.ones(N, np.float32)}
    collections = {
        "GenPart": Collection(one, direction | particle),
        "GenJet": Collection(one, jets).select(direction["pt"] > 10),
    }
    return Events(N, scalars, collections)


@pytest.fixture(scope="module")
def electrons() -> Events:
    return ReferenceDetector().simulate(_shot(-11), seed=2)


@pytest.fixture(scope="module")
def photons() -> Events:
    return ReferenceDetector().simulate(_shot(22, low=5.0), seed=3)


def _found(events: Events, name: str) -> np.ndarray:
    """Whether an object of `name` came of each event's particle."""
    found = np.zeros(events.n, bool)
    objects = events[name]
    found[objects.event_index[objects["genPartIdx"] == 0]] = True
    return found


def _of_particle(events: Events, name: str) -> Collection:
    return events[name].select(events[name]["genPartIdx"] == 0)


@pytest.mark.parametrize(
    ("low", "high", "eta"), [(5, 6, 0.7), (8, 12, 0.7), (30, 60, 0.7), (30, 60, 2.0), (30, 60, 2.7)]
)
def test_electrons_are_found_as_often_as_the_efficiency_says(
    electrons: Events, low: float, high: float, eta: float
) -> None:
    gen = electrons["GenPart"]
    pt, gen_eta = gen["pt"].astype(float), gen["eta"].astype(float)
    chosen = (pt > low) & (pt < high) & (np.abs(np.abs(gen_eta) - eta) < 0.12)
    expected = electron_efficiency(pt, gen_eta, np.ones(N, bool))[chosen]
    found = _found(electrons, "Electron")[chosen]
    error = np.sqrt(max(expected.mean() * (1 - expected.mean()), 1e-4) / chosen.sum())
    # a few migrate over the threshold, or are too badly measured to be matched
    assert abs(found.mean() - expected.mean()) < 4 * error + 0.03


def test_efficiencies_turn_on_and_end() -> None:
    pt = np.array([3.0, 5.2, 20.0, 80.0])
    isolated = np.ones(4, bool)
    central = electron_efficiency(pt, np.zeros(4), isolated)
    assert (np.diff(central) > 0).all()
    assert central[0] < 0.01
    assert central[-1] > 0.95
    assert (electron_efficiency(pt, np.zeros(4), ~isolated)[1:] < central[1:]).all()
    assert (electron_efficiency(pt, np.full(4, 2.6), isolated) == 0).all()
    assert electron_efficiency(pt, np.full(4, 1.5), isolated)[-1] < central[-1] - 0.1
    assert photon_efficiency(pt, np.zeros(4))[1] < 0.01
    assert photon_efficiency(pt, np.zeros(4))[-1] > 0.95
    assert (np.diff(conversion_probability(np.full(3, 40.0), np.array([0.0, 1.0, 2.0]))) > 0).all()


@pytest.mark.parametrize("name", ["Electron", "Photon"])
def test_every_column_of_nanoaod_is_there_with_legal_and_finite_values(electrons: Events, name: str) -> None:
    objects = electrons[name]
    for branch in V9.attributes(name):
        column = objects[branch.attribute]
        assert column.dtype == branch.dtype
        assert np.isfinite(column.astype(float)).all(), branch.name
        if branch.legal is not None:
            assert set(np.unique(column).tolist()) <= set(branch.legal), branch.name
    assert set(objects.columns) == {branch.attribute for branch in V9.attributes(name)}


def test_an_electron_that_radiates_is_wide_and_badly_measured(electrons: Events) -> None:
    found = _of_particle(electrons, "Electron")
    pt, gen_pt = found["pt"], electrons["GenPart"]["pt"][found.event_index]
    hard = pt > 20
    r9, error = found["r9"][hard], (found["energyErr"] / (pt * np.cosh(found["eta"])))[hard]
    miss = np.abs(pt / gen_pt - 1)[hard]
    assert np.corrcoef(r9, np.log(error))[0, 1] < -0.5
    few, many = r9 > 0.94, r9 < 0.75
    assert np.median(miss[many]) > 1.5 * np.median(miss[few])
    # the pull is about one
    assert 0.5 < np.median(np.abs((pt / gen_pt - 1)[hard]) / error) < 1.0
    assert abs(np.median(pt[hard] / gen_pt[hard]) - 1) < 0.02


def test_clusters_are_where_the_vertex_and_the_direction_put_them(electrons: Events) -> None:
    found = _of_particle(electrons, "Electron")
    z = electrons.scalars["PV_z"][found.event_index] + found["dz"]
    cluster_eta = found["eta"] + found["deltaEtaSC"]
    residual = cluster_eta - supercluster_eta(found["eta"], z)
    assert np.quantile(np.abs(residual), 0.95) < 0.01
    assert np.abs(found["deltaEtaSC"]).mean() > 3 * np.abs(residual).mean()
    barrel = in_barrel(cluster_eta)
    assert np.median(found["sieie"][barrel]) < 0.5 * np.median(found["sieie"][~barrel])


def test_the_cuts_of_the_identification_give_its_working_point(electrons: Events) -> None:
    for name, places, bits in (("Electron", 10, 3), ("Photon", 7, 2)):
        objects = electrons[name]
        bitmap = objects["vidNestedWPBitmap"].astype(int)
        levels = [bitmap >> bits * place & (1 << bits) - 1 for place in range(places)]
        assert np.array_equal(np.min(levels, axis=0), objects["cutBased"])
    found = electrons["Electron"]
    assert np.array_equal(found["vidNestedWPBitmapHEEP"] == 4095, found["cutBased_HEEP"])
    for kind in ("Iso", "noIso"):
        tight, loose = found[f"mvaFall17V2{kind}_WP80"], found[f"mvaFall17V2{kind}_WP90"]
        assert np.mean(loose[tight]) > 0.99
        assert np.mean(tight) < np.mean(loose)


def test_isolations_are_ordered_and_follow_the_jet_around(gen: Events) -> None:
    reco = ReferenceDetector().simulate(_beside_jets(gen), seed=4)
    found, jets = reco["Electron"], reco["Jet"]
    for inner, outer in [
        ("pfRelIso03_chg", "pfRelIso03_all"),
        ("miniPFRelIso_chg", "miniPFRelIso_all"),
        ("miniPFRelIso_chg", "pfRelIso03_chg"),
    ]:
        assert (found[inner] <= found[outer] * (1 + 1e-5)).all()
        assert 0.02 < (found[inner] == 0).mean() < 0.98
    soft = found["pt"] <= 35
    for name in ("dr03TkSumPt", "dr03TkSumPtHEEP", "dr03EcalRecHitSumEt", "dr03HcalDepth1TowerSumEt"):
        assert (found[name][soft] == 0).all()
        assert (found[name][~soft] > 0).any()
    jet = links.flat(found["jetIdx"], found, jets)
    inside = jet >= 0
    around = (jets["chHEF"] * jets["pt"])[jet[inside]]
    charged = (found["pfRelIso03_chg"] * found["pt"])[inside]
    assert charged[around > 20].mean() > 4 * charged[around < 5].mean()


def _beside_jets(gen: Events) -> Events:
    """Events with jets, whose muons have become electrons."""
    particles = gen["GenPart"]
    code = particles["pdgId"]
    changed = np.where(np.abs(code) == 13, np.sign(code) * 11, code).astype(np.int32)
    return gen.with_collections({"GenPart": particles.with_columns(pdgId=changed)})


def test_the_supercluster_of_an_electron_makes_a_photon_too(electrons: Events) -> None:
    found, clusters = electrons["Electron"], electrons["Photon"]
    photon = links.flat(found["photonIdx"], found, clusters)
    linked = np.flatnonzero(photon >= 0)
    assert (photon[found["pt"] > 25] >= 0).mean() > 0.9
    assert not (photon[found["pt"] < 8] >= 0).all()
    back = links.flat(clusters["electronIdx"], clusters, found)
    assert np.array_equal(back[photon[linked]], linked)
    assert (back >= 0).sum() == len(linked)
    for name in ("r9", "sieie"):
        assert np.array_equal(found[name][linked], clusters[name][photon[linked]])
    assert clusters["pixelSeed"][photon[linked]].mean() > 0.85
    vetoed = found["convVeto"][linked] & (found["lostHits"][linked] == 0)
    assert np.array_equal(clusters["electronVeto"][photon[linked]], ~vetoed)
    assert clusters["electronVeto"][back < 0].all()


def test_some_photons_convert_and_are_electrons_of_flavour_22(photons: Events, electrons: Events) -> None:
    converted = _of_particle(photons, "Electron")
    assert (converted["genPartFlav"] == 22).all()
    share = _found(photons, "Electron").mean()
    assert 0.03 < share < 0.2
    genuine = _of_particle(electrons, "Electron")
    assert (genuine["genPartFlav"] == 1).all()
    assert converted["lostHits"].mean() > 3 * genuine["lostHits"].mean()
    assert converted["convVeto"].mean() < genuine["convVeto"].mean() - 0.15
    assert (_of_particle(photons, "Photon")["genPartFlav"] == 1).all()
    assert (_of_particle(electrons, "Photon")["genPartFlav"] == 11).all()


def test_fakes_are_told_from_electrons_and_photons(gen: Events, electrons: Events, photons: Events) -> None:
    reco = ReferenceDetector().simulate(gen, seed=5)
    for name, genuine, score in (("Electron", electrons, "mvaFall17V2noIso"), ("Photon", photons, "mvaID")):
        fakes = reco[name].select(reco[name]["genPartIdx"] < 0)
        real = _of_particle(genuine, name)
        assert fakes.n_objects > 200
        assert np.median(fakes[score]) < 0.3 < np.median(real[score])
        assert (fakes["cutBased"] >= 2).mean() < 0.25 < (real["cutBased"] >= 2).mean()


def test_energy_shifts_follow_from_the_calibration(electrons: Events) -> None:
    found = electrons["Electron"]
    energy = found["pt"] * np.cosh(found["eta"])
    assert (found["dEscaleUp"] == 0).all()
    assert np.array_equal(found["dEscaleUp"], -found["dEscaleDown"])
    moved = smeared(found["eCorr"], found["pt"])
    expected = energy_shifts(energy, found["eta"] + found["deltaEtaSC"], found["r9"], moved)
    for name, shift in expected.items():
        np.testing.assert_allclose(found[name], shift, rtol=1e-3, atol=1e-5)
    assert np.corrcoef(moved - 1, found["dEsigmaUp"] / energy)[0, 1] < -0.85
