"""What holds in every event that the reference detector writes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flashsim_prod.errors import InputError
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.jets_muons import jet_id
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")

FRACTIONS = ("chHEF", "neHEF", "chEmEF", "neEmEF", "muEF")


@pytest.fixture(scope="module")
def reco(gen: Events) -> Events:
    return ReferenceDetector().simulate(gen, seed=7)


def _same(a: Events, b: Events) -> bool:
    columns = [(a.scalars[name], b.scalars[name]) for name in a.scalars]
    for name, collection in a.collections.items():
        columns.append((collection.counts, b[name].counts))
        columns += [(collection[column], b[name][column]) for column in collection.columns]
    return all(np.array_equal(one, other) for one, other in columns)


@pytest.mark.parametrize("name", ["Jet", "Muon", "OtherPV"])
def test_collections_have_the_columns_and_types_of_nanoaod(reco: Events, name: str) -> None:
    expected = {
        branch.attribute: branch.dtype for branch in V9.branches.values() if branch.collection == name
    }
    assert {column: values.dtype for column, values in reco[name].columns.items()} == expected


def test_scalars_have_the_types_of_nanoaod_and_none_of_a_group_is_missing(gen: Events, reco: Events) -> None:
    made = {name: values.dtype for name, values in reco.scalars.items() if name not in gen.scalars}
    known = V9.branches
    assert made == {name: known[name].dtype for name in made}
    groups = ("PV_", "MET_", "PuppiMET_", "RawMET_", "RawPuppiMET_", "TkMET_", "ChsMET_", "CaloMET_")
    groups += ("fixedGridRho", "SoftActivityJetHT", "SoftActivityJetNjets")
    assert set(made) == {name for name in known if name.startswith(groups) and known[name].collection is None}


def test_every_discrete_value_is_legal(reco: Events) -> None:
    for branch in V9.branches.values():
        if branch.legal is not None and branch.collection in ("Jet", "Muon"):
            values = np.unique(reco[branch.collection][branch.attribute]).tolist()
            assert set(values) <= set(branch.legal), branch.name


def test_every_number_is_finite(reco: Events) -> None:
    for name in ("Jet", "Muon", "OtherPV"):
        for column, values in reco[name].columns.items():
            assert np.isfinite(values.astype(np.float64)).all(), f"{name}_{column}"
    for scalar, values in reco.scalars.items():
        assert np.isfinite(values.astype(np.float64)).all(), scalar


def test_what_the_generator_gave_is_carried_along(gen: Events, reco: Events) -> None:
    for name, values in gen.scalars.items():
        assert reco.scalars[name] is values
    assert reco["GenJet"] is gen["GenJet"]


def test_objects_are_ordered_by_pt_above_threshold(reco: Events) -> None:
    for name, least in (("Jet", 15.0), ("Muon", 3.0)):
        objects = reco[name]
        assert objects["pt"].min() >= least
        same_event = np.diff(objects.event_index) == 0
        assert (np.diff(objects["pt"])[same_event] <= 0).all()


def test_energy_fractions_sum_to_one_with_spikes_at_zero(reco: Events) -> None:
    jets = reco["Jet"]
    fractions = np.stack([jets[name] for name in FRACTIONS])
    assert fractions.min() >= 0
    np.testing.assert_allclose(fractions.sum(axis=0), 1.0, atol=1e-5)
    central = np.abs(jets["eta"]) < 1.3
    assert 0.1 < (jets["neHEF"][central] == 0).mean() < 0.6
    assert (jets["chHEF"][np.abs(jets["eta"]) > 3.2] == 0).mean() > 0.85


def test_jet_flags_follow_from_the_attributes(reco: Events) -> None:
    jets = reco["Jet"]
    assert np.array_equal(jets["jetId"], jet_id(jets))
    # each working point holds the looser ones
    assert set(np.unique(jets["puId"])) <= {0, 4, 6, 7}
    in_forward_calorimeter = jets["hfsigmaEtaEta"] != -1
    assert (np.abs(jets["eta"][in_forward_calorimeter]) > 2.9).all()
    assert in_forward_calorimeter.any()
    assert (jets["hfcentralEtaStripSize"][~in_forward_calorimeter] == 0).all()
    assert (jets["qgl"][jets["pt"] < 20] == -1).all()


def test_class_probabilities_behind_the_flavour_scores_are_consistent(reco: Events) -> None:
    jets = reco["Jet"]
    unsaturated = np.all([jets[f"btagDeepFlav{name}"] < 0.999 for name in ("B", "CvB", "CvL")], axis=0)
    b, c_over_b, c_over_l = (
        jets[f"btagDeepFlav{name}"][unsaturated].astype(float) for name in ("B", "CvB", "CvL")
    )
    charm = b * c_over_b / (1 - c_over_b)
    light = charm * (1 - c_over_l) / c_over_l
    np.testing.assert_allclose(b + charm + light, 1.0, atol=2e-3)


def test_muon_identification_is_nested(reco: Events) -> None:
    muons = reco["Muon"]
    for inner, outer in [
        ("tightId", "mediumId"),
        ("mediumPromptId", "mediumId"),
        ("mediumId", "looseId"),
        ("looseId", "isPFcand"),
        ("tightId", "isGlobal"),
        ("isGlobal", "isStandalone"),
        ("softId", "isTracker"),
        ("softId", "triggerIdLoose"),
    ]:
        assert muons[outer][muons[inner]].all(), f"{inner} without {outer}"
        assert muons[inner].any()
    assert muons["isGlobal"][muons["highPtId"] == 2].all()
    stored = muons["looseId"] | muons["softId"] | muons["softMvaId"] | (muons["highPtId"] > 0)
    assert stored.all()


def test_muon_isolation_is_ordered_and_its_working_points_follow(reco: Events) -> None:
    muons = reco["Muon"]
    for smaller, larger in [
        ("pfRelIso03_chg", "pfRelIso03_all"),
        ("pfRelIso03_all", "pfRelIso04_all"),
        ("miniPFRelIso_chg", "miniPFRelIso_all"),
        ("miniPFRelIso_chg", "pfRelIso03_chg"),
    ]:
        assert (muons[smaller] <= muons[larger] * (1 + 1e-6)).all(), f"{smaller} > {larger}"
        assert 0.02 < (muons[smaller] == 0).mean() < 0.95
    cuts = (0.40, 0.25, 0.20, 0.15, 0.10, 0.05)
    assert np.array_equal(muons["pfIsoId"], sum((muons["pfRelIso04_all"] < cut).astype(int) for cut in cuts))


def test_impact_parameters_agree_with_each_other(reco: Events) -> None:
    muons = {name: column.astype(np.float64) for name, column in reco["Muon"].columns.items()}
    sin_theta = 1 / np.cosh(muons["eta"])
    np.testing.assert_allclose(
        muons["ip3d"], np.hypot(muons["dxy"], muons["dz"] * sin_theta), rtol=1e-4, atol=1e-5
    )
    error = muons["ip3d"] / muons["sip3d"]
    least = np.minimum(muons["dxyErr"], muons["dzErr"] * sin_theta)
    most = np.maximum(muons["dxyErr"], muons["dzErr"] * sin_theta)
    assert ((error >= 0.999 * least) & (error <= 1.001 * most)).all()


def test_links_hold_both_ways(reco: Events) -> None:
    jets, muons = reco["Jet"], reco["Muon"]
    jet_of_muon = links.flat(muons["jetIdx"], muons, jets)
    inside = jet_of_muon >= 0
    assert inside.any()
    assert np.array_equal(np.bincount(jet_of_muon[inside], minlength=jets.n_objects), jets["nMuons"])
    for slot in ("muonIdx1", "muonIdx2"):
        muon_of_jet = links.flat(jets[slot], jets, muons)
        linked = np.flatnonzero(muon_of_jet >= 0)
        assert len(linked)
        assert np.array_equal(jet_of_muon[muon_of_jet[linked]], linked)
    assert np.array_equal(jets["muonIdx1"] >= 0, jets["nMuons"] > 0)
    assert np.array_equal(jets["muonIdx2"] >= 0, jets["nMuons"] > 1)


def test_a_generator_jet_or_muon_is_linked_once(reco: Events) -> None:
    for name, link, target in (("Jet", "genJetIdx", "GenJet"), ("Muon", "genPartIdx", "GenPart")):
        position = links.flat(reco[name][link], reco[name], reco[target])
        linked = position[position >= 0]
        assert len(linked) > 1000
        assert len(np.unique(linked)) == len(linked)


def test_the_seed_decides_all(gen: Events) -> None:
    events = gen.slice(0, 50)
    detector = ReferenceDetector()
    once = detector.simulate(events, seed=3)
    assert _same(once, detector.simulate(events, seed=3))
    assert not _same(once, detector.simulate(events, seed=4))


def test_folds_of_an_event_come_out_different(gen: Events) -> None:
    reco = ReferenceDetector().simulate(gen.slice(0, 1).repeat(20), seed=1)
    assert len(np.unique(reco.scalars["MET_pt"])) == 20
    assert len(np.unique(reco["Jet"].counts)) > 1


def test_no_events_and_no_objects_are_no_problem(gen_events: Callable[..., Events]) -> None:
    assert ReferenceDetector().simulate(gen_events(3).slice(0, 0), seed=1).n == 0
    gen = gen_events(3)
    nothing = {
        name: Collection(
            np.zeros(3, np.int64), {column: values[:0] for column, values in gen[name].columns.items()}
        )
        for name in ("GenPart", "GenJet")
    }
    quiet = {"Pileup_nPU": np.zeros(3, np.int32), "Pileup_nTrueInt": np.zeros(3, np.float32)}
    reco = ReferenceDetector().simulate(gen.with_collections(nothing).with_scalars(quiet), seed=1)
    assert reco["Jet"].n_objects == reco["Muon"].n_objects == 0
    assert np.isfinite(reco.scalars["MET_pt"]).all()


@pytest.mark.parametrize("branch", ["GenJet_pt", "GenPart_statusFlags", "GenMET_pt", "Pileup_nTrueInt"])
def test_a_missing_branch_is_named(gen: Events, branch: str) -> None:
    collection, _, attribute = branch.partition("_")
    scalars = {name: values for name, values in gen.scalars.items() if name != branch}
    collections = dict(gen.collections)
    if collection in collections:
        kept = {name: values for name, values in gen[collection].columns.items() if name != attribute}
        collections[collection] = Collection(gen[collection].counts, kept)
    with pytest.raises(InputError, match=branch):
        ReferenceDetector().simulate(Events(gen.n, scalars, collections), seed=1)


def test_the_schema_says_which_attributes_are_kept_and_in_which_type(gen: Events) -> None:
    tables = ["collection Jet  Jets\npt f32 10 momentum [GeV]\njetId u8 - identification\n"]
    made = ReferenceDetector(Schema.parse("v99", tables)).simulate(gen.slice(0, 20), seed=1)
    assert {name: column.dtype for name, column in made["Jet"].columns.items()} == {
        "pt": np.float32,
        "jetId": np.uint8,
    }
