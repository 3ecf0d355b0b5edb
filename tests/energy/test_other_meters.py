"""RAPL on a made-up powercap tree, the replay meter, and which meters are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine import FastClock

from flashsim_prod.energy import finding
from flashsim_prod.energy.finding import find_meters
from flashsim_prod.energy.rapl import RaplMeter
from flashsim_prod.energy.replay import ReplayMeter
from flashsim_prod.errors import InputError, NodeError, RequestError


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages, one with memory; cores and the platform, which contain or are contained, beside them."""
    zones = {
        "intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1", "intel-rapl:2": "psys",
    }  # fmt: skip
    for zone, name in zones.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(name + "\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("1000000\n")
        (tmp_path / zone / "energy_uj").write_text("900000\n")
    return tmp_path


def test_rapl_counts_packages_and_memory_once(powercap: Path) -> None:
    readings = RaplMeter(powercap).read()
    assert [one.channel for one in readings] == ["package-0", "package-0-dram", "package-1"]


def test_rapl_wraps_around(powercap: Path) -> None:
    meter = RaplMeter(powercap)
    start_j = meter.read()[0].energy_j
    for value in (999_999, 100_000, 700_000):
        (powercap / "intel-rapl:0" / "energy_uj").write_text(f"{value}\n")
        last_j = meter.read()[0].energy_j
    assert start_j is not None
    assert last_j is not None
    assert last_j - start_j == pytest.approx((1_000_001 - 900_000 + 700_000) / 1e6)


def test_rapl_is_hidden_or_forbidden(powercap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NodeError, match="no CPU package"):
        RaplMeter(tmp_path / "nowhere")
    read_text = Path.read_text

    def forbidden(path: Path, *given: object) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", forbidden)
    with pytest.raises(NodeError, match="root only"):
        RaplMeter(powercap)


def test_a_recording_is_played_in_time(tmp_path: Path) -> None:
    path = tmp_path / "watts.csv"
    path.write_text("t_s,watts\n100,160\n110,250\n120,160\n")
    clock = FastClock(5.0)
    meter = ReplayMeter(path, clock)
    said = []
    for _ in range(5):
        said.append(meter.read()[0].power_w)
        clock.sleep(6)
    assert said == [160, 160, 250, 250, None]
    assert "come to its end" in str(meter.read()[0].trouble)


@pytest.mark.parametrize("text", ["", "1,2\n", "1,a\n2,b\n", "2,1\n1,1\n"])
def test_a_recording_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "watts.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="recording"):
        ReplayMeter(path)


def test_no_meter_at_all_says_why_each_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    def absent() -> RaplMeter:
        raise NodeError("rapl: hidden")

    def no_driver() -> RaplMeter:
        raise NodeError("nvml: no driver")

    monkeypatch.setattr(finding, "RaplMeter", absent)
    monkeypatch.setattr(finding, "NvmlMeter", no_driver)
    with pytest.raises(NodeError, match="no power meter works") as raised:
        find_meters((), FastClock())
    assert all(name in str(raised.value) for name in ("ipmi:", "nvml:", "nvidia-smi:", "rapl:"))


def test_a_meter_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "watts.csv"
    path.write_text("0,160\n10,250\n")
    found = find_meters((f"replay:{path}",), FastClock())
    assert [meter.name for meter in found.meters] == ["replay"]
    with pytest.raises(RequestError, match="did you mean 'ipmi'"):
        find_meters(("impi",), FastClock())
