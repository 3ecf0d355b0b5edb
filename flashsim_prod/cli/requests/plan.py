"""``plan``: what a request would come to, and how that goes with oversampling."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from flashsim_prod import resources
from flashsim_prod.cli.options import Json
from flashsim_prod.cli.requests.making import cross_section_of, show_plan
from flashsim_prod.cli.requests.request import request, typed_request
from flashsim_prod.cli.show import console, print_json, table
from flashsim_prod.core.options import MAX_OVERSAMPLE
from flashsim_prod.core.sizes import format_bytes, format_count, format_duration, parse_count
from flashsim_prod.errors import RequestError
from flashsim_prod.production.catalogs import one_sign_in
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.order import make_order
from flashsim_prod.production.order.place import preview
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.production.views.scan import Factor, Proofs, figures, find_proofs, scan

Command = TypeVar("Command", bound=Callable[..., None])
#: of the options of `request`, those that say what becomes of a plan
_OF_MAKING = frozenset({"dry_run", "wait", "notify", "yes", "as_json", "context"})


def _with_options_of_request(command: Command) -> Command:
    """Give a command the options of `request` that say what is wanted, in the place of its ``**fields``."""
    own = [
        one
        for one in inspect.signature(command, eval_str=True).parameters.values()
        if one.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    wanted = [
        one
        for one in inspect.signature(request, eval_str=True).parameters.values()
        if one.name not in _OF_MAKING
    ]
    options = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (own[0], *wanted, *own[1:])]
    vars(command)["__signature__"] = inspect.Signature(options)
    command.__annotations__ = {one.name: one.annotation for one in options}
    return command


@_with_options_of_request
def plan(
    context: typer.Context,
    factors: Annotated[
        str | None,
        typer.Option(
            "--scan-oversample", metavar="K,K,...", help="Compare these factors of oversampling: 1,2,5,10,20."
        ),
    ] = None,
    observables: Annotated[
        list[str] | None,
        typer.Option(
            "--observable", metavar="NAME", help="With a scan, of those proven; several times for several."
        ),
    ] = None,
    proof: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER|FILE", help="What validate proof wrote; ./proof by default."),
    ] = None,
    as_json: Json = False,
    **fields: Any,
) -> None:
    """Show what a request would come to, and write nothing; or compare factors of oversampling."""
    scanned = _factors(factors)
    if not scanned and (observables or proof):
        raise RequestError("--observable and --proof go with --scan-oversample 1,2,5,10")
    home = Home(resources.home_path(), is_read_only=True)
    with one_sign_in():
        order, _ = make_order(typed_request(**context.params))
        made = preview(home, order, fields.get("name"))
    if not scanned:
        _tell(made, None, "", as_json)
        return
    process = f"{order.card.title}, {made.request.energy_tev:g} TeV"
    proofs = _proofs(proof, process, observables or [])
    note = "" if proofs else _how_to_prove(proof or Path("proof"), process, made.request.card.name, scanned)
    _tell(made, scan(home, order, scanned, proofs), note, as_json)


def _factors(typed: str | None) -> list[int]:
    if typed is None:
        return []
    found = [parse_count(one, "--scan-oversample") for one in typed.split(",")]
    if max(found) > MAX_OVERSAMPLE:
        raise RequestError(f"--scan-oversample: at most {MAX_OVERSAMPLE} folds per gen event")
    return list(dict.fromkeys(found))


def _proofs(place: Path | None, process: str, observables: Sequence[str]) -> Proofs | None:
    if place is not None and not place.exists():
        raise RequestError(f"--proof: there is no {place}; flashsim-prod validate proof writes it")
    found = find_proofs(place or Path("proof"), process)
    if found is None and observables:
        raise RequestError(f"--observable: no proof of {process} in {place or Path('proof')}; see --proof")
    return found and found.of(observables)


def _how_to_prove(place: Path, process: str, card: str, factors: Sequence[int]) -> str:
    tried = " ".join(f"--factor {one}" for one in factors if 2 <= one <= 100) or "--factor 10"
    return (
        f"what an event is worth is not known: no proof of {process} in {place}; "
        f"it is found by: flashsim-prod validate proof {card} {tried} --output {place}"
    )


def _tell(made: Plan, scanned: Sequence[Factor] | None, note: str, as_json: bool) -> None:
    if as_json:
        told = _figures(made)
        if scanned is not None:
            told |= {"scan": [figures(one) for one in scanned], "worth_note": note or None}
        print_json(told)
        return
    shown = console()
    if scanned is None:
        show_plan(made, shown)
        return
    site = made.request.site.name
    shown.print(f"{made.request.card.title} on {site}, {made.slots} jobs at a time; rates {made.rates_from}")
    shown.print(_table(scanned))
    if note:
        shown.print(note, soft_wrap=True, markup=False)
    elif any(not worth.is_proven for one in scanned for worth in one.worth.values()):
        shown.print("~ follows from the nearest factor that was proven", markup=False)


def _table(scanned: Sequence[Factor]) -> Any:
    worths = list(scanned[0].worth)
    numbers = ("FOLDS", "GEN EVENTS", "EVENTS/S", "GEN/S", "TIME", "kWh", "SIZE")
    columns = (*numbers, *(f"WORTH {name}" for name in worths))
    made = table(*columns, right=columns, title="events/s of one job; worth of an event, 1 if independent")
    for one in scanned:
        made.add_row(
            str(one.oversample),
            format_count(one.gen_events),
            f"{one.events_hz:,.0f}",
            f"{one.gen_hz:,.1f}",
            format_duration(one.seconds),
            "-" if one.energy_kwh is None else f"{one.energy_kwh:.3g}",
            format_bytes(one.bytes),
            *(f"{'' if worth.is_proven else '~'}{worth.per_event:.2f}" for worth in one.worth.values()),
        )
    return made


def _figures(made: Plan) -> dict[str, Any]:
    ask = made.request
    return {
        "name": ask.name,
        "dataset": str(ask.dataset),
        "card": ask.card.name,
        "site": ask.site.name,
        "events": ask.events,
        "events_are_estimate": ask.is_thinned,
        "gen_events": ask.gen_events,
        "oversample": ask.oversample,
        "energy_tev": ask.energy_tev,
        "seed": ask.seed,
        "nano": ask.nano if ask.analysis is None else None,
        "analysis": None if ask.analysis is None else ask.analysis.name,
        "format": ask.format,
        "draws": made.draws or None,
        "jobs": ask.n_simulate,
        "files": ask.n_merge,
        "slots": made.slots,
        "seconds": made.seconds,
        "bytes": made.bytes,
        "energy_kwh": made.energy_kwh,
        "rates_from": made.rates_from,
        "cross_section_pb": cross_section_of(ask),
        "source": ask.source.kind,
        "contents": dict(ask.contents()) or None,
        "notes": list(made.notes),
        "warnings": list(made.warnings),
    }
