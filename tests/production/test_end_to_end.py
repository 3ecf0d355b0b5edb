"""The real thing: generator, chain, NANOAOD, merge, catalogue, through the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import uproot

from flashsim_prod.core.states import Stage
from flashsim_prod.physics.chain import chain
from flashsim_prod.physics.generator.files.look import look_at
from flashsim_prod.production.home import VARIABLE, Home
from flashsim_prod.production.job.worker import run_job

pytestmark = pytest.mark.slow

#: 12 gen events x 10 in 3 simulate jobs and 1 merge job
REQUEST = (
    "--events",
    "120",
    "--oversample",
    "10",
    "--events-per-job",
    "40",
    "--seed",
    "42",
    "--device",
    "cpu",
)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "flashsim_prod.cli", *arguments]


def _run(home: Path, *arguments: str) -> Any:
    environment = {**os.environ, VARIABLE: str(home)}
    ended = subprocess.run(
        _command(*arguments, "--json"), env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A state folder with one finished request, and what it printed."""
    home = tmp_path_factory.mktemp("home")
    return home, _run(home, "request", "ttbar", *REQUEST, "--name", "first")


def _events(found: Any) -> dict[str, Any]:
    with uproot.open(found["files"][0]["pfn"]) as file:
        return dict(file["Events"].arrays(library="np"))


def test_exactly_the_events_asked_for(made: tuple[Path, Any]) -> None:
    _, found = made
    events = _events(found)
    assert (found["state"], found["events"], len(found["files"])) == ("DONE", 120, 1)
    assert events["event"].tolist() == list(range(1, 121))
    assert events["FlashSim_genEvent"].tolist() == np.repeat(np.arange(12), 10).tolist()
    assert events["FlashSim_fold"].tolist() == np.tile(np.arange(10), 12).tolist()
    assert set(events["FlashSim_oversample"]) == {10}


def test_folds_share_the_generator_and_differ_in_the_detector(made: tuple[Path, Any]) -> None:
    events = _events(made[1])
    gen_met, met = events["GenMET_pt"].reshape(12, 10), events["MET_pt"].reshape(12, 10)
    assert (np.ptp(gen_met, axis=1) == 0).all()
    assert (np.ptp(met, axis=1) > 0).all()


def test_weights_are_summed_over_all_folds(made: tuple[Path, Any]) -> None:
    path = made[1]["files"][0]["pfn"]
    with uproot.open(path) as file:
        runs = file["Runs"].arrays(library="np")
        about = file["MetaData"].arrays(library="np")
    events = _events(made[1])
    assert runs["genEventSumw"].sum() == pytest.approx(events["genWeight"].sum(dtype=np.float64))
    assert runs["genEventCount"].sum() == 120
    assert set(about["seed"]) == {"42"}
    assert set(about["request"]) == {"first"}


def test_the_catalogue_agrees(made: tuple[Path, Any]) -> None:
    home, found = made
    assert _run(home, "verify", found["dataset"])["ok"]
    (file,) = _run(home, "files", found["dataset"])
    assert (file["events"], file["adler32"]) == (120, found["files"][0]["adler32"])
    assert file["lumis"] == [{"run": 1, "first": 1, "last": 3}]


def test_the_same_request_elsewhere_is_the_same_to_the_byte(made: tuple[Path, Any], tmp_path: Path) -> None:
    """Other folder, other number of slots, killed in the middle: nothing shows in the dataset."""
    _, found = made
    environment = {**os.environ, VARIABLE: str(tmp_path)}
    arguments = ("request", "ttbar", *REQUEST, "--name", "first", "--slots", "1")
    driver = subprocess.Popen(_command(*arguments), env=environment, stderr=subprocess.DEVNULL)
    reports = tmp_path / "requests" / "first" / "reports"
    while not list(reports.glob("simulate*.json")):
        assert driver.poll() is None
        time.sleep(0.1)
    workers = psutil.Process(driver.pid).children()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    psutil.wait_procs(workers, timeout=10)
    again = _run(tmp_path, "retry", "first")
    assert [file["lfn"] for file in again["files"]] == [file["lfn"] for file in found["files"]]
    for one, other in zip(again["files"], found["files"], strict=True):
        assert Path(one["pfn"]).read_bytes() == Path(other["pfn"]).read_bytes()


def test_the_size_of_chunks_changes_no_byte(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    _run(home.path, "request", "ttbar", *REQUEST, "--name", "mine", "--dry-run")
    folder, contents, seen = home.folder("mine"), [], []

    def spied(*given: Any, **named: Any) -> chain.Chain:
        seen.append(named["device"].batch_rows)
        return real(*given, **named)

    real = chain.Chain
    monkeypatch.setattr(chain, "Chain", spied)
    for chunk, batch in (("1000", "null"), ("7", "null"), ("40", "64")):
        text = re.sub("chunk_events: .*", f"chunk_events: {chunk}", folder.request.read_text())
        folder.request.write_text(re.sub("batch_rows: .*", f"batch_rows: {batch}", text))
        report = run_job(Stage.SIMULATE, folder.request, 1)
        assert report.output is not None
        contents.append(Path(report.output.pfn).read_bytes())
        folder.report(Stage.SIMULATE, 1).unlink()
    assert contents[0] == contents[1]
    assert seen == [None, None, 64]


def test_a_produced_file_can_be_input_again(made: tuple[Path, Any], tmp_path: Path) -> None:
    source = made[1]["files"][0]["pfn"]
    found = _run(tmp_path, "request", "ttbar", "--input", source, "--oversample", "2", "--seed", "1")
    events, before = _events(found), _events(made[1])
    assert found["events"] == 240
    assert np.array_equal(events["GenMET_pt"], np.repeat(before["GenMET_pt"], 2))
    assert np.array_equal(events["nGenPart"], np.repeat(before["nGenPart"], 2))


@pytest.fixture
def samples() -> list[Path]:
    """Real NanoAOD files."""
    folder = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not folder:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
    return sorted(Path(folder).glob("*.root"))


def test_real_files_of_all_versions_as_input(samples: list[Path], home: Home) -> None:
    runs = 0
    for number, path in enumerate(samples):
        known = look_at(str(path)).energy_tev if uproot.open(path)["Events"].num_entries else 13.0
        typed = ("--input", str(path), "--primary", "Real", "--energy", str(known or 13.0), "--events", "20")
        command = _command("request", *typed, "--oversample", "2", "--name", f"real-{number}", "--json")
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode == 0:
            runs += 1
            assert json.loads(ended.stdout)["events"] == 20
        else:
            # refused when ordering, and nothing is left behind
            assert ended.returncode == 10, ended.stderr
            assert "has no branch" in ended.stderr or "holds no events" in ended.stderr
            assert not home.folder(f"real-{number}").path.exists()
    assert runs > len(samples) / 2


def test_files_that_differ_in_their_branches_are_refused_at_once(samples: list[Path], home: Home) -> None:
    # such without events, or of more than one energy, are refused for that
    full = [str(path) for path in samples if uproot.open(path)["Events"].num_entries]
    alike = [path for path in full if look_at(path).energy_tev in (None, 13.0)]
    command = _command("request", "--input", *alike, "--energy", "13")
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 10
    assert re.search("ha(s|ve) no branch", ended.stderr.splitlines()[-1])
