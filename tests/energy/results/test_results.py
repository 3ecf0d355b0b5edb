"""What is made of a record: files out and in, comparison, projection, plot."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from bmc_sim import Realism
from machine import FastClock, Machine, TextMeter, Work

from flashsim_prod.cli.measure.energy_tables import print_figures
from flashsim_prod.cli.show import print_json
from flashsim_prod.core.site import Electricity
from flashsim_prod.energy.measuring.node import this_node
from flashsim_prod.energy.measuring.protocol import Bench, make_schedule
from flashsim_prod.energy.record import (
    Channel,
    CopyCount,
    Measurement,
    MeterAccuracy,
    Mode,
    Response,
    Scope,
    Trouble,
)
from flashsim_prod.energy.results.analysis import analyse
from flashsim_prod.energy.results.compare import compare, same_meter
from flashsim_prod.energy.results.conventions import Convention
from flashsim_prod.energy.results.figures import void_reason
from flashsim_prod.energy.results.hepsuite import SERVER_METRIC, from_suite, to_suite
from flashsim_prod.energy.results.json_file import read_measurement
from flashsim_prod.energy.results.plot import plot_power
from flashsim_prod.energy.results.projection import project
from flashsim_prod.energy.results.uncertainty import combine
from flashsim_prod.errors import ConfigError, InputError, MeasurementError
from flashsim_prod.production.measure.results import figures_of

RESPONSE = Response(refresh_s=1, lag_s=0, source="given")


def measured(
    hz: float = 20.0, load_w: float = 253.0, label: str = "work", seed: int = 1, noise_w: float = 2.0
) -> Measurement:
    """Three cycles on a machine whose truth is known."""
    machine = Machine(FastClock(), Realism(noise_w=noise_w, seed=seed), load_w=load_w)
    schedule = make_schedule(RESPONSE, quick=True, run_s=60, idle_s=20)
    work = Work(machine, hz=hz, label=label)
    bench = Bench([TextMeter(machine)], machine.clock, 0.0, RESPONSE, schedule)
    return Measurement(
        created=datetime(2026, 1, 1, tzinfo=UTC),
        software_version="test",
        node=this_node(),
        meters={"ipmi": MeterAccuracy(gain=0.0, offset_w=0.0, quantum_w=1.0)},
        response=RESPONSE,
        schedule=schedule,
        configurations=(work.configuration,),
        cycles=tuple(bench.cycle(work) for _ in range(3)),
    )


def test_a_record_gives_the_same_figures_again(tmp_path: Path) -> None:
    measurement = measured()
    path = tmp_path / "result.json"
    path.write_text(measurement.model_dump_json(indent=1))
    assert analyse(read_measurement(path)) == analyse(measurement)


def test_a_record_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with pytest.raises(InputError, match="cannot be read"):
        read_measurement(path)
    path.write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        read_measurement(path)
    path.write_text('{"scheduel": 1}')
    with pytest.raises(ConfigError, match="did you mean 'schedule'"):
        read_measurement(path)
    path.write_text('{"plugins": {"CommandExecutor": {}}}')
    with pytest.raises(InputError, match="energy-bench import reads it"):
        read_measurement(path)


def test_equal_machines_agree_and_unequal_ones_differ() -> None:
    rows = [analyse(measured(seed=seed)) for seed in range(20)]
    same = [one for pair in pairwise(rows) for one in compare(*pair, same_meter=True)]
    assert sum(one.agree for one in same) >= 0.9 * len(same)
    base = rows[0]
    twice = {one.convention: one for one in compare(base, analyse(measured(hz=10)))}
    assert twice[Convention.FULL_NODE].ratio == pytest.approx(2, rel=0.01)
    assert not twice[Convention.FULL_NODE].agree


def test_the_table_fits_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    fast, full = measured(label="FlashSim CPU x10", hz=12_345), measured(label="FullSim", hz=0.07)
    named = full.configurations[0].model_copy(update={"mode": Mode.FULLSIM})
    both = fast.model_copy(
        update={"configurations": (*fast.configurations, named), "cycles": (*fast.cycles, *full.cycles)}
    )
    print_figures(figures_of(both))
    out = capsys.readouterr().out
    assert "FlashSim CPU x10\n" in out
    lines = [line for line in out.splitlines() if line.startswith("  ") and "±" in line]
    assert len(lines) == 6
    for line in lines[:3]:
        assert len(re.findall(r"[0-9.]+(e-[0-9]+)? ±[0-9.]+%", line)) == 2, line
        assert "12,3" in line
    assert all(line.rstrip().endswith(" 1") for line in lines[3:])


def test_what_cannot_be_compared() -> None:
    one = measured()
    server = one.cycles[0].channels[0]
    gpu = server.model_copy(update={"scope": Scope.GPU, "name": "gpu0"})
    cycles = tuple(
        cycle.model_copy(update={"channels": (gpu_of(cycle.channels[0], gpu),)}) for cycle in one.cycles
    )
    on_gpu = one.configurations[0].model_copy(update={"gpus": ("gpu0",)})
    with pytest.raises(MeasurementError, match="lower bound: GPU only"):
        compare(analyse(one), analyse(one.model_copy(update={"cycles": cycles, "configurations": (on_gpu,)})))
    with pytest.raises(MeasurementError, match="nothing in common"):
        compare(analyse(one), [])


def gpu_of(channel: Channel, named: Channel) -> Channel:
    """The channel as a GPU's."""
    return channel.model_copy(update={"scope": named.scope, "name": named.name})


