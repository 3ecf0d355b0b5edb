"""``energy-bench``: what one simulated event costs."""

from __future__ import annotations

import re
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Batch, Chunk, Evaluations, GridPower, Json, SolverOption, sampling_of
from flashsim_prod.cli.show import print_json
from flashsim_prod.core.choices import Mode, Solver

if TYPE_CHECKING:
    from flashsim_prod.energy.meters.ipmi import BmcAddress
    from flashsim_prod.energy.record import Measurement

app = typer.Typer(help="Measure the electric energy of one simulated event.")


PlotFile = Annotated[Path | None, typer.Option("--plot", help="Draw power against time into this file.")]
SiteName = Annotated[
    str,
    typer.Option(
        "--site", help="Site whose price and grid intensity are taken.", autocompletion=completing.sites
    ),
]
Result = Annotated[Path, typer.Argument(metavar="RESULT.JSON", help="What energy-bench wrote.")]


#: a host on the network, or ``interface:`` and one of ipmitool's own
_BMC = re.compile(
    r"interface:(?P<interface>[a-z]+)|((?P<user>[^@:\s]+)@)?(?P<host>[A-Za-z0-9.\-]+)(:(?P<port>[0-9]{1,5}))?"
)


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    mode: Annotated[
        list[Mode] | None,
        typer.Option(help="What to measure; several times for several, in random order."),
    ] = None,
    meter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="ipmi, nvml, nvidia-smi, rapl, replay:FILE; all that work by default."
        ),
    ] = None,
    bmc: Annotated[
        str | None,
        typer.Option(metavar="[USER@]HOST[:PORT]", help="BMC on the network; password from IPMI_PASSWORD."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A rough figure in about two minutes.")] = False,
    command: Annotated[
        str | None,
        typer.Option(help="What fullsim and command run, quoted; {copy} and {folder} are filled in."),
    ] = None,
    count: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="How the log tells of an event; a group 'events' is the number so far."
        ),
    ] = None,
    count_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Count the events of this ROOT file instead; {copy} and {folder} are filled in.",
        ),
    ] = None,
    copies: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N|MODE=N", help="Copies that run at a time, 1 by default; fullsim=4 for one mode."
        ),
    ] = None,
    threads: Annotated[
        list[str] | None,
        typer.Option(metavar="N|MODE=N", help="Threads of each copy, 1 by default; likewise."),
    ] = None,
    gpus: Annotated[
        list[int] | None,
        typer.Option("--gpus", min=0, help="GPU that a command uses; several times for several."),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="FILE", help="Generator-level input; generated if missing."),
    ] = None,
    card: Annotated[
        str, typer.Option(help="Card of the generated input.", autocompletion=completing.cards)
    ] = "ttbar",
    oversample: Annotated[
        list[int] | None, typer.Option(min=1, help="Folds per gen event; several to compare.")
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Bundle of models.", autocompletion=completing.bundles),
    ] = None,
    solver: SolverOption = Solver.MIDPOINT,
    evaluations: Evaluations = 8,
    grid_power: GridPower = 1.0,
    chunk: Chunk = None,
    batch: Batch = None,
    model: Annotated[
        str, typer.Option(help="Object model that train fits.", autocompletion=completing.models)
    ] = "jet_from_genjet",
    steps: Annotated[int | None, typer.Option(min=100, help="Steps of that fit.")] = None,
    cycles: Annotated[int | None, typer.Option(min=1, help="Cycles of idle, run, idle.")] = None,
    idle_s: Annotated[
        float | None, typer.Option("--idle", min=1, metavar="SECONDS", help="Idle before and after a run.")
    ] = None,
    run_s: Annotated[
        float | None, typer.Option("--run", min=1, metavar="SECONDS", help="Length of a run of the worker.")
    ] = None,
    refresh_s: Annotated[
        float | None,
        typer.Option("--refresh", min=0.05, metavar="SECONDS", help="Meter's refresh, if known."),
    ] = None,
    lag_s: Annotated[
        float | None, typer.Option("--lag", min=0, metavar="SECONDS", help="Meter's lag, if known.")
    ] = None,
    probe_s: Annotated[
        float | None,
        typer.Option("--probe", min=2, metavar="SECONDS", help="A third of the time to find these."),
    ] = None,
    interval_s: Annotated[
        float | None, typer.Option("--interval", min=0.05, metavar="SECONDS", help="Between readings.")
    ] = None,
    max_power_w: Annotated[
        float | None,
        typer.Option(
            "--max-power",
            min=1,
            metavar="WATTS",
            help="More is no power of this machine; by default twice what hardware states, else 20 kW a "
            "server, 5 kW a GPU, 1 kW a CPU package.",
        ),
    ] = None,
    foreign_cores: Annotated[float, typer.Option(min=0.01, help="Cores that others may keep busy.")] = 0.5,
    events: Annotated[
        str | None, typer.Option(metavar="N", help="Project the cost of this many events.")
    ] = None,
    site: SiteName = "local",
    output: Annotated[Path | None, typer.Option(help="Where the JSON goes.")] = None,
    plot: PlotFile = None,
    as_json: Json = False,
) -> None:
    """Measure the electric energy of one simulated event."""
    if context.invoked_subcommand:
        return
    from flashsim_prod.cli.measure.energy_tables import print_measurement, print_projection
    from flashsim_prod.cli.show import console
    from flashsim_prod.core.sizes import parse_count
    from flashsim_prod.errors import RequestError
    from flashsim_prod.files import write_whole
    from flashsim_prod.production.measure.energy import BenchOptions, measure_energy
    from flashsim_prod.production.measure.modes import PerMode, WorkOptions, check_work, make_workloads
    from flashsim_prod.production.order.library import find_site

    if not mode:
        raise RequestError(f"--mode is missing; it is one of: {', '.join(Mode)}")
    number = parse_count(events) if events else None
    electricity = find_site(site).electricity
    errors = console(stderr=True)
    work = WorkOptions(
        command=command,
        count=count,
        count_file=count_file,
        copies=PerMode.parsed("--copies", copies or ()),
        threads=PerMode.parsed("--threads", threads or ()),
        gpus=tuple(gpus or ()),
        inputs=tuple(inputs or ()),
        card=card,
        oversample=tuple(oversample or (10,)),
        bundle=bundle,
        sampling=sampling_of(solver, evaluations, grid_power),
        chunk_events=chunk,
        batch_rows=batch,
        model=model,
        steps=steps,
    )
    options = BenchOptions(
        meters=tuple(meter or ()),
        bmc=_bmc(bmc),
        refresh_s=refresh_s,
        lag_s=lag_s,
        probe_s=probe_s,
        interval_s=interval_s,
        cycles=cycles,
        idle_s=idle_s,
        run_s=run_s,
        foreign_limit_cores=foreign_cores,
        max_power_w=max_power_w,
        quick=quick,
    )
    check_work(mode, work)
    with _unwound(), tempfile.TemporaryDirectory(prefix="energy-bench-") as scratch:
        measurement = measure_energy(
            lambda: make_workloads(mode, work, Path(scratch)),
            options,
            tell=lambda line: errors.print(line, markup=False, soft_wrap=True),
        )
    path = output or Path(f"energy-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json")
    # the raw series are kept even if no figure comes out of them
    write_whole(path, measurement.model_dump_json(indent=1) + "\n")
    errors.print(f"written: {path}", markup=False, soft_wrap=True)
    if plot:
        _draw(measurement, plot)
    rows = print_measurement(measurement, as_json=as_json, events=number, electricity=electricity)
    if number and not as_json:
        print_projection(rows, number, electricity)


