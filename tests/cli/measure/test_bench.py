"""``bench`` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
from flashsim_prod.production.home import Home
from flashsim_prod.production.measure import steps
from flashsim_prod.production.measure.speed import STAGES
from flashsim_prod.production.order.speeds import stored_speeds
from tests.students import bundle_with

Cli = Callable[..., Any]
SMALL = ("ttbar", "--events", "40", "--oversample", "10", "--evaluations", "2", "--device", "cpu")


def test_every_stage_is_timed_and_the_result_kept_for_plans(cli: Cli, home: Home) -> None:
    told = cli("bench", *SMALL, "--json")
    assert told.code == 0
    speed = told.json
    assert set(speed["stages_s"]) == set(STAGES) - {"read"}
    assert all(seconds >= 0 for seconds in speed["stages_s"].values())
    assert sum(speed["stages_s"].values()) == pytest.approx(speed["seconds"], abs=0.01)
    assert (speed["events"], speed["gen_events"], speed["threads"]) == (40, 4, 1)
    assert speed["events_hz"] == pytest.approx(40 / speed["seconds"])
    assert [one.events for one in stored_speeds(home)] == [40]
    plan = cli("request", "ttbar", "--events", "40", "--evaluations", "2", "--dry-run")
    assert "measured by bench with ttbar on cpu" in " ".join(plan.err.split())


def test_the_table_and_no_trace(cli: Cli, home: Home) -> None:
    told = cli("bench", *SMALL, "--no-store", "--chunk", "7", "--batch", "64")
    assert told.code == 0
    lines = {line.split()[0]: line for line in told.out.splitlines() if line.split()}
    assert {"flows", "efficiencies", "features", "postprocess", "write", "whole"} <= lines.keys()
    assert "100%" in lines["whole"]
    assert "64 objects a batch" in told.out
    assert not home.speeds.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["ttbr"], 2, "no card 'ttbr'; did you mean 'ttbar'?"),
        (["--events", "0"], 2, "--events: '0' must be at least 1"),
        (["--site", "locl"], 2, "no site 'locl'; did you mean 'local'?"),
        (["--input", "nowhere.root"], 10, "nowhere.root"),
        (["--bundle", "refernce"], 11, "no bundle 'refernce'; did you mean 'reference'?"),
        (["--chunk", "0"], 2, "--chunk"),
        (["--batch", "0"], 2, "--batch"),
        (["--threads", "0"], 2, "--threads"),
        (["--solver", "rk4"], 2, "--solver"),
        (["--evaluations", "7"], 2, "the midpoint solver takes two in each step, so 7 must be even"),
        (["--grid-power", "0.5"], 2, "--grid-power"),
        (["--scan", "2,few"], 2, "--scan: '2,few' is no list of evaluations from 1 to 1000"),
        (["--scan", "0"], 2, "--scan: '0' is no list"),
        (["--scan", "2", "--evaluations", "4"], 2, "--scan says the evaluations: leave out --evaluations"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    cli: Cli, home: Home, arguments: list[str], code: int, complaint: str
) -> None:
    told = cli("bench", *arguments)
    assert told.code == code
    assert complaint in told.complaint
    assert not home.speeds.exists()


def test_a_damaged_file_of_speeds_is_told_before_the_work(cli: Cli, home: Home) -> None:
    home.speeds.write_text("{")
    told = cli("bench", *SMALL)
    assert told.code == 2
    assert "speeds.json: not valid JSON" in told.complaint
    assert "bench:" not in told.err


def test_nothing_is_scanned_where_all_takes_one_evaluation(
    cli: Cli, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as if the shipped models were none
    monkeypatch.setattr(steps, "FLOW", "another")
    told = cli("bench", "ttbar", "--events", "60", "--scan", "1,8")
    assert (told.code, "bundle reference has no flow" in told.complaint) == (2, True)


def test_numbers_of_evaluations_are_compared(cli: Cli, home: Home, tmp_path: Path) -> None:
    teachers = load_bundle(find_bundle("reference")).of_teachers
    few = bundle_with(teachers, {"jet_from_genjet": 2}, tmp_path / "few")
    scan = ("bench", "ttbar", "--events", "60", "--oversample", "10", "--scan", "1,8", "--device", "cpu")
    told = cli(*scan, "--bundle", str(few.path), "--json")
    assert told.code == 0, told.err
    one, eight, student = told.json["rows"]
    # the bundle's teachers are scanned, and then what requests draw by
    assert (student["evaluations"], student["solver"], student["weights"]) == (2, "midpoint", "students")
    assert (student["models"], student["worst_model"]) == (1, "jet_from_genjet")
    assert (one["evaluations"], one["solver"], one["weights"]) == (1, "euler", "teachers")
    assert (eight["evaluations"], eight["solver"], eight["models"]) == (8, "midpoint", one["models"])
    # what is drawn in one step that nobody taught is seen, and what is drawn alike is not
    assert one["auc"] > 0.6
    assert eight["auc"] < 0.6
    assert not home.speeds.exists()
    assert one["models"] >= 1
