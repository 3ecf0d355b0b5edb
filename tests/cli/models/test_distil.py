"""``train distil`` on the command line, and bundles with students in what other commands say and do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim_prod.core.request import Request, Sampling
from flashsim_prod.physics.chain.bundle import Bundle, find_bundle, load_bundle
from flashsim_prod.physics.chain.distilled import students
from flashsim_prod.physics.chain.model_card import model_card
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tables import table_path
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.simulate import bound_bundle, provenance
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.plan import make_plan
from tests.students import bundle_with
from tests.untaught import MODEL as GAN
from tests.untaught import untaught_bundle

Cli = Callable[..., Any]
MODEL = "fsrphoton_from_muon"
N = 400


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work folder with a table of the smallest model: attributes that its conditions say nothing of."""
    bundle, model, rng = load_bundle(find_bundle("reference")), find_model(MODEL), np.random.default_rng(1)
    tensors = bundle.tensors(MODEL)
    mean, width = tensors["conditions.mean"], tensors["conditions.width"]
    conditions = (mean + width * rng.normal(size=(N, len(mean)))).astype(np.float32)
    targets = {
        one.name: np.interp(rng.random(N), tensors[f"{one.name}.cdf"], tensors[f"{one.name}.value"])
        for one in model.targets
    }
    path = table_path(tmp_path / "work" / "tables", "toy.root", model)
    path.parent.mkdir(parents=True)
    Table(conditions, np.ones(N, np.int64), np.arange(N), targets, version="v9").save(path, model)
    return tmp_path / "work"


@pytest.fixture
def few(home: Home) -> Bundle:
    """The shipped bundle with a student of four evaluations."""
    target = home.path / "bundles" / "few"
    target.parent.mkdir(exist_ok=True)
    return bundle_with(load_bundle(find_bundle("reference")).of_teachers, {MODEL: 4}, target, beside=0.5)


def test_students_of_a_model_are_taught_judged_and_shown(cli: Cli, work: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    command = ("train", "distil", "reference", "--models", MODEL, "--work", str(work), "--steps", "4")
    told = cli(*command, "--objects", "300", "--output", str(new))
    assert told.code == 0, told.err
    assert f"{MODEL}  " in told.out
    assert "in a bundle of 25 models, digest " in told.out
    assert not (tmp_path / "new.students").exists()
    entry = cli("bundle", "show", str(new), MODEL, "--json").json
    distilled = entry["distilled"]
    assert distilled["evaluations"] == 4
    assert entry["sha256"] == cli("bundle", "show", "reference", MODEL, "--json").json["sha256"]
    assert distilled["judgement"]["objects"] == 300
    assert distilled["training"]["steps"] == 4
    # a student that is not taken is told with what it does worse
    taken = distilled["file"] is not None
    assert taken == (not distilled["judgement"]["worse"])
    assert ("keeps its teacher" in told.out) == (not taken)
    assert (new / f"{MODEL}.e4.safetensors").is_file() == taken
    assert "judged" in cli("bundle", "show", str(new), MODEL).out
    again = cli(*command, "--output", str(new))
    assert (again.code, "exists; give another folder" in again.complaint) == (11, True)


@pytest.fixture
def gans(training_sample: Path, tmp_path: Path) -> str:
    return untaught_bundle(training_sample / "work", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["referense"], 11, "did you mean 'reference'?"),
        (["reference", "--models", "jets"], 2, "bundle reference has no model 'jets'"),
        (["reference", "--models", "met"], None, "no training table of met"),
        (["reference", "--objects", "few"], 2, "--objects"),
        (["reference", "--minutes", "inf"], 2, "--minutes inf: give a time above 0"),
        (["{gans}"], 11, "bundle b has no flow, and all else takes one evaluation already"),
        (["{gans}", "--models", GAN], 11, f"{GAN} of bundle b is a gan, which takes no steps"),
    ],
)
def test_what_cannot_be_distilled_is_told_in_a_line(
    cli: Cli, work: Path, gans: str, tmp_path: Path, arguments: list[str], code: int | None, why: str
) -> None:
    words = [word.format(gans=gans) for word in arguments]
    told = cli(
        "train", "distil", *words, "--work", str(work), "--steps", "1", "--output", str(tmp_path / "n")
    )
    assert told.code == code if code else told.code
    assert why in told.complaint
    assert not (tmp_path / "n").exists()


