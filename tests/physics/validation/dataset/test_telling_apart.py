"""A classifier sees what a page of distributions does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.validation.dataset.fidelity import compare_samples
from flashsim_prod.physics.validation.dataset.samples import Sample
from flashsim_prod.physics.validation.dataset.telling_apart import events_told_apart, objects_told_apart

N = 800
V9 = Schema.load("v9")


def quiet(stage: str, done: int, total: int) -> None:
    """No progress is shown."""


def _sample(seed: int, *, related: float = 0.0, gen: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1.0, size=N)
    n = int(counts.sum())
    score = rng.normal(size=n)
    other = related * score + np.sqrt(1 - related**2) * rng.normal(size=n)
    columns = {"pt": rng.exponential(100, size=n), "msoftdrop": score, "tau21": other}
    fat = Collection(counts, {name: column.astype(np.float32) for name, column in columns.items()})
    columns = {"pt": fat["pt"], "btagHbb": fat["msoftdrop"], "btagDDBvLV2": fat["tau21"]}
    scalars = {"MET_pt": rng.exponential(50, size=N).astype(np.float32)}
    events = Events(N, scalars, {"FatJet": Collection(counts, columns)})
    return Sample("", (), events, np.arange(gen, gen + N), np.ones(N), V9)


ATTRIBUTES = ["pt", "btagHbb", "btagDDBvLV2"]


def test_samples_of_one_kind_are_not_told_apart() -> None:
    found = objects_told_apart("FatJet", ATTRIBUTES, _sample(1), _sample(2, gen=N))
    assert found is not None
    assert found.light == "green"
    assert found.interval[0] < 0.5 < found.interval[1]
    assert abs(found.floor.value - 0.5) < 4 * found.floor.error


def test_a_group_with_green_distributions_is_red_when_its_relations_are_wrong() -> None:
    sample, reference = _sample(1), _sample(2, related=0.995, gen=N)
    found = objects_told_apart("FatJet", ATTRIBUTES, sample, reference)
    assert found is not None
    assert found.light == "red"
    assert found.auc.value > 0.9
    assert {name for name, _ in found.importance[:2]} == {"btagHbb", "btagDDBvLV2"}
    fidelity = compare_samples(sample, reference, quiet)
    (group,) = [one for one in fidelity.groups if one.name == "FatJet"]
    assert {one.light for one in group.shapes} == {"green"}
    assert group.light == "red"
    assert group.complaints[0] == f"told apart with an AUC of {found.auc.value:.2f}"


def test_whole_events_are_told_apart_by_what_is_in_them() -> None:
    sample, reference = _sample(1), _sample(2, gen=N)
    shifted = reference.events.with_scalars({"MET_pt": reference.events.scalars["MET_pt"] + np.float32(200)})
    found = events_told_apart(sample, replace(reference, events=shifted))
    assert found is not None
    assert found.light == "red"
    assert found.importance[0][0] == "MET_pt"
    assert (
        compare_samples(sample, replace(reference, events=shifted), quiet).red_of_events[0].startswith("told")
    )
    same = events_told_apart(sample, reference)
    assert same is not None
    assert same.light == "green"


def test_a_weighted_dataset_is_told_apart_by_what_its_events_count_for() -> None:
    sample, reference = _sample(1), _sample(2, gen=N)
    # half as many events with much MET as there were, in the reference; half as much weight, in the sample
    met, true = (one.events.scalars["MET_pt"] for one in (sample, reference))
    kept = (true < 30) | (np.random.default_rng(3).random(N) < 0.2)
    thinned = replace(
        reference,
        events=reference.events.take(np.flatnonzero(kept)),
        gen=reference.gen[kept],
        weight=np.ones(kept.sum()),
    )
    weighted = replace(sample, weight=np.where(met < 30, 1.0, 0.2))
    plain, counted = (events_told_apart(one, thinned) for one in (sample, weighted))
    assert plain is not None
    assert counted is not None
    assert plain.auc.value > 0.6
    assert counted.auc.value < 0.55
    # the sign of a weight does not matter to trees, nor its unit
    signed = replace(weighted, weight=-7 * weighted.weight)
    found = events_told_apart(signed, thinned)
    assert found is not None
    assert found.auc.value == pytest.approx(counted.auc.value)


def test_what_has_no_value_anywhere_does_not_stop_it() -> None:
    sample, reference = _sample(1), _sample(2, gen=N)
    fat = sample.events["FatJet"]
    without = sample.events.with_collections(
        {"FatJet": fat.with_columns(btagHbb=np.full_like(fat["pt"], np.nan))}
    )
    found = objects_told_apart("FatJet", ATTRIBUTES, replace(sample, events=without), reference)
    assert found is not None
    assert found.auc.value == pytest.approx(1.0)


def test_too_few_are_not_judged() -> None:
    few = _sample(1).events.slice(0, 30)
    sample = replace(_sample(1), events=few, gen=np.arange(30), weight=np.ones(30))
    assert objects_told_apart("FatJet", ATTRIBUTES, sample, sample) is None
    assert events_told_apart(sample, sample) is None
