"""NVML through NVIDIA's own binding and a stand-in library; nvidia-smi through a stand-in program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flashsim_prod.energy.meters.nvidia_smi import NvidiaSmiMeter
from flashsim_prod.errors import NodeError

PEERS = Path(__file__).resolve().parents[2] / "peers"

ASK = """
import json, sys, time
from dataclasses import asdict
from flashsim_prod.energy.meters.nvml import NvmlMeter
from flashsim_prod.errors import NodeError
try:
    meter = NvmlMeter()
except NodeError as error:
    sys.exit(str(error))
times = [time.monotonic()]
first = meter.read(); times.append(time.monotonic())
time.sleep(0.2); times.append(time.monotonic())
second = meter.read(); times.append(time.monotonic())
said = [[asdict(one) for one in readings] for readings in (first, second)]
print(json.dumps([*said, meter.titles(), times]))
"""


def ask(library: Path, watts: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """NVML in a process of its own: a library is loaded once and for all."""
    given = {
        "LD_LIBRARY_PATH": str(library),
        "NVML_STUB": str(watts),
        "PYTHONPATH": ":".join(sys.path),
        **environment,
    }
    return subprocess.run([sys.executable, "-c", ASK], env=given, capture_output=True, text=True)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], None]) -> Path:
    """A folder with a library that says it is NVIDIA's."""
    need("gcc")
    folder = tmp_path_factory.mktemp("nvml")
    made = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", made, PEERS / "nvml_stub.c"], check=True)
    return folder


def test_power_and_energy_of_every_gpu(library: Path, tmp_path: Path) -> None:
    watts = tmp_path / "watts"
    watts.write_text("70\n10.5\n")
    first, second, titles, times = json.loads(ask(library, watts).stdout)
    assert [one["power_w"] for one in first] == [70, 10.5]
    assert [one["channel"] for one in second] == ["gpu0", "gpu1"]
    gained = [later["energy_j"] - earlier["energy_j"] for earlier, later in zip(first, second, strict=True)]
    # however long this machine took: not less than between the readings, not more than around them
    assert 70 * (times[2] - times[1]) - 0.01 <= gained[0] <= 70 * (times[3] - times[0]) + 0.01
    assert gained[1] == pytest.approx(gained[0] * 10.5 / 70, rel=0.01)
    assert titles["gpu1"] == "Tesla T4 GPU-00000001-0000-0000-0000-000000000000"


def test_a_gpu_without_counter_still_has_power(library: Path, tmp_path: Path) -> None:
    watts = tmp_path / "watts"
    watts.write_text("70\n")
    first, *_ = json.loads(ask(library, watts, NVML_STUB_NOENERGY="1").stdout)
    assert (first[0]["power_w"], first[0]["energy_j"], first[0]["trouble"]) == (70, None, None)


def test_a_gpu_that_fell_off_leaves_the_others_alone(library: Path, tmp_path: Path) -> None:
    watts = tmp_path / "watts"
    watts.write_text("70\n10.5\n")
    _, readings, titles, _ = json.loads(ask(library, watts, NVML_STUB_LOST="0").stdout)
    said = {one["channel"]: one for one in readings}
    assert said["gpu1"]["power_w"] == 10.5
    assert (said["gpu0"]["power_w"], said["gpu0"]["energy_j"]) == (None, None)
    assert said["gpu0"]["trouble"].startswith("NVML cannot open this GPU: ")
    assert list(titles) == ["gpu1"]


@pytest.mark.parametrize("power_w", ["0", "141", "400"])
def test_what_is_no_power_of_a_board_is_no_reading(library: Path, tmp_path: Path, power_w: str) -> None:
    watts = tmp_path / "watts"
    watts.write_text(f"{power_w}\n")
    first, *_ = json.loads(ask(library, watts).stdout)
    # a T4 states 70 W; its counter is judged by what it gains
    assert (first[0]["power_w"], first[0]["limit_w"]) == (None, 140)
    assert first[0]["trouble"] == f"NVML gives {power_w} W, which is no power of this GPU"


def test_no_gpu_and_no_library(library: Path, tmp_path: Path) -> None:
    assert "finds no GPU" in ask(library, tmp_path / "absent").stderr
    line = ask(tmp_path, tmp_path / "absent").stderr
    if "finds no GPU" not in line:
        assert line.startswith("nvml: no NVIDIA driver can be asked here")


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets what a stand-in nvidia-smi says."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {PEERS / "nvidia_smi_sim.py"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("NVSMI_SIM", str(tmp_path / "state.json"))

    def say(*watts: object, fail: str | None = None) -> None:
        gpus = [{"lost": True} if power_w == "lost" else {"power.draw": power_w} for power_w in watts]
        (tmp_path / "state.json").write_text(json.dumps({"gpus": gpus, "fail": fail}))

    return say


def test_nvidia_smi_gives_power(smi: Callable[..., None]) -> None:
    smi(70.25, 10.5)
    meter = NvidiaSmiMeter()
    assert [(one.channel, one.power_w) for one in meter.read()] == [("gpu0", 70.25), ("gpu1", 10.5)]


@pytest.mark.parametrize("cell", [None, "[N/A]", "[Unknown Error]", 0.0])
def test_what_nvidia_smi_does_not_know_is_missing_and_not_zero(
    smi: Callable[..., None], cell: object
) -> None:
    smi(70.0, cell)
    first, second = NvidiaSmiMeter().read()
    assert first.power_w == 70
    assert second.is_missing
    assert second.trouble


@pytest.mark.parametrize(
    ("fail", "line"),
    [("driver", "couldn't communicate"), ("nogpu", "No devices"), ("mismatch", "version mismatch")],
)
def test_nvidia_smi_fails(smi: Callable[..., None], fail: str, line: str) -> None:
    smi(70.0)
    meter = NvidiaSmiMeter()
    smi(70.0, fail=fail)
    assert meter.read()[0].is_missing
    assert line in str(meter.read()[0].trouble)
    with pytest.raises(NodeError, match=line):
        NvidiaSmiMeter()


def test_a_gpu_that_falls_off_the_bus(smi: Callable[..., None]) -> None:
    smi(70.0, 71.0)
    meter = NvidiaSmiMeter()
    smi(70.0)
    assert [one.is_missing for one in meter.read()] == [False, True]


@pytest.mark.parametrize("order", [("lost", 71.0), (71.0, "lost")])
def test_no_channel_is_named_after_a_sentence(smi: Callable[..., None], order: tuple[object, ...]) -> None:
    smi(*order)
    meter = NvidiaSmiMeter()
    (reading,) = meter.read()
    assert (reading.channel, reading.power_w) == (f"gpu{order.index(71.0)}", 71)
    (line,) = meter.lost
    assert line.startswith("Unable to determine the device handle for GPU 0000:")
    assert line.endswith("Reboot the system to recover this GPU")


def test_a_gpu_that_is_lost_while_it_is_measured_says_why(smi: Callable[..., None]) -> None:
    smi(70.0, 71.0)
    meter = NvidiaSmiMeter()
    smi(70.0, "lost")
    first, second = meter.read()
    assert (first.power_w, second.channel, second.is_missing) == (70, "gpu1", True)
    assert "GPU is lost" in str(second.trouble)


def test_nothing_but_a_sentence_is_no_meter(smi: Callable[..., None]) -> None:
    smi("lost")
    with pytest.raises(NodeError, match=r"^nvidia-smi: Unable to determine .* GPU is lost"):
        NvidiaSmiMeter()
