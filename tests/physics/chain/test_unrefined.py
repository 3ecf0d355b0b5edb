"""What a refiner moved, kept beside what it made of it: on request, of floats alone, in any pieces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from flashsim_prod.errors import EventsError
from flashsim_prod.physics.chain.bundle import ModelEntry, load_bundle, read_tensors
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.corrections.refiner import Refiner, moving, untrained
from flashsim_prod.physics.chain.corrections.section import RefinerSection
from flashsim_prod.physics.chain.corrections.unrefined import Restored, with_unrefined
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import Rows
from flashsim_prod.physics.chain.objects.event import SCALARS
from flashsim_prod.physics.chain.objects.jet import FROM_GEN_JET, FROM_PILEUP
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.carried import KEPT_UNREFINED
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.merger import merge_files
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.versions.names import writing
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
from flashsim_prod.physics.training.correcting.folder import Unseen, leave
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.tables import extract

NUMBERING = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 9, "job_gen_first": 0}
RHO = "fixedGridRhoFastjetAll"


@pytest.fixture(scope="module")
def folds(gen: Events) -> Events:
    return fold_events(gen, oversample=2, gen_first=0, **NUMBERING).slice(0, 40)


@pytest.fixture(scope="module")
def bundles(folds: Events, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle of one model that knows nothing, and the same with a refiner that moves it anywhere."""
    work = tmp_path_factory.mktemp("refined")
    table = extract(ReferenceDetector().simulate(folds, seed=1), SCALARS)
    gaussianisers = tuple(Gaussianiser.fit(table.targets[one.name]) for one in SCALARS.targets)
    torch.manual_seed(3)
    fitted = FittedModel.untrained(SCALARS, Standardiser.fit(table.conditions), gaussianisers, kind="gan")
    folder = work / "fits" / SCALARS.name
    save_fitted(fitted, FitRecord(1, 1, FitSettings(), {"gan": [(0, 1.0, 1.0)]}), folder)
    about = {"name": "b", "title": "t", "tag": "T", "training_sample": ("s",)}
    build_bundle({SCALARS.name: folder}, work / "plain", **about)
    entry = ModelEntry.from_mapping(json.loads((folder / "entry.json").read_text()), "entry")
    found = Unseen(SCALARS, entry, read_tensors(folder / entry.file), table)
    moves = moving(SCALARS, gaussianisers)
    section = RefinerSection(of=found.digest, moves=moves, width=8, blocks=1)
    network = untrained(SCALARS, section)
    torch.nn.init.normal_(network.leave.weight)
    leave(found.corrected(Refiner.trained(section, network, gaussianisers), {}), work)
    build_bundle({SCALARS.name: folder}, work / "refined", **about)
    return work / "plain", work / "refined"


def test_both_are_there_on_request_the_same_in_any_pieces(bundles, folds):
    plain, refined = map(load_bundle, bundles)
    drawn = Chain(plain).simulate(folds, seed=5)
    kept = Chain(refined, keep_unrefined=True).simulate(folds, seed=5)
    alone = Chain(refined).simulate(folds, seed=5)
    assert not [name for name in alone.scalars if name.endswith("unrefined")]
    for name, column in alone.scalars.items():
        assert np.array_equal(kept.scalars[name], column)
    before = [name for name in kept.scalars if name.endswith("unrefined")]
    assert f"{RHO}unrefined" in before
    for name in before:
        of = name.removesuffix("unrefined")
        assert kept.scalars[name].dtype == kept.scalars[of].dtype == np.float32
        assert np.array_equal(kept.scalars[name], drawn.scalars[of])
    assert np.mean(kept.scalars[RHO] != drawn.scalars[RHO]) > 0.9
    # a whole number is drawn, too, and is not refined
    assert "PV_npvsunrefined" not in kept.scalars
    assert np.array_equal(kept.scalars["PV_npvs"], drawn.scalars["PV_npvs"])
    chain = Chain(refined, keep_unrefined=True, branches=[f"{RHO}unrefined"])
    parts = [chain.simulate(one, seed=5) for one in (folds.slice(0, 11), folds.slice(11, folds.n))]
    found = np.concatenate([one.scalars[f"{RHO}unrefined"] for one in parts])
    assert np.array_equal(found, kept.scalars[f"{RHO}unrefined"])
    # nothing is kept of a bundle that refines nothing
    nothing = Chain(plain, keep_unrefined=True).simulate(folds.slice(0, 2), seed=5)
    assert not [name for name in nothing.scalars if name.endswith("unrefined")]


def test_files_that_say_so_have_them_and_merged_ones_too(bundles, folds, tmp_path):
    chain = Chain(load_bundle(bundles[1]), keep_unrefined=True)
    events, paths = chain.simulate(folds, seed=5), []
    for number, part in enumerate((events.slice(0, 20), events.slice(20, folds.n))):
        paths.append(tmp_path / f"{number}.root")
        about = {"software": "a test", KEPT_UNREFINED: "kept"}
        with NanoWriter(paths[-1], schema=chain.schema, provenance=about) as writer:
            writer.write(part)
    merged = tmp_path / "merged.root"
    plain = Schema.default()
    merge_files(paths, merged, schema=plain, tool="uproot")
    check_file(merged, schema=plain, events=folds.n)
    silent = tmp_path / "silent.root"
    with NanoWriter(silent, schema=chain.schema, provenance={"software": "a test"}) as writer:
        writer.write(events)
    with pytest.raises(EventsError, match=r"has an unknown branch '.*unrefined'"):
        check_file(silent, schema=plain, events=folds.n)


def test_all_sources_of_a_collection_have_the_same():
    rows = Rows(np.zeros(2, np.int64), np.arange(2), {})
    pt, area, number = np.array([30.0, 20.0]), np.array([0.5, 0.4]), np.array([4.0, 5.0])
    refined = {"pt": pt, "area": area, "nConstituents": number, "partonFlavour": number}
    made = [
        Restored(FROM_GEN_JET, rows, refined, {**refined, "pt": pt + 1}),
        Restored(FROM_PILEUP, rows, refined),
    ]
    (_, first), (_, second) = with_unrefined(made, Schema.default().with_unrefined())
    assert first.keys() == second.keys() == {*refined, "ptunrefined", "areaunrefined"}
    assert np.array_equal(first["ptunrefined"], pt + 1)
    assert np.array_equal(second["ptunrefined"], pt)


def test_they_go_by_the_names_of_the_version_that_is_written():
    one = np.ones(1, np.float32)
    events = Events(
        1,
        {RHO: one, f"{RHO}unrefined": one},
        # the version has another training under the name
        {
            "Muon": Collection(
                np.array([1]), dict.fromkeys(("pt", "ptunrefined", "mvaTTH", "mvaTTHunrefined"), one)
            )
        },
    )
    written = writing("v9", "v15").written(events)
    assert written.scalars.keys() == {f"Rho_{RHO}", f"Rho_{RHO}unrefined"}
    assert written["Muon"].columns.keys() == {"pt", "ptunrefined"}
    schema = Schema.load("v15")
    assert {f"Rho_{RHO}unrefined", "Muon_ptunrefined"} <= schema.with_unrefined().branches.keys()
    assert schema.with_unrefined().counter_dtype == schema.counter_dtype == np.int32