def test_ipmi_contains_the_gpus_and_is_not_added_to_them() -> None:
    one = measured()
    cycles = []
    for cycle in one.cycles:
        server = cycle.channels[0]
        gpu = server.model_copy(
            update={"meter": "nvml", "scope": Scope.GPU, "name": "gpu3", "power_w": (10.0,) * len(server.t_s)}
        )
        cycles.append(cycle.model_copy(update={"channels": (server, gpu)}))
    meters = {**one.meters, "nvml": MeterAccuracy(gain=0, offset_w=5, quantum_w=0.01)}
    row = analyse(one.model_copy(update={"cycles": tuple(cycles), "meters": meters}))[0]
    assert row.covers == "whole server"
    assert row.load_w.value == pytest.approx(253, abs=2)
    # an unused GPU's idle power is the table's to subtract, with the uncertainty of its meter
    assert row.subtracted_w[Convention.TABLE] == pytest.approx(10)
    assert row.energy_j[Convention.TABLE].type_b["idle GPUs"] == pytest.approx(5 / 3**0.5 / 20, rel=0.01)


SAID = "nvidia-smi gives [N/A] for its power"


def with_gpu(measurement: Measurement, power_w: list[float | None], name: str = "gpu1") -> Measurement:
    """The same with a GPU beside it, whose power is one for each cycle."""
    cycles = []
    for cycle, watts in zip(measurement.cycles, power_w, strict=True):
        server = cycle.channels[0]
        n = len(server.t_s)
        update = {"meter": "nvidia-smi", "scope": Scope.GPU, "name": name, "power_w": (watts,) * n}
        gpu = server.model_copy(update={**update, "energy_j": (None,) * n})
        said = () if watts else (Trouble(channel=name, text=SAID, first_s=0.0, times=n),)
        update = {"channels": (*cycle.channels, gpu), "troubles": (*cycle.troubles, *said)}
        cycles.append(cycle.model_copy(update=update))
    meters = {**measurement.meters, "nvidia-smi": MeterAccuracy(gain=0, offset_w=5, quantum_w=0.01)}
    return measurement.model_copy(update={"cycles": tuple(cycles), "meters": meters})


