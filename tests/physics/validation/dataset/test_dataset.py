"""A dataset next to its reference: a broken model turns the page red in the right place."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle, save_model
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.writing import save_manifest
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.validation.dataset import page as dataset_page
from flashsim_prod.physics.validation.dataset.fidelity import compare_samples
from flashsim_prod.physics.validation.dataset.page import Validation, validate, write_validation
from flashsim_prod.physics.validation.dataset.samples import Sample
from flashsim_prod.physics.validation.drawing import plots
from flashsim_prod.physics.validation.statistics.clustered import Entries
from flashsim_prod.physics.validation.statistics.clustered import Test as ShapeTest

V9 = Schema.load("v9")

BROKEN = "jet_from_genjet"
#: what is made before jets are, so that they cannot have spoilt it
UPSTREAM = ("PV", "Event")
FOLDS = 6


def quiet(stage: str, done: int, total: int) -> None:
    """No progress is shown."""


@pytest.fixture(scope="module")
def folds(gen) -> Events:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 500, "job_gen_first": 0}
    return fold_events(gen, oversample=FOLDS, gen_first=0, **numbering)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dataset")


def _write(path, events, about):
    with NanoWriter(path, schema=V9, provenance=about) as writer:
        writer.write(events)
    return str(path)


@pytest.fixture(scope="module")
def reference(folds, folder) -> str:
    events = ReferenceDetector().simulate(folds, seed=3)
    return _write(folder / "reference.root", events, {"detector": "reference detector"})


@pytest.fixture(scope="module")
def broken_bundle(tmp_path_factory):
    """The shipped bundle with the weights of one model shuffled; all digests are right."""
    folder = tmp_path_factory.mktemp("bundle") / "broken"
    shutil.copytree(find_bundle("reference"), folder)
    bundle = load_bundle(folder).of_teachers
    rng = np.random.default_rng(1)
    shuffled = {
        name: rng.permutation(tensor.ravel()).reshape(tensor.shape) if "weight" in name else tensor
        for name, tensor in bundle.tensors(BROKEN).items()
    }
    assert any("weight" in name for name in shuffled)
    file, digest = save_model(folder, BROKEN, shuffled)
    entry = bundle.manifest.models[BROKEN].model_copy(update={"file": file, "sha256": digest})
    models = {**bundle.manifest.models, BROKEN: entry}
    save_manifest(folder, bundle.manifest.model_copy(update={"models": models}))
    return load_bundle(folder)


def _validated(bundle, name, folds, folder, reference) -> Validation:
    events = Chain(bundle).simulate(folds, seed=5)
    made = _write(folder / f"{name}.root", events, {"bundle_digest": bundle.digest})
    return validate(name, [made], [reference], max_events=5000, progress=quiet, problems=())


@pytest.fixture(scope="module")
def intact(folds, folder, reference) -> Validation:
    return _validated(load_bundle(find_bundle("reference")), "intact", folds, folder, reference)


@pytest.fixture(scope="module")
def broken(folds, folder, reference, broken_bundle) -> Validation:
    return _validated(broken_bundle, "broken", folds, folder, reference)


def _reds(validation: Validation, name: str) -> int:
    return next(group.count("red") for group in validation.fidelity.groups if group.name == name)


def test_shuffled_weights_turn_the_right_place_red(intact, broken):
    assert _reds(broken, "Jet") > 10
    assert _reds(broken, "Jet") > _reds(intact, "Jet") + 8
    assert "Jet" in [group.name for group in broken.red_groups]
    for name in UPSTREAM:
        assert _reds(broken, name) == _reds(intact, name) == 0
    assert broken.light == "red"


def test_what_is_compared_follows_from_the_files(intact):
    groups = {group.name: group for group in intact.fidelity.groups}
    branches = {shape.branch for group in groups.values() for shape in group.shapes}
    assert {"nJet", "Jet_pt", "Jet_btagDeepFlavB", "MET_pt", "PV_npvs"} <= branches
    # generator level, links and bookkeeping are no reconstruction
    assert not [name for name in branches if name.startswith(("Gen", "Pileup", "FlashSim", "nGen"))]
    assert not {"Jet_genJetIdx", "Jet_muonIdx1", "genWeight", "event"} & branches
    titles = {one.title for one in groups["Jet"].rates}
    assert titles == {
        "share of GenJet found in Jet",
        "share of Jet with a match in GenJet",
        "share of Jet with less pt than the one before",
    }
    assert intact.shared
    assert intact.reference.title == "reference detector"
    assert (intact.sample.n_gen, intact.sample.events.n) == (60, 60 * FOLDS)


def test_a_sample_agrees_with_itself(reference):
    found = validate("itself", [reference], [reference], max_events=300, progress=quiet)
    assert found.light == "green"
    assert all(shape.size < 1e-9 for group in found.fidelity.groups for shape in group.shapes)


def test_other_generator_events_are_told_apart(folds, folder, reference):
    moved = ReferenceDetector().simulate(folds.take(np.arange(FOLDS, folds.n)), seed=8)
    renumbered = moved.with_scalars({"FlashSim_genEvent": moved.scalars["FlashSim_genEvent"] - np.uint64(1)})
    path = _write(folder / "others.root", renumbered, {"detector": "reference detector"})
    found = validate("others", [reference], [path], max_events=5000, progress=quiet)
    assert not found.shared
    assert not np.intersect1d(found.sample.gen, found.reference.gen).size


def test_the_page_says_in_a_line_what_is_wrong_and_needs_no_network(
    broken, tmp_path, monkeypatch, page_reader
):
    # hundreds of figures take a minute, and are tested by themselves
    for name in ("overlay_entries", "rates", "heat_map"):
        monkeypatch.setattr(plots, name, lambda *positional, **named: b"figure")
    page = write_validation(broken, tmp_path / "new", quiet)
    parsed = page_reader()
    parsed.feed(page.read_text())
    assert not parsed.open
    assert all(link.startswith(("data:", "#")) for link in parsed.links)
    text = " ".join("".join(parsed.words).split())
    reds = broken.red_groups
    assert f"{len(reds)} of {len(broken.fidelity.groups)} groups differ from the reference detector: " in text
    assert "Jet" in text.split("differ from the reference detector:")[1].split(".")[0]
    assert "FullSim" not in text
    figures = json.loads((page.parent / dataset_page.JSON_NAME).read_text())
    assert figures["light"] == "red"
    assert {one["name"]: one["light"] for one in figures["groups"]} == {
        group.name: group.light for group in broken.fidelity.groups
    }


def test_the_page_fits_a_window_of_1200_pixels(broken, tmp_path, monkeypatch, too_wide):
    for name in ("overlay_entries", "rates", "heat_map"):
        monkeypatch.setattr(plots, name, lambda *positional, **named: b"figure")
    page = write_validation(broken, tmp_path / "page", quiet)
    assert too_wide(page) == []


def test_the_worst_groups_come_first(broken):
    reds = [group.count("red") for group in broken.fidelity.groups]
    assert reds == sorted(reds, reverse=True)
    assert reds[0] > 10


def test_a_few_values_far_beyond_the_reference_are_seen(intact):
    sample, reference = intact.sample, intact.reference
    known = reference.events["Muon"]["dxy"]
    dxy = np.clip(sample.events["Muon"]["dxy"], known.min(), known.max())
    first = np.flatnonzero(np.diff(sample.gen[sample.events["Muon"].event_index], prepend=-1))
    dxy[first[:3]] = 400.0
    muons = sample.events["Muon"].with_columns(dxy=dxy)
    spoilt = replace(sample, events=sample.events.with_collections({"Muon": muons}))
    found = compare_samples(spoilt, reference, quiet)
    shapes = {one.branch: one for group in found.groups for one in group.shapes}
    assert shapes["Muon_dxy"].far_out == 3
    assert shapes["Muon_dxy"].ranges[0][1] == 400.0
    # too few muons to judge the shape by, but there is no doubt about these
    assert replace(shapes["Muon_dxy"], test=ShapeTest(1.0, 5, 0.9)).light == "amber"
    assert shapes["Muon_dz"].far_out < 3


def test_efficiencies_are_of_what_could_be_found(intact):
    rates = {(one.title, one.axis): one.rates for group in intact.fidelity.groups for one in group.rates}
    jets = rates["share of GenJet found in Jet", "GenJet_pt"]
    # generated jets go down to 3 GeV, far below what is ever found
    assert jets.edges[0] > 4
    assert max(jets.reference) > 0.9


def _with_holes(sample: Sample) -> Sample:
    """The same, but some values of jets are not finite, and all of one attribute."""
    jets = sample.events["Jet"]
    columns = {name: jets[name].copy() for name in ("pt", "qgl", "btagDeepB")}
    columns["pt"][:2] = np.inf
    columns["qgl"][:5] = np.nan
    columns["btagDeepB"][:] = np.nan
    met = sample.events.scalars["MET_pt"].copy()
    met[3] = np.nan
    events = sample.events.with_collections({"Jet": jets.with_columns(**columns)})
    return replace(sample, events=events.with_scalars({"MET_pt": met}))


def test_what_is_not_finite_is_counted_and_left_out(intact, tmp_path, monkeypatch, page_reader):
    for name in ("overlay_entries", "rates", "heat_map"):
        monkeypatch.setattr(plots, name, lambda *positional, **named: b"figure")
    holed = _with_holes(intact.reference)
    found = compare_samples(intact.sample, holed, quiet)
    n_jets = holed.events["Jet"].n_objects
    assert found.not_finite == {
        "Jet_btagDeepB": (0, n_jets),
        "Jet_pt": (0, 2),
        "Jet_qgl": (0, 5),
        "MET_pt": (0, 1),
    }
    (jets,) = [group for group in found.groups if group.name == "Jet"]
    assert jets.correlations is not None
    assert "btagDeepB" not in jets.correlations.names
    assert jets.correlations.left_out == (0, 5)
    assert np.isfinite(jets.correlations.largest + jets.correlations.floor)
    page = write_validation(replace(intact, reference=holed, fidelity=found), tmp_path, quiet)

    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    text = (tmp_path / dataset_page.JSON_NAME).read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse)["not_finite"]["Jet_qgl"] == [0, 5]
    parsed = page_reader()
    parsed.feed(page.read_text(encoding="utf-8"))
    assert "Jet_qgl 0 and 5" in " ".join("".join(parsed.words).split())


def test_what_is_finite_is_said_as_before(intact):
    assert intact.fidelity.not_finite == {}


def test_weights_that_are_not_finite_are_refused(folds, folder, reference):
    weights = np.where(np.arange(folds.n) == 2, np.nan, 1.0).astype(np.float32)
    events = ReferenceDetector().simulate(folds, seed=4).with_scalars({"genWeight": weights})
    path = _write(folder / "weights.root", events, {"detector": "reference detector"})
    with pytest.raises(InputError, match=r"weights.root: genWeight is not finite in 1 events"):
        validate("weights", [path], [reference], max_events=500, progress=quiet)


def test_failed_technical_checks_make_it_red(intact, tmp_path):
    problem = "a.root, event 1:1:7 (entry 6): MET_pt = nan is not finite"
    found = replace(intact, problems=(problem,))
    assert found.light == "red"
    assert found.summary()["problems"] == [problem]


def test_files_with_nothing_in_common_are_refused(gen, folder, reference):
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 500, "job_gen_first": 0}
    only_gen = fold_events(gen, oversample=1, gen_first=0, **numbering)
    path = _write(folder / "gen.root", only_gen, {})
    with pytest.raises(InputError, match="no reconstructed branch in common"):
        validate("gen", [path], [reference], max_events=500, progress=quiet)


def test_figures_are_pictures(intact):
    rng = np.random.default_rng(1)
    one, other = (Entries(rng.normal(size=500), np.arange(500), np.ones(500)) for _ in range(2))
    titles = ("reference detector", "FlashSim")
    rates = next(one.rates[0].rates for one in intact.fidelity.groups if one.rates)
    made = [
        plots.overlay_entries(one, other, label="x", titles=titles, discrete=False, caption="Simulation"),
        plots.rates(rates, label="pt", titles=titles, quantity="fraction", caption="Simulation"),
    ]
    assert all(png.startswith(b"\x89PNG") and 2000 < len(png) < 40_000 for png in made)


#: with a collection whose name holds an underscore
PROTONS = Schema.parse(
    "v99",
    [
        """
