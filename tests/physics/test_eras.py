"""What differs from one data-taking period to the next."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.physics.definitions.jets_muons import of_era, pileup_id
from flashsim_prod.physics.definitions.vertices import other_vertices
from flashsim_prod.physics.eras import (
    DEFAULT,
    ERAS,
    OfBundle,
    era_in,
    era_of_profile,
    era_of_version,
    find_era,
)
from flashsim_prod.physics.events import Collection
from flashsim_prod.physics.generator.pileup import find_profile

DISC = np.array([-0.96, -0.9, 0.5, 0.99])
PT, ETA = np.full(4, 15.0), np.full(4, 1.0)


@pytest.mark.parametrize(
    ("era", "bits"),
    [
        ("UL18", [0, 4, 6, 7]),
        ("UL17", [0, 4, 6, 7]),
        # as NanoAODv9 has them in 2016: the loosest is bit 1
        ("UL16preVFP", [0, 1, 3, 7]),
        ("UL16postVFP", [0, 1, 3, 7]),
    ],
)
def test_pileup_identification_of_each_era(era: str, bits: list[int]) -> None:
    assert pileup_id(DISC, PT, ETA, era).tolist() == bits


@pytest.mark.parametrize("era", ERAS)
def test_each_era_has_its_pileup_and_its_beam_spot(era: str) -> None:
    find_profile(era.replace("UL", "Run2_20"))


@pytest.mark.parametrize(
    ("version", "era"),
    [("", "UL18"), ("v8", "UL18"), ("v9", "UL18"), ("v11", "Run3_2022"), ("v15", "Run3_2022")],
)
def test_what_says_no_era_is_of_that_of_its_version(version: str, era: str) -> None:
    assert era_of_version(version) == era


def test_other_eras_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown era 'UL16'; did you mean"):
        find_era("UL16")
    with pytest.raises(ConfigError, match="unknown era '2022'"):
        pileup_id(DISC, PT, ETA, "2022")


def test_without_working_points_there_is_no_identification() -> None:
    with pytest.raises(ConfigError, match=r"no working points .* are known for era Run3_2022"):
        pileup_id(DISC, PT, ETA, "Run3_2022")
    columns = {"puIdDisc": DISC, "pt": PT, "eta": ETA, "puId": pileup_id(DISC, PT, ETA)}
    jets = Collection(np.array([4]), columns)
    assert of_era(jets, "UL16postVFP")["puId"].tolist() == [0, 1, 3, 7]
    assert "puId" not in of_era(jets, "Run3_2022")
    assert "puId" not in of_era(jets.only(("pt", "eta")), "UL16postVFP")


def test_vertices_are_spread_over_the_luminous_region_of_their_era() -> None:
    (centre, width), found = find_era("UL16postVFP").beam_spot_z, {"PV_npvs": np.array([3])}
    made = other_vertices(found, np.array([[0.0, 2.0, 0.0]]), "UL16postVFP")["z"]
    assert made == pytest.approx([centre, centre + 2 * width])
    assert centre != find_era(DEFAULT).beam_spot_z[0]


@pytest.mark.parametrize(
    ("text", "era"),
    [
        (
            "/TTTo2L2Nu/RunIISummer20UL16NanoAODAPVv9-106X_mcRun2_asymptotic_preVFP_v11-v1/NANOAODSIM",
            "UL16preVFP",
        ),
        ("/TTTo2L2Nu/RunIISummer20UL16NanoAODv9-106X_mcRun2_asymptotic_v17-v1/NANOAODSIM", "UL16postVFP"),
        ("root://host//eos/opendata/cms/mc/RunIISummer20UL16NanoAODv9/DY/NANOAODSIM/1.root", "UL16postVFP"),
        ("/store/mc/RunIISummer20UL17NanoAODv9/TTTT/NANOAODSIM/1.root", "UL17"),
        ("106X_upgrade2018_realistic_v16_L1v1", "UL18"),
        ("130X_mcRun3_2022_realistic_v5", "Run3_2022"),
        ("FlashSim2016-tt_ul17.root", ""),
    ],
)
def test_names_of_campaigns_and_conditions_tell_the_era(text: str, era: str) -> None:
    assert era_in(text) == era


def test_a_campaign_of_no_known_era_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match="the era of campaign RunIIAutumn18 is not known"):
        era_in("/store/mc/RunIIAutumn18NanoAODv7/TT/NANOAODSIM/1.root")


def test_each_profile_is_of_one_era() -> None:
    assert {era_of_profile(era.profile) for era in ERAS.values()} == set(ERAS)
    assert era_of_profile("flat") == ""


def test_a_request_follows_the_era_of_its_bundle() -> None:
    bundle = OfBundle("mine", "UL16postVFP", is_said=True)
    profile, remarks = bundle.profile_for("Run2_2018", 13.0)
    assert profile == "Run2_2016postVFP"
    assert remarks == ("pileup and beam spot are those of bundle mine of UL16postVFP, Run2_2016postVFP",)
    assert bundle.profile_for("Run2_2016postVFP", 13.0) == ("Run2_2016postVFP", ())
    # what stands for no period contradicts none
    assert bundle.profile_for("flat", 13.0) == ("flat", ())
    assert OfBundle("reference", DEFAULT, is_said=False).profile_for("Run2_2018", 13.0) == ("Run2_2018", ())


@pytest.mark.parametrize(
    ("bundle", "profile", "energy_tev", "wanted", "complaint"),
    [
        (
            ("m", "UL16postVFP", True),
            "Run2_2017",
            13.0,
            "",
            "is of UL17 at 13 TeV, and bundle m of UL16postVFP",
        ),
        (("m", "UL16postVFP", True), "Run2_2018", 13.0, "UL18", "is of UL18 at 13 TeV, and bundle m"),
        (("m", "UL16postVFP", True), "Run3_2022", 13.6, "", "is of Run3_2022 at 13.6 TeV, and bundle m"),
        (("m", "Run3_2022", True), "Run2_2018", 13.0, "", "or ask for its energy: --energy 13.6"),
        (("m", "UL18", False), "Run2_2018", 13.0, "Run3_2022", "request of 13 TeV; say --energy 13.6"),
        (("m", "UL18", False), "Run3_2022", 13.6, "UL17", "UL17 is of 13 TeV, the request of 13.6 TeV"),
        (
            ("m", "UL16postVFP", True),
            "Run3_2022",
            13.6,
            "UL16postVFP",
            "is of 13 TeV, the request of 13.6 TeV",
        ),
        (
            ("m", "UL18", False),
            "Run2_2016preVFP",
            13.0,
            "",
            "is of UL16preVFP at 13 TeV, and bundle m of UL18",
        ),
    ],
)
def test_a_request_of_another_era_is_refused(
    bundle: tuple[str, str, bool], profile: str, energy_tev: float, wanted: str, complaint: str
) -> None:
    name, era, is_said = bundle
    with pytest.raises(RequestError, match=complaint):
        OfBundle(name, era, is_said).profile_for(profile, energy_tev, wanted)


def test_a_bundle_that_does_not_say_its_era_may_be_used_at_another_energy_and_that_is_told() -> None:
    profile, (remark,) = OfBundle("reference", DEFAULT, is_said=False).profile_for("Run3_2022", 13.6)
    assert profile == "Run3_2022"
    assert remark.startswith("the request is of Run3_2022, and bundle reference of UL18: working points")


def test_input_of_another_era_is_refused_unless_it_is_meant() -> None:
    bundle = OfBundle("m", "UL18", is_said=False)
    assert bundle.check_told("UL18", "a.root") == bundle.check_told("", "a.root") == ()
    with pytest.raises(RequestError, match=r"a.root is of UL16postVFP, and bundle m of UL18; .* --era UL18"):
        bundle.check_told("UL16postVFP", "a.root")
    assert bundle.check_told("UL16postVFP", "a.root", "UL18") == (
        "a.root is of UL16postVFP, and simulated as of UL18",
    )
