"""``train distil`` on the command line, and bundles with students in what other commands say and do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.bundle import Bundle, find_bundle, load_bundle
from flashsim_prod.physics.chain.distilled import Distilled, Judgement
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.training.distilling.folder import Student, bundle_of
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tables import table_path
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.simulate import provenance
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.plan import make_plan

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
    """A bundle with a student of four evaluations, beside nothing."""
    teachers = load_bundle(find_bundle("reference"))
    entry = teachers.manifest.models[MODEL]
    judged = Judgement(
        against="reference",
        objects=120_000,
        held_out=6000,
        auc=0.5012,
        auc_error=0.0013,
        teacher_auc=0.5009,
        teacher_auc_error=0.0013,
        tails=8,
        categories=3,
    )
    distilled = Distilled(
        evaluations=4,
        taken=True,
        teacher=entry.sha256,
        bundle=teachers.name,
        bundle_digest=teachers.digest,
        judgement=judged,
        training={"steps": 900, "seconds": 90.0},
    )
    one = Student(entry.model_copy(update={"distilled": distilled}), teachers.path / entry.file)
    target = home.path / "bundles" / "few"
    target.parent.mkdir(exist_ok=True)
    return bundle_of(teachers, {MODEL: one}, target, name="few", title="Few steps", tag="Few")


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
    assert (distilled["evaluations"], distilled["bundle"]) == (4, "reference")
    assert distilled["teacher"] == cli("bundle", "show", "reference", MODEL, "--json").json["sha256"]
    assert distilled["judgement"]["objects"] == 300
    assert distilled["training"]["steps"] == 4
    # a student that is not taken is told with what it does worse
    assert distilled["taken"] == (not distilled["judgement"]["worse"])
    assert ("keeps its teacher" in told.out) == (not distilled["taken"])
    assert "judged" in cli("bundle", "show", str(new), MODEL).out
    again = cli(*command, "--output", str(new))
    assert (again.code, "exists; give another folder" in again.complaint) == (11, True)


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["referense"], 11, "did you mean 'reference'?"),
        (["reference", "--models", "jets"], 2, "bundle reference has no model 'jets'"),
        (["reference", "--models", "met"], None, "no training table of met"),
        (["reference", "--objects", "few"], 2, "--objects"),
    ],
)
def test_what_cannot_be_distilled_is_told_in_a_line(
    cli: Cli, work: Path, tmp_path: Path, arguments: list[str], code: int | None, why: str
) -> None:
    told = cli(
        "train", "distil", *arguments, "--work", str(work), "--steps", "1", "--output", str(tmp_path / "n")
    )
    assert told.code == code if code else told.code
    assert why in told.complaint
    assert not (tmp_path / "n").exists()


def test_a_bundle_with_students_says_so(cli: Cli, few: Bundle) -> None:
    shown = cli("bundle", "show", "few").out
    assert "student, 4 evaluations" in shown
    assert "other --evaluations take the teachers, of bundle reference (" in shown
    card = cli("bundle", "card", "few").out
    row = f"| `{MODEL}` | student, 4 evaluations | 120,000 | 6,000 | 0.5009 ± 0.0013 | 0.5012 | - |"
    assert row in card
    assert "## Students" not in cli("bundle", "card", "reference").out
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
    assert (order.bundle.path, found.ref.digest) == (
        "reference",
        load_bundle(find_bundle("reference")).digest,
    )
    assert order.sampling == Sampling()


def test_files_say_what_drew_in_steps_of_its_own(few: Bundle) -> None:
    from datetime import UTC, datetime

    order, found = make_order(Typed(card="ttbar", events="100", oversample=10, bundle="few"))
    plan = make_plan(order, name="x", version=1, created=datetime.now(UTC), software_version="0")
    assert found.bundle is not None
    assert (
        provenance(plan.request, found.bundle)["students"] == "students: 1 of 25 models in 4 steps of Euler"
    )


def test_students_are_not_tuned(cli: Cli, few: Bundle, work: Path) -> None:
    for command in (("fit", MODEL), ("calibrate",)):
        told = cli("train", *command, "--base", "few", "--work", str(work))
        assert told.code == 11
        assert f"{MODEL} of bundle few is a student of 4 evaluations" in told.complaint
        assert "--base reference" in told.complaint
