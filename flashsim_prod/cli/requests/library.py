"""``cards`` and ``sites``: what can be requested, and where it can run."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json, Rse
from flashsim_prod.cli.show import console, print_json, table
from flashsim_prod.errors import NodeError
from flashsim_prod.production.catalogs import RSE_VARIABLE
from flashsim_prod.production.order.library import all_cards, all_sites, find_site
from flashsim_prod.production.order.plan import slots_of
from flashsim_prod.production.views.site_check import check_site, only_of


def cards(as_json: Json = False) -> None:
    """List what can be requested."""
    found = all_cards()
    if as_json:
        print_json([card.model_dump(mode="json") for card in found])
        return
    listing = table("CARD", "PROCESS", "TeV", right=("TeV",))
    for card in found:
        energies = ", ".join(f"{energy.tev:g}" for energy in card.energies)
        listing.add_row(card.name, card.title, energies)
    console().print(listing)


def sites(
    action: Annotated[
        Literal["check"] | None,
        typer.Argument(help="Say what of a site is reachable, who you are there, and what is missing."),
    ] = None,
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
    """List where requests can run, or check one: its batch system, registering and publishing.

    A check ends with exit code 22 if anything is missing.
    """
    if action == "check":
        _check(name or site, rse, only or [], as_json)
        return
    _list_sites(as_json)


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


def _list_sites(as_json: bool) -> None:
    found = all_sites()
    if as_json:
        print_json([site.model_dump(mode="json") for site in found])
        return
    listing = table("SITE", "WHAT", "ENGINE", "SLOTS", "DEVICE", "EVENTS/S", right=("SLOTS", "EVENTS/S"))
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
