"""Samples made for merging: datasets hold what is left, and everything that counts events says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import pytest
import uproot
from typer.testing import CliRunner

from flashsim_prod.cli.main import app
from flashsim_prod.core.report import JobReport
from flashsim_prod.errors import RequestError
from flashsim_prod.production.dataset.checks import check_dataset
from flashsim_prod.production.dataset.files import find_files
from flashsim_prod.production.drive.in_memory import simulate_in_memory
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import preview
from tests.lhe_files import mlm_head

WriteLhe = Callable[..., Path]

_ALL_LEAVE = (
    "JetMatching:merge = on\nJetMatching:setMad = off\nJetMatching:qCut = 0.01\nJetMatching:nJetMax = 1\n"
)


@pytest.fixture
def quick(tmp_path: Path) -> str:
    """Settings of a shower that starts in no time."""
    path = tmp_path / "quick.cmnd"
    path.write_text("PartonLevel:MPI = off\n", encoding="utf-8")
    return str(path)


def _called(*words: str) -> Any:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.slow
def test_a_dataset_holds_what_is_left_and_all_say_so(home: Home, write_lhe: WriteLhe, quick: str) -> None:
    path = write_lhe("z.lhe.gz", 12, head=mlm_head())
    options = ["--shower", quick, "--oversample", "2", "--events-per-job", "8", "--seed", "2", "--json"]
    made = json.loads(_called("request", "--input", str(path), *options).stdout)
    reports = [
        JobReport.model_validate_json(file.read_text(encoding="utf-8"))
        for file in sorted((home.path / "requests" / made["request"]).rglob("simulate_*.json"))
    ]
    merging = [one.merging for one in reports if one.merging is not None]
    assert [one.tried for one in merging] == [4, 4, 4]
    left = sum(one.accepted for one in merging)
    assert 0 < left < 12
    assert made["events"] == 2 * left == sum(file["events"] for file in made["files"])
    with uproot.open(made["files"][0]["pfn"]) as opened:
        events, runs = opened["Events"].arrays(), opened["Runs"].arrays()
    assert len(events) == 2 * left
    assert events.FlashSim_fold.tolist() == [0, 1] * left
    # those of the file that are left keep their numbers and weights
    numbers = events.FlashSim_genEvent.tolist()
    weight = [(-1.0 if number % 3 == 2 else 1.0) * (1900 + 10 * number) for number in numbers]
    assert events.genWeight.tolist() == weight
    assert events.event.tolist() == [
        2 * n + 1 + f for n, f in zip(numbers, events.FlashSim_fold, strict=True)
    ]
    assert ak.sum(runs.genEventSumw) == pytest.approx(sum(weight))
    status = json.loads(_called("status", made["request"], "--json").stdout)
    assert f"left {left} of 12 gen events tried" in json.dumps(status)
    assert json.loads(_called("status", "--json").stdout)[0]["events"] == 2 * left
    _called("verify", made["dataset"])
    assert not check_dataset(find_files(home, [made["request"]])).problems
    dumps = _called("publish", made["request"], "--rse", "T2_IT_Pisa", "--dry-run")
    assert dumps.exit_code == 0
    (block,) = [json.loads(one.read_text()) for one in home.path.rglob("block_*.json")]
    assert sum(one["event_count"] for one in block["files"][0]["file_lumi_list"]) == 2 * left
    share = sum(one.sumw_accepted for one in merging) / sum(one.sumw_tried for one in merging)
    assert block["dataset"]["xtcrosssection"] == pytest.approx(2000 * share)
    _called("report", made["request"])
    (page,) = (home.path / "requests" / made["request"]).rglob("index.html")
    assert f"a cross section of {2000 * share:g} pb, that of the events" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_same_events_are_left_however_they_are_split(home: Home, write_lhe: WriteLhe, quick: str) -> None:
    path = write_lhe("z.lhe", 6, head=mlm_head())
    found = []
    for per_job in ("12", "4"):
        options = {"oversample": 2, "seed": 9, "device": "cpu", "shower": quick, "events_per_job": per_job}
        order = make_order(Typed(inputs=(str(path),), **options))[0]  # type: ignore[arg-type]
        found.append(simulate_in_memory(preview(home, order, None).request))
    one, two = found
    assert 0 < len(one) < 12
    assert one.fields == two.fields
    for name in set(one.fields) - {"luminosityBlock"}:
        assert ak.array_equal(one[name], two[name], equal_nan=True), name


@pytest.mark.slow
def test_jobs_of_which_nothing_is_left_are_merged_all_the_same(
    home: Home, write_lhe: WriteLhe, tmp_path: Path
) -> None:
    path, settings = write_lhe("z.lhe", 2), tmp_path / "all.cmnd"
    settings.write_text("PartonLevel:MPI = off\n" + _ALL_LEAVE, encoding="utf-8")
    options = ["--shower", str(settings), "--events-per-job", "1", "--seed", "2", "--json"]
    made = json.loads(_called("request", "--input", str(path), *options).stdout)
    assert (made["state"], made["events"]) == ("DONE", 0)
    with uproot.open(made["files"][0]["pfn"]) as opened:
        events, runs = opened["Events"], opened["Runs"].arrays()
        assert events.num_entries == 0
        assert {"Jet_pt", "LHEPdfWeight", "FlashSim_fold"} <= set(events.keys())
    assert ak.sum(runs.genEventSumw) == ak.sum(runs.genEventCount) == 0
    assert set(ak.num(runs.LHEPdfSumw).tolist()) == {2}
    _called("verify", made["dataset"])
    assert not check_dataset(find_files(home, [made["request"]])).problems


def test_what_is_left_cannot_be_registered_before_it_is_known(
    home: Home, write_lhe: WriteLhe, quick: str
) -> None:
    path = write_lhe("z.lhe", 4, head=mlm_head())
    words = ["request", "--input", str(path), "--shower", quick, "--virtual"]
    with pytest.raises(RequestError, match="--virtual: which events the merging of the shower leaves"):
        CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)
    assert not home.names()


def test_the_plan_says_that_numbers_are_estimates(home: Home, write_lhe: WriteLhe, quick: str) -> None:
    path = write_lhe("z.lhe", 4, head=mlm_head())
    shown = _called("request", "--input", str(path), "--shower", quick, "--dry-run").output
    words = " ".join(shown.split())
    assert "at most 4 = 4 gen events x 1" in words
    assert "MLM merging (qCut 15, nJetMax 1)" in words
    assert "estimates from above" in words
