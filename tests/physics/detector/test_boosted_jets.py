"""Fat jets and subjets of the reference detector."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from distances import distances as distances_of

from flashsim_prod.physics.definitions import fat_jets as fat
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.boosted import four_momentum, invariant_mass, sum_of
from flashsim_prod.physics.definitions.fat_jet_scores import odds
from flashsim_prod.physics.detector.fat_jets import raw_factor, response_width
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")

MakeEvents = Callable[..., Events]
KINDS = ("light", "w_qq", "z_cc", "h_bb", "top")
SAMPLES = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")


@pytest.fixture(scope="module")
def reco(boosted_events: MakeEvents) -> dict[str, Events]:
    return {
        kind: ReferenceDetector().simulate(boosted_events(kind, 600, pt=(400.0, 700.0)), seed=2)
        for kind in KINDS
    }


@pytest.fixture(scope="module")
def mixed(boosted_events: MakeEvents) -> Events:
    """Fat jets of all kinds around the threshold and above."""
    parts = [boosted_events(kind, 400, pt=(120.0, 450.0), seed=seed) for seed, kind in enumerate(KINDS)]
    return ReferenceDetector().simulate(Events.concatenate(parts), seed=3)


def _median(events: Events, name: str) -> float:
    return float(np.median(events["FatJet"][name]))


@pytest.mark.parametrize("name", ["FatJet", "SubJet"])
def test_columns_types_and_values_are_those_of_nanoaod(mixed: Events, name: str) -> None:
    collection = mixed[name]
    assert {key: column.dtype for key, column in collection.columns.items()} == {
        branch.attribute: branch.dtype for branch in V9.attributes(name)
    }
    for key, column in collection.columns.items():
        assert np.isfinite(column.astype(float)).all(), key
        legal = V9.branches[f"{name}_{key}"].legal
        if legal is not None:
            assert set(np.unique(column).tolist()) <= set(legal), key


def test_fat_jets_are_ordered_above_threshold_and_matched(mixed: Events) -> None:
    jets = mixed["FatJet"]
    assert jets["pt"].min() >= 170
    assert (jets["genJetAK8Idx"] == 0).all()
    assert (np.diff(jets["pt"])[np.diff(jets.event_index) == 0] <= 0).all()


def test_only_jets_with_enough_uncalibrated_pt_are_groomed(mixed: Events) -> None:
    jets = mixed["FatJet"]
    enough = fat.raw_pt(jets) > fat.LOWEST_PT
    assert 20 < (~enough).sum() < 0.5 * len(enough)
    assert (jets["subJetIdx1"][~enough] == -1).all()
    assert (jets["subJetIdx1"][enough] >= 0).mean() > 0.99
    for name, missing in (("n2b1", fat.NOT_GROOMED), ("n3b1", fat.NOT_GROOMED), ("msoftdrop", -1)):
        assert np.array_equal(jets[name] == np.float32(missing), jets["subJetIdx1"] < 0), name


def test_each_subjet_has_one_fat_jet_and_gives_its_mass(mixed: Events) -> None:
    jets, subjets = mixed["FatJet"], mixed["SubJet"]
    slots = tuple(links.flat(jets[name], jets, subjets) for name in ("subJetIdx1", "subJetIdx2"))
    linked = np.concatenate(slots)
    assert np.array_equal(np.sort(linked[linked >= 0]), np.arange(subjets.n_objects))
    groomed = slots[0] >= 0
    mass = invariant_mass(sum_of(four_momentum(subjets), slots))
    assert np.allclose(jets["msoftdrop"][groomed], mass[groomed], rtol=1e-4, atol=0.02)
    both = slots[1] >= 0
    assert (subjets["pt"][slots[0][both]] >= subjets["pt"][slots[1][both]]).all()


def test_subjettiness_falls_and_ends_where_the_particles_do(mixed: Events) -> None:
    for name in ("FatJet", "SubJet"):
        taus = [mixed[name][f"tau{n}"] for n in (1, 2, 3, 4)]
        assert all((after <= before).all() for before, after in pairwise(taus))
        assert (taus[0] >= 0).all()
    few = mixed["FatJet"]["nConstituents"] <= 4
    assert (mixed["FatJet"]["tau4"][few] == 0).all()


def test_the_response_is_the_parametrised_one(reco: dict[str, Events]) -> None:
    jets, gen = reco["light"]["FatJet"], reco["light"]["GenJetAK8"]
    ratio = jets["pt"] / gen["pt"][links.flat(jets["genJetAK8Idx"], jets, gen)]
    width = response_width(np.array([550.0]))[0]
    assert np.median(ratio) == pytest.approx(1.02, abs=5 * width / np.sqrt(len(ratio)))
    assert np.std(ratio) == pytest.approx(width, rel=0.25)


@pytest.mark.parametrize(("pt", "low", "high"), [(120.0, 0.0, 0.01), (170.0, 0.4, 0.75), (260.0, 0.97, 1.0)])
def test_the_efficiency_turns_on_at_the_threshold(
    boosted_events: MakeEvents, pt: float, low: float, high: float
) -> None:
    gen = boosted_events("light", 1000, pt=pt)
    assert low <= ReferenceDetector().simulate(gen, seed=1)["FatJet"].n_objects / 1000 <= high


def test_calibration_adds_most_in_the_endcap_and_for_soft_jets() -> None:
    rng, pt = np.random.default_rng(1), np.full(2000, 300.0)
    barrel, endcap = raw_factor(rng, pt, np.full(2000, 0.5)), raw_factor(rng, pt, np.full(2000, 2.2))
    # 0.079 and 0.142 at 220 GeV in files of 2018
    assert 0.065 < barrel.mean() < 0.09 < 0.1 < endcap.mean()
    assert raw_factor(rng, 3 * pt, np.full(2000, 2.2)).mean() < 0.8 * endcap.mean()


@pytest.mark.parametrize(("kind", "mass"), [("w_qq", 80.4), ("z_cc", 91.2), ("h_bb", 125.0), ("top", 172.5)])
def test_masses_peak_at_the_particle(reco: dict[str, Events], kind: str, mass: float) -> None:
    for name in ("msoftdrop", "particleNet_mass", "mass"):
        assert _median(reco[kind], name) == pytest.approx(mass, rel=0.08), name
    jets = reco[kind]["FatJet"]
    low, high = np.quantile(jets["msoftdrop"] / mass, [0.16, 0.84])
    assert 0.03 < (high - low) / 2 < 0.15


def test_ratios_of_subjettiness_tell_the_number_of_prongs(reco: dict[str, Events]) -> None:
    def ratio(kind: str, upper: int) -> float:
        jets = reco[kind]["FatJet"]
        return float(np.median(jets[f"tau{upper}"] / jets[f"tau{upper - 1}"]))

    assert ratio("w_qq", 2) < 0.8 * ratio("light", 2)
    assert ratio("top", 3) < 0.75 * ratio("w_qq", 3)


@pytest.mark.parametrize(
    ("score", "signal"),
    [
        ("particleNet_TvsQCD", "top"),
        ("particleNet_WvsQCD", "w_qq"),
        ("particleNet_HbbvsQCD", "h_bb"),
        ("particleNetMD_Xbb", "h_bb"),
        ("particleNetMD_Xcc", "z_cc"),
        ("deepTag_TvsQCD", "top"),
        ("deepTagMD_ZHccvsQCD", "z_cc"),
        ("deepTagMD_ZHbbvsQCD", "h_bb"),
        ("deepTagMD_bbvsLight", "h_bb"),
        ("btagDDBvLV2", "h_bb"),
        ("btagDDCvLV2", "z_cc"),
        ("btagHbb", "h_bb"),
    ],
)
def test_taggers_find_what_they_are_for(reco: dict[str, Events], score: str, signal: str) -> None:
    background = reco["light"]["FatJet"][score]
    found = reco[signal]["FatJet"][score]
    assert (found > np.quantile(background, 0.95)).mean() > 0.6
    others = [_median(reco[kind], score) for kind in KINDS if kind not in (signal, "z_cc")]
    # up to the highest score that there is
    assert all(_median(reco[signal], score) > other or other > 0.999 for other in others)


def test_b_tags_know_one_b_from_none_and_two(reco: dict[str, Events]) -> None:
    assert _median(reco["light"], "btagDeepB") < 0.3 < 0.7 < _median(reco["top"], "btagDeepB")
    subjets = reco["h_bb"]["SubJet"]
    bottom = subjets["hadronFlavour"] == 5
    assert bottom.mean() > 0.95
    assert np.median(subjets["btagDeepB"][bottom]) > np.median(reco["light"]["SubJet"]["btagDeepB"])


def test_class_probabilities_sum_to_one(mixed: Events) -> None:
    jets = {name: column.astype(float) for name, column in mixed["FatJet"].columns.items()}
    decorrelated = sum(jets[f"particleNetMD_{name}"] for name in ("QCD", "Xbb", "Xcc", "Xqq"))
    assert np.allclose(decorrelated, 1, atol=1e-5)
    deep = (
        jets["deepTag_QCD"] * (1 + sum(odds(jets[f"deepTag_{name}vsQCD"]) for name in "TWZ"))
        + jets["deepTag_H"]
    )
    # tops that decay to leptons, and parts of tops, are classes that no score names
    assert (deep <= 1 + 1e-3).all()
    assert np.quantile(deep, 0.75) > 0.95
    stored = 1 + sum(odds(jets[f"particleNet_{name}vsQCD"]) for name in ("T", "W", "Z", "Hbb", "Hcc", "H4q"))
    assert (jets["particleNet_QCD"] * stored <= 1 + 1e-3).all()
    assert (jets["deepTag_QCDothers"] <= jets["deepTag_QCD"]).all()
    either = odds(jets["deepTagMD_ZbbvsQCD"]) + odds(jets["deepTagMD_HbbvsQCD"])
    defined = jets["deepTagMD_ZHbbvsQCD"] >= 0
    assert np.allclose(odds(jets["deepTagMD_ZHbbvsQCD"])[defined], either[defined], rtol=2e-3)


def test_hadrons_and_flavours_are_those_of_the_truth(reco: dict[str, Events]) -> None:
    for kind, number, flavour in (("light", 0, 0), ("h_bb", 2, 5), ("top", 1, 5)):
        jets = reco[kind]["FatJet"]
        assert (jets["nBHadrons"] == number).mean() > 0.97
        assert (jets["hadronFlavour"] == flavour).mean() > 0.97
    assert (reco["z_cc"]["FatJet"]["hadronFlavour"] == 4).mean() > 0.97


def test_leptons_in_fat_jets_and_their_fraction_go_together(gen_with_muons: Events) -> None:
    reco = ReferenceDetector().simulate(gen_with_muons, seed=4)
    jets = reco["FatJet"]
    linked = (jets["muonIdx3SJ"] >= 0) | (jets["electronIdx3SJ"] >= 0)
    assert linked.mean() > 0.7
    assert np.array_equal(linked, jets["lsf3"] >= 0)
    muon = links.flat(jets["muonIdx3SJ"], jets, reco["Muon"])
    there = np.flatnonzero(muon >= 0)
    assert (links.delta_r(jets, reco["Muon"], there, muon[there]) < 0.8).all()


@pytest.fixture
def gen_with_muons(boosted_events: MakeEvents) -> Events:
    """The light jet's parton replaced by a hard prompt muon beside the axis."""
    gen = boosted_events("light", 200, pt=400.0)
    parts = gen["GenPart"]
    muons = parts.with_columns(
        pdgId=np.full(200, 13, np.int32),
        status=np.ones(200, np.int32),
        statusFlags=np.full(200, 1 | 1 << 13, np.int32),
        pt=np.full(200, 120.0, np.float32),
        eta=parts["eta"] + np.float32(0.2),
    )
    return gen.with_collections({"GenPart": muons})


