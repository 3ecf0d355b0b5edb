"""``request``: plan a dataset, show the plan, make it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import (
    DryRun,
    Evaluations,
    EventsPerJob,
    GridPower,
    Json,
    Lifetime,
    MaybeDevice,
    Rse,
    RseExpression,
    Scope,
    Slots,
    SolverOption,
    Tell,
    Wait,
    Yes,
    notify_of,
    registration_of,
    sampling_of,
)
from flashsim_prod.core.choices import FileFormat, RegisterIn, Solver
from flashsim_prod.errors import RequestError

if TYPE_CHECKING:
    from flashsim_prod.production.order.order import Typed


def request(
    context: typer.Context,
    card: Annotated[
        str | None,
        typer.Argument(
            metavar="CARD",
            help="A card's name (see: cards) or file; several make a campaign; none is needed with --input.",
            autocompletion=completing.cards,
        ),
    ] = None,
    more_inputs: Annotated[
        list[str] | None, typer.Argument(hidden=True, metavar="CARD", autocompletion=completing.cards)
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(metavar="N", help="Output events: 1000, 10k, 100M, 1.5B; with --input, all by default."),
    ] = None,
    oversample: Annotated[str, typer.Option(metavar="K", help="Output events per gen event.")] = "1",
    site: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="Where to run (see: sites).", autocompletion=completing.sites),
    ] = "local",
    catalog: Annotated[RegisterIn, typer.Option(help="Where to register.")] = RegisterIn.LOCAL,
    scope: Scope = "cms",
    rse: Rse = None,
    rse_expression: RseExpression = None,
    lifetime: Lifetime = None,
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="Decides all numbers drawn; random by default.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the request; CARD-NNN by default.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="FILE|GLOB|URL|rucio:SCOPE:NAME ...",
            help="NanoAOD or NanoGEN instead of Pythia8, or LHE files that it showers.",
        ),
    ] = None,
    energy_tev: Annotated[
        float | None, typer.Option("--energy", metavar="TEV", help="Centre-of-mass energy.")
    ] = None,
    era: Annotated[
        str, typer.Option(metavar="ERA", help="As UL18 or UL16postVFP; the bundle's by default.")
    ] = "",
    primary: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --input: its primary dataset, if the files tell none."),
    ] = None,
    xsec: Annotated[
        float | None, typer.Option(metavar="PB", help="With --input: its cross section [pb].")
    ] = None,
    shower: Annotated[
        str | None,
        typer.Option(
            metavar="CARD|FILE",
            help="Tune and Pythia8 settings for LHE files; those of CARD by default.",
            autocompletion=completing.cards,
        ),
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
            help="Bundle of an analysis: writes its flat ntuple instead of NANOAOD (see: train analysis).",
            autocompletion=completing.bundles,
        ),
    ] = None,
    format: Annotated[
        FileFormat | None,
        typer.Option(help="With --analysis: what the ntuple's files are; root by default."),
    ] = None,
    nano: Annotated[
        str | None,
        typer.Option(metavar="v9|v15", help="Version of NanoAOD to write; by default by energy and bundle."),
    ] = None,
    device: MaybeDevice = None,
    slots: Slots = None,
    events_per_job: EventsPerJob = None,
    solver: SolverOption = Solver.MIDPOINT,
    evaluations: Evaluations = None,
    grid_power: GridPower = 1.0,
    keep_unrefined: Annotated[
        bool,
        typer.Option(
            "--keep-unrefined",
            help="Write beside what the bundle refines what it was before, as Jet_ptunrefined.",
        ),
    ] = False,
    virtual: Annotated[
        bool,
        typer.Option("--virtual", help="Register what it would hold, and make no file (see: materialise)."),
    ] = False,
    dry_run: DryRun = False,
    wait: Wait = False,
    notify: Tell = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make a dataset: show the plan, run it (or hand it to a batch system), merge, check and register."""
    # what plans and runs requests takes a while to load, which --help need not wait for
    from flashsim_prod.cli.requests.making import Making, make
    from flashsim_prod.production.order.order import is_input

    if more_inputs and not inputs and not any(map(is_input, [card or "", *more_inputs])):
        from flashsim_prod.cli.campaigns.several import make_several

        first = typed_request(**{**context.params, "more_inputs": None})
        make_several(
            first, [str(card), *more_inputs], name, dry_run=dry_run, wait=wait, yes=yes, as_json=as_json
        )
        return
    how = Making(name=name, dry_run=dry_run, wait=wait, yes=yes, as_json=as_json)
    make(typed_request(**context.params), how)


def typed_request(
    *,
    card: str | None,
    inputs: list[str] | None,
    more_inputs: list[str] | None,
    scope: str,
    rse: str | None,
    rse_expression: str | None,
    lifetime: float | None,
    solver: Solver,
    evaluations: int | None,
    grid_power: float,
    notify: list[str] | None = None,
    **others: Any,
) -> Typed:
    """The request behind the options of `request`; those that say how it is made are left aside."""
    from flashsim_prod.production.order.order import Typed, is_input

    if more_inputs and not inputs:
        raise RequestError(f"unexpected '{more_inputs[0]}' after the card; input files come after --input")
    files = [*(inputs or ()), *(more_inputs or ())]
    if files and card is not None and is_input(card):
        # without a card, the second match of a glob that the shell expanded is where the card would be
        files, card = [files[0], card, *files[1:]], None
    told = {
        # what is chosen by an option of its own name
        **{name: value for name, value in others.items() if name in Typed.model_fields},
        "registration": registration_of(scope, rse, rse_expression, lifetime),
        "sampling": sampling_of(solver, evaluations, grid_power),
        "notify": notify_of(notify),
        # a glob that the shell expanded leaves its first match to --input and the rest as arguments
        "inputs": tuple(files),
        "card": card,
    }
    return Typed.from_mapping(told, "options")