def test_a_gpu_without_a_sensor_beside_a_good_bmc_voids_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    one = measured()
    blind = with_gpu(one, [None, None, None])
    (row,), (expected,) = analyse(blind), analyse(one)
    assert (row.cycles, row.void, row.covers) == (3, (), "whole server")
    assert row.energy_j == expected.energy_j
    (line,) = row.left_out
    assert line == (
        "gpu1 is counted only as a part of the server: whether it worked is not known, and 'table' does not "
        f"subtract it ({SAID}); --meter ipmi measures without nvidia-smi"
    )
    # once, and not as a remark too
    assert not any("gpu1" in remark for remark in row.remarks)
    print_figures(figures_of(blind))
    assert f"work: {line}" in capsys.readouterr().out
    print_json(figures_of(blind).plain)
    assert json.loads(capsys.readouterr().out)["rows"][0]["left_out"] == [line]


def test_a_gpu_that_goes_blind_in_between_voids_the_cycles_that_lack_it() -> None:
    (row,) = analyse(with_gpu(measured(), [10.0, None, 10.0]))
    assert row.cycles == 2
    (reason,) = row.void
    assert reason == (
        f"gpu1 gave no reading here, but did before or after: {SAID}; "
        "--meter ipmi measures without nvidia-smi"
    )
    assert row.subtracted_w[Convention.TABLE] == pytest.approx(10)


def as_gpu0(measurement: Measurement) -> Measurement:
    """The server's readings as those of a GPU that does the work."""
    update = {"scope": Scope.GPU, "name": "gpu0"}
    cycles = tuple(
        cycle.model_copy(update={"channels": (cycle.channels[0].model_copy(update=update),)})
        for cycle in measurement.cycles
    )
    configuration = measurement.configurations[0].model_copy(update={"gpus": ("gpu0",)})
    return measurement.model_copy(update={"cycles": cycles, "configurations": (configuration,)})


def test_without_a_server_a_blind_gpu_is_not_in_the_lower_bound() -> None:
    (row,) = analyse(with_gpu(as_gpu0(measured()), [None] * 3))
    assert row.covers == "lower bound: GPU only, without gpu1"
    assert row.left_out == (f"gpu1 is not in the figure ({SAID}); --meter ipmi measures without nvidia-smi",)
    with pytest.raises(MeasurementError, match="cannot be compared"):
        compare(analyse(as_gpu0(measured())), [row])


def test_the_gpu_that_does_the_work_cannot_be_left_out_without_a_server() -> None:
    blind = with_gpu(as_gpu0(measured()), [None] * 3)
    working = blind.configurations[0].model_copy(update={"gpus": ("gpu1",)})
    with pytest.raises(MeasurementError, match="gpu1 does the work but gave no reading"):
        analyse(blind.model_copy(update={"configurations": (working,)}))


def test_a_server_that_says_nothing_is_not_replaced_by_its_gpus() -> None:
    one = with_gpu(measured(), [10.0] * 3)
    cycles = []
    for cycle in one.cycles:
        server, gpu = cycle.channels
        mute = server.model_copy(update={"power_w": (None,) * len(server.t_s)})
        cycles.append(cycle.model_copy(update={"channels": (mute, gpu)}))
    with pytest.raises(MeasurementError, match="server gave no reading"):
        analyse(one.model_copy(update={"cycles": tuple(cycles)}))


def test_what_fell_off_before_the_start_is_said_too() -> None:
    line = "nvidia-smi: Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost."
    (row,) = analyse(measured().model_copy(update={"lost": (line,)}))
    assert row.left_out == (
        f"a device is counted only as a part of the server, its meter cannot name it ({line})",
    )
    (bound,) = analyse(as_gpu0(measured()).model_copy(update={"lost": (line,)}))
    assert bound.left_out == (f"a device is not in the figure, its meter cannot name it ({line})",)


def test_a_counter_that_makes_no_sense_voids_its_cycle_and_says_why() -> None:
    one = as_gpu0(measured())
    good = one.cycles[0]
    channel = good.channels[0]
    # the power of each moment, as a counter
    counts = list(accumulate((watts or 0.0) * 0.5 for watts in channel.power_w))
    sound = channel.model_copy(update={"power_w": (None,) * len(counts), "energy_j": tuple(counts)})
    middle = len(counts) // 2
    since = [joules - counts[middle] for joules in counts[middle:]]
    reset = sound.model_copy(update={"energy_j": (*counts[:middle], *since)})
    cycles = tuple(good.model_copy(update={"channels": (channel,)}) for channel in (sound, reset))
    (row,) = analyse(one.model_copy(update={"cycles": cycles}))
    assert row.cycles == 1
    (reason,) = row.void
    assert "the energy counter of gpu0 went backwards" in reason