@app.command()
def show(result: Result, plot: PlotFile = None, as_json: Json = False) -> None:
    """Compute the figures of a measurement anew from its raw series."""
    from flashsim_prod.cli.measure.energy_tables import print_measurement
    from flashsim_prod.energy.results.json_file import read_measurement

    measurement = read_measurement(result)
    if plot:
        _draw(measurement, plot)
    print_measurement(measurement, as_json=as_json)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.JSON")],
    second: Annotated[Path, typer.Argument(metavar="B.JSON")],
    as_json: Json = False,
) -> None:
    """Set two measurements side by side: how they differ, and whether by more than their intervals."""
    from flashsim_prod.cli.measure.energy_tables import print_comparison
    from flashsim_prod.energy.results.analysis import analyse
    from flashsim_prod.energy.results.compare import compare as compare_rows
    from flashsim_prod.energy.results.compare import same_meter
    from flashsim_prod.energy.results.json_file import read_measurement

    one, two = read_measurement(first), read_measurement(second)
    compared = compare_rows(analyse(one), analyse(two), same_meter=same_meter(one, two))
    print_comparison(compared, as_json=as_json)


@app.command()
def project(
    result: Result,
    events: Annotated[str, typer.Argument(metavar="N", help="Events: 1000, 10k, 100M, 1.5B.")],
    site: SiteName = "local",
    kg_co2_per_kwh: Annotated[float | None, typer.Option(min=0, help="Intensity of the grid.")] = None,
    price_per_kwh: Annotated[float | None, typer.Option(min=0, help="In the site's currency.")] = None,
    as_json: Json = False,
) -> None:
    """What N events come to: kWh, money, carbon dioxide."""
    from flashsim_prod.cli.measure.energy_tables import print_projection, projected
    from flashsim_prod.core.sizes import parse_count
    from flashsim_prod.energy.results.analysis import analyse
    from flashsim_prod.energy.results.json_file import read_measurement
    from flashsim_prod.production.order.library import find_site

    typed = {"kg_co2_per_kwh": kg_co2_per_kwh, "price_per_kwh": price_per_kwh}
    known = {name: value for name, value in typed.items() if value is not None}
    electricity = find_site(site).electricity.model_copy(update=known)
    rows, number = analyse(read_measurement(result)), parse_count(events)
    if as_json:
        print_json(projected(rows, number, electricity))
    else:
        print_projection(rows, number, electricity)


