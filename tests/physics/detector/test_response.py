"""The detector's response is the one that is parametrised, and what depends on what does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.detector.jets import jet_efficiency, jet_resolution, jet_response
from flashsim_prod.physics.detector.muon_tracks import momentum_resolution, muon_efficiency
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Collection, Events

MakeEvents = Callable[..., Events]


@pytest.fixture(scope="module")
def reco(gen_events: MakeEvents) -> Events:
    return ReferenceDetector().simulate(gen_events(6000, seed=5), seed=11)


def _with_only_jet(gen: Events, **values: float) -> Events:
    """Every event with one generator jet of these values, and no muon."""
    jet = {"pt": 60.0, "eta": 0.5, "phi": 1.0, "mass": 8.0, "partonFlavour": 1, "hadronFlavour": 0} | values
    columns = {name: np.full(gen.n, jet[name], gen["GenJet"][name].dtype) for name in gen["GenJet"].columns}
    none = np.zeros(gen["GenPart"].n_objects, bool)
    return gen.with_collections(
        {"GenJet": Collection(np.ones(gen.n, np.int64), columns), "GenPart": gen["GenPart"].select(none)}
    )


def _gen_muons(events: Events) -> tuple[Collection, np.ndarray]:
    """Stable generator muons and whether each was found."""
    parts, muons = events["GenPart"], events["Muon"]
    stable = parts["status"] == 1
    linked = links.flat(muons["genPartIdx"], muons, parts)
    return parts.select(stable), np.isin(np.flatnonzero(stable), linked)


@pytest.mark.parametrize(("low", "high"), [(15.0, 25.0), (25.0, 60.0)])
@pytest.mark.parametrize(("inner", "outer"), [(0.0, 1.2), (1.2, 2.35)])
def test_muon_efficiency_is_the_parametrised_one(
    reco: Events, low: float, high: float, inner: float, outer: float
) -> None:
    muons, found = _gen_muons(reco)
    pt, eta = muons["pt"].astype(float), muons["eta"].astype(float)
    chosen = (pt > low) & (pt < high) & (np.abs(eta) > inner) & (np.abs(eta) < outer)
    expected = muon_efficiency(pt[chosen], eta[chosen]).mean()
    uncertainty = np.sqrt(expected * (1 - expected) / chosen.sum())
    # storing asks for some identification, which all but a few in a thousand have
    assert found[chosen].mean() == pytest.approx(expected, abs=3 * uncertainty + 0.008)


def test_muons_outside_the_acceptance_are_lost(reco: Events) -> None:
    muons, found = _gen_muons(reco)
    assert found[np.abs(muons["eta"]) > 2.41].mean() < 0.01
    assert muon_efficiency(np.array([2.0]), np.array([0.3]))[0] < 0.05


@pytest.mark.parametrize(("inner", "outer"), [(0.0, 0.9), (1.5, 2.3)])
def test_muon_resolution_is_the_parametrised_one(reco: Events, inner: float, outer: float) -> None:
    muons, parts = reco["Muon"], reco["GenPart"]
    true = links.flat(muons["genPartIdx"], muons, parts)
    chosen = (true >= 0) & (np.abs(muons["eta"]) > inner) & (np.abs(muons["eta"]) < outer)
    ratio = muons["pt"][chosen] / parts["pt"][true[chosen]]
    expected = momentum_resolution(
        parts["pt"][true[chosen]].astype(float), muons["eta"][chosen].astype(float)
    )
    pull = (ratio - 1) / expected
    assert np.median(pull) == pytest.approx(0, abs=0.05)
    core = np.quantile(pull, [0.16, 0.84])
    assert (core[1] - core[0]) / 2 == pytest.approx(0.95, abs=0.12)
    error = muons["ptErr"][chosen] / muons["pt"][chosen] / expected
    assert np.median(error) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("pt", "eta"), [(40.0, 0.3), (120.0, 0.3), (120.0, 2.0), (60.0, 3.8)])
def test_jet_response_and_resolution_are_the_parametrised_ones(
    gen_events: MakeEvents, pt: float, eta: float
) -> None:
    gen = _with_only_jet(gen_events(4000, pileup=30.0), pt=pt, eta=eta)
    gen = gen.with_scalars({"GenVtx_z": np.zeros(gen.n, np.float32)})
    reco = ReferenceDetector().simulate(gen, seed=2)
    # the primary vertex of so little activity is often another one, and the jet then loses its tracks
    events = reco.take(np.flatnonzero(np.abs(reco.scalars["PV_z"]) < 0.1))
    jets = events["Jet"]
    ratio = jets["pt"][jets["genJetIdx"] == 0] / pt
    array = np.array([pt])
    mean = jet_response(array, np.array([1.0]), np.array([0.0]))[0]
    width = jet_resolution(array, np.array([eta]), np.array([30.0]))[0]
    low, middle, high = np.quantile(ratio, [0.16, 0.5, 0.84])
    assert middle == pytest.approx(mean, abs=0.02)
    assert (high - low) / 2 == pytest.approx(width, rel=0.08)
    assert len(ratio) / events.n == pytest.approx(jet_efficiency(array, np.array([eta]))[0], abs=0.02)


def test_most_jets_from_below_threshold_stay_there(gen_events: MakeEvents) -> None:
    gen = _with_only_jet(gen_events(2000), pt=11.0)
    jets = ReferenceDetector().simulate(gen, seed=2)["Jet"]
    assert 0.02 < (jets["genJetIdx"] == 0).sum() / gen.n < 0.4


def test_pileup_jets_grow_with_pileup_and_stay_off_generator_jets(gen_events: MakeEvents) -> None:
    numbers = []
    for pileup in (10.0, 30.0, 60.0):
        reco = ReferenceDetector().simulate(gen_events(1500, pileup=pileup), seed=2)
        fake = reco["Jet"].select(reco["Jet"]["genJetIdx"] < 0)
        _, distance = links.nearest(fake, reco["GenJet"], 0.35)
        assert np.isinf(distance).mean() > 0.97
        numbers.append(fake.n_objects / reco.n)
    # faster than linear
    assert numbers[0] < 1.0
    assert numbers[1] > 3.5 * numbers[0]
    assert numbers[2] > 2.3 * numbers[1]


def test_pileup_jets_look_like_pileup(reco: Events) -> None:
    jets = reco["Jet"]
    fake = jets["genJetIdx"] < 0
    soft_central = (jets["pt"] < 30) & (np.abs(jets["eta"]) < 2.4)
    assert np.median(jets["puIdDisc"][fake & soft_central]) < -0.2
    assert np.median(jets["puIdDisc"][~fake & soft_central]) > 0.6
    assert jets["chFPV0EF"][fake & soft_central].mean() > 1.5 * jets["chFPV0EF"][~fake & soft_central].mean()


def test_flavour_tagging_is_at_the_published_working_points(reco: Events) -> None:
    jets = reco["Jet"]
    taggable = (jets["pt"] > 30) & (np.abs(jets["eta"]) < 2.4) & (jets["genJetIdx"] >= 0)
    medium = jets["btagDeepFlavB"] > 0.2783
    shares = {flavour: medium[taggable & (jets["hadronFlavour"] == flavour)].mean() for flavour in (0, 4, 5)}
    assert 0.75 < shares[5] < 0.92
    assert 0.10 < shares[4] < 0.30
    assert 0.005 < shares[0] < 0.03
    both = np.corrcoef(
        *(np.argsort(np.argsort(jets[name][taggable])) for name in ("btagDeepFlavB", "btagDeepB"))
    )
    assert both[0, 1] > 0.5


def test_muons_of_heavy_flavour_are_displaced_and_not_isolated(reco: Events) -> None:
    muons = reco["Muon"]
    of_origin = {origin: muons["genPartFlav"] == origin for origin in (1, 15, 4, 5)}
    significance = {origin: np.median(muons["sip3d"][chosen]) for origin, chosen in of_origin.items()}
    assert significance[1] < 1.6 < significance[15] < significance[5]
    assert significance[1] < significance[4] < significance[5]
    isolated = {origin: (muons["pfIsoId"][chosen] >= 4).mean() for origin, chosen in of_origin.items()}
    assert isolated[1] > 0.7
    assert isolated[5] < 0.5 * isolated[1]
    prompt_like = {origin: np.median(muons["mvaTTH"][chosen]) for origin, chosen in of_origin.items()}
    assert prompt_like[1] > 0.8 > -0.5 > prompt_like[5]


def test_isolation_worsens_with_pileup(gen_events: MakeEvents) -> None:
    shares = []
    for pileup in (5.0, 70.0):
        muons = ReferenceDetector().simulate(gen_events(3000, pileup=pileup), seed=2)["Muon"]
        shares.append((muons["pfIsoId"][muons["genPartFlav"] == 1] >= 4).mean())
    assert shares[0] > shares[1] + 0.02


def test_fakes_are_few_and_poor(reco: Events) -> None:
    muons = reco["Muon"]
    fake = muons["genPartIdx"] < 0
    assert 0.005 < fake.sum() / reco.n < 0.4
    assert muons["tightId"][fake].mean() < 0.5 < muons["tightId"][~fake].mean()
    assert (muons["genPartFlav"][fake] == 0).all()


def test_missing_momentum_follows_jets_and_pileup(gen_events: MakeEvents) -> None:
    widths = []
    for pileup in (5.0, 50.0):
        reco = ReferenceDetector().simulate(gen_events(3000, pileup=pileup), seed=2)
        missed = _along_x(reco, "MET") - _along_x(reco, "GenMET")
        widths.append(missed.std())
        jets, gen_jets = reco["Jet"], reco["GenJet"]
        true = links.flat(jets["genJetIdx"], jets, gen_jets)
        excess = np.where(true >= 0, jets["pt"] - gen_jets["pt"][true], 0.0) * np.cos(jets["phi"])
        gained = np.bincount(jets.event_index, weights=excess, minlength=reco.n)
        assert np.corrcoef(missed, -gained)[0, 1] > 0.2
        puppi = _along_x(reco, "PuppiMET") - _along_x(reco, "GenMET")
        assert np.corrcoef(missed, puppi)[0, 1] > 0.5
    assert widths[1] > 1.4 * widths[0]


def _along_x(events: Events, name: str) -> np.ndarray:
    return events.scalars[f"{name}_pt"].astype(float) * np.cos(events.scalars[f"{name}_phi"].astype(float))


def test_the_covariance_is_positive_and_gives_the_significance(reco: Events) -> None:
    xx, xy, yy = (reco.scalars[f"MET_cov{name}"].astype(float) for name in ("XX", "XY", "YY"))
    determinant = xx * yy - xy**2
    assert (determinant > 0).all()
    x = _along_x(reco, "MET")
    y = reco.scalars["MET_pt"].astype(float) * np.sin(reco.scalars["MET_phi"].astype(float))
    expected = (x**2 * yy - 2 * x * y * xy + y**2 * xx) / determinant
    np.testing.assert_allclose(reco.scalars["MET_significance"], expected, rtol=1e-3, atol=1e-4)


def test_vertices_and_densities_follow_pileup(reco: Events) -> None:
    scalars = reco.scalars
    assert (scalars["PV_npvsGood"] <= scalars["PV_npvs"]).all()
    for name in ("PV_npvs", "fixedGridRhoFastjetAll", "fixedGridRhoFastjetCentralCalo", "MET_sumEt"):
        assert np.corrcoef(scalars["Pileup_nPU"], scalars[name])[0, 1] > 0.5, name
    assert (np.diff([scalars[f"SoftActivityJetHT{cut}"] for cut in ("10", "5", "2", "")], axis=0) >= 0).all()
    assert (np.diff([scalars[f"SoftActivityJetNjets{cut}"] for cut in ("10", "5", "2")], axis=0) >= 0).all()


def test_the_generated_vertex_is_used_where_it_is_known(gen_events: MakeEvents) -> None:
    gen = gen_events(1000)
    z = np.linspace(-10, 10, gen.n).astype(np.float32)
    reco = ReferenceDetector().simulate(gen.with_scalars({"GenVtx_z": z}), seed=1)
    assert np.median(np.abs(reco.scalars["PV_z"] - z)) < 0.01


def test_a_wrong_primary_vertex_displaces_muons_and_thins_out_jets(gen_events: MakeEvents) -> None:
    gen = gen_events(3000, jets=1.0).with_scalars({"GenVtx_z": np.zeros(3000, np.float32)})
    reco = ReferenceDetector().simulate(gen, seed=4)
    wrong = np.abs(reco.scalars["PV_z"]) > 0.1
    assert 0.0 < wrong.mean() < 0.2
    muons, jets = reco["Muon"], reco["Jet"]
    prompt, of_wrong = muons["genPartFlav"] == 1, wrong[muons.event_index]
    assert np.abs(muons["dz"][prompt & of_wrong]).min() > 0.05
    assert np.median(np.abs(muons["dz"][prompt & ~of_wrong])) < 0.01
    central = (jets["genJetIdx"] >= 0) & (np.abs(jets["eta"]) < 2.0) & (jets["muEF"] == 0)
    of_wrong = wrong[jets.event_index]
    assert jets["chHEF"][central & of_wrong].mean() < 0.6 * jets["chHEF"][central & ~of_wrong].mean()