def test_a_bundle_with_students_says_so(cli: Cli, few: Bundle) -> None:
    shown = cli("bundle", "show", "few").out
    assert "student, 4 evaluations" in shown
    assert "other --evaluations than the students' take the teachers, which the bundle has" in shown
    card = cli("bundle", "card", "few").out
    row = f"| `{MODEL}` | student, 4 evaluations | 120,000 | 6,000 | 0.5009 ± 0.0013 | 0.5012 | - |"
    assert row in card
    assert f"| `{MODEL}` | student" not in model_card(few.of_teachers)
    # what was measured of the teacher is not said of its student
    reports = json.loads((few.path / "manifest.json").read_text())["fidelity"]
    assert reports
    assert any("met" in one["models"] for one in reports)
    assert not any(MODEL in one["models"] for one in reports)
    assert cli("bundle", "verify", "few").code == 0


def test_requests_draw_by_students_unless_evaluations_are_said(few: Bundle) -> None:
    asked: dict[str, Any] = {"card": "ttbar", "events": "100", "oversample": 10}
    order, found = make_order(Typed(**asked, bundle="few"))
    assert (found.ref.digest, order.sampling) == (few.digest, Sampling())
    order, found = make_order(Typed(**asked, bundle="few", sampling=Sampling(evaluations=4)))
    assert (found.ref.digest, order.sampling) == (few.digest, Sampling())
    order, found = make_order(Typed(**asked, bundle="few", sampling=Sampling(evaluations=8)))
    # by the teachers, which are in the same bundle
    assert (order.bundle.digest, order.sampling) == (few.digest, Sampling(teachers=True))
    assert found.bundle is not None
    assert not students(found.bundle.manifest.models)


def test_files_say_what_drew_in_steps_of_its_own(few: Bundle) -> None:
    asked: dict[str, Any] = {"card": "ttbar", "events": "100", "oversample": 10, "bundle": "few"}
    told = {}
    for evaluations in (4, 8):
        order, _ = make_order(Typed(**asked, sampling=Sampling(evaluations=evaluations)))
        made = make_plan(order, name="x", version=1, created=datetime.now(UTC), software_version="0")
        request = Request.from_mapping(made.request.model_dump(mode="json"), "request.yaml")
        assert request == made.request
        told[evaluations] = provenance(request, bound_bundle(request))
    assert told[4]["students"] == "students: 1 of 25 models in 4 evaluations"
    assert "students" not in told[8]
    assert json.loads(told[8]["sampling"])["teachers"] is True
    assert "teachers" not in told[4]["sampling"]


def test_teachers_are_tuned_and_what_becomes_of_students_is_said(
    cli: Cli, few: Bundle, work: Path, tmp_path: Path
) -> None:
    told = cli("train", "calibrate", "--base", "few", "--work", str(work))
    assert told.code == 0, told.err
    assert f"{MODEL}: without the base's student, whose teacher is another now; train distil" in told.err
    of_reference = tmp_path / "of_reference"
    shutil.copytree(work / "tables", of_reference / "tables")
    assert cli("train", "calibrate", "--base", "reference", "--work", str(of_reference)).code == 0
    # the same as of the teachers' own bundle
    entries = [json.loads((one / "fits" / MODEL / "entry.json").read_text()) for one in (work, of_reference)]
    assert entries[0]["sha256"] == entries[1]["sha256"]
    assert "distilled" not in entries[0]
