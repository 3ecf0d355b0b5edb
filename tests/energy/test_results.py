"""What is made of a record: files out and in, comparison, projection, plot."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bmc_sim import Realism
from machine import FastClock, Machine, TextMeter, Work

from flashsim_prod.core.site import Electricity
from flashsim_prod.energy.analysis import analyse
from flashsim_prod.energy.compare import compare
from flashsim_prod.energy.conventions import Convention
from flashsim_prod.energy.figures import void_reason
from flashsim_prod.energy.hepsuite import SERVER_METRIC, from_suite, to_suite
from flashsim_prod.energy.json_file import read_measurement
from flashsim_prod.energy.meter import Scope
from flashsim_prod.energy.node import this_node
from flashsim_prod.energy.plot import plot_power
from flashsim_prod.energy.projection import project
from flashsim_prod.energy.protocol import Bench, make_schedule
from flashsim_prod.energy.record import Channel, Measurement, MeterAccuracy, Mode, Response
from flashsim_prod.energy.uncertainty import combine
from flashsim_prod.errors import ConfigError, InputError, MeasurementError

RESPONSE = Response(refresh_s=1, lag_s=0, source="given")


def measured(hz: float = 20.0, load_w: float = 253.0, label: str = "work", seed: int = 1) -> Measurement:
    """Three cycles on a machine whose truth is known."""
    machine = Machine(FastClock(), Realism(noise_w=2, seed=seed), load_w=load_w)
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


def test_equal_machines_agree_and_unequal_ones_differ() -> None:
    base = analyse(measured())
    same = compare(base, analyse(measured(seed=2)))
    assert all(one.agree for one in same)
    twice = {one.convention: one for one in compare(base, analyse(measured(hz=10)))}
    assert twice[Convention.FULL_NODE].ratio == pytest.approx(2, rel=0.01)
    assert not twice[Convention.FULL_NODE].agree


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
    pytest.importorskip("matplotlib")
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
