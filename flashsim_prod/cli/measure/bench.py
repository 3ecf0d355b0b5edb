"""``bench``: events per second, stage by stage."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import (
    Batch,
    Chunk,
    Evaluations,
    GridPower,
    Json,
    OnDevice,
    SolverOption,
    sampling_of,
)
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import console, counted, print_json, table
from flashsim_prod.core.choices import Device, RegisterIn, Solver
from flashsim_prod.core.sizes import parse_count
from flashsim_prod.core.speed import Speed
from flashsim_prod.errors import RequestError
from flashsim_prod.production.home import open_home
from flashsim_prod.production.measure.speed import measure_speed
from flashsim_prod.production.measure.steps import OBJECTS, parse_scan, scan_steps
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.speeds import store_speed, stored_speeds

if TYPE_CHECKING:
    from flashsim_prod.production.order.plan import Order

#: with fewer cores than this the figure is not that of a whole core
_BUSY = 0.9


def bench(
    card: Annotated[
        str | None,
        typer.Argument(
            metavar="[CARD]",
            help="A card's name (see: cards) or file; ttbar, or the process of the input.",
            autocompletion=completing.cards,
        ),
    ] = None,
    events: Annotated[
        str | None, typer.Option(metavar="N", help="Output events; 5000, or all of the input's.")
    ] = None,
    oversample: Annotated[str, typer.Option(metavar="K", help="Output events per gen event.")] = "10",
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="FILE|GLOB|URL", help="NanoAOD or NanoGEN instead of Pythia8."),
    ] = None,
    energy: Annotated[
        float | None,
        typer.Option(metavar="TEV", help="Centre-of-mass energy, of input that does not say it."),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Bundle of models (see: bundle list).",
            autocompletion=completing.bundles,
        ),
    ] = None,
    analysis: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Bundle of an analysis: events/s of its flat ntuple, of all that are tried.",
            autocompletion=completing.bundles,
        ),
    ] = None,
    device: OnDevice = Device.AUTO,
    cpus: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes, as of a job with so many cores; the site's."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="CPU threads of each process's networks.")
    ] = None,
    solver: SolverOption = Solver.MIDPOINT,
    evaluations: Evaluations = None,
    grid_power: GridPower = 1.0,
    chunk: Chunk = None,
    batch: Batch = None,
    site: Annotated[
        str, typer.Option(help="Site whose speed this is.", autocompletion=completing.sites)
    ] = "local",
    store: Annotated[bool, typer.Option(help="Keep it for the plans of requests.")] = True,
    scan: Annotated[
        str | None,
        typer.Option(
            metavar="N,N",
            help="Compare numbers of evaluations, as 1,2,4,8,20,100: speed, and how well draws are told from "
            "the teachers'. Nothing is kept.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how many events per second this machine makes, and where the time goes."""

    numbers = None if scan is None else parse_scan(scan)
    sampling = sampling_of(solver, evaluations, grid_power)
    if numbers and sampling is not None:
        raise RequestError("--scan says the evaluations: leave out --evaluations, --solver and --grid-power")
    typed = Typed.from_mapping(
        {
            "card": card or (None if inputs else "ttbar"),
            # a speed has no dataset: where nothing says the process it needs no name
            "primary": "bench" if inputs and card is None else None,
            "energy_tev": energy,
            "events": events or (None if inputs else "5000"),
            "oversample": parse_count(oversample, "--oversample"),
            "site": site,
            "catalog": RegisterIn.NONE,
            "seed": 1,
            "inputs": tuple(inputs or ()),
            "bundle": bundle,
            "analysis": analysis,
            "device": device,
            "slots": 1,
            "sampling": sampling,
        },
        "options",
    )
    home = open_home() if store and not numbers else None
    if home:
        # a damaged file is better told before the work than after it
        stored_speeds(home)
    order = make_order(typed)[0].with_resources(cpus=cpus, chunk_events=chunk, batch_rows=batch)
    if numbers:
        _scan(order, numbers, threads, as_json=as_json)
        return
    with shown_steps() as show:
        speed = measure_speed(order, lambda done, total: show("bench", done, total, ""), threads=threads)
    if home:
        store_speed(home, speed)
    if as_json:
        rates = {"events_hz": speed.events_hz, "flashsim_hz": speed.flashsim_hz}
        print_json({**speed.model_dump(mode="json"), **rates, "generator_hz": speed.generator_hz})
        return
    _print(speed)
    if home:
        console().print(f"Kept for planning in {home.speeds}", markup=False, soft_wrap=True)


def _scan(order: Order, numbers: tuple[int, ...], threads: int | None, *, as_json: bool) -> None:
    with shown_steps() as show:
        rows = scan_steps(
            order, numbers, lambda task, done, total: show(task, done, total, ""), threads=threads
        )
    if as_json:
        print_json({"bundle": order.bundle.path, "rows": [asdict(one) for one in rows]})
        return
    right = ("EVALUATIONS", "EVENTS/S", "WITHOUT GENERATOR", "MODELS", "AUC", "WORST")
    listing = table("EVALUATIONS", "SOLVER", "WEIGHTS", *right[1:], "OF", right=right, whole=("OF",))
    for one in rows:
        listing.add_row(
            f"{one.evaluations}",
            one.solver,
            one.weights,
            f"{one.events_hz:,.0f}",
            f"{one.flashsim_hz:,.0f}",
            f"{one.models}",
            f"{one.auc:.3f}",
            f"{one.worst_auc:.3f}±{one.worst_error:.3f}",
            one.worst_model,
        )
    console().print(listing)
    console().print(
        f"AUC: median over models, and the worst, of a classifier that tells at most {OBJECTS:,} draws of "
        "each from the teachers' in 8 evaluations",
        markup=False,
        soft_wrap=True,
    )


def _print(speed: Speed) -> None:

    sampling, out = speed.sampling, console()
    grid = f", grid power {sampling.grid_power:g}" if sampling.grid_power != 1 else ""
    device = speed.device if speed.device_name == speed.device else f"{speed.device} ({speed.device_name})"
    for line in (
        f"{speed.card} at {speed.site} on {device}, {_cores(speed)}",
        f"bundle {speed.bundle} ({speed.bundle_digest[:12]}), {sampling.solver}, "
        f"{counted(sampling.evaluations, 'evaluation')}{grid}",
        f"{speed.events:,} events = {speed.gen_events:,} gen events x {speed.oversample}, "
        f"{speed.chunk_events:,} at a time, {speed.batch_rows:,} objects a batch",
    ):
        out.print(line, markup=False, soft_wrap=True)
    numbers = ("SECONDS", "SHARE", "EVENTS/S")
    listing = table("STAGE", *numbers, right=numbers)
    for name, seconds in [*speed.stages_s.items(), ("whole", speed.seconds)]:
        rate = f"{speed.events / seconds:,.0f}" if seconds > 0 else "-"
        listing.add_row(name, f"{seconds:.2f}", f"{seconds / speed.seconds:.0%}", rate)
    out.print(listing)
    if speed.device == "cpu" and speed.cpus == 1 and speed.cores < _BUSY:
        alone = speed.events / speed.cpu_s
        out.print(
            f"note: others were at work, this process had {speed.cores:.2f} cores; "
            f"one core alone would make about {alone:,.0f} events/s",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )


def _cores(speed: Speed) -> str:
    threads = counted(speed.threads, "thread")
    return threads if speed.cpus == 1 else f"{speed.cpus} processes of {threads}"
