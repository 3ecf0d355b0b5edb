"""``energy-bench`` on the command line, with the real ipmitool and a BMC that a program drives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

Cli = Callable[..., Any]
PEERS = Path(__file__).resolve().parents[2] / "peers"

#: sets the true power while it makes ten events a second
WORK = """
import sys, time
from pathlib import Path
watts, seconds = Path(sys.argv[1]), float(sys.argv[2])
watts.write_text("253 ")
start = time.monotonic()
for event in range(1, int(seconds * 10) + 1):
    # by the clock, since a busy machine oversleeps
    time.sleep(max(0.0, start + 0.1 * event - time.monotonic()))
    print(f"Begin processing the {event}th record.", flush=True)
watts.write_text("160 ")
"""
#: a meter so fast that a rough figure takes seconds
FAST = (
    "--quick",
    "--refresh",
    "0.2",
    "--lag",
    "0",
    "--idle",
    "2",
    "--cycles",
    "2",
    "--foreign-cores",
    "99",
    "--run",
    "3",
)


@pytest.fixture
def bmc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: Callable[[str], None]) -> Iterator[Path]:
    """A BMC for ``ipmitool -I dummy``; the file with its true power."""
    if shutil.which("ipmitool") is None:
        lacking("ipmitool")
    watts, sock = tmp_path / "watts", tmp_path / "bmc.sock"
    watts.write_text("160 ")
    command = [
        sys.executable,
        str(PEERS / "bmc_sim.py"),
        "--dummy-sock",
        str(sock),
        "--watts-file",
        str(watts),
    ]
    command += ["--update-s", "0.2", "--noise-w", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        monkeypatch.setenv("IPMI_DUMMY_SOCK", str(sock))
        yield watts
        process.terminate()


@pytest.mark.slow
def test_a_command_from_the_meter_to_the_table(cli: Cli, bmc: Path, tmp_path: Path) -> None:
    work, result, plot = tmp_path / "work.py", tmp_path / "result.json", tmp_path / "power.svg"
    work.write_text(WORK)
    command = f"{sys.executable} {work} {bmc} 4"
    meter = ("--meter", "ipmi", "--bmc", "interface:dummy")
    done = cli(
        "energy-bench", "--mode", "fullsim", "--mode", "idle", "--command", command, *meter, *FAST,
        "--output", str(result), "--plot", str(plot), "--events", "100M",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "whole server" in done.out
    assert "100,000,000" in done.out
    assert plot.read_bytes().startswith(b"<?xml")
    figures = cli("energy-bench", "show", str(result), "--json").json
    full, idle = figures["rows"]
    assert figures["rough"]
    assert full["conventions"]["full node"]["kwh_per_event"]["value"] == pytest.approx(
        253 / 10 / 3.6e6, rel=0.06
    )
    assert full["conventions"]["marginal"]["net_w"] == pytest.approx(93, abs=6)
    assert idle["server_w"]["value"] == pytest.approx(160, abs=3)
    assert not idle["conventions"]
    same = cli("energy-bench", "compare", str(result), str(result), "--json").json
    assert [one["ratio"] for one in same] == [1, 1, 1]
    exported, imported = tmp_path / "suite.json", tmp_path / "imported.json"
    assert cli("energy-bench", "export", str(result), str(exported)).code == 0
    benchmark = next(
        name for name in json.loads(exported.read_text())["plugins"]["CommandExecutor"] if "FullSim" in name
    )
    assert cli("energy-bench", "import", str(exported), str(imported), "--rate", f"{benchmark}=10").code == 0
    project = ("energy-bench", "project", str(result), "1000")
    (projected,) = cli(*project, "--price-per-kwh", "0.5", "--json").json
    assert projected["energy_kwh"] == pytest.approx(253 / 10 / 3.6e3, rel=0.06)
    assert projected["cost"] == pytest.approx(projected["energy_kwh"] / 2)
    assert cli("energy-bench", "export", str(result), str(exported), "--json").json["written"] == str(
        exported
    )
    assert "spread evenly" in cli("energy-bench", "show", str(imported)).out


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in nvidia-smi: a good GPU, one without a sensor, one that fell off the bus."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {PEERS / "nvidia_smi_sim.py"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NVSMI_SIM", str(tmp_path / "state.json"))
    gpus = [{"power.draw": 10.2}, {}, {"lost": True}]
    (tmp_path / "state.json").write_text(json.dumps({"gpus": gpus}))


def test_a_gpu_that_works_unseen_is_told_before_the_first_cycle(cli: Cli, gpus: None) -> None:
    chosen = ("--meter", "nvidia-smi", "--gpus", "1")
    told = cli("energy-bench", "--mode", "command", "--command", "true", *chosen, *FAST)
    assert told.code == 18
    assert "command: gpu1 does the work but gives no reading (nvidia-smi gives [N/A]" in told.complaint
    assert "name the server's BMC with --bmc" in told.complaint


@pytest.mark.slow
def test_a_gpu_without_a_sensor_beside_a_good_bmc(cli: Cli, bmc: Path, gpus: None, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    meters = ("--meter", "ipmi", "--bmc", "interface:dummy", "--meter", "nvidia-smi")
    done = cli("energy-bench", "--mode", "idle", *meters, *FAST, "--output", str(result))
    assert done.code == 0, done.err
    assert "gpu1 gives no reading: nvidia-smi gives [N/A] for its power; --meter ipmi measures" in done.err
    assert "not there: nvidia-smi: Unable to determine the device handle for GPU 0000:03:00.0" in done.err
    assert "idle: whole server; 2 cycles" in done.out
    assert "idle: gpu1 is counted only as a part of the server" in done.out
    (row,) = cli("energy-bench", "show", str(result), "--json").json["rows"]
    assert row["server_w"]["value"] == pytest.approx(160, abs=3)
    assert [one.split()[0] for one in row["left_out"]] == ["gpu1", "a"]
    names = {one["name"] for one in json.loads(result.read_text())["cycles"][0]["channels"]}
    assert names == {"server", "gpu0", "gpu1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("false", "copy 0 ended with code 1"),
        ("sleep 3", "no event was counted"),
        ("sh -c 'echo Begin processing the 1st record; sleep 0.5'", "too short for this meter"),
    ],
)
def test_a_command_that_gives_no_figure(cli: Cli, bmc: Path, tmp_path: Path, command: str, line: str) -> None:
    ended = cli(
        "energy-bench",
        "--mode",
        "command",
        "--command",
        command,
        "--meter",
        "ipmi",
        "--bmc",
        "interface:dummy",
        *FAST,
    )
    assert ended.code == 18
    assert line in ended.complaint
    assert not list(Path.cwd().glob("energy-2*.json"))


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ((), 2, "--mode is missing; it is one of: gpu, cpu"),
        (("--mode", "command"), 2, "--command is missing"),
        (("--mode", "train"), 2, "--mode train needs --input"),
        (("--mode", "idle", "--meter", "impi"), 2, "did you mean 'ipmi'"),
        (("--mode", "idle", "--bmc", "a@b@c"), 2, "USER@HOST"),
        (("--mode", "idle", "--meter", "replay:/nowhere.csv"), 10, "cannot be read"),
        (("--mode", "idle", "--events", "many"), 2, "is no number"),
        (("show", "/nowhere.json"), 10, "cannot be read"),
        (("import", "/nowhere.json", "x.json", "--rate", "hs23"), 2, "BENCHMARK=HZ"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, arguments: tuple[str, ...], code: int, line: str) -> None:
    ended = cli("energy-bench", *arguments)
    assert ended.code == code
    assert line in ended.complaint


def test_a_gpu_that_is_not_there(cli: Cli) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    ended = cli("energy-bench", "--mode", "gpu", "--input", "/nowhere.root")
    assert ended.code == 22
    assert "--mode gpu: torch finds no GPU here; use --mode cpu" in ended.complaint


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_measurement_that_is_ended_ends_what_it_measures(number: signal.Signals, tmp_path: Path) -> None:
    recording, started = tmp_path / "watts.csv", tmp_path / "started"
    recording.write_text("0,161\n1000,161\n")
    command = f"sh -c 'echo $$ > {started}; sleep 300 & wait'"
    arguments = ["--mode", "command", "--command", command, "--meter", f"replay:{recording}", "--quick"]
    arguments += ["--refresh", "0.1", "--idle", "1", "--foreign-cores", "99"]
    program = [sys.executable, "-m", "flashsim_prod.cli", "energy-bench", *arguments]
    with subprocess.Popen(
        program,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (started.exists() and started.read_text().strip()):
            assert process.poll() is None
            time.sleep(0.1)
        left = psutil.Process(process.pid).children(recursive=True)
        assert left
        process.send_signal(number)
        try:
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode != 0
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(left, timeout=5)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def test_a_recording_is_measured_and_shown_again_the_same(cli: Cli, tmp_path: Path) -> None:
    recording = tmp_path / "watts.csv"
    recording.write_text("0,161\n10000,161\n")
    result = tmp_path / "idle.json"
    ended = cli(
        "energy-bench", "--mode", "idle", "--meter", f"replay:{recording}", "--quick", "--refresh", "0.1",
        "--idle", "1", "--run", "2", "--cycles", "1", "--foreign-cores", "99", "--output", str(result),
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "161" in ended.out
    assert cli("energy-bench", "show", str(result)).out == ended.out


def test_importing_this_group_loads_nothing_heavy() -> None:
    script = "import sys, flashsim_prod.cli.measure.energy; print(' '.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "numpy", "scipy", "uproot", "pynvml", "matplotlib", "pydantic"} & set(loaded)


def test_a_plan_tells_energy_cost_and_co2(cli: Cli, tmp_path: Path) -> None:
    site = tmp_path / "metered.yaml"
    local = (Path(__file__).resolve().parents[3] / "site_configs" / "local.yaml").read_text()
    electricity = "electricity: {price_per_kwh: 0.5, currency: CHF, kg_co2_per_kwh: 0.25}\n"
    site.write_text(local.replace("rates:", "rates:\n  watts: 50\n#", 1) + electricity)
    done = cli("request", "ttbar", "--events", "1000", "--site", str(site), "--dry-run")
    assert done.code == 0, done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("energy")]
    kwh, chf, co2_kg = (float(word) for word in line.split() if word[0].isdigit())
    assert kwh > 0
    assert (chf, co2_kg) == (pytest.approx(kwh / 2, rel=0.01), pytest.approx(kwh / 4, rel=0.01))
