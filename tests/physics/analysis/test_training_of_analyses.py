"""How long is learned, what variables look like then, and what is left when it starts over."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from flashsim_prod.core.analyses.config import Analysis, FitOptions
from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import InputError
from flashsim_prod.physics.analysis import training
from flashsim_prod.physics.analysis.sample import Sample
from flashsim_prod.physics.analysis.training import (
    calibrated,
    learned_from,
    note_analysis,
    refuse_other_analysis,
    settings_for,
    start_over,
)
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.registry import SPLINE
from flashsim_prod.physics.chain.model import Condition, NetworkSize, ObjectModel, Target
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.training.table import table_digest

N = 4000
MODEL = ObjectModel(
    name="toy",
    produces="analysis toy",
    uses=(),
    source=lambda events: events,
    conditions=(Condition("a"), Condition("b")),
    targets=(Target("jets"), Target("met")),
    match=lambda events, rows: rows,
    most=1,
    scalar=True,
    size=NetworkSize(width=8, blocks=1, classifier=(8,), knots=4),
)


def test_it_is_learned_as_long_as_the_generator_events_are_worth() -> None:
    def steps(n: int, passing: int, folds: int, fit: FitOptions) -> tuple[int, int]:
        gen = np.repeat(np.arange(n), folds)
        learned: Any = SimpleNamespace(gen=gen, passes=gen < passing)
        found = settings_for(fit, learned)
        return found.flow_steps, found.multiplicity_steps

    plain = FitOptions()
    # folds are no other events
    assert steps(20_000, 8_000, 1, plain) == steps(20_000, 8_000, 3, plain) == (1562, 1171)
    assert steps(2000, 100, 4, plain) == (200, 200)
    assert steps(500_000, 90_000, 1, plain) == (6000, 6000)
    assert steps(2000, 100, 4, FitOptions(steps=700, efficiency_steps=150)) == (700, 150)


def test_variables_have_the_distribution_of_what_was_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_CALIBRATED_WITH", 20_000)
    rng = np.random.default_rng(1)
    conditions = rng.normal(size=(N, 2)).astype(np.float32)
    truth = {"jets": rng.poisson(1.2, N).astype(np.int32), "met": rng.exponential(30, N).astype(np.float32)}
    torch.manual_seed(5)
    maps = tuple(Gaussianiser.fit(truth[name]) for name in truth)
    poor = FittedModel.untrained(MODEL, Standardiser.fit(conditions), maps, kind=SPLINE)
    for weight in poor.networks["spline"].parameters():
        torch.nn.init.normal_(weight, std=0.3)
    learned: Any = SimpleNamespace(conditions=conditions)
    rows = rng.integers(N, size=20_000)
    noise = rng.normal(size=(len(rows), poor.n_normals))

    def apart(model: FittedModel) -> list[float]:
        drawn = model.sample(conditions[rows], noise, Sampling())
        assert set(np.unique(drawn["jets"])) <= set(np.unique(truth["jets"]))
        shares = [
            np.bincount(one.astype(int), minlength=20) / len(one) for one in (drawn["jets"], truth["jets"])
        ]
        levels = np.quantile(truth["met"], [0.1, 0.25, 0.5, 0.75, 0.9])
        below = [(one[:, None] < levels).mean(axis=0) for one in (drawn["met"], truth["met"])]
        return [float(np.abs(one - other).max()) for one, other in (shares, below)]

    assert min(apart(poor)) > 0.05
    good = calibrated(poor, learned, 1)
    assert max(apart(good)) < 0.02
    # what it learns by is another matter, and the same seed gives the same maps
    assert poor.gaussianisers is maps
    for one, other in zip(good.gaussianisers, calibrated(poor, learned, 1).gaussianisers, strict=True):
        np.testing.assert_array_equal(one.cdf, other.cdf)
        assert (one.cdf[0], one.cdf[-1]) == (0, 1)
        assert (np.diff(one.cdf) >= 0).all()


def _learned(offset: float = 0.0) -> Sample:
    rng = np.random.default_rng(4)
    conditions, passes = rng.normal(size=(50, 2)).astype(np.float32), rng.random(50) < 0.5
    targets = {"met": rng.normal(size=passes.sum()) + offset, "jets": rng.integers(0, 5, passes.sum())}
    return Sample(conditions, passes, np.arange(50), np.ones(50), {}, targets)


def test_a_fit_to_other_files_is_not_taken_for_one_to_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, table = _learned(), _learned().table()
    told = {"rows": 50, "objects": len(table.row), "tables": table_digest(table)}
    monkeypatch.setattr(training, "fitted_entry", lambda *_: SimpleNamespace(fit=told))
    learned.save(tmp_path / "learned.safetensors", {})
    for same in (learned, Sample.load(tmp_path / "learned.safetensors")[0]):
        training._refuse_other_events(tmp_path, "toy", same)
    with pytest.raises(InputError, match="is a fit to events of other files; give another --work"):
        training._refuse_other_events(tmp_path, "toy", _learned(1.0))


def test_files_that_a_bundle_learned_from_are_known() -> None:
    sample = ["5 events, of which 3 pass the selection, of a.root b.root, trained on the reference detector"]
    assert learned_from(sample, ["x/b.root", "c.root", "a.root", "b.root"]) == ["b.root", "a.root"]
    assert learned_from(["5 events, of which 3 pass the selection, of a.root"], ["a.root"]) == ["a.root"]
    assert learned_from(["something else"], ["", "else"]) == []


def test_what_starts_over_leaves_what_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "zmumu.yaml").write_text("mine")
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "thesis.tex").write_text("mine")
    # nobody trained here
    start_over(tmp_path)
    assert (tmp_path / "fit" / "thesis.tex").exists()
    one = Analysis.from_mapping(
        {
            "name": "toy",
            "title": "toy",
            "selection": "1",
            "variables": {"x": {"value": "MET_pt", "title": "x"}},
        },
        "toy.yaml",
    )
    note_analysis(one, tmp_path, quick=False)
    for left in ("learned.safetensors", "held_out.safetensors", "detectors.json"):
        (tmp_path / left).write_text("")
    start_over(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["zmumu.yaml"]
    note_analysis(one, tmp_path, quick=False)
    (tmp_path / "analysis.json").write_text('{"analysis": ')
    with pytest.raises(InputError, match=r"analysis\.json: damaged"):
        refuse_other_analysis(one, tmp_path, quick=False)
