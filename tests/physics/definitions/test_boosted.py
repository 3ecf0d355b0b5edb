"""What is inside a generated fat jet, from generator-level NanoAOD."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flashsim_prod.physics.definitions import boosted
from flashsim_prod.physics.events import Collection, Events

MakeEvents = Callable[..., Events]


def _set(jets: Collection) -> set[str]:
    return {name for name in boosted.DECAYS if jets[name].all()}


@pytest.mark.parametrize(
    ("kind", "flags"),
    [("h_bb", {"h_bb"}), ("z_cc", {"z_cc"}), ("w_qq", {"w_qq"}), ("top", {"top"}), ("light", set())],
)
def test_a_decay_inside_is_recognised_and_no_other(
    boosted_events: MakeEvents, kind: str, flags: set[str]
) -> None:
    jets = boosted.gen_fat_jets(boosted_events(kind, 50))
    assert _set(jets) == flags
    assert not any(jets[name].any() for name in boosted.DECAYS if name not in flags)


@pytest.mark.parametrize(("outside", "flags"), [(4, {"top_part"}), (1, {"w_qq"})])
def test_a_quark_outside_the_radius_is_not_inside(
    boosted_events: MakeEvents, outside: int, flags: set[str]
) -> None:
    """Without a quark of the W the top is there in part, without its b there is only a W."""
    events = boosted_events("top", 50)
    parts = events["GenPart"]
    moved = parts.with_columns(eta=parts["eta"] + 2.0 * (parts.local_index == outside))
    assert _set(boosted.gen_fat_jets(events.with_collections({"GenPart": moved}))) == flags


def test_only_the_last_hadrons_of_a_chain_count(boosted_events: MakeEvents) -> None:
    top, higgs = (boosted.gen_fat_jets(boosted_events(kind, 20)) for kind in ("top", "h_bb"))
    assert (top["n_b"] == 1).all()
    assert (top["n_c"] == 1).all()
    assert (higgs["n_b"] == 2).all()
    assert (higgs["n_c"] == 0).all()
    events = boosted_events("h_bb", 20)
    excited = events["GenPart"]["genPartIdxMother"].copy()
    # the second b hadron becomes the daughter of the first
    excited[events["GenPart"].local_index == 4] = 3
    chained = events["GenPart"].with_columns(genPartIdxMother=excited)
    assert (boosted.gen_fat_jets(events.with_collections({"GenPart": chained}))["n_b"] == 1).all()


def test_the_prongs_of_a_jet_are_its_own_the_harder_first(boosted_events: MakeEvents) -> None:
    events = boosted_events("w_qq", 200)
    jets, prongs = boosted.gen_fat_jets(events), events["SubGenJetAK8"]
    assert np.array_equal(prongs.event_index[jets["prong1"]], jets.event_index)
    assert np.array_equal(prongs.event_index[jets["prong2"]], jets.event_index)
    assert (prongs["pt"][jets["prong1"]] >= prongs["pt"][jets["prong2"]]).all()
    assert np.allclose(jets["share1"] + jets["share2"], 1.0, atol=1e-5)


def test_the_groomed_mass_is_that_of_the_decay(boosted_events: MakeEvents) -> None:
    jets = boosted.gen_fat_jets(boosted_events("h_bb", 500, pt=(500.0, 900.0)))
    assert jets["groomed_mass"].mean() == pytest.approx(125.0, rel=0.04)
    assert (jets["hardness"] <= 1).all()
    assert jets["hardness"].mean() > 0.95


def test_jets_without_prongs_have_no_groomed_mass(boosted_events: MakeEvents) -> None:
    events = boosted_events("light", 10)
    nothing = events["SubGenJetAK8"].select(np.zeros(20, bool))
    jets = boosted.gen_fat_jets(events.with_collections({"SubGenJetAK8": nothing}))
    assert (jets["prong1"] == -1).all()
    assert (jets["groomed_mass"] == 0).all()
    assert (jets["groomed_share"] == 0).all()


def test_prompt_leptons_have_a_share_of_the_jet(boosted_events: MakeEvents) -> None:
    events = boosted_events("light", 10, pt=400.0)
    parts = events["GenPart"]
    lepton = parts.with_columns(
        pdgId=np.full(10, 13, np.int32), status=np.ones(10, np.int32), pt=np.full(10, 100.0, np.float32)
    )
    share = boosted.gen_fat_jets(events.with_collections({"GenPart": lepton}))["lepton_share"]
    assert np.allclose(share, 0.25)
    assert (boosted.gen_fat_jets(events)["lepton_share"] == 0).all()
