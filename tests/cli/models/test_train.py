"""``train`` on the command line: from events to a bundle, and what is said when something is amiss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
from flashsim_prod.physics.training import losses
from flashsim_prod.production.home import Home

Cli = Callable[..., Any]
PNG = b"\x89PNG"
#: what a fit of seconds takes
SMALL = ("--steps", "100", "--width", "8", "--blocks", "1", "--threads", "1", "--device", "cpu")


@pytest.fixture
def work(training_sample: Path, tmp_path: Path) -> Path:
    """A work folder with the tables of one object model."""
    tables = training_sample / "work" / "tables" / "jet_from_pileup"
    shutil.copytree(tables, tmp_path / "work" / "tables" / "jet_from_pileup")
    return tmp_path / "work"


def test_one_model_is_trained_anew_and_used_with_the_others(
    cli: Cli, home: Home, work: Path, tmp_path: Path
) -> None:
    told = cli("train", "fit", "jet_from_pileup", "--work", str(work), *SMALL)
    assert told.code == 0
    assert "jet_from_pileup: " in told.out
    assert "held-out loss flow " in told.out
    fit = work / "fits" / "jet_from_pileup"
    assert all((fit / f"{name}_loss.png").read_bytes()[:4] == PNG for name in ("flow", "multiplicity"))
    mine = tmp_path / "mine"
    told = cli("train", "bundle", str(mine), "--work", str(work), "--base", "reference", "--name", "mine")
    assert told.code == 0
    assert f"25 models (1 fitted in {work / 'fits'}, 24 of reference), digest " in told.out
    assert cli("bundle", "verify", str(mine)).code == 0
    shown = cli("bundle", "show", str(mine), "--json").json
    shipped = cli("bundle", "show", "--json").json
    changed = {name for name, one in shown["models"].items() if one != shipped["models"][name]}
    assert changed == {"jet_from_pileup"}
    assert shown["models"]["jet_from_pileup"]["fit"]["seed"] == 1
    assert shown["training_sample"][0] == "full"
    assert "24 models of bundle reference" in shown["training_sample"][1]


def test_all_that_can_be_fitted_is_and_the_rest_is_named(cli: Cli, work: Path) -> None:
    options = ("--work", str(work), "--steps", "100", "--threads", "1", "--device", "cpu")
    told = cli("train", "all", *options)
    assert told.code == 10
    assert "jet_from_pileup: " in told.out
    assert "not fitted, for want of 1,000 objects" in told.complaint
    assert "muon_duplicate (0)" in told.complaint
    assert "jet_from_pileup" not in told.complaint
    again = cli("train", "all", *options)
    assert (again.code, again.out) == (10, "")


def test_programs_are_told_of_models_without_objects(cli: Cli, work: Path, tmp_path: Path) -> None:
    for model in cli("bundle", "show", "--json").json["models"]:
        if model != "muon_duplicate":
            (work / "fits" / model).mkdir(parents=True)
            (work / "fits" / model / "entry.json").touch()
    told = cli("train", "all", "--work", str(work), "--json")
    assert (told.code, told.json) == (10, {"work": str(work), "fits": [], "too_few": {"muon_duplicate": 0}})
    assert "not fitted, for want of 1,000 objects" in told.complaint
    assert "muon_duplicate (0)" in told.complaint
    # nor is there anything to learn from where nothing was extracted
    told = cli("train", "all", "--work", str(tmp_path / "none"), "--json")
    assert (told.code, told.json["fits"], len(told.json["too_few"])) == (10, [], 25)
    assert "no training tables" in told.complaint


def test_with_nothing_left_to_fit_programs_are_told_so(cli: Cli, tmp_path: Path) -> None:
    for model in cli("bundle", "show", "--json").json["models"]:
        (tmp_path / "fits" / model).mkdir(parents=True)
        (tmp_path / "fits" / model / "entry.json").touch()
    told = cli("train", "all", "--work", str(tmp_path), "--json")
    assert (told.code, told.json) == (0, {"work": str(tmp_path), "fits": [], "too_few": {}})


def test_a_fit_and_its_bundle_for_programs(cli: Cli, work: Path, tmp_path: Path) -> None:
    (fitted,) = cli("train", "fit", "jet_from_pileup", "--work", str(work), *SMALL, "--json").json["fits"]
    assert (fitted["model"], fitted["objects"] > 1000) == ("jet_from_pileup", True)
    assert fitted["held_out_loss"].keys() == {"flow", "multiplicity"}
    options = ("--work", str(work), "--base", "reference", "--name", "mine", "--json")
    made = cli("train", "bundle", str(tmp_path / "mine"), *options).json
    assert (made["path"], made["name"], made["models"]) == (str(tmp_path / "mine"), "mine", 25)
    assert made["own_models"] == ["jet_from_pileup"]


def test_without_the_libraries_a_fit_says_what_draws(
    cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "find_spec", lambda name: None)
    told = cli("train", "fit", "jet_from_pileup", "--work", str(work), *SMALL)
    assert told.code == 0
    assert "pip install 'flashsim-prod[report]'" in told.err
    assert not list(work.rglob("*.png"))


def test_extraction_says_what_there_is_to_learn_from(cli: Cli, training_sample: Path) -> None:
    full, work = str(training_sample / "full.root"), str(training_sample / "work")
    told = cli("train", "extract", full, "--work", work)
    assert "tables of 1 file were there already and kept" in told.out
    lines = {line.split()[0]: line for line in told.out.splitlines() if line.split()}
    assert "at least 1,000 are needed" in lines["muon_duplicate"]
    assert "needed" not in lines["jet_from_genjet"]
    sizes = cli("train", "extract", full, "--work", work, "--json").json
    assert sizes["event_scalars"] == {"sources": 600, "objects": 600}


def test_a_checkpoint_of_something_else_is_only_overwritten_if_asked(cli: Cli, work: Path) -> None:
    fit = work / "fits" / "jet_from_pileup"
    fit.mkdir(parents=True)
    (fit / "flow.checkpoint.safetensors").write_bytes(b"?")
    command = ("train", "fit", "jet_from_pileup", "--work", str(work), *SMALL)
    told = cli(*command)
    assert told.code == 10
    assert "damaged checkpoint; fit with --anew" in told.complaint
    assert cli(*command, "--anew").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["generate", "ttbr", "x.root"], 2, "did you mean 'ttbar'?"),
        (["generate", "ttbar", "x.root", "--events", "many"], 2, "'many' is no number"),
        (["generate", "ttbar", "x.root", "--seed", "-1"], 2, "--seed"),
        (["generate", "ttbar", "x.root", "--energy", "99"], 2, "has no energy of 99.0 TeV"),
        (["generate", "ttbar", "there.root"], 2, "there.root exists"),
        (["generate", "ttbar", "nowhere/x.root", "--events", "1"], 20, "nowhere/"),
        (["generate", "ttbar", "."], 2, "is a directory"),
        (["reference", "none.root", "--output", "x.root"], 10, "none.root does not exist"),
        (["reference", "there.root", "--output", "x.root"], 10, "there.root is no ROOT file"),
        (["reference", "there.root", "--output", "there.root"], 2, "there.root exists"),
        (["extract", "none.root"], 10, "none.root does not exist"),
        (["extract", "a/x.root", "b/x.root"], 2, "two files are called x"),
        (["extract", "none.root", "--model", "jet_from_genjat"], 2, "did you mean 'jet_from_genjet'?"),
        (["extract", "none.root", "--work", "there.root"], 2, "is a file"),
        (["fit", "mett"], 2, "no object model 'mett'; did you mean 'met'?"),
        (["fit", "met"], 10, "no training table of met; run 'flashsim-prod train extract' first"),
        (["fit", "met", "--steps", "1"], 2, "--steps"),
        (["all"], 10, "no training tables; run 'flashsim-prod train extract' first"),
        (["all", "--site", "locl"], 2, "did you mean 'local'?"),
        (["bundle", "x"], 11, "no fitted model; run 'flashsim-prod train all' first"),
        (["bundle", "x", "--base", "reference"], 11, "no fitted model to put into it"),
        (["bundle", "x", "--base", "reference", "--name", "mine", "--tag", "T"], 11, "no fitted model"),
        (["bundle", "x", "--base", "reference", "--tag", "T", "--report", "r"], 11, "no fitted model, so"),
        (["bundle", "x", "--base", "referense"], 11, "did you mean 'reference'?"),
        (["bundle", "x", "--base", "reference", "--name", "../x"], 2, "'../x' cannot name a bundle"),
        (["bundle", "x", "--base", "reference", "--tag", "a b"], 2, "'a b' cannot be a processing string"),
        (["bundle", "there.root", "--base", "reference"], 11, "there.root exists"),
        (["bundle", "x", "--base", "reference", "--report", "none.json"], 10, "none.json: cannot be read"),
        (["bundle", "x", "--base", "reference", "--report", "there.root"], 10, "there.root: no report of"),
        (["report", "referense", "x.root"], 11, "did you mean 'reference'?"),
        (["report", "reference", "none.root"], 10, "none.root does not exist"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.root").write_text("text")
    told = cli("train", *arguments)
    assert (told.code, complaint in told.complaint) == (code, True), told.err
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "x.root").exists()


def test_a_fit_of_another_form_goes_into_no_bundle(cli: Cli, work: Path, tmp_path: Path) -> None:
    assert cli("train", "fit", "jet_from_pileup", "--work", str(work), *SMALL).code == 0
    entry = work / "fits" / "jet_from_pileup" / "entry.json"
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"form": 99}))
    told = cli("train", "bundle", str(tmp_path / "x"), "--work", str(work), "--base", "reference")
    assert (told.code, "entry.json: fitted for another declaration" in told.complaint) == (11, True)
    assert "train fit jet_from_pileup --anew" in told.complaint
    assert not (tmp_path / "x").exists()


def test_no_gpu_is_told_in_one_line(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = cli("train", "fit", "jet_from_pileup", "--work", str(work), "--device", "cuda")
    assert (told.code, "a GPU was asked for" in told.complaint) == (22, True)
    assert not (work / "fits").exists()


def test_figures_of_a_report_are_recorded_only_for_its_weights(cli: Cli, tmp_path: Path) -> None:
    assessment = {
        "made": "2026-01-31T12:00:00Z",
        "software": "flashsim-prod 1",
        "command": "flashsim-prod train report reference a.root",
        "compared_with": "reference detector",
        "files": {"a.root": 1000},
        "max_rows": 1000,
        "seed": 1,
        "sampling": {"solver": "midpoint", "evaluations": 8},
        "models": {"met": {"objects": 1000, "auc": 0.5432, "auc_floor": 0.5, "median_w1": 0.0123}},
    }
    drawn_by = load_bundle(find_bundle("reference")).manifest.models["met"].drawn_by
    for name, sha256, code in (("right", drawn_by, 0), ("wrong", "0" * 64, 10)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"weights": {"met": sha256}, "assessment": assessment}))
        command = ("train", "bundle", str(tmp_path / name), "--base", "reference", "--report", str(path))
        told = cli(*command, "--work", str(tmp_path))
        assert told.code == code
    assert "figures of met are not of the weights" in told.complaint
    made = cli("bundle", "show", str(tmp_path / "right"))
    assert "flashsim-prod train report reference a.root" in made.out
    assert "0.543" in made.out
    assert cli("bundle", "verify", str(tmp_path / "right")).code == 0
