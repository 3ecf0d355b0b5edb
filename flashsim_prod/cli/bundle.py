"""``flashsim-prod bundle``: what a model bundle is and whether it is whole."""

from __future__ import annotations

from typing import Annotated

import typer

from flashsim_prod.cli.show import Json

app = typer.Typer(no_args_is_help=True, help="Look at model bundles.")

Which = Annotated[str, typer.Argument(help="Name of a shipped bundle, or a folder.")]

_DEFAULT = "reference"


@app.command()
def show(bundle: Which = _DEFAULT, as_json: Json = False) -> None:
    """Show what a bundle's models are, how they were trained and on what."""
    from flashsim_prod.cli.show import console, print_json, table
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle

    found = load_bundle(find_bundle(bundle))
    manifest = found.manifest
    if as_json:
        print_json({"path": str(found.path), "digest": found.digest, **manifest.model_dump(mode="json")})
        return
    out = console()
    out.print(f"[bold]{manifest.name}[/bold]  {manifest.title}")
    out.print(f"digest {found.digest}")
    software = ", ".join(f"{name} {version}" for name, version in manifest.software.items())
    out.print(f"made {manifest.created:%Y-%m-%d} with {software}")
    out.print("trained on " + "; ".join(manifest.training_sample))
    numbers = ("SEES", "DRAWS", "WEIGHTS", "OBJECTS")
    listing = table("MODEL", "PRODUCES", *numbers, right=numbers)
    for name, entry in manifest.models.items():
        columns = (len(entry.conditions), len(entry.targets), entry.parameters, entry.fit.get("objects", 0))
        listing.add_row(name, entry.produces, *(f"{number:,}" for number in columns))
    out.print(listing)


@app.command()
def verify(bundle: Which = _DEFAULT) -> None:
    """Check every digest of a bundle, and that this software can run it."""
    from flashsim_prod.cli.show import console
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.chain import Chain

    found = load_bundle(find_bundle(bundle))
    Chain(found)
    console().print(f"{found.path}: {len(found.manifest.models)} models, digest {found.digest}, all as made")
