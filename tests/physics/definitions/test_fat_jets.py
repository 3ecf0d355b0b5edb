"""Fat jets, their subjets and leptons: who belongs to whom."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.definitions import fat_jets as fat
from flashsim_prod.physics.definitions.fat_jet_scores import class_scores, odds, shares
from flashsim_prod.physics.events import Collection, Events


def _objects(counts: list[int], **columns: list[float]) -> Collection:
    return Collection(np.array(counts), {name: np.array(column) for name, column in columns.items()})


def _hadrons(*rows: tuple[int, float, float]) -> Collection:
    """pdgId, eta and phi of particles without mothers, all in the first event."""
    return _objects(
        [len(rows), 0],
        pdgId=[row[0] for row in rows],
        eta=[row[1] for row in rows],
        phi=[row[2] for row in rows],
        genPartIdxMother=[-1] * len(rows),
    )


@pytest.fixture
def events() -> Events:
    """Two fat jets in the first event, of which the first has two subjets, and one in the second event."""
    fat_jets = _objects(
        [2, 1],
        pt=[500.0, 300.0, 400.0],
        eta=[0.0, 1.0, 0.0],
        phi=[0.0, 3.0, 0.0],
        mass=[100.0, 50.0, 60.0],
        rawFactor=[0.1, 0.1, 0.1],
        n2b1=[0.3, 0.3, 0.3],
        n3b1=[1.5, 1.5, 1.5],
        tau2=[0.2, 0.2, 0.2],
        tau3=[0.1, 0.2, 0.1],
    )
    subjets = _objects(
        [2, 1],
        pt=[200.0, 280.0, 380.0],
        eta=[0.2, -0.1, 0.0],
        phi=[0.0, 0.0, 0.0],
        mass=[5.0, 8.0, 6.0],
        rawFactor=[0.1, 0.1, 0.1],
        fat_jet=[0, 0, 2],
    )
    parts = _hadrons((511, 0.21, 0.0), (-521, -0.1, 0.01), (421, 1.0, 3.1))
    ordered = fat.in_order(subjets)
    return Events(2, {}, {"FatJet": fat_jets, "SubJet": ordered, "GenPart": parts})


def test_links_go_both_ways_and_the_harder_subjet_is_first(events: Events) -> None:
    linked = fat.link(events)
    assert linked["FatJet"]["subJetIdx1"].tolist() == [0, -1, 0]
    assert linked["FatJet"]["subJetIdx2"].tolist() == [1, -1, -1]
    assert linked["SubJet"]["pt"].tolist() == [280.0, 200.0, 380.0]
    assert "fat_jet" not in linked["SubJet"]
    # once linked, nothing changes any more
    assert fat.link(linked) is linked


def test_the_soft_drop_mass_is_that_of_the_sum_of_the_subjets(events: Events) -> None:
    mass = fat.link(events)["FatJet"]["msoftdrop"]
    # m^2 = m1^2 + m2^2 + 2 (mT1 mT2 cosh(d_eta) - pt1 pt2) for equal phi
    transverse = np.hypot(200.0, 5.0) * np.hypot(280.0, 8.0)
    assert mass[0] == pytest.approx(
        np.sqrt(25 + 64 + 2 * (transverse * np.cosh(0.3) - 200.0 * 280.0)), rel=0.02
    )
    assert mass[1] == -1
    assert mass[2] == pytest.approx(6.0, rel=1e-5)


def test_jets_without_subjets_have_no_energy_correlations(events: Events) -> None:
    jets = fat.link(events)["FatJet"]
    for name in ("n2b1", "n3b1"):
        assert (jets[name] == np.float32(fat.NOT_GROOMED)).tolist() == [False, True, False]


def test_hadrons_belong_to_the_nearest_subjet_of_their_fat_jet(events: Events) -> None:
    subjets = fat.link(events)["SubJet"]
    assert subjets["nBHadrons"].tolist() == [1, 1, 0]
    assert subjets["nCHadrons"].tolist() == [0, 0, 0]
    assert subjets["hadronFlavour"].tolist() == [5, 5, 0]


def test_a_third_subjet_of_a_jet_is_dropped() -> None:
    subjets = _objects([3], pt=[10.0, 30.0, 20.0], fat_jet=[0, 0, 0])
    assert fat.in_order(subjets)["pt"].tolist() == [30.0, 20.0]


def test_the_hardest_electron_is_taken_then_the_hardest_muon(events: Events) -> None:
    electrons = _objects([2, 0], pt=[20.0, 60.0], eta=[0.1, 0.2], phi=[0.0, 0.0])
    muons = _objects([3, 1], pt=[90.0, 40.0, 20.0, 30.0], eta=[0.0, 1.1, 1.0, 3.0], phi=[0.0, 3.0, 3.0, 0.0])
    jets = fat.link(events.with_collections({"Electron": electrons, "Muon": muons}))["FatJet"]
    assert jets["electronIdx3SJ"].tolist() == [1, -1, -1]
    assert jets["muonIdx3SJ"].tolist() == [-1, 1, -1]
    assert (jets["lsf3"] > 0).tolist() == [True, True, False]
    assert jets["lsf3"][2] == -1


def test_the_lepton_subjet_fraction_grows_to_one_as_the_lepton_takes_the_subjet(events: Events) -> None:
    fractions = []
    for pt in (20.0, 100.0, 180.0):
        muon = _objects([1, 0], pt=[pt], eta=[0.2], phi=[0.0])
        fractions.append(float(fat.link(events.with_collections({"Muon": muon}))["FatJet"]["lsf3"][0]))
    assert fractions == sorted(fractions)
    # 180 GeV is what the subjet of 200 GeV has before calibration
    assert fractions[-1] == pytest.approx(1.0)


def test_generated_jets_are_matched_once_and_hadrons_counted() -> None:
    fat_jets = _objects([2], pt=[500.0, 300.0], eta=[0.0, 0.5], phi=[0.0, 0.0])
    gen_jets = _objects([1], pt=[480.0], eta=[0.1], phi=[0.0])
    parts = _objects([2], pdgId=[511, 421], eta=[0.0, 0.5], phi=[0.0, 0.0], genPartIdxMother=[-1, -1])
    jets = fat.with_gen_jets(fat_jets, Events(1, {}, {"GenJetAK8": gen_jets, "GenPart": parts}))
    assert jets["genJetAK8Idx"].tolist() == [0, -1]
    assert jets["nBHadrons"].tolist() == [1, 0]
    assert jets["hadronFlavour"].tolist() == [5, 4]


def test_scores_of_a_family_and_what_they_follow_from_give_each_other() -> None:
    rng = np.random.default_rng(1)
    known = {
        f"{family}_{name}vsQCD": rng.uniform(0.01, 0.9, 50)
        for family, names in {
            "particleNet": ("T", "W", "Z", "Hbb", "Hcc", "H4q"),
            "deepTag": ("T", "W", "Z"),
            "deepTagMD": ("Zbb", "Hbb"),
        }.items()
        for name in names
    }
    names = ("particleNet_share", "deepTag_share", "deepTag_others", "deepTag_H")
    drawn = {name: rng.uniform(0.01, 0.9, 50) for name in names}
    against = {f"particleNetMD_{name}": rng.uniform(0.01, 0.9, 50) for name in ("Xbb", "Xcc", "Xqq")}
    scored = {name: odds(value) for name, value in against.items()}
    families = ("particleNet", "particleNetMD", "deepTag", "deepTagMD")
    scores = known | class_scores({**known, **drawn, **scored}, families)
    back = shares(scores)
    for name, value in {**drawn, **against}.items():
        if name != "deepTag_H":
            assert np.allclose(back[name], value), name
    decorrelated = sum(scores[f"particleNetMD_{name}"] for name in ("QCD", "Xbb", "Xcc", "Xqq"))
    assert np.allclose(decorrelated, 1.0)
    one = scores["deepTag_QCD"] * (1 + sum(odds(known[f"deepTag_{name}vsQCD"]) for name in "TWZ"))
    assert np.allclose(one, drawn["deepTag_share"] * (1.0 - drawn["deepTag_H"]))
    # two probabilities of nothing have no ratio
    undefined = {"deepTagMD_ZbbvsQCD": np.full(50, -10.0), "deepTagMD_HbbvsQCD": np.full(50, -10.0)}
    assert np.all(class_scores(undefined, ("deepTagMD",))["deepTagMD_ZHbbvsQCD"] == -10.0)