def test_a_counter_of_cpus_that_makes_no_sense_is_only_a_remark_beside_a_server() -> None:
    one = measured()
    cycles = []
    for cycle in one.cycles:
        server = cycle.channels[0]
        update = {
            "meter": "rapl",
            "scope": Scope.CPU,
            "name": "package-0",
            "energy_j": (5.0,) * len(server.t_s),
        }
        cpu = server.model_copy(update={**update, "power_w": (None,) * len(server.t_s)})
        cycles.append(cycle.model_copy(update={"channels": (server, cpu)}))
    (row,) = analyse(one.model_copy(update={"cycles": tuple(cycles)}))
    assert row.cycles == 3
    assert any("package-0 stood still" in one and "in no figure" in one for one in row.remarks)


def test_a_counter_and_polled_power_that_disagree_are_remarked_on() -> None:
    one = measured()
    cycles = []
    for cycle in one.cycles:
        server = cycle.channels[0]
        joules = tuple(300 * t_s for t_s in server.t_s)
        gpu = server.model_copy(update={"scope": Scope.GPU, "name": "gpu0", "energy_j": joules})
        cycles.append(cycle.model_copy(update={"channels": (gpu,)}))
    configuration = one.configurations[0].model_copy(update={"mode": Mode.IDLE})
    row = analyse(one.model_copy(update={"cycles": tuple(cycles), "configurations": (configuration,)}))[0]
    assert row.load_w.value == pytest.approx(300, abs=0.1)
    assert any("differ by" in remark for remark in row.remarks)


def test_the_suite_s_section_out_and_in() -> None:
    measurement = measured()
    report = json.loads(json.dumps(to_suite(measurement)))
    phases = report["plugins"]["CommandExecutor"]
    assert list(phases) == ["pre", "work-1", "post", "work-2", "work-3"]
    metric = phases["work-1"][SERVER_METRIC]
    assert metric.keys() == {"start_time", "end_time", "values", "statistics", "config"}
    assert metric["config"].keys() >= {"command", "regex", "unit", "interval_mins", "aggregation"}
    row = analyse(from_suite(report, "report.json", {"work-2": 20.0}))[0]
    expected = analyse(measurement)[0]
    assert row.energy_j[Convention.FULL_NODE].value == pytest.approx(
        expected.energy_j[Convention.FULL_NODE].value, rel=0.03
    )


def test_other_metrics_of_the_suite_are_left_aside() -> None:
    report = json.loads(json.dumps(to_suite(measured())))
    expected = analyse(from_suite(report, "report.json", {"work-2": 20.0}))[0]
    phases = report["plugins"]["CommandExecutor"]
    for phase in phases.values():
        phase["cpu-frequency"] = {**phase[SERVER_METRIC], "config": {"unit": "MHz", "interval_mins": 5}}
    assert analyse(from_suite(report, "report.json", {"work-2": 20.0}))[0].energy_j == expected.energy_j
    del phases["pre"][SERVER_METRIC]
    with pytest.raises(InputError, match="pre holds no metric in W"):
        from_suite(report, "report.json", {"work-2": 20.0})