def test_without_generated_fat_jets_there_are_none(boosted_events: MakeEvents) -> None:
    gen = boosted_events("light", 3)
    without = Events(gen.n, gen.scalars, {name: gen[name] for name in ("GenPart", "GenJet")})
    assert "FatJet" not in ReferenceDetector().simulate(without, seed=1)
    empty = {name: gen[name].select(np.zeros(gen[name].n_objects, bool)) for name in gen.collections}
    none = ReferenceDetector().simulate(gen.with_collections(empty), seed=1)
    assert none["FatJet"].n_objects == none["SubJet"].n_objects == 0


@pytest.mark.skipif(not SAMPLES, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
def test_fat_jets_resemble_real_ones() -> None:
    with NanoFile(str(Path(SAMPLES or "") / "ttbar_v12.root")) as file:
        real = file.read(sorted(file.branches & V9.branches.keys()), 0, file.n_entries)
    gen = Events(
        real.n,
        {name: values for name, values in real.scalars.items() if name.startswith(("Gen", "Pileup"))},
        {name: real[name] for name in ("GenPart", "GenJet", "GenJetAK8", "SubGenJetAK8")},
    )
    produced = ReferenceDetector().simulate(gen.repeat(10), seed=1)
    assert produced["FatJet"].n_objects / 10 == pytest.approx(real["FatJet"].n_objects, rel=0.25)
    # of Run 3: leptons are looser, calibration is of PUPPI jets, btagHbb is not filled, particleNet_QCD is
    # another network's
    other = ("electronIdx3SJ", "lsf3", "btagHbb", "particleNet_QCD", "rawFactor")
    alike = Events(real.n, {}, {"FatJet": _without(real["FatJet"], *other)})
    distances = distances_of(produced, alike, ["FatJet"])
    # about 116 real jets: equal samples would show 0.08; ungroomed ones are rounded in files
    assert np.median(list(distances.values())) < 0.12
    rounded = {"FatJet_n2b1", "FatJet_n3b1"}
    assert max(value for name, value in distances.items() if name not in rounded) < 0.25
    # nBHadrons and nCHadrons of the real jets follow from their generated hadrons
    ours = fat.with_gen_jets(real["FatJet"], real)
    assert (ours["nBHadrons"] == real["FatJet"]["nBHadrons"]).mean() > 0.98
    assert (ours["nCHadrons"] == real["FatJet"]["nCHadrons"]).mean() > 0.95


def _without(collection: Collection, *names: str) -> Collection:
    kept = {name: column for name, column in collection.columns.items() if name not in names}
    return Collection(collection.counts, kept)
