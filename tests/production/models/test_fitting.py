"""What is fitted, what is not and why, and what a site is asked to fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.core.site import Site
from flashsim_prod.errors import InputError, JobsFailedError, RequestError
from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.physics.training.fit import LEAST_OBJECTS
from flashsim_prod.physics.training.tables import Table, table_path
from flashsim_prod.production.models import fitting
from flashsim_prod.production.models.fitting import (
    FitDisplay,
    FitOptions,
    Submitted,
    fit_all_models,
    fit_model,
)

NAMES = tuple(model.name for model in MODELS)


class Shown(FitDisplay):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.handed: list[Submitted] = []

    def step(self, task: str, done: int, total: int, loss: float | None = None) -> None:
        self.steps.append((task, done, total))

    def submitted(self, found: Submitted) -> None:
        self.handed.append(found)


def _tables(work: Path, objects: Callable[[str], int], version: str = "") -> None:
    for model in MODELS:
        n = objects(model.name)
        path = table_path(work / "tables", "full.root", model)
        path.parent.mkdir(parents=True)
        conditions = np.zeros((n, len(model.conditions)), dtype=np.float32)
        Table(conditions, np.ones(n, dtype=np.int64), np.arange(n), {}, version=version).save(path)


def _fitted(work: Path, *names: str) -> None:
    for name in names:
        (work / "fits" / name).mkdir(parents=True)
        (work / "fits" / name / "entry.json").touch()


def test_without_any_table_the_advice_is_to_extract(tmp_path: Path) -> None:
    made = fit_all_models(tmp_path, FitOptions(), Shown())
    assert (made.fits, set(made.too_few), set(made.too_few.values())) == ((), set(NAMES), {0})
    with pytest.raises(InputError, match="no training tables; run 'flashsim-prod train extract' first"):
        made.raise_complaint()


def test_models_without_objects_are_named_when_all_others_are_fitted(tmp_path: Path) -> None:
    _tables(tmp_path, lambda name: 0 if name == "muon_duplicate" else LEAST_OBJECTS)
    _fitted(tmp_path, *(name for name in NAMES if name != "muon_duplicate"))
    made = fit_all_models(tmp_path, FitOptions(), Shown())
    assert made.too_few == {"muon_duplicate": 0}
    with pytest.raises(InputError, match=r"not fitted, for want of 1,000 objects.*: muon_duplicate \(0\);"):
        made.raise_complaint()


@pytest.mark.parametrize(
    ("version", "shipped", "base"),
    [
        ("v9", ["reference"], "reference"),
        ("v15", ["reference", "reference_run3"], "reference_run3"),
        ("v15", ["reference"], ""),
        ("v8", ["reference"], ""),
    ],
)
def test_a_bundle_of_the_version_of_the_tables_is_advised(
    version: str, shipped: list[str], base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tables(tmp_path, lambda name: 0 if name == "muon_duplicate" else LEAST_OBJECTS, version)
    _fitted(tmp_path, *(name for name in NAMES if name != "muon_duplicate"))
    monkeypatch.setattr("flashsim_prod.physics.chain.bundle.shipped_bundles", lambda: shipped)
    monkeypatch.setattr("flashsim_prod.physics.chain.bundle.imported_bundles", list)
    told = fit_all_models(tmp_path, FitOptions(), Shown()).complaint
    assert told.endswith(f"train bundle --base {base}" if base else "say it again")


def test_with_everything_fitted_there_is_no_complaint(tmp_path: Path) -> None:
    _fitted(tmp_path, *NAMES)
    made = fit_all_models(tmp_path, FitOptions(), Shown())
    made.raise_complaint()
    assert (made.fits, made.too_few, made.n_models) == ((), {}, len(NAMES))


def test_to_start_over_and_to_go_on_are_not_the_same(tmp_path: Path) -> None:
    _fitted(tmp_path, "met")
    with pytest.raises(RequestError, match="choose one"):
        fit_model("met", tmp_path, FitOptions(anew=True, further=True), Shown())
    # and nothing is lost
    assert (tmp_path / "fits" / "met" / "entry.json").exists()


def test_a_site_is_asked_for_what_is_missing_and_can_be_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def hand_over(
        site: Site, work: Path, models: Sequence[str], options: Sequence[str], output: Path
    ) -> tuple[int, bool]:
        asked.append((site.name, work, models, options, output))
        return 7, True

    monkeypatch.setattr(fitting, "hand_over_fits", hand_over)
    monkeypatch.setattr(fitting, "follow_fits", lambda site, work, output, fitted, show, say: show(fitted()))
    _tables(tmp_path, lambda name: 0 if name == "muon_duplicate" else LEAST_OBJECTS)
    _fitted(tmp_path, "met")
    options, shown = FitOptions(quick=True, steps=900, blocks=2, seed=5), Shown()
    made = fit_all_models(tmp_path, options, shown, site="htcondor")
    wanted = tuple(name for name in NAMES if name not in ("met", "muon_duplicate"))
    words = ["--device", "cpu", "--threads", "1", "--seed", "5", "--quick", "--steps", "900", "--blocks", "2"]
    assert asked == [("htcondor", tmp_path, wanted, words, tmp_path / "bundle")]
    assert made.submitted == shown.handed[0]
    assert (made.submitted.batch_id, made.submitted.models, made.submitted.is_done) == (7, wanted, False)
    assert made.too_few == {"muon_duplicate": 0}
    assert shown.steps == []
    followed = fit_all_models(tmp_path, options, shown, site="htcondor", wait=True)
    assert followed.submitted.is_done
    assert shown.steps == [("fits", 0, len(wanted))]


def test_jobs_that_made_no_bundle_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(*_: object) -> None:
        raise JobsFailedError("no bundle was made")

    monkeypatch.setattr(fitting, "hand_over_fits", lambda *_: (7, False))
    monkeypatch.setattr(fitting, "follow_fits", failed)
    _fitted(tmp_path, *NAMES)
    shown = Shown()
    with pytest.raises(JobsFailedError):
        fit_all_models(tmp_path, FitOptions(), shown, site="htcondor", wait=True)
    # what was handed over is told all the same
    assert not shown.handed[0].is_new
