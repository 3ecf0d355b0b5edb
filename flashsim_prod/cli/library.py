"""``cards`` and ``sites``: what can be requested, and where it can run."""

from __future__ import annotations

import typer

from flashsim_prod.cli.show import Json


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(cards)
    app.command()(sites)


def cards(as_json: Json = False) -> None:
    """List what can be requested."""
    from flashsim_prod.cli.show import console, print_json, table
    from flashsim_prod.production.library import all_cards

    found = all_cards()
    if as_json:
        print_json([card.model_dump(mode="json") for card in found])
        return
    listing = table("CARD", "PROCESS", "TeV", right=("TeV",))
    for card in found:
        energies = ", ".join(f"{energy.tev:g}" for energy in card.energies)
        listing.add_row(card.name, card.title, energies)
    console().print(listing)


def sites(as_json: Json = False) -> None:
    """List where requests can run."""
    from flashsim_prod.cli.show import console, print_json, table
    from flashsim_prod.production.library import all_sites
    from flashsim_prod.production.plan import slots_of

    found = all_sites()
    if as_json:
        print_json([site.model_dump(mode="json") for site in found])
        return
    listing = table("SITE", "WHAT", "ENGINE", "SLOTS", "DEVICE", "EVENTS/S", right=("SLOTS", "EVENTS/S"))
    for site in found:
        listing.add_row(
            site.name,
            site.title,
            site.engine.value,
            str(slots_of(site)),
            site.device.value,
            f"{site.rates.flashsim_hz:g}",
        )
    console().print(listing)
