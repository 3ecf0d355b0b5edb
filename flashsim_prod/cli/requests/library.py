"""``cards`` and ``sites``: what can be requested, and where it can run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json, Rse
from flashsim_prod.cli.show import console, print_json, table
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.site import Site
from flashsim_prod.errors import NodeError
from flashsim_prod.production.catalogs import RSE_VARIABLE
from flashsim_prod.production.order.described import card_schema, site_schema
from flashsim_prod.production.order.library import CARDS, SITES, Shelf, all_cards, all_sites, find_site
from flashsim_prod.production.order.own import new_card, new_site
from flashsim_prod.production.order.plan import slots_of
from flashsim_prod.production.views.card_check import CardTried, check_card
from flashsim_prod.production.views.site_check import check_site, only_of

cards = typer.Typer()
sites = typer.Typer()

CardName = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="Which card.", autocompletion=completing.cards)
]
SiteName = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="Which site.", autocompletion=completing.sites)
]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="What it is to be called.")]


@cards.callback(invoke_without_command=True)
def list_cards(context: typer.Context, as_json: Json = False) -> None:
    """List what can be requested."""
    if context.invoked_subcommand:
        return
    found = all_cards(_tell_broken)
    if as_json:
        print_json([card.model_dump(mode="json") for card in found])
        return
    listing = table("CARD", "PROCESS", "TeV", right=("TeV",))
    for card in found:
        energies = ", ".join(f"{energy.tev:g}" for energy in card.energies)
        listing.add_row(card.name, card.title, energies)
    console().print(listing)


@cards.command("show")
def show_card(name: CardName, as_json: Json = False) -> None:
    """Show a card: its file, as it is."""
    _show(CARDS, name, as_json)


@cards.command("new")
def make_card(
    name: NewName,
    like: Annotated[
        str,
        typer.Option(metavar="CARD", help="Whose settings it begins with.", autocompletion=completing.cards),
    ] = "ttbar",
    as_json: Json = False,
) -> None:
    """Write a card of your own, every field described, into the folder of your cards."""
    _tell_new(new_card(name, like), "cards", name, as_json)


@cards.command("check")
def try_card(
    name: CardName,
    energy_tev: Annotated[
        float | None, typer.Option("--energy", metavar="TEV", help="At this energy only.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try a card: 20 events at each of its energies, checked and thrown away; or name what is wrong."""
    if as_json:
        print_json([asdict(one) for one in check_card(name, energy_tev)])
    else:
        check_card(name, energy_tev, _print_tried)


@cards.command("schema")
def print_card_schema(as_json: Json = False) -> None:
    """Print the JSON schema of cards, for editors."""
    print_json(card_schema())


@sites.callback(invoke_without_command=True)
def list_sites(context: typer.Context, as_json: Json = False) -> None:
    """List where requests can run, or check one: its batch system, registering and publishing."""
    if context.invoked_subcommand:
        return
    found = all_sites(_tell_broken)
    if as_json:
        print_json([site.model_dump(mode="json") for site in found])
        return
    _print_sites(found)


@sites.command("show")
def show_site(name: SiteName, as_json: Json = False) -> None:
    """Show a site: its file, as it is."""
    _show(SITES, name, as_json)


@sites.command("new")
def make_site(
    name: NewName,
    like: Annotated[
        str,
        typer.Option(metavar="SITE", help="Whose values it begins with.", autocompletion=completing.sites),
    ] = "local",
    as_json: Json = False,
) -> None:
    """Write a site file of your own, every field described, into the folder of your sites."""
    _tell_new(new_site(name, like), "sites", name, as_json)


@sites.command("check")
def try_site(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|FILE]", help="Which site to check.", autocompletion=completing.sites),
    ] = None,
    site: Annotated[str, typer.Option(help="The same as NAME.", autocompletion=completing.sites)] = "local",
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT", help="Check only this, as the list calls it; several times for several."
        ),
    ] = None,
    rse: Rse = None,
    as_json: Json = False,
) -> None:
    """Say what of a site is reachable, who you are there, and what is missing.

    It ends with exit code 22 if anything is missing.
    """
    _check(name or site, rse, only or [], as_json)


@sites.command("schema")
def print_site_schema(as_json: Json = False) -> None:
    """Print the JSON schema of site files, with the sections of all engines that are here, for editors."""
    print_json(site_schema())


def _show(shelf: Shelf[ProcessCard] | Shelf[Site], name: str, as_json: bool) -> None:
    found: ProcessCard | Site = shelf.find(name)
    path = shelf.locate(name)
    if as_json:
        print_json({"file": str(path.absolute()), shelf.kind: found.model_dump(mode="json")})
        return
    print(f"# {path.absolute()}\n{shelf.text(path)}", end="")


def _tell_new(path: Path, command: str, name: str, as_json: bool) -> None:
    if as_json:
        print_json({"written": str(path)})
        return
    for line in (f"Written:  {path}", f"Then:     flashsim-prod {command} check {name}"):
        console().print(line, soft_wrap=True, markup=False)


def _tell_broken(problem: str) -> None:
    console(stderr=True).print(f"note: not listed: {problem}", style="yellow", markup=False, soft_wrap=True)


def _print_tried(one: CardTried) -> None:
    made = f"{one.events} events in {one.seconds:.1f} s, as {one.dataset}"
    print(f"ok  {one.card} at {one.energy_tev:g} TeV: {made}")


def _check(site: str, rse: str | None, only: list[str], as_json: bool) -> None:
    checked = find_site(site)
    found = only_of(list(check_site(checked, rse or os.environ.get(RSE_VARIABLE))), only, checked)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            print(f"{'ok' if one.is_fine else 'missing':8} {one.what:7} {one.detail}")
    missing = [one.what for one in found if not one.is_fine]
    if missing:
        raise NodeError(
            f"site {site}: {', '.join(missing)} missing here; for the exit code of what you need: --only WHAT"
        )


def _print_sites(found: Iterable[Site]) -> None:
    columns = ("SITE", "WHAT", "ENGINE", "SLOTS", "DEVICE", "EVENTS/S")
    listing = table(*columns, right=("SLOTS", "EVENTS/S"))
    for site in found:
        listing.add_row(
            site.name,
            site.title,
            site.engine,
            str(slots_of(site)),
            site.device.value,
            f"{site.rates.flashsim_hz:g}",
        )
    console().print(listing)
