"""``train refine`` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from flashsim_prod.physics.chain.bundle import load_bundle
from flashsim_prod.physics.chain.corrections import refiner
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.training.correcting import refine
from flashsim_prod.physics.validation.models import reweighted
from flashsim_prod.production.models.changing.tuning import _without_corrections
from tests.untaught import MODEL

Cli = Callable[..., Any]
#: a few steps of large strides, which find something whatever the seed
_SOON = refine.RefineSettings(steps=40, batch=400, learning_rate=5e-3, draws=4)


def _judged(after: float) -> Callable[..., reweighted.Judged]:
    distances = (reweighted.Distance("pt", 0.2, 0.1, 0.01),)

    def judged(*asked: Any) -> reweighted.Judged:
        return reweighted.Judged(500, 0.9, after, 0.01, 0.5, 0.1, 0.1, distances, 1.0, 2.0, 1.0)

    return judged


def test_a_model_of_a_bundle_is_refined_reweighted_and_bundled(
    cli: Cli, work: Path, base: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(reweighted, "judge", _judged(0.8))
    monkeypatch.setattr(refine, "RefineSettings", lambda seed: _SOON)
    words = ("--work", str(work), "--base", base)
    found = cli("train", "refine", MODEL, *words, "--json").json
    assert (found["model"], found["kind"], found["lost"]) == (MODEL, "gan", "")
    assert found["loss_after"] < found["loss_before"]
    assert "pt" in found["moves"]
    told = cli("train", "refine", MODEL, *words)
    assert "attributes are moved; loss on objects held out" in told.out
    assert told.out.endswith(f"now train bundle NEW --work {work} --base {base}\n")
    # reweighted afterwards, in the same folder, what is refined stays so
    assert cli("train", "reweight", MODEL, *words, "--steps", "10", "--json").code == 0
    new = tmp_path / "new"
    assert cli("train", "bundle", str(new), *words).code == 0
    made = load_bundle(new)
    entry = made.manifest.models[MODEL]
    assert entry.refiner.moves == tuple(found["moves"])
    assert entry.refiner.judgement.w1["pt"].after == 0.1
    assert entry.fit["refiner_objects"] == found["learned"]
    fitted = FittedModel.load(find_model(MODEL), entry, made.tensors(MODEL))
    assert fitted.refiner is not None
    assert fitted.reweighter is not None
    shown = cli("bundle", "show", str(new), MODEL).out
    assert f"gan, refined: {len(found['moves'])} attributes, AUC 0.900 to 0.800, resampled" in shown
    assert "W1 pt" in shown
    assert "## Refined" in cli("bundle", "card", str(new)).out
    warnings = _without_corrections([MODEL], made)
    assert [one.rsplit("; ", 1)[1] for one in warnings] == [
        f"train refine {MODEL}",
        f"train reweight {MODEL}",
    ]
    # refined anew, a reweighter of what it was is lost, which is not done in silence
    again = cli("train", "refine", MODEL, *words)
    assert again.code != 0
    assert "is reweighted, by what knows its draws as they are; refine first" in again.complaint
    written = json.loads((new / "manifest.json").read_text())["models"][MODEL]
    written["refiner"]["form"] = 2
    manifest = {**made.manifest.model_dump(mode="json"), "models": {MODEL: written}}
    (new / "manifest.json").write_text(json.dumps(manifest))
    later = cli("bundle", "show", str(new))
    assert later.code != 0
    assert "of form 2, and this software knows 1" in later.complaint
    assert later.complaint.count("\n") <= 1


def test_what_cannot_be_refined_is_told_in_a_line(cli: Cli, work: Path, base: str, monkeypatch: Any) -> None:
    def complaint(*words: str) -> str:
        told = cli("train", "refine", *words, "--work", str(work))
        assert told.code != 0
        assert told.complaint.count("\n") <= 1
        return str(told.complaint)

    assert "did you mean 'met'" in complaint("mets")
    assert "is missing; run 'flashsim-prod train fit" in complaint(MODEL)
    assert "bundle b has no model met" in complaint("met", "--base", base)
    assert "no bundle 'gone'" in complaint(MODEL, "--base", "gone")
    assert not (work / "fits").exists()
    monkeypatch.setattr(reweighted, "judge", _judged(0.895))
    monkeypatch.setattr(refine, "RefineSettings", lambda seed: _SOON)
    of_no_use = complaint(MODEL, "--base", base)
    assert "of no use, nothing was written: trees tell draws from 500 true objects" in of_no_use
    assert "0.900 without the refiner and 0.895 +- 0.010 with it" in of_no_use
    at_rest = replace(_SOON, learning_rate=0.0)
    monkeypatch.setattr(refine, "RefineSettings", lambda seed: at_rest)
    assert "on objects held out nothing was better than to leave draws as they are" in complaint(
        MODEL, "--base", base
    )
    monkeypatch.setattr(refiner, "moving", lambda model, gaussianisers: ())
    assert "of which a refiner moves none; reweight it" in complaint(MODEL, "--base", base)
    assert not (work / "fits").exists()
