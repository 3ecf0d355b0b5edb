"""``energy-bench`` on the command line, with the real ipmitool and a BMC that a program drives."""

from __future__ import annotations

import ast
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

from flashsim_prod.cli.measure import energy
from flashsim_prod.core.choices import Mode
from flashsim_prod.errors import MeasurementError
from flashsim_prod.production.measure.protocol import EnergyProtocol

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
#: a meter so fast that a rough figure takes seconds, and windows with readings enough where it is slowed down
FAST = (
    "--quick",
    "--refresh",
    "0.2",
    "--lag",
    "0",
    "--idle",
    "4",
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
    # long enough that what a slow meter reads at its edges is little of it
    command = f"{sys.executable} {work} {bmc} 8"
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
    assert not {"torch", "numpy", "scipy", "uproot", "pynvml", "matplotlib", "rucio", "jinja2"} & set(loaded)


#: every option that the command had before there were protocols, with a value and what becomes of it
OLD_OPTIONS = {
    "--mode": ("fullsim", "modes", ["fullsim"]),
    "--meter": ("rapl", "meters", ["rapl"]),
    "--bmc": ("admin@host", "bmc", "admin@host"),
    "--quick": (None, "quick", True),
    "--command": ("cmsRun x.py", "command", "cmsRun x.py"),
    "--count": ("^done", "count", "^done"),
    "--count-file": ("{folder}/x.root", "count_file", "{folder}/x.root"),
    "--copies": ("fullsim=4", "copies", [1, "fullsim=4"]),
    "--threads": ("2", "threads", 2),
    "--gpus": ("1", "gpus", [1]),
    "--input": ("a.root", "inputs", ["a.root"]),
    "--card": ("dyjets", "card", "dyjets"),
    "--oversample": ("5", "oversample", [5]),
    "--bundle": ("mine", "bundle", "mine"),
    "--solver": ("ab2", "sampling.solver", "ab2"),
    "--evaluations": ("4", "sampling.evaluations", 4),
    "--grid-power": ("2", "sampling.grid_power", 2.0),
    "--chunk": ("300", "chunk_events", 300),
    "--batch": ("64", "batch_rows", 64),
    "--model": ("muon_from_genpart", "model", "muon_from_genpart"),
    "--steps": ("200", "steps", 200),
    "--cycles": ("3", "cycles", 3),
    "--idle": ("20", "idle_s", 20.0),
    "--run": ("30", "run_s", 30.0),
    "--refresh": ("0.5", "refresh_s", 0.5),
    "--lag": ("0", "lag_s", 0.0),
    "--probe": ("9", "probe_s", 9.0),
    "--interval": ("0.2", "interval_s", 0.2),
    "--max-power": ("900", "max_power_w", 900.0),
    "--foreign-cores": ("2", "foreign_cores", 2.0),
    "--events": ("10k", "events", 10_000),
    "--site": ("lxbatch", "site", "lxbatch"),
}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[EnergyProtocol]:
    """Protocols that came to be measured, without being so."""
    seen: list[EnergyProtocol] = []

    def stop(protocol: EnergyProtocol, **_: object) -> None:
        seen.append(protocol)
        raise MeasurementError("not now")

    monkeypatch.setattr(energy, "run_protocol", stop)
    return seen


def _one(protocol: EnergyProtocol, path: str) -> object:
    value: Any = protocol.model_dump(mode="json")
    for part in path.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("option", OLD_OPTIONS)
def test_options_without_a_protocol_say_what_they_always_said(
    cli: Cli, measured: list[EnergyProtocol], option: str
) -> None:
    value, path, expected = OLD_OPTIONS[option]
    words = [option] if value is None else [option, value]
    mode = [] if option == "--mode" else ["--mode", "idle"]
    assert cli("energy-bench", *mode, *words).code == MeasurementError.exit_code
    (protocol,) = measured
    assert _one(protocol, path) == expected
    changed = {"modes", path.split(".")[0]}
    assert protocol.model_dump(exclude=changed) == EnergyProtocol().model_dump(exclude=changed)
    # the protocol that these options are written as is the same
    printed = cli("energy-bench", "protocol", *mode, *words).out
    assert EnergyProtocol.from_yaml(printed, "printed") == protocol


def test_every_field_is_an_option() -> None:
    reached = {path.split(".")[0] for _, path, _ in OLD_OPTIONS.values()}
    assert reached == set(EnergyProtocol.model_fields)


def test_a_protocol_is_run_and_options_override_it(
    cli: Cli, measured: list[EnergyProtocol], tmp_path: Path
) -> None:
    path = tmp_path / "protocol.yaml"
    assert (
        cli("energy-bench", "protocol", str(path), "--mode", "idle", "--idle", "9", "--cycles", "4").code == 0
    )
    for words in ([], [str(path)], [str(path), "--cycles", "2", "--mode", "cpu", "--mode", "gpu"]):
        assert cli("energy-bench", "run", *words).code == MeasurementError.exit_code
    default, read, overridden = measured
    assert default == EnergyProtocol()
    assert (read.modes, read.idle_s, read.cycles) == ((Mode.IDLE,), 9, 4)
    assert (overridden.modes, overridden.idle_s, overridden.cycles) == ((Mode.CPU, Mode.GPU), 9, 2)
    assert "is there already" in cli("energy-bench", "protocol", str(path)).complaint


def test_a_recording_is_measured_by_a_protocol_as_by_options(cli: Cli, tmp_path: Path) -> None:
    recording, path = tmp_path / "watts.csv", tmp_path / "protocol.yaml"
    recording.write_text("0,161\n10000,161\n")
    options = (
        "--mode", "idle", "--meter", f"replay:{recording}", "--quick", "--refresh", "0.1",
        "--idle", "1", "--run", "2", "--cycles", "1", "--foreign-cores", "99",
    )  # fmt: skip
    assert cli("energy-bench", "protocol", str(path), *options).code == 0
    ended = cli("energy-bench", "run", str(path), "--output", str(tmp_path / "a.json"))
    assert ended.code == 0, ended.err
    assert "idle: whole server; 1 cycle" in ended.out
    assert (tmp_path / "a.json").is_file()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mode: [cpu]", "p.yaml: unknown key 'mode'; did you mean 'modes'?"),
        ("modes: [command]", "p.yaml: --command is missing"),
        ("modes: [train]", "p.yaml: --mode train needs --input"),
    ],
)
def test_a_bad_protocol_is_one_line(cli: Cli, tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    ended = cli("energy-bench", "run", str(path))
    assert ended.code == 2
    assert line in ended.complaint


def test_options_before_a_command_are_not_dropped_without_a_word(cli: Cli) -> None:
    ended = cli("energy-bench", "--mode", "cpu", "run")
    assert ended.code == 2
    assert "options of 'run' stand behind it" in ended.complaint


def test_a_lag_that_is_not_taken_is_told(cli: Cli, tmp_path: Path) -> None:
    recording = tmp_path / "watts.csv"
    recording.write_text("0,161\n10000,161\n")
    # two seconds of probing are too short for anything, which is told as well
    arguments = ("--mode", "idle", "--meter", f"replay:{recording}", "--quick", "--lag", "1", "--probe", "2")
    ended = cli("energy-bench", *arguments)
    assert "the lag that is given is not taken" in ended.err


def test_the_commands_that_measure_know_nothing_of_the_wings() -> None:
    folder = Path(energy.__file__).parent
    imported = {
        node.module
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert "flashsim_prod.production.measure.results" in imported
    wings = ("flashsim_prod.physics", "flashsim_prod.grid", "flashsim_prod.energy")
    assert not [name for name in imported if name.startswith(wings)]


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
