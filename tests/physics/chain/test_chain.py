"""The chain: reproducible in any pieces, consistent, and close to what it was trained on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import BundleError, InputError
from flashsim_prod.physics.chain.chain import Chain, makers
from flashsim_prod.physics.chain.compatibility import check_models
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.products import production_order
from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.arrays import branch_names
from flashsim_prod.physics.nanoaod.schema import Schema
from tests.students import bundle_with

V9 = Schema.load("v9")


def _folds(gen: Events, first: int = 0, k: int = 5) -> Events:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 200, "job_gen_first": 0}
    return fold_events(gen, oversample=k, gen_first=first, **numbering)


@pytest.fixture(scope="module")
def made(chain, gen) -> Events:
    torch.set_num_threads(1)
    return chain.simulate(_folds(gen), seed=99)


def _assert_equal(one: Events, other: Events) -> None:
    assert one.scalars.keys() == other.scalars.keys()
    for name, column in one.scalars.items():
        assert np.array_equal(column, other.scalars[name]), name
    for name, collection in one.collections.items():
        assert np.array_equal(collection.counts, other[name].counts), name
        for attribute, column in collection.columns.items():
            assert np.array_equal(column, other[name][attribute]), f"{name}_{attribute}"


@pytest.mark.parametrize("cuts", [(7,), (1, 30, 31)])
def test_chunks_change_nothing(chain, gen, made, cuts):
    edges = [0, *cuts, gen.n]
    parts = [
        chain.simulate(_folds(gen.slice(start, stop), start), seed=99) for start, stop in pairwise(edges)
    ]
    _assert_equal(Events.concatenate(parts), made)


def test_threads_change_nothing(chain, gen, made):
    torch.set_num_threads(2)
    try:
        _assert_equal(chain.simulate(_folds(gen), seed=99), made)
    finally:
        torch.set_num_threads(1)


def test_only_what_is_wanted_is_made_and_drawn_alike(bundle, gen, made):
    chain = Chain(bundle, branches=("Jet_pt", "MET_pt"))
    produced = {name for name, _ in chain.groups}
    assert {"Jet", "MET"} <= {name.partition("_")[0] for name in produced}
    assert not {"Electron", "FatJet", "SV"} & produced
    events = chain.simulate(_folds(gen), seed=99)
    for name in ("pt", "btagDeepFlavB", "muonSubtrFactor"):
        assert np.array_equal(events["Jet"][name], made["Jet"][name]), name
    assert np.array_equal(events.scalars["MET_pt"], made.scalars["MET_pt"])


def test_every_branch_alone_is_what_it_is_among_all(bundle, gen, made):
    """Only the models that it needs run: those of its collection, of what these use, and of its links."""
    models = check_models(bundle)
    names = branch_names(made)
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(names):
        alike.setdefault(tuple(one.name for one in makers([name], models)), []).append(name)
    assert () in alike
    assert {"GenJet_pt", "event", "nGenPart"} <= set(alike[()])
    assert len(alike) > 8
    folds, few = _folds(gen.slice(0, 30)), 30 * made.n // gen.n
    for _, branches in sorted(alike.items()):
        events = Chain(bundle, branches=branches).simulate(folds, seed=99)
        for name in branches:
            assert np.array_equal(_column(events, name), _column(made.slice(0, few), name)), name


def _column(events, name):
    if name.startswith("n") and name[1:] in events.collections:
        return events[name[1:]].counts
    return events.branch(name)[0]


def test_another_seed_changes_what_is_drawn_but_not_the_generator(chain, gen, made):
    other = chain.simulate(_folds(gen), seed=100)
    assert not np.array_equal(other["Jet"].counts, made["Jet"].counts)
    assert np.array_equal(other["GenJet"]["pt"], made["GenJet"]["pt"])


def test_every_fold_draws_its_own(made):
    """Efficiencies and properties differ between the folds of one gen event."""
    counts = made["Jet"].counts.reshape(-1, 5)
    assert np.mean(counts.max(axis=1) > counts.min(axis=1)) > 0.8
    met = made.scalars["MET_pt"].reshape(-1, 5)
    assert all(len(set(row)) == 5 for row in met)


def test_folds_of_a_gen_event_are_uncorrelated_in_what_is_drawn(chain, gen):
    """With the same gen jets, the smearing of one fold says nothing about another's."""
    one = gen.take(np.zeros(400, dtype=np.int64))
    made = chain.simulate(_folds(one, k=2), seed=5)
    jets = made["Jet"]
    leading = jets.select(jets.local_index == 0)
    assert leading.n_objects == 800
    first, second = leading["pt"].reshape(-1, 2).T
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


def test_collections_are_sorted(made):
    for name in ("Jet", "Muon"):
        collection = made[name]
        falling = np.diff(collection["pt"]) <= 0
        same_event = np.diff(collection.event_index) == 0
        assert np.all(falling[same_event])


def test_types_and_legal_values_are_those_of_the_schema(made):
    known = V9.branches
    for name, collection in made.collections.items():
        for attribute, column in collection.columns.items():
            branch = known[f"{name}_{attribute}"]
            assert column.dtype == branch.dtype, branch.name
            if branch.legal is not None and len(column):
                assert set(np.unique(column).astype(int)) <= set(branch.legal), branch.name
    for name, column in made.scalars.items():
        assert column.dtype == known[name].dtype, name


def test_everything_is_finite(made):
    for name, column in made.scalars.items():
        assert np.all(np.isfinite(column.astype(float))), name
    for name, collection in made.collections.items():
        for attribute, column in collection.columns.items():
            assert np.all(np.isfinite(column.astype(float))), f"{name}_{attribute}"