plain
run                u32  -     run number
luminosityBlock    u32  -     luminosity section
event              u64  -     event number
genWeight          f32  full  weight
group FlashSim
genEvent           u64  -     generated event
fold               i32  -     copy
oversample         i32  -     copies
collection Proton_multiRP  Protons
t                  f32  full  momentum transfer [GeV2]
pt                 f32  full  transverse momentum [GeV]
genPartIdx         i32  ->GenPart  what it is
collection GenPart  Particles
pt                 f32  full  transverse momentum [GeV]
eta                f32  full  pseudorapidity
""",
    ],
)


def _with_protons(seed: int) -> Events:
    rng, n = np.random.default_rng(seed), 300
    counts = rng.poisson(3.0, n)
    total = int(counts.sum())
    columns = {
        "t": rng.exponential(size=total).astype(np.float32),
        "pt": rng.exponential(size=total).astype(np.float32),
        "genPartIdx": Collection(counts).local_index.astype(np.int32),
    }
    particles = {"pt": rng.exponential(30, total).astype(np.float32), "eta": np.zeros(total, np.float32)}
    scalars = {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": np.ones(n, np.uint32),
        "event": np.arange(n, dtype=np.uint64),
        "genWeight": np.ones(n, np.float32),
        "FlashSim_genEvent": np.arange(n, dtype=np.uint64),
        "FlashSim_fold": np.zeros(n, np.int32),
        "FlashSim_oversample": np.ones(n, np.int32),
    }
    protons, gen_parts = Collection(counts, columns), Collection(counts, particles)
    return Events(n, scalars, {"Proton_multiRP": protons, "GenPart": gen_parts})


def test_a_collection_may_have_an_underscore_in_its_name(tmp_path):
    files = []
    for seed in (1, 2):
        files.append(str(tmp_path / f"{seed}.root"))
        with NanoWriter(tmp_path / f"{seed}.root", schema=PROTONS, provenance={}) as writer:
            writer.write(_with_protons(seed))
    found = validate("protons", files[:1], files[1:], schema=PROTONS, max_events=1000, progress=quiet)
    (group,) = found.fidelity.groups
    assert group.name == "Proton_multiRP"
    branches = {shape.branch for shape in group.shapes}
    assert branches == {"nProton_multiRP", "Proton_multiRP_t", "Proton_multiRP_pt"}
    assert group.correlations.names == ("pt", "t")
    write_validation(found, tmp_path / "page", quiet)
    assert 'title="momentum transfer [GeV2]"' in (tmp_path / "page" / "index.html").read_text()


def test_a_page_without_pictures_says_the_same(intact, tmp_path, page_reader, monkeypatch):
    def refuse(*positional, **named):
        raise AssertionError("nothing is to be drawn")

    for name in ("overlay_entries", "rates", "heat_map"):
        monkeypatch.setattr(plots, name, refuse)
    page = write_validation(intact, tmp_path, quiet, figures=False)
    parsed = page_reader()
    parsed.feed(page.read_text(encoding="utf-8"))
    assert not parsed.open
    text = " ".join("".join(parsed.words).split())
    assert f"{intact.fidelity.told.auc.value:.3f}" in text
    assert "Jet_pt" in text
    assert "<img" not in page.read_text(encoding="utf-8")
