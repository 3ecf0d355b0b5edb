"""Constituents of jets: extracted, learned as sets, and drawn so that they sum up to their jets."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flashsim_prod.errors import BundleError, RequestError
from flashsim_prod.physics.chain.chain import Chain, makers
from flashsim_prod.physics.chain.corrections.section import ReweighterSection
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.registry import KINDS, find_kind
from flashsim_prod.physics.chain.kinds.sets.padding import padded_sets
from flashsim_prod.physics.chain.registry import MODELS, OPTIONAL_MODELS, find_model, in_version, models_of
from flashsim_prod.physics.definitions.constituents import candidates as found
from flashsim_prod.physics.definitions.constituents import sums
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training.assemble import build_bundle, fitted_entry, save_fitted
from flashsim_prod.physics.training.correcting.folder import unseen_by_fit
from flashsim_prod.physics.training.fit import fit_model
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.tables import extract

MODEL = find_model("jet_constituents")
SETTINGS = FitSettings(flow_steps=16, batch=64, report_every=4, checkpoint_every=4)


def _folds(gen: Events, k: int, first: int = 0) -> Events:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 2000, "job_gen_first": 0}
    return fold_events(gen, oversample=k, gen_first=first, **numbering)


@pytest.fixture(scope="module")
def reference(gen) -> Events:
    return ReferenceDetector(constituents=True).simulate(_folds(gen, 4), seed=3)


@pytest.fixture(scope="module")
def fitted(reference, tmp_path_factory) -> FittedModel:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("fit")
    made, record = fit_model(MODEL, extract(reference, MODEL), SETTINGS, folder, kind="cloud")
    save_fitted(made, record, folder / "jet_constituents")
    return replace(made, model=MODEL), folder / "jet_constituents"


@pytest.fixture(scope="module")
def chain(fitted, bundle, tmp_path_factory) -> Chain:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    fits = {"jet_constituents": fitted[1]}
    made = build_bundle(fits, folder, name="b", title="t", tag="T", training_sample=("s",), base=bundle)
    return Chain(made, branches=["PFCands", "JetPFCands", "Jet"])


@pytest.fixture(scope="module")
def drawn(chain, gen) -> Events:
    return chain.simulate(_folds(gen, 3), seed=99)


def _check_sums(events: Events) -> None:
    jets, candidates = events["Jet"], events["PFCands"]
    candidate, jet = found.flat_jets(events)
    assert np.array_equal(candidate, np.arange(candidates.n_objects))
    number = np.bincount(jet, minlength=jets.n_objects)
    assert np.array_equal(number, jets["nConstituents"].astype(np.int64))
    vectors = sums.cartesian(*(candidates[name] for name in ("pt", "eta", "phi", "mass")))
    wanted = sums.raw_vectors(jets)
    off = np.abs(sums.summed(vectors, jet, jets.n_objects) - wanted)
    # float32 in memory
    assert (off < 2e-6 * wanted[:, :1]).all()


def test_those_of_the_reference_detector_sum_up_to_their_jets(reference):
    assert reference["PFCands"].n_objects > 5000
    _check_sums(reference)
    jets, candidates = reference["Jet"], reference["PFCands"]
    _, jet = found.flat_jets(reference)
    energy = sums.cartesian(*(candidates[name] for name in ("pt", "eta", "phi", "mass")))[:, 0]
    charged = np.bincount(jet, energy * (np.abs(candidates["pdgId"]) == 211), minlength=jets.n_objects)
    share = charged / sums.raw_vectors(jets)[:, 0]
    assert np.corrcoef(share, jets["chHEF"])[0, 1] > 0.95
    assert set(np.unique(candidates["pdgId"]).tolist()) <= set(found.PDG_IDS.tolist())


def test_without_them_the_reference_detector_makes_what_it_always_made(gen, reference):
    plain = ReferenceDetector().simulate(_folds(gen, 4), seed=3)
    assert {"PFCands", "JetPFCands"} == reference.collections.keys() - plain.collections.keys()
    for name, one in plain.collections.items():
        for attribute, column in one.columns.items():
            assert np.array_equal(reference[name][attribute], column), f"{name}_{attribute}"


def test_a_table_has_all_of_them_beside_their_jets(reference):
    table = extract(reference, MODEL)
    assert len(table.row) == reference["PFCands"].n_objects
    assert np.array_equal(table.number, reference["Jet"]["nConstituents"])
    # pt as a share, times their number, is one on the average of each jet, but for what is transverse to it
    assert np.mean(table.targets["share"]) == pytest.approx(1, abs=0.05)
    again = MODEL.restore(
        {name: column.astype(np.float64) for name, column in table.targets.items()},
        MODEL.source(reference).take(table.row),
    )
    # directions end at 6, so that one soft candidate beyond moves all of its jet
    beyond = np.unique(found.flat_jets(reference)[1][np.abs(reference["PFCands"]["eta"]) > 6])
    kept = ~np.isin(found.flat_jets(reference)[1], beyond)
    assert len(beyond) < 0.002 * reference["Jet"].n_objects
    for name in ("pt", "eta", "phi", "mass", "d0", "puppiWeight"):
        assert again[name][kept] == pytest.approx(reference["PFCands"][name][kept], rel=1e-3, abs=1e-4), name
    assert np.array_equal(again["pdgId"], reference["PFCands"]["pdgId"])


def test_jets_of_which_candidates_are_lacking_are_not_learned_from(reference):
    entries = reference["JetPFCands"]
    jet = found.flat_jets(reference)[1]
    # the hardest candidate of every other jet
    first = np.concatenate([[True], np.diff(jet) != 0])
    kept = ~(first & (jet % 2 == 0))
    poor = reference.with_collections({"JetPFCands": entries.select(kept)})
    table = extract(poor, MODEL)
    number = reference["Jet"]["nConstituents"]
    lone = number == 1
    assert not table.number[::2][lone[::2]].any()
    assert np.array_equal(table.number[1::2], number[1::2])
    assert table.number[::2].sum() < 0.3 * number[::2].sum()


def test_the_chain_draws_as_many_as_a_jet_has_and_they_sum_up_to_it(drawn):
    assert drawn["PFCands"].n_objects > 3000
    _check_sums(drawn)
    wanted = {one.attribute for one in Schema.load("v9").attributes("PFCands")}
    assert set(drawn["PFCands"].columns) == wanted
    for name in wanted:
        assert np.isfinite(drawn["PFCands"][name].astype(float)).all(), name
    same_jet = np.diff(found.flat_jets(drawn)[1]) == 0
    assert (np.diff(drawn["PFCands"]["pt"])[same_jet] <= 0).all()


def test_chunks_change_nothing(chain, gen, drawn):
    pieces = ((0, 7), (7, 41), (41, gen.n))
    parts = [chain.simulate(_folds(gen.slice(*piece), 3, piece[0]), seed=99) for piece in pieces]
    whole = Events.concatenate(parts)
    for name in ("PFCands", "JetPFCands"):
        assert np.array_equal(whole[name].counts, drawn[name].counts)
        for attribute, column in drawn[name].columns.items():
            assert np.array_equal(whole[name][attribute], column), f"{name}_{attribute}"


def test_files_pass_the_checks_and_others_read_them(drawn, tmp_path):
    path = tmp_path / "nano.root"
    with NanoWriter(path, schema=Schema.load("v9"), provenance={}) as writer:
        writer.write(drawn)
    check_file(path, schema=Schema.load("v9"))
    with NanoFile(str(path)) as file:
        again = file.read(sorted(file.branches), 0, file.n_entries)
    assert np.array_equal(again["JetPFCands"]["jetIdx"], drawn["JetPFCands"]["jetIdx"])
    from coffea import nanoevents

    events = nanoevents.NanoEventsFactory.from_root(
        {str(path): "Events"}, schemaclass=nanoevents.PFNanoAODSchema, mode="eager"
    ).events()
    import awkward as ak

    pairs = events.JetPFCands
    assert ak.all(pairs.pf.pt == pairs.pt)
    of_first = events.PFCands[pairs.pFCandsIdx[pairs.jetIdx == 0]]
    has_jet = ak.num(events.Jet) > 0
    number = ak.num(of_first)[has_jet]
    assert ak.all(number == ak.firsts(events.Jet.nConstituents)[has_jet])
    assert ak.all(pairs.jet.pt == events.Jet[pairs.jetIdx].pt)


def test_each_set_is_drawn_by_itself_and_its_members_see_each_other(fitted):
    made, _ = fitted
    with torch.no_grad():
        for weight in made.networks["generator"].parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    rng = np.random.default_rng(4)
    sets = rng.permutation(np.repeat(np.arange(40), rng.integers(1, 70, 40)))
    conditions = rng.normal(size=(40, len(MODEL.conditions))).astype(np.float32)[sets]
    normals = rng.normal(size=(len(sets), made.n_normals))
    whole = made.of_sets(conditions, normals, sets)
    some = np.isin(sets, (3, 17, 30))
    assert np.array_equal(made.of_sets(conditions[some], normals[some], sets[some]), whole[some])
    other = normals.copy()
    one = np.flatnonzero(sets == np.argmax(np.bincount(sets)))
    other[one[0]] += 1
    moved = np.any(made.of_sets(conditions, other, sets) != whole, axis=1)
    assert np.array_equal(np.flatnonzero(moved), one)


def test_sets_are_padded_to_shapes_that_only_their_size_decides():
    sets = np.array([5, 5, 9, 5, 1, 9, 5, 5])
    blocks = list(padded_sets(sets, 8))
    assert [block.shape for block in blocks] == [(2, 4), (1, 8)]
    assert sorted(one for block in blocks for one in block[block >= 0].tolist()) == list(range(8))
    for block in blocks:
        for row in block:
            assert len(set(sets[row[row >= 0]].tolist())) <= 1
    assert list(padded_sets(np.zeros(0, np.int64), 8)) == []


def test_it_is_made_on_demand_only(chain):
    assert MODEL in OPTIONAL_MODELS
    assert MODEL not in MODELS
    models = [one.model for _, group in chain.groups for one in group]
    assert MODEL.name in [one.name for one in makers(["JetPFCands_pt"], models)]
    assert MODEL.name not in [one.name for one in makers(["Jet"], models)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_learns_a_number_that_is_given(kind):
    found_kind = find_kind(kind)
    size = found_kind.declared_size(MODEL, width=8, blocks=1)
    assert not [name for name in found_kind.expected_shapes(MODEL, size) if name.startswith("multiplicity")]


def test_no_other_version_has_them():
    assert MODEL.name not in {model.name for model in models_of("v15")}
    assert in_version(MODEL, "v9") is MODEL
    with pytest.raises(RequestError, match=r"jet_constituents: NanoAOD v15 has no PFCands here"):
        in_version(MODEL, "v15")


def test_a_reweighter_of_sets_is_refused(fitted, tmp_path):
    made, folder = fitted
    entry = fitted_entry(folder, MODEL.name)
    section = ReweighterSection(
        of="0" * 64,
        use="resample",
        candidates=2,
        least=0.05,
        most=20,
        scale=1,
        shift=0,
        mean=1,
        classifier=(4,),
        knots=0,
    )
    with pytest.raises(BundleError, match="draws the objects of a source together"):
        FittedModel.load(MODEL, entry.model_copy(update={"reweighter": section}), made.tensors())
    shutil.copytree(folder, tmp_path / "fits" / MODEL.name)
    with pytest.raises(RequestError, match="fit it as another kind to reweight it"):
        unseen_by_fit(MODEL, tmp_path, ReweighterSection)


def test_another_evaluator_is_never_asked_for_sets(chain, drawn, gen):
    class Telling:
        takes_many = True

        def __init__(self, one):
            self.one, self.asked = one, set()

        def prepare(self):
            self.one.prepare()

        def evaluate(self, works):
            self.asked |= {work.model for work in works}
            return self.one.evaluate(works)

    own = chain.evaluator
    chain.evaluator = Telling(own)
    try:
        again = chain.simulate(_folds(gen, 3), seed=99)
        assert "jet_from_genjet" in chain.evaluator.asked
        assert MODEL.name not in chain.evaluator.asked
    finally:
        chain.evaluator = own
    assert np.array_equal(again["PFCands"]["pt"], drawn["PFCands"]["pt"])


@pytest.mark.skipif("FLASHSIM_PROD_NANO_SAMPLES" not in os.environ, reason="no folder of NanoAOD files")
def test_a_public_file_of_pfnano_gives_sets():
    path = Path(os.environ["FLASHSIM_PROD_NANO_SAMPLES"]) / "ttbar_ul18_v9_pfnano.root"
    with NanoFile(str(path), Schema.default(), declared=True) as file:
        names = sorted(file.branches & Schema.default().branches.keys())
        events = file.read(names, 0, file.n_entries)
    table = extract(events, MODEL)
    # it holds candidates of fat jets alone, without those that PUPPI gives no weight
    assert 15 < (table.number > 0).sum() < 40
    assert len(table.row) == table.number.sum() > 300
    assert np.mean(table.targets["share"]) == pytest.approx(1, abs=0.4)