@app.command(name="export")
def export_suite(
    result: Result, output: Annotated[Path, typer.Argument(metavar="REPORT.JSON")], as_json: Json = False
) -> None:
    """Write the HEP Benchmark Suite's CommandExecutor section of a measurement."""

    from flashsim_prod.energy.results.hepsuite import to_suite
    from flashsim_prod.energy.results.json_file import read_measurement
    from flashsim_prod.files import write_json

    write_json(output, to_suite(read_measurement(result)))
    if as_json:
        print_json({"written": str(output)})


@app.command(name="import")
def import_suite(
    report: Annotated[Path, typer.Argument(metavar="REPORT.JSON", help="Report of the suite.")],
    output: Annotated[Path, typer.Argument(metavar="RESULT.JSON")],
    rate: Annotated[
        list[str], typer.Option(metavar="BENCHMARK=HZ", help="Events per second of a benchmark to take.")
    ],
    as_json: Json = False,
) -> None:
    """Make a measurement of a report of the HEP Benchmark Suite."""
    from flashsim_prod.energy.results.hepsuite import from_suite
    from flashsim_prod.energy.results.json_file import read_json
    from flashsim_prod.files import write_whole

    rates_hz = dict(_rate(one) for one in rate)
    made = from_suite(read_json(report), str(report), rates_hz)
    write_whole(output, made.model_dump_json(indent=1) + "\n")
    if as_json:
        print_json({"written": str(output)})


@contextmanager
def _unwound() -> Iterator[None]:
    """Let a signal to end unwind the block, so that what is measured does not run on without its meter."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    kept = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _rate(text: str) -> tuple[str, float]:
    from flashsim_prod.errors import RequestError

    name, _, hz = text.rpartition("=")
    try:
        value = float(hz)
    except ValueError:
        value = 0.0
    if not name or value <= 0:
        raise RequestError(f"--rate: '{text}' is not of the form BENCHMARK=HZ")
    return name, value


def _bmc(text: str | None) -> BmcAddress | None:
    """A BMC's address as typed."""
    from flashsim_prod.energy.meters.ipmi import BmcAddress
    from flashsim_prod.errors import RequestError

    if text is None:
        return None
    found = _BMC.fullmatch(text)
    if found is None:
        raise RequestError(f"--bmc: '{text}' is not of the form USER@HOST or USER@HOST:PORT")
    if found["interface"]:
        return BmcAddress(interface=found["interface"])
    return BmcAddress(host=found["host"], port=int(found["port"] or 623), user=found["user"])


def _draw(measurement: Measurement, path: Path) -> None:
    from flashsim_prod.energy.results.plot import plot_power

    plot_power(measurement, path)
