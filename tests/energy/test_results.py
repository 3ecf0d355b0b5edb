"""What is made of a record: files out and in, comparison, projection, plot."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from bmc_sim import Realism
from machine import FastClock, Machine, TextMeter, Work

from flashsim_prod.cli.energy_tables import print_measurement
from flashsim_prod.core.site import Electricity
from flashsim_prod.energy.analysis import analyse
from flashsim_prod.energy.compare import compare, same_meter
from flashsim_prod.energy.conventions import Convention
from flashsim_prod.energy.figures import void_reason
from flashsim_prod.energy.hepsuite import SERVER_METRIC, from_suite, to_suite
from flashsim_prod.energy.json_file import read_measurement
from flashsim_prod.energy.meter import Scope
from flashsim_prod.energy.node import this_node
from flashsim_prod.energy.plot import plot_power
from flashsim_prod.energy.projection import project
from flashsim_prod.energy.protocol import Bench, make_schedule
from flashsim_prod.energy.record import Channel, CopyCount, Measurement, MeterAccuracy, Mode, Response
from flashsim_prod.energy.uncertainty import combine
from flashsim_prod.errors import ConfigError, InputError, MeasurementError

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
    print_measurement(both, as_json=False)
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
