"""RAPL on a made-up powercap tree, the replay meter, and which meters are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine import FastClock

from flashsim_prod.energy.meters import finding
from flashsim_prod.energy.meters.counter import VoidWindowError
from flashsim_prod.energy.meters.finding import find_meters
from flashsim_prod.energy.meters.rapl import RaplMeter
from flashsim_prod.energy.meters.recorder import Recorder
from flashsim_prod.energy.meters.replay import ReplayMeter
from flashsim_prod.energy.record import Window
from flashsim_prod.energy.results.plateau import mean_power
from flashsim_prod.errors import InputError, NodeError, RequestError

RANGE_UJ = 262_143_328_850


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
        (tmp_path / zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        (tmp_path / zone / "energy_uj").write_text(f"{RANGE_UJ - 100}\n")
    return tmp_path


def test_rapl_counts_packages_and_memory_once(powercap: Path) -> None:
    readings = RaplMeter(powercap).read()
    assert [one.channel for one in readings] == ["package-0", "package-0-dram", "package-1"]


def counted(powercap: Path, counts_uj: list[int], step_s: float = 1.0, limit_w: float | None = None) -> float:
    """Mean power of the first package, whose counter has these values, `step_s` apart [W]."""
    clock = FastClock()
    meter = RaplMeter(powercap)
    meter.max_power_w = limit_w
    recorder = Recorder([meter], clock, 0.0)
    for count_uj in counts_uj:
        (powercap / "intel-rapl:0" / "energy_uj").write_text(f"{count_uj}\n")
        recorder.poll()
        clock.sleep(step_s)
    channel = recorder.channels()[0]
    return mean_power(channel, Window(start_s=0.0, end_s=clock.now_s())).power_w


def growing(first_uj: int, watts: float, n: int = 10) -> list[int]:
    """Counts, a second apart."""
    return [int(first_uj + watts * 1e6 * second) for second in range(n)]


def test_rapl_wraps_around(powercap: Path) -> None:
    wrapping = [one % (RANGE_UJ + 1) for one in growing(RANGE_UJ - 300_000_000, 80.0)]
    assert min(wrapping) < wrapping[0]
    assert counted(powercap, wrapping) == pytest.approx(80.0, abs=1e-6)


def test_a_counter_that_does_not_say_where_it_wraps_around_still_counts(powercap: Path) -> None:
    (powercap / "intel-rapl:0" / "max_energy_range_uj").write_text("0\n")
    assert counted(powercap, growing(1_000_000, 80.0)) == pytest.approx(80.0)
    with pytest.raises(VoidWindowError, match=r"went backwards, from 650\.0 J to 1\.0 J .* it was reset"):
        counted(powercap, [*growing(10_000_000, 80.0, 9), *growing(1_000_000, 80.0, 5)])


def test_a_counter_beyond_its_own_range_is_not_wrapped_by_it(powercap: Path) -> None:
    (powercap / "intel-rapl:0" / "max_energy_range_uj").write_text("1000\n")
    assert counted(powercap, growing(1_000_000, 80.0)) == pytest.approx(80.0)


@pytest.mark.parametrize("first_j", [5_000, 100_000, 240_000])
def test_a_reset_is_told_from_a_wrap_by_the_power_that_it_would_mean(powercap: Path, first_j: int) -> None:
    counts = [*growing(first_j * 10**6, 80.0), *growing(1_000_000, 80.0)]
    with pytest.raises(VoidWindowError, match="no more than 1,000 W is plausible: it was reset or jumped"):
        counted(powercap, counts)


def test_a_jump_forwards_is_no_power(powercap: Path) -> None:
    with pytest.raises(VoidWindowError, match=r"which would be 19,\d+ W"):
        counted(powercap, [*growing(10**9, 80.0), *growing(10**9 + 20_000 * 10**6, 80.0)])


def test_a_counter_that_stands_still_is_no_power(powercap: Path) -> None:
    with pytest.raises(VoidWindowError, match="package-0 stood still for 9 s"):
        counted(powercap, growing(10**9, 0.0))


def test_a_counter_that_may_have_wrapped_around_unseen_is_not_believed(powercap: Path) -> None:
    with pytest.raises(VoidWindowError, match="not read for 300 s"):
        counted(powercap, growing(10**9, 80.0), step_s=300.0)


@pytest.mark.parametrize(
    ("stated_w", "limit_w"),
    [
        ({}, 1000),
        ({"max_power": 150}, 300),
        ({"max_power": 150, "power_limit": 180}, 360),
        ({"power_limit": 4095}, 1000),
        ({"max_power": 0}, 1000),
        ({"max_power": 3}, 50),
    ],
)
def test_what_is_plausible_is_what_the_package_states(
    powercap: Path, stated_w: dict[str, int], limit_w: float
) -> None:
    for kind, watts in stated_w.items():
        (powercap / "intel-rapl:0" / f"constraint_0_{kind}_uw").write_text(f"{watts * 10**6}\n")
    meter = RaplMeter(powercap)
    assert meter.read()[0].limit_w == limit_w
    meter.max_power_w = 77.0
    assert meter.read()[0].limit_w == 77


def test_a_limit_of_the_user_s_own_judges_counters(powercap: Path) -> None:
    assert counted(powercap, growing(10**9, 300.0)) == pytest.approx(300.0)
    with pytest.raises(VoidWindowError, match="no more than 100 W is plausible"):
        counted(powercap, growing(10**9, 300.0), limit_w=100.0)


def test_a_zone_that_does_not_count_leaves_the_others_alone(powercap: Path) -> None:
    (powercap / "intel-rapl:0:1" / "energy_uj").write_text("0\n")
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    package, memory, other = RaplMeter(powercap).read()
    assert (package.is_missing, memory.is_missing, other.is_missing) == (False, True, True)
    assert "it does not count" in str(memory.trouble)
    assert "cannot be read" in str(other.trouble)


def test_rapl_is_hidden_or_forbidden(powercap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NodeError, match="no CPU package"):
        RaplMeter(tmp_path / "nowhere")
    read_text = Path.read_text

    def forbidden(path: Path, *given: object, **named: object) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path, *given, **named)  # type: ignore[arg-type]

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


@pytest.mark.parametrize("watts", ["0", "-5", "nan", "65535"])
def test_a_recording_of_what_is_no_power_is_no_reading(tmp_path: Path, watts: str) -> None:
    path = tmp_path / "watts.csv"
    path.write_text(f"0,{watts}\n100,160\n")
    (reading,) = ReplayMeter(path, FastClock()).read()
    assert reading.is_missing
    assert "no power of a server" in str(reading.trouble)


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
