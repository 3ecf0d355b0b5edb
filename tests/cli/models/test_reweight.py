"""``train reweight`` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flashsim_prod.physics.chain.bundle import load_bundle
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tables import load_tables
from flashsim_prod.physics.validation.models import reweighted
from flashsim_prod.production.models.changing.tuning import _without_corrections
from tests.untaught import MODEL, fit_nothing

Cli = Callable[..., Any]


def test_a_model_of_a_bundle_is_reweighted_and_bundled(
    cli: Cli, work: Path, base: str, tmp_path: Path
) -> None:
    words = ("train", "reweight", MODEL, "--work", str(work), "--base", base, "--steps", "60")
    found = cli(*words, "--candidates", "4", "--json").json
    assert (found["model"], found["kind"], found["use"], found["candidates"]) == (MODEL, "gan", "resample", 4)
    assert found["judged"]["auc_after"] < found["judged"]["auc_before"]
    assert found["learned"] + found["judged"]["objects"] == len(
        load_tables(work / "tables", find_model(MODEL)).row
    )
    assert len(found["judged"]["distances"]) == len(find_model(MODEL).targets)
    # with weights instead, in the place of these
    told = cli(*words, "--as", "weight")
    assert told.code == 0
    assert "area" in told.out
    assert "weighted objects are worth" in told.out
    assert told.out.endswith(f"now train bundle NEW --work {work} --base {base}\n")
    new = tmp_path / "new"
    assert cli("train", "bundle", str(new), "--work", str(work), "--base", base).code == 0
    made = load_bundle(new)
    manifest = made.manifest
    assert manifest.models[MODEL].reweighter.use == "weight"
    assert FittedModel.load(find_model(MODEL), manifest.models[MODEL], made.tensors(MODEL)).weights_events
    shown = cli("bundle", "show", str(new), MODEL).out
    assert "gan, weighted: FlashSim_weight" in shown
    (warning,) = _without_corrections([MODEL], made)
    assert warning.startswith(f"{MODEL}: without the base's reweighter")
    assert not _without_corrections([MODEL], load_bundle(Path(base)))
    assert any("began as those of bundle b" in line for line in manifest.training_sample)
    written = json.loads((new / "manifest.json").read_text())["models"][MODEL]
    assert written["fit"]["reweighter_objects"] == found["learned"]


def test_what_cannot_be_reweighted_is_told_in_a_line(cli: Cli, work: Path, base: str) -> None:
    def complaint(*words: str) -> str:
        told = cli("train", "reweight", *words, "--work", str(work))
        assert told.code != 0
        assert told.complaint.count("\n") <= 1
        return str(told.complaint)

    assert "did you mean 'met'" in complaint("mets")
    assert "is missing; run 'flashsim-prod train fit" in complaint(MODEL)
    assert "bundle b has no model met" in complaint("met", "--base", base)
    assert "no bundle 'gone'" in complaint(MODEL, "--base", "gone")
    assert not (work / "fits").exists()
    fit_nothing(work, work / "fits" / MODEL)
    before = (work / "fits" / MODEL / "entry.json").read_bytes()
    assert "is another fit of jet_from_genjet, which would be lost" in complaint(MODEL, "--base", base)
    # one in twenty is held out
    assert "objects its fit held out only" in complaint(MODEL)
    path = next((work / "tables" / MODEL).glob("*.safetensors"))
    Table.load(path).save(path.with_name("again.safetensors"), find_model(MODEL))
    assert "other tables than jet_from_genjet was fitted to" in complaint(MODEL)
    assert (work / "fits" / MODEL / "entry.json").read_bytes() == before


def test_a_reweighter_of_no_use_is_not_kept(cli: Cli, work: Path, base: str, monkeypatch: Any) -> None:
    def judged(*asked: Any) -> reweighted.Judged:
        return reweighted.Judged(500, 0.615, 0.61, 0.01, 0.5, 0.1, 0.1, (), 0.9, 1.0, 1.0)

    monkeypatch.setattr(reweighted, "judge", judged)
    told = cli("train", "reweight", MODEL, "--work", str(work), "--base", base, "--steps", "10")
    assert told.code != 0
    assert "of no use, nothing was written: trees tell draws from 500 true objects" in told.complaint
    assert "0.615 without the reweighter and 0.610 +- 0.010 with it" in told.complaint
    assert not (work / "fits").exists()


def test_targets_moved_away_by_more_than_chance_are_called_worse() -> None:
    assert not reweighted.Distance("x", before=0.02, after=0.024, chance=0.01).is_worse
    assert not reweighted.Distance("x", before=0.001, after=0.015, chance=0.01).is_worse
    assert reweighted.Distance("x", before=0.02, after=0.035, chance=0.01).is_worse
