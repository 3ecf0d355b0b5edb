"""Events of models that weight what they draw: a weight each, the same in any pieces, with its sums."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flashsim_prod.core.choices import WeightUse
from flashsim_prod.core.report import EventWeights
from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.bundle import ModelEntry, load_bundle, read_tensors
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.compatibility import check_samplings, weighting
from flashsim_prod.physics.chain.corrections.reweighter import Reweighter, classifier
from flashsim_prod.physics.chain.corrections.section import ReweighterSection
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.objects.event import SCALARS
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import WEIGHT, Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.merger import merge_files
from flashsim_prod.physics.nanoaod.runs import WEIGHT_SUMS, written_runs
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
from flashsim_prod.physics.training.correcting.folder import Unseen, leave
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.tables import extract

NUMBERING = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 9, "job_gen_first": 0}
SECTION = {"least": 0.05, "most": 20.0, "scale": 1.0, "shift": 0.0, "mean": 1.1, "knots": 4}


@pytest.fixture(scope="module")
def weighted(gen: Events, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one model that knows nothing, with weights that mean nothing."""
    work = tmp_path_factory.mktemp("weighted")
    events = ReferenceDetector().simulate(fold_events(gen, oversample=2, gen_first=0, **NUMBERING), seed=1)
    table = extract(events, SCALARS)
    gaussianisers = tuple(Gaussianiser.fit(table.targets[one.name]) for one in SCALARS.targets)
    torch.manual_seed(3)
    fitted = FittedModel.untrained(SCALARS, Standardiser.fit(table.conditions), gaussianisers, kind="gan")
    folder = work / "fits" / SCALARS.name
    save_fitted(fitted, FitRecord(1, 1, FitSettings(), {"gan": [(0, 1.0, 1.0)]}), folder)
    entry = ModelEntry.from_mapping(json.loads((folder / "entry.json").read_text()), "entry")
    found = Unseen(SCALARS, entry, read_tensors(folder / entry.file), table)
    section = ReweighterSection(
        of=found.digest, use=WeightUse.WEIGHT, candidates=2, classifier=(8,), **SECTION
    )
    network = classifier(SCALARS, section.classifier, section.knots)
    network.spread_knots(torch.randn(500, network.knots.shape[0]))
    leave(found.corrected(Reweighter.trained(section, network), {}), work)
    build_bundle({SCALARS.name: folder}, work / "b", name="b", title="t", tag="T", training_sample=("s",))
    return work / "b"


@pytest.fixture(scope="module")
def folds(gen: Events) -> Events:
    return fold_events(gen, oversample=2, gen_first=0, **NUMBERING)


def test_events_weigh_the_same_in_any_pieces_and_whatever_is_made_of_them(weighted, folds):
    bundle = load_bundle(weighted)
    assert weighting(bundle) == {SCALARS.name}
    weight = Chain(bundle).simulate(folds, seed=5).scalars[WEIGHT]
    assert weight.dtype == np.float32
    assert len(np.unique(weight)) > folds.n / 2
    assert 0.05 / 1.1 <= weight.min() < weight.max() <= 20 / 1.1
    parts = [Chain(bundle).simulate(one, seed=5) for one in (folds.slice(0, 11), folds.slice(11, folds.n))]
    assert np.array_equal(np.concatenate([part.scalars[WEIGHT] for part in parts]), weight)
    alone = Chain(bundle, branches=["GenJet_pt"])
    assert np.array_equal(alone.simulate(folds, seed=5).scalars[WEIGHT], weight)


def test_models_that_weight_nothing_leave_no_weight(weighted, folds, tmp_path):
    bundle = load_bundle(weighted)
    manifest = bundle.manifest
    entry = manifest.models[SCALARS.name]
    resampled = entry.model_copy(
        update={"reweighter": entry.reweighter.model_copy(update={"use": WeightUse.RESAMPLE})}
    )
    other = replace(bundle, manifest=manifest.model_copy(update={"models": {SCALARS.name: resampled}}))
    assert WEIGHT not in Chain(other).simulate(folds.slice(0, 4), seed=5).scalars
    integrated = resampled.model_copy(
        update={"reweighter": resampled.reweighter.model_copy(update={"sampling": Chain(other).sampling})}
    )
    third = replace(bundle, manifest=manifest.model_copy(update={"models": {SCALARS.name: integrated}}))
    with pytest.raises(BundleError, match="knows draws of --solver midpoint --evaluations 8"):
        check_samplings(third, Chain(other).sampling.model_copy(update={"evaluations": 4}))


def test_files_have_the_sums_and_merged_ones_too(weighted, folds, tmp_path):
    chain = Chain(load_bundle(weighted))
    paths = []
    for number, part in enumerate((folds.slice(0, 30), folds.slice(30, folds.n))):
        paths.append(tmp_path / f"{number}.root")
        with NanoWriter(paths[-1], schema=chain.schema, provenance={"software": "a test"}) as writer:
            writer.write(chain.simulate(part, seed=5))
    merged = tmp_path / "merged.root"
    merge_files(paths, merged, schema=chain.schema, tool="uproot")
    weight = chain.simulate(folds, seed=5).scalars[WEIGHT].astype(np.float64)
    sums = written_runs(str(merged))
    assert [len(sums[name]) for name in WEIGHT_SUMS] == [2, 2, 2]
    nominal = folds.scalars["genWeight"].astype(np.float64)
    for name, wanted in zip(WEIGHT_SUMS, (weight, weight**2, weight * nominal), strict=True):
        assert sums[name].sum() == pytest.approx(wanted.sum(), rel=1e-12)
    check_file(merged, schema=chain.schema, events=folds.n)


def test_weighted_events_are_worth_fewer():
    one = EventWeights(events=2, total=4.0, squares=10.0) + EventWeights(events=2, total=4.0, squares=6.0)
    assert one.effective == 4.0
    assert one.told == "FlashSim_weight: 4 events are worth 4 (100.0%), mean weight 2.0000"
    assert EventWeights().effective == 0.0