@pytest.mark.parametrize("watts", [0.0, 65535.0])
def test_what_is_no_power_in_a_report_of_the_suite_is_missing(watts: float) -> None:
    report = json.loads(json.dumps(to_suite(measured())))
    values = report["plugins"]["CommandExecutor"]["work-2"][SERVER_METRIC]["values"]
    values[: len(values) // 4] = [watts] * (len(values) // 4)
    with pytest.raises(MeasurementError, match="readings of server are missing"):
        analyse(from_suite(report, "report.json", {"work-2": 20.0}))


def test_a_gain_that_both_share_cancels_in_their_ratio() -> None:
    one = measured()
    wrong = one.model_copy(update={"meters": {"ipmi": MeterAccuracy(gain=0.03, offset_w=0, quantum_w=1)}})
    assert same_meter(wrong, wrong)
    assert not same_meter(wrong, one)
    other = one.model_copy(update={"node": one.node.model_copy(update={"host": "elsewhere"})})
    assert not same_meter(one, other)
    rows = analyse(wrong)
    alone, shared = (compare(rows, rows, same_meter=same)[0].ratio_u for same in (False, True))
    assert alone == pytest.approx(2 * 0.03 * math.sqrt(2 / 3), rel=0.05)
    assert shared < 0.2 * alone


def test_lateness_of_marks_is_relative() -> None:
    (row,) = analyse(measured())
    assert row.rate_hz is not None
    energy_j = row.energy_j[Convention.FULL_NODE]
    late = energy_j.type_b["clock"] / energy_j.value
    assert late == pytest.approx(row.rate_hz.type_b["clock"] / row.rate_hz.value)
    assert late == pytest.approx(0.5 / 59 / math.sqrt(6 * 3), rel=0.05)


@pytest.mark.parametrize(("noise_w", "rounding_w"), [(0.0, 0.5 / math.sqrt(3)), (2.0, 0.0)])
def test_noise_hides_the_steps_of_a_meter(noise_w: float, rounding_w: float) -> None:
    (row,) = analyse(measured(noise_w=noise_w))
    assert row.load_w.type_b["rounding"] == pytest.approx(rounding_w)


def test_a_run_without_marks_does_not_know_the_power_of_its_start() -> None:
    one = measured()
    cycles = tuple(
        cycle.model_copy(update={"copies": (CopyCount(events=cycle.copies[0].events),)})
        for cycle in one.cycles
    )
    (row,) = analyse(one.model_copy(update={"cycles": cycles}))
    # a refresh of 1 s of 60 s, in which the power is anywhere between idle and load
    unseen_w = row.load_w.type_b["start of the run"]
    assert unseen_w == pytest.approx((253 - 160) / 60 / math.sqrt(3), rel=0.05)
    (marked,) = analyse(one)
    assert marked.load_w.type_b["start of the run"] == 0


@pytest.mark.parametrize(
    ("report", "line"),
    [
        ({}, "no plugins.CommandExecutor"),
        ([], "no plugins.CommandExecutor"),
        ({"plugins": {"CommandExecutor": {"pre": {}}}}, "lacks hs23, post"),
        ({"plugins": {"CommandExecutor": {"pre": {"p": {"values": []}}}}}, "broken"),
    ],
)
def test_a_report_without_what_is_needed(report: object, line: str) -> None:
    with pytest.raises(InputError, match=line):
        from_suite(report, "report.json", {"hs23": 1.0})


def test_projection() -> None:
    found = project(
        combine([3.6], {"gain": 0.018}), 1_000_000, Electricity(price_per_kwh=0.3, kg_co2_per_kwh=0.25)
    )
    assert (found.energy_kwh, found.energy_u_kwh) == (pytest.approx(1.0), pytest.approx(0.01))
    assert (found.cost, found.co2_kg) == (pytest.approx(0.3), pytest.approx(0.25))
    assert project(combine([3.6], {}), 1, Electricity()).co2_kg is None


def test_plot(tmp_path: Path) -> None:
    plot_power(measured(), tmp_path / "power.png")
    assert (tmp_path / "power.png").read_bytes().startswith(b"\x89PNG")


def test_a_gpu_that_works_is_not_unused() -> None:
    one = measured()
    cycle = one.cycles[0]
    gpu = gpu_of(cycle.channels[0], cycle.channels[0].model_copy(update={"scope": Scope.GPU, "name": "gpu0"}))
    worked = cycle.model_copy(update={"channels": (gpu,)})
    configuration = one.configurations[0]
    reason = void_reason(worked, configuration, one.response, one.schedule)
    assert reason == "gpu0 worked though said to be unused; name it with --gpus"
    named = configuration.model_copy(update={"gpus": ("gpu0",)})
    assert void_reason(worked, named, one.response, one.schedule) is None
