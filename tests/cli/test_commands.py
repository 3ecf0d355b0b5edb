"""What commands print, for people and for programs."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.request import Request
from flashsim_prod.physics.generator.files.look import DRAWN, OPTIONAL_GROUPS, REQUIRED, FileLook
from flashsim_prod.physics.nanoaod.runs import RunSums
from flashsim_prod.production.home import Home
from flashsim_prod.software import code_digest

Cli = Callable[..., Any]
SMALL = ("--events", "80", "--oversample", "10", "--events-per-job", "40", "--seed", "7")


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version").out == f"flashsim-prod 0.1.0 (code {code_digest()})\n"
    out = cli("--help").out
    commands = "request status retry cancel cards sites datasets files verify worker train bundle"
    commands += " register publish"
    for command in commands.split():
        assert f" {command} " in out


@pytest.mark.parametrize(
    "command",
    [
        "request",
        "status",
        "retry",
        "cancel",
        "cards",
        "sites",
        "datasets",
        "files",
        "verify",
        "worker simulate",
    ],
)
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    ended = cli(*command.split(), "--help")
    assert ended.code == 0
    assert "Usage: flashsim-prod " in ended.out


def test_no_arguments_show_the_help(cli: Cli) -> None:
    ended = cli()
    assert "Usage: flashsim-prod" in ended.out + ended.err
    assert "error:" not in ended.err


def test_a_request_from_plan_to_dataset(cli: Cli, fake_physics: Any) -> None:
    ended = cli("request", "ttbar", *SMALL)
    assert ended.code == 0, ended.err
    dataset = "/TTbar_13TeV_FlashSim-pythia8/FlashSim2018-RefDet_x10-v1/NANOAODSIM"
    for text in (dataset, "80 events in 1 file", "uproot.open(f)", "NanoEventsFactory", "RDataFrame"):
        assert text in ended.out
    assert f"flashsim-prod verify {dataset}" in ended.out
    for text in (
        "80 = 8 gen events x 10",
        "2 of up to 40 events",
        "rates configured",
        "80 of 80 events simulated",
    ):
        assert text in ended.err
    again = cli("retry", "ttbar-001")
    assert (again.code, again.out) == (0, ended.out)
    assert "rates measured in 2 jobs" in cli("request", "ttbar", *SMALL, "--dry-run").err


def test_request_json_is_one_object(cli: Cli, fake_physics: Any) -> None:
    ended = cli("request", "ttbar", *SMALL, "--json")
    found = ended.json
    keys = ["request", "dataset", "state", "events", "files", "scope", "container", "rse"]
    assert list(found) == [*keys, "gen_events", "oversample", "warnings"]
    (warning,) = found["warnings"]
    assert "80 events are 8 gen events 10 times over" in warning
    assert (found["request"], found["state"], found["events"]) == ("ttbar-001", "DONE", 80)
    (file,) = found["files"]
    assert list(file) == ["lfn", "pfn", "bytes", "events", "adler32"]
    assert file["pfn"].endswith(file["lfn"])
    assert Path(file["pfn"]).stat().st_size == file["bytes"]
    assert (file["events"], len(file["adler32"])) == (80, 8)


def test_a_command_to_begin_with_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    (line,) = cli("status").out.splitlines()
    assert line.endswith("flashsim-prod request ttbar --events 1000 --oversample 10")


def test_a_dry_run_writes_the_folder_and_stops(cli: Cli, home: Home) -> None:
    ended = cli("request", "ttbar", *SMALL, "--dry-run")
    assert ended.code == 0
    folder = home.folder("ttbar-001").path
    assert f"Written, not started: {folder}" in ended.out
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "logs",
        "reports",
        "request.yaml",
        "worker.sh",
    ]
    assert not (home.path / "store").exists()
    found = cli("request", "ttbar", *SMALL, "--dry-run", "--json").json
    assert (found["request"], found["state"], found["files"]) == ("ttbar-002", "PLANNED", [])
    assert cli("status", "ttbar-001").out.count("a dry run, never started") == 1


def _written(home: Home, name: str) -> Request:
    path = home.folder(name).request
    return Request.from_yaml(path.read_text(), str(path))


def test_options_arrive_in_the_request(cli: Cli, home: Home) -> None:
    cli(
        *("request", "dyjets", "--events", "2k", "--oversample", "7", "--energy", "13.6", "--device", "cpu"),
        *("--solver", "ab2", "--evaluations", "12", "--grid-power", "2", "--slots", "3"),
        *("--events-per-job", "100", "--seed", "99", "--catalog", "none", "--name", "mine", "--dry-run"),
    )
    request = _written(home, "mine")
    assert (request.card.name, request.energy_tev, request.seed, request.catalog) == (
        "dyjets",
        13.6,
        99,
        "none",
    )
    assert (request.gen_events, request.oversample, request.split.gen_events_per_job) == (286, 7, 15)
    sampling = request.sampling
    assert (sampling.solver, sampling.evaluations, sampling.grid_power) == ("ab2", 12, 2.0)
    assert (request.site.slots, request.device.value) == (3, "cpu")


def test_seeds_differ_unless_given(cli: Cli, home: Home) -> None:
    for _ in range(2):
        cli("request", "ttbar", "--events", "10", "--dry-run")
    assert _written(home, "ttbar-001").seed != _written(home, "ttbar-002").seed


@pytest.mark.parametrize("arguments", [("status",), ("datasets",), ("cards",), ("sites",)])
def test_lists_have_json(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert isinstance(cli(*arguments, "--json").json, list)


def test_json_of_a_finished_request(cli: Cli, fake_physics: Any) -> None:
    dataset = cli("request", "ttbar", *SMALL, "--json").json["dataset"]
    (line,) = cli("status", "--json").json
    assert (line["name"], line["state"], line["percent"], line["eta_s"]) == ("ttbar-001", "DONE", 100, None)
    detail = cli("status", "ttbar-001", "--json").json
    assert detail["stages"][0] == {"label": "TOTAL", "states": {"DONE": 3}, "expected": 3}
    assert detail["failures"] == detail["warnings"] == []
    (container,) = cli("datasets", "--json").json
    assert (container["name"], container["events"], container["metadata"]["seed"]) == (dataset, 80, 7)
    (file,) = cli("files", dataset, "--json").json
    assert file["replicas"][0]["rse"] == "LOCAL"
    assert cli("verify", dataset, "--json").json["ok"] is True


def test_tables_of_a_finished_request(
    cli: Cli, home: Home, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = cli("request", "ttbar", *SMALL, "--json").json["dataset"]
    for columns in ("80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        overview, detail = cli("status").out, cli("status", "ttbar-001").out
        assert "DONE" in overview
        assert "ttbar-001" in overview
        assert detail.index("TOTAL") < detail.index("simulate") < detail.index("merge")
        lines = (overview + detail).splitlines()
        # the path of the folder is one word, to be copied whole
        (folder,) = [line for line in lines if line.startswith("folder ")]
        assert folder.split()[1] == str(home.folder("ttbar-001").path)
        assert all(len(line) <= int(columns) for line in lines if line != folder)
    assert cli("datasets").out.splitlines()[1].split()[-1] == dataset
    assert cli("files", dataset).out.splitlines()[1].split()[0] == "80"
    verified = cli("verify", dataset).out
    assert verified.startswith(f"{dataset}: 1 file, ")
    assert verified.endswith(": catalogue, ledger and storage agree\n")


def test_status_without_a_catalogue(cli: Cli, fake_physics: Any) -> None:
    assert cli("request", "ttbar", *SMALL, "--catalog", "none").code == 0
    assert "no catalogue asked for" in cli("status", "ttbar-001").out
    assert cli("status", "ttbar-001", "--json").json["catalog"] == "none"


def test_verify_ends_with_its_own_code(cli: Cli, fake_physics: Any) -> None:
    found = cli("request", "ttbar", *SMALL, "--json").json
    path = Path(found["files"][0]["pfn"])
    contents = bytearray(path.read_bytes())
    contents[5] ^= 1
    path.write_bytes(contents)
    ended = cli("verify", found["dataset"])
    assert ended.code == 8
    assert ended.complaint == f"{found['dataset']}: 1 disagreement (checksum)"
    assert len(ended.err.splitlines()) == 1, "no bar off a terminal, and no line in its place"
    assert "checksum  /store/mc/" in ended.out
    broken = cli("verify", found["dataset"], "--json")
    assert (broken.code, broken.json["ok"]) == (8, False)


def test_failed_jobs(cli: Cli, fake_physics: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "simulate_1").write_text("InputError")
    monkeypatch.setenv("FAKE_TROUBLE", str(tmp_path))
    ended = cli("request", "ttbar", *SMALL, "--name", "mine", "--json")
    assert ended.code == 17
    assert "request mine: 1 job failed: trouble in simulate 1 (log: " in ended.complaint
    assert (ended.json["state"], ended.json["files"]) == ("FAILED", [])
    shown = cli("status", "mine").out
    assert "trouble in simulate 1" in shown
    assert "simulate_000001.1.log" in shown.replace("\n", "").replace(" ", "")
    assert cli("status").out.splitlines()[3].split()[:3] == ["F", "FAILED", "33"]
    (tmp_path / "simulate_1").unlink()
    assert cli("retry", "mine").code == 0


def test_cancel_and_retry(cli: Cli, fake_physics: Any, home: Home) -> None:
    cli("request", "ttbar", *SMALL, "--name", "mine", "--dry-run")
    never = cli("cancel", "mine")
    assert (never.code, "was never started" in never.complaint) == (13, True)
    from flashsim_prod.grid.ledger.ledger import Ledger
    from flashsim_prod.production.order.place import enter_existing

    with Ledger(home.ledger) as ledger:
        enter_existing(ledger, home.folder("mine"), _written(home, "mine"))
    assert cli("cancel", "mine").out == "3 jobs cancelled; to go on: flashsim-prod retry mine\n"
    assert cli("status", "mine", "--json").json["line"]["state"] == "CANCELLED"
    assert cli("cancel", "mine", "--json").json == {"request": "mine", "cancelled_jobs": 0}
    assert cli("retry", "mine").code == 0


def test_a_glob_that_the_shell_expanded(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def look(url: str) -> FileLook:
        seen.append(Path(url).name)
        names = frozenset((*REQUIRED, *DRAWN, *(name for group in OPTIONAL_GROUPS for name in group)))
        sums = RunSums(100, 100.0, 100.0)
        nothing: frozenset[str] = frozenset()
        return FileLook(url, 100, uuid.uuid4(), names, nothing, (), sums, "", None, None, None)

    monkeypatch.setattr("flashsim_prod.physics.generator.existing.look_at", look)
    for name in "abc":
        (tmp_path / f"{name}.root").touch()
    files = [str(tmp_path / f"{name}.root") for name in "abc"]
    ended = cli("request", "ttbar", "--oversample", "2", "--input", *files, "--dry-run", "--json")
    assert (seen, ended.json["events"]) == (["a.root", "b.root", "c.root"], 600)
    seen.clear()
    quoted = cli(
        "request", "ttbar", "--input", str(tmp_path / "*.root"), "--events", "250", "--dry-run", "--json"
    )
    assert (seen, quoted.json["events"]) == (["a.root", "b.root", "c.root"], 250)
    seen.clear()
    named = ("--primary", "Mine", "--energy", "13", "--dry-run", "--json")
    without_card = cli("request", "--input", *files, *named)
    assert (seen, without_card.json["events"]) == (["a.root", "b.root", "c.root"], 300)
    for label in ("xsec", "carried", "dropped", "drawn", "normalisation"):
        assert f"\n{label} " in without_card.err


def test_a_reader_that_leaves_is_no_error(home: Home) -> None:
    command = f"{sys.executable} -m flashsim_prod.cli cards --json | head -c 1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert ended.stderr == b""
