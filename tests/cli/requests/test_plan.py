"""``plan`` tells what ``request`` would do, and writes nothing; a scan compares factors of oversampling."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flashsim_prod.physics.chain import compatibility
from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
from flashsim_prod.physics.chain.distilled import told_students
from flashsim_prod.production.home import VARIABLE, Home
from flashsim_prod.production.views.scan import find_proofs

from ..conftest import Cli

PROCESS = "Top quark pairs, all decays, 13 TeV"


def _proof(place: Path, observables: list[dict[str, Any]], title: str = PROCESS) -> Path:
    place.mkdir(exist_ok=True)
    path = place / "proof.json"
    path.write_text(json.dumps({"processes": [{"title": title, "observables": observables}]}))
    return path


def _observable(name: str, folds: int, gain: float, proven: bool = True) -> dict[str, Any]:
    return {"observable": name, "folds": folds, "gain": gain, "proven": proven}


def test_the_plan_is_the_requests(cli: Cli, home: Home) -> None:
    asked = ("ttbar", "--events", "95", "--oversample", "10", "--seed", "3", "--site", "htcondor")
    told = cli("plan", *asked, "--json").json
    shown = cli("plan", *asked)
    made = cli("request", *asked, "--dry-run", "--json").json
    assert (told["name"], told["dataset"]) == (made["request"], made["dataset"])
    assert (told["events"], told["gen_events"], told["seed"]) == (100, 10, 3)
    assert "95 is no multiple of 10" in told["notes"][0]
    assert len(told["warnings"]) == 1
    # the same lines that a request shows first
    assert made["dataset"] in shown.out
    assert "WARNING: 100 events are 10 gen events 10 times over" in shown.out
    assert cli("plan", "ttbar", "--events", "10", "--name", "tops", "--json").json["name"] == "tops"


def test_what_the_bundle_leaves_out_and_becomes_of_the_input_is_told(
    cli: Cli, home: Home, hepmc: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compatibility, "told_missing", lambda models: (f"no {len(models)} things",))
    event = hepmc.by_hand(hepmc.muon_pair(), cross_section=(7.0, 0.5))
    asked = ("--input", str(hepmc.write_hepmc(tmp_path / "z.hepmc", [event])), "--oversample", "2")
    told, shown = cli("plan", *asked, "--json").json, cli("plan", *asked)
    made = cli("request", *asked, "--dry-run", "--json").json
    assert list(told["contents"]) == ["carried", "dropped", "drawn", "normalisation"]
    assert made["contents"] == told["contents"]
    assert (told["source"], told["cross_section_pb"]) == ("hepmc", 7.0)
    note = "the dataset will lack: no 25 things"
    assert told["notes"] == made["notes"] == [note]
    assert note in " ".join(shown.out.split())
    assert cli("plan", "ttbar", "--events", "10", "--json").json["contents"] is None


def test_nothing_is_written(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    for options in ((), ("--scan-oversample", "1,2"), ("--json",)):
        assert cli("plan", "ttbar", "--events", "1k", *options).code == 0
    assert not (tmp_path / "none").exists()


def test_what_is_there_is_counted(cli: Cli, home: Home) -> None:
    cli("request", "ttbar", "--events", "10", "--dry-run")
    before = {path: path.stat().st_mtime_ns for path in home.path.rglob("*")}
    told = cli("plan", "ttbar", "--events", "10", "--json").json
    assert (told["name"], told["dataset"].split("/")[2][-2:]) == ("ttbar-002", "v2")
    assert {path: path.stat().st_mtime_ns for path in home.path.rglob("*")} == before


def test_a_scan_follows_the_rates_of_the_site(cli: Cli, home: Home) -> None:
    found = cli("plan", "ttbar", "--events", "1M", "--scan-oversample", "1,10,50", "--json").json["scan"]
    assert [(one["oversample"], one["gen_events"]) for one in found] == [
        (1, 1_000_000),
        (10, 100_000),
        (50, 20_000),
    ]
    # local.yaml: 80 gen events and 1500 output events per second
    for one in found:
        folds = one["oversample"]
        assert one["events_hz"] == pytest.approx(folds / (1 / 80 + folds / 1500))
        assert one["gen_hz"] == pytest.approx(one["events_hz"] / folds)
        assert one["bytes"] == 1_600_000_000
    alone = cli("plan", "ttbar", "--events", "1M", "--oversample", "10", "--json").json
    assert found[1]["seconds"] == alone["seconds"]
    assert (
        "validate proof ttbar --factor 10 --factor 50"
        in cli("plan", "ttbar", "--events", "1M", "--scan-oversample", "1,10,50").out
    )


def test_the_worth_of_an_event_is_what_was_proven(cli: Cli, tmp_path: Path) -> None:
    # two folds with a correlation of 0.4: 10 of them are worth 10 / (1 + 0.4 * 9)
    path = _proof(
        tmp_path / "proven",
        [
            _observable("MET", 10, 10 / (1 + 0.4 * 9)),
            _observable("HT", 10, 2.0),
            _observable("m", 10, 9.0, proven=False),
        ],
    )
    scan = ("plan", "ttbar", "--events", "1M", "--scan-oversample", "1,10,20", "--proof", str(path.parent))
    one, ten, twenty = (factor["worth"] for factor in cli(*scan, "--json").json["scan"])
    assert set(one) == {"MET", "HT"}
    assert one["MET"] == {"per_event": 1, "gain": 1, "is_proven": True}
    assert ten["HT"] == {"per_event": pytest.approx(0.2), "gain": 2.0, "is_proven": True}
    assert twenty["MET"]["gain"] == pytest.approx(20 / (1 + 0.4 * 19))
    assert twenty["MET"]["is_proven"] is False
    shown = cli(*scan, "--observable", "MET").out
    assert "WORTH MET" in shown
    assert "HT" not in shown
    assert "~0.12" in shown
    assert "did you mean 'MET'" in cli(*scan, "--observable", "MTE").complaint


def test_a_proof_of_another_process_is_none(cli: Cli, tmp_path: Path) -> None:
    path = _proof(
        tmp_path / "p", [_observable("MET", 10, 2.0)], title="Top quark pairs, all decays, 13.6 TeV"
    )
    assert find_proofs(path, PROCESS) is None
    told = cli(
        "plan", "ttbar", "--events", "1k", "--scan-oversample", "2", "--proof", str(path), "--json"
    ).json
    assert (told["scan"][0]["worth"], PROCESS in told["worth_note"]) == ({}, True)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--scan-oversample", "1,x"), "--scan-oversample: 'x' is no number"),
        (("--scan-oversample", "0"), "--scan-oversample: '0' must be at least 1"),
        (("--scan-oversample", "1,10001"), "--scan-oversample: at most 10000"),
        (("--scan-oversample", "2", "--proof", "nowhere"), "--proof: there is no nowhere"),
        (("--scan-oversample", "2", "--observable", "HT"), "--observable: no proof of Top quark pairs"),
        (("--observable", "HT"), "go with --scan-oversample"),
        (("--energy", "8"), "card ttbar has no energy of 8 TeV"),
    ],
)
def test_one_line_for_what_is_wrong(cli: Cli, options: tuple[str, ...], complaint: str) -> None:
    ended = cli("plan", "ttbar", "--events", "1M", *options)
    assert (ended.code, complaint in ended.complaint) == (2, True), ended.err


def test_a_factor_that_no_job_can_hold_is_named(cli: Cli, home: Home) -> None:
    cli("sites", "new", "small")
    path = home.path / "sites" / "small.yaml"
    path.write_text(path.read_text().replace("max_file_mb: 1000", "max_file_mb: 0.1"))
    ended = cli("plan", "ttbar", "--events", "1k", "--site", "small", "--scan-oversample", "2,100")
    assert (ended.code, ended.complaint.startswith("with 100 folds of a gen event: 100 folds")) == (2, True)


def test_a_file_that_is_no_proof(cli: Cli, tmp_path: Path) -> None:
    for text in ("{", "[]", '{"processes": [{}]}'):
        (tmp_path / "proof.json").write_text(text)
        ended = cli("plan", "ttbar", "--events", "1k", "--scan-oversample", "2", "--proof", str(tmp_path))
        assert (ended.code, "not what 'flashsim-prod validate proof' writes" in ended.complaint) == (2, True)


def test_the_plan_says_what_a_version_does_not_get(cli: Cli) -> None:
    asked = ("plan", "ttbar", "--events", "100", "--energy", "13.6", "--bundle", "reference", "--json")
    told = cli(*asked).json
    assert told["nano"] == "v15"
    (left_out, jets, era, pace) = told["notes"]
    assert left_out.startswith("NanoAOD v15 by models made for v9: 101 of their attributes are left out")
    assert "bundle show reference" in left_out
    assert jets.startswith("Jet of NanoAOD v15 will hold jets without charged pileup hadrons (CHS)")
    assert era.startswith("the request is of Run3_2022, and bundle reference of UL18")
    same = cli(*asked, "--nano", "v9").json
    assert pace.startswith("the generator sets the pace: 80 gen events/s a job, where 1,500 events/s could")
    assert (same["nano"], same["notes"]) == ("v9", [era, pace])
    assert cli("plan", "ttbar", "--events", "100", "--json").json["nano"] == "v9"


def test_the_plan_says_in_how_many_steps_models_draw(cli: Cli) -> None:
    asked = ("plan", "ttbar", "--events", "100", "--json")
    students = told_students(load_bundle(find_bundle("reference")).manifest.models)
    assert students.startswith("students: ")
    assert cli(*asked).json["draws"] == f"{students}; others: midpoint in 8 evaluations"
    # other steps than the students' take the teachers
    assert cli(*asked, "--evaluations", "20").json["draws"] == "flows: midpoint in 20 evaluations"


@pytest.mark.parametrize(
    ("nano", "complaint"),
    [("v8", "there is no schema of NanoAOD 'v8'; known: v9, v15"), ("15", "nano"), ("../v9", "nano")],
)
def test_a_version_that_is_not_written_is_refused(cli: Cli, nano: str, complaint: str) -> None:
    told = cli("plan", "ttbar", "--events", "100", "--nano", nano)
    assert (told.code, complaint in told.complaint) == (2, True), told.err