def test_nothing_below_the_thresholds_of_nanoaod(made):
    assert made["Jet"]["pt"].min() >= 15
    assert made["Muon"]["pt"].min() >= 3


def test_energy_fractions_of_jets_sum_to_one(made):
    total = sum(made["Jet"][name] for name in ("chEmEF", "chHEF", "neEmEF", "neHEF", "muEF"))
    assert np.allclose(total, 1, atol=1e-5)


def test_links_between_jets_and_muons_agree_both_ways(made):
    jets, muons = made["Jet"], made["Muon"]
    linked = np.flatnonzero(muons["jetIdx"] >= 0)
    assert len(linked)
    jet = jets.starts[muons.event_index[linked]] + muons["jetIdx"][linked]
    back = np.stack([jets["muonIdx1"][jet], jets["muonIdx2"][jet]])
    third = (back >= 0).all(axis=0) & (jets["nMuons"][jet] > 2)
    assert np.all((back == muons.local_index[linked]).any(axis=0) | third)


def test_close_to_the_reference_detector(chain, gen):
    """Means of the quantities that an analysis looks at first; five standard errors and five per cent."""
    folds = _folds(gen, k=20)
    flash, reference = chain.simulate(folds, seed=1), ReferenceDetector().simulate(folds, seed=1)

    def observables(events: Events) -> dict[str, np.ndarray]:
        jets, muons = events["Jet"], events["Muon"]
        return {
            "jets": np.bincount(jets.event_index[jets["pt"] > 30], minlength=events.n),
            "jet pt": jets["pt"][jets["pt"] > 30],
            "muons": np.bincount(muons.event_index[muons["pt"] > 10], minlength=events.n),
            "muon pt": muons["pt"][muons["pt"] > 10],
            "MET": events.scalars["MET_pt"],
            "vertices": events.scalars["PV_npvs"],
            "rho": events.scalars["fixedGridRhoFastjetAll"],
        }

    for (name, ours), theirs in zip(observables(flash).items(), observables(reference).values(), strict=True):
        error = 5 * np.hypot(ours.std() / np.sqrt(len(ours)), theirs.std() / np.sqrt(len(theirs)))
        assert ours.mean() == pytest.approx(theirs.mean(), rel=0.05, abs=error), name


def test_no_events_at_all(chain, gen):
    nothing = chain.simulate(_folds(gen.slice(0, 0)), seed=1)
    assert nothing.n == 0
    assert nothing["Jet"].n_objects == 0


def test_events_without_a_single_muon(chain, gen):
    particles = gen["GenPart"]
    without = gen.with_collections({"GenPart": particles.select(np.abs(particles["pdgId"]) != 13)})
    # what is left are fakes
    assert (chain.simulate(_folds(without), seed=1)["Muon"]["genPartIdx"] < 0).all()


def test_a_missing_collection_is_named(chain, gen):
    lacking = Events(gen.n, gen.scalars, {k: v for k, v in gen.collections.items() if k != "GenJet"})
    with pytest.raises(InputError, match="GenJet"):
        chain.simulate(_folds(lacking), seed=1)


def test_sampling_is_a_setting(bundle, gen, made):
    sampling = Sampling(solver="euler", evaluations=4)
    coarse = Chain(bundle.of_teachers, sampling=sampling).simulate(_folds(gen), seed=99)
    # the efficiencies do not depend on the solver, the properties do, and with them who passes 15 GeV
    assert coarse["Jet"].n_objects == pytest.approx(made["Jet"].n_objects, rel=0.03)
    assert not np.array_equal(coarse.scalars["MET_pt"], made.scalars["MET_pt"])


def test_order_follows_from_uses_and_products():
    order = production_order(list(reversed(MODELS)))
    assert order.index("MET") > order.index("Jet")
    assert order.index("MET") > order.index("Muon")


def test_a_circle_is_refused():
    def model(produces: str, uses: str) -> ObjectModel:
        return ObjectModel(
            name=produces, produces=produces, uses=(uses,), source=None, conditions=(), targets=(), match=None
        )

    with pytest.raises(BundleError, match="circle"):
        production_order([model("A", "B"), model("B", "A")])


def test_a_chain_of_mixed_evaluations_draws_alike_in_any_pieces(bundle, gen, tmp_path):
    few_steps = dict.fromkeys(list(bundle.manifest.models)[1::2], 2)
    teachers = bundle.of_teachers
    students = bundle_with(teachers, few_steps, tmp_path / "mixed", beside=0.1)
    mixed = Chain(students)
    few = gen.slice(0, 20)
    whole = mixed.simulate(_folds(few, k=2), seed=99)
    parts = [
        mixed.simulate(_folds(few.slice(start, stop), start, k=2), seed=99)
        for start, stop in ((0, 7), (7, 8), (8, 20))
    ]
    _assert_equal(Events.concatenate(parts), whole)
    # students take two steps, whatever the others take; numbers of objects are not theirs to draw
    steps = {
        one.model.name: one.steps.evaluations if one.steps else 8
        for _, models in mixed.groups
        for one in models
    }
    assert set(steps.values()) == {2, 8}
    as_teachers = Chain(teachers).simulate(_folds(few, k=2), seed=99)
    for name, branch in (("met", "MET_pt"), ("event_scalars", "fixedGridRhoFastjetAll")):
        if steps[name] == 2:
            assert not np.array_equal(as_teachers.scalars[branch], whole.scalars[branch]), name
    assert 2 in (steps["met"], steps["event_scalars"])
    # and without students it is the chain of the teachers
    _assert_equal(Chain(students.of_teachers).simulate(_folds(few, k=2), seed=99), as_teachers)
