"""``train calibrate``, ``train fit --base`` and parts of files on the command line."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.physics.training.table import Table
from flashsim_prod.production.home import Home
from tests.untaught import MODEL as GAN
from tests.untaught import untaught_bundle

Cli = Callable[..., Any]
MODEL = "jet_from_pileup"


@pytest.fixture
def work(training_sample: Path, tmp_path: Path) -> Path:
    """A work folder with the tables of one object model."""
    tables = training_sample / "work" / "tables" / MODEL
    shutil.copytree(tables, tmp_path / "work" / "tables" / MODEL)
    return tmp_path / "work"


def test_all_that_has_tables_is_calibrated_then_tuned_and_put_into_a_bundle(
    cli: Cli, home: Home, work: Path, tmp_path: Path
) -> None:
    told = cli("train", "calibrate", "--base", "reference", "--work", str(work))
    assert told.code == 0
    assert MODEL in told.out
    assert "calibrated" in told.out
    assert "without tables, as they were: " in told.out
    assert "warning: all is learned from full: of a single process" in told.err
    calibrate = ("train", "calibrate", "--base", "reference", "--work", str(work), "--seed", "2", "--json")
    (made,) = cli(*calibrate).json["models"]
    rates = made["rates"]
    # as near as so few sources let it be known: what chance makes of them is not followed
    error = math.sqrt(rates["sample"] / made["rows"])
    assert rates["tuned"] == pytest.approx(rates["sample"], abs=2 * error)
    fit = ("train", "fit", "all", "--base", "reference", "--work", str(work), "--quick", "--device", "cpu")
    (tuned,) = cli(*fit, "--json").json["models"]
    assert (tuned["done"], tuned["stages"].keys()) == ("fine-tuned", {"flow", "multiplicity"})
    again = cli(*fit)
    assert "1 model of these tables were there already" in again.out
    bundle = ("train", "bundle", str(tmp_path / "new"), "--work", str(work), "--base", "reference")
    assert cli(*bundle, "--name", "new").code == 0
    shown = cli("bundle", "show", str(tmp_path / "new"), "--json").json
    assert shown["models"][MODEL]["fit"]["base_digest"] == cli("bundle", "show", "--json").json["digest"]
    # the reference detector stays on what began with it
    begun = next(line for line in shown["training_sample"] if line.startswith("1 models began as"))
    assert "reference detector" in begun
    told = cli("train", "calibrate", "--base", "reference", "--work", str(work))
    assert (told.code, "fine-tuned already" in told.complaint) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["calibrate", "--base", "referense"], 11, "did you mean 'reference'?"),
        (["calibrate", "--base", "reference", "--model", "jets"], 2, "jets"),
        (["fit", "all", "--base", "reference", "--steps", "200"], 2, "leave out --steps"),
        (["fit", "all", "--base", "reference", "--kind", "spline"], 2, "leave out --kind"),
        (["fit", "all", "--base", "reference", "--further"], 2, "leave out --further"),
        (["fit", "met", "--base", "reference"], 10, "no training table of met"),
        (["report", "reference"], 2, "say what to compare with"),
        (["report", "reference", "a.root", "--before", "reference"], 2, "--before goes with --against"),
        (["extract", "{full}", "--without", "jat*"], 2, "--without jat*: no object model is called so"),
        (["extract", "{full}", "--without", "*"], 2, "leaves no object model"),
        (["extract", "{full}", "--without", MODEL], 10, f"would teach {MODEL}; remove it"),
        (
            ["extract", "{full}", "--model", "met", "--events", "700:"],
            2,
            "has 600 events, none of them there",
        ),
        (["extract", "{full}", "--events", ":50%", "--first", "9"], 2, "choose one"),
        (["extract", "{full}", "--weight", "0"], 2, "a weight is a number above 0"),
    ],
)
def test_what_is_amiss_is_told_in_a_line(
    cli: Cli, work: Path, training_sample: Path, arguments: list[str], code: int, why: str
) -> None:
    full = str(training_sample / "full.root")
    words = [word.format(full=full) for word in arguments]
    told = cli("train", *words, *([] if words[0] == "report" else ["--work", str(work)]))
    assert (told.code, why in told.complaint) == (code, True), told.complaint


def test_nothing_extracted_is_told(cli: Cli, tmp_path: Path) -> None:
    told = cli("train", "fit", "all", "--base", "reference", "--work", str(tmp_path))
    assert (told.code, "no training tables; run" in told.complaint) == (10, True)


def test_the_reference_detector_is_no_fullsim(cli: Cli, home: Home, training_sample: Path) -> None:
    told = cli("train", "report", "reference", "--against", str(training_sample / "full.root"))
    assert (told.code, "is of the reference detector, not FullSim" in told.complaint) == (10, True)


def test_a_part_of_a_file_without_some_models_is_extracted(
    cli: Cli, training_sample: Path, tmp_path: Path
) -> None:
    full, work = str(training_sample / "full.root"), str(tmp_path / "part")
    chosen = ("--model", MODEL, "--model", "met", "--without", "m*", "--events", "10%:20%", "--weight", "0.5")
    sizes = cli("train", "extract", full, "--work", work, *chosen, "--json").json
    assert sizes.keys() == {MODEL}
    # its sources are events
    assert sizes[MODEL]["sources"] == 60
    table = Path(work) / "tables" / MODEL / "full.safetensors"
    assert Table.load(table).source_weight.tolist() == [0.5] * 60
    # another part takes its place, and weights are not kept
    part = ("--model", MODEL, "--events", "10%:30%")
    assert cli("train", "extract", full, "--work", work, *part, "--json").json[MODEL]["sources"] == 120
    assert Table.load(table).weight is None
    fitted = cli("train", "calibrate", "--base", "reference", "--work", work, "--json").json
    assert fitted["models"][0]["rows"] == 120
    bundle = (
        "train",
        "bundle",
        str(tmp_path / "new"),
        "--work",
        work,
        "--base",
        "reference",
        "--name",
        "new",
    )
    assert cli(*bundle).code == 0
    sample = cli("bundle", "show", str(tmp_path / "new"), "--json").json["training_sample"]
    assert sample[0] == "full, events 60:180"


def test_what_is_not_trained_on_is_told(cli: Cli, training_sample: Path, tmp_path: Path) -> None:
    work = tmp_path / "gans"
    shutil.copytree(training_sample / "work" / "tables" / GAN, work / "tables" / GAN)
    base = untaught_bundle(work, tmp_path)
    told = cli("train", "fit", GAN, "--base", base, "--work", str(work), "--quick", "--device", "cpu")
    assert told.code == 0
    assert "calibrated, numbers fine-tuned" in told.out
    assert f"warning: {GAN}: what draws the attributes of a gan learned against a critic" in told.err
    # which a calibration alone would undo
    told = cli("train", "calibrate", "--base", base, "--work", str(work))
    assert (told.code, "fine-tuned already" in told.complaint) == (2, True)
