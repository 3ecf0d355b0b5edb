"""``flashsim-prod bundle``: what a model bundle is, whether it is whole, and bundles of one's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.models.contents import contents_for_programs, print_bundle, print_model
from flashsim_prod.cli.models.options import BaseOfLacking
from flashsim_prod.cli.models.told import warn
from flashsim_prod.cli.options import Json
from flashsim_prod.cli.show import console, counted, print_json, table
from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.production.models.bundles import (
    bundle_card,
    export_bundle,
    import_bundle,
    named_bundles,
    verify_bundle,
)
from flashsim_prod.production.models.contents import DEFAULT, OneModel, look_into
from flashsim_prod.production.models.formats import ModelFormat, all_formats, format_page, model_format

app = typer.Typer(no_args_is_help=True, help="Look at model bundles, and bring in one's own.")

Which = Annotated[
    str, typer.Argument(help="Name of a bundle, or a folder.", autocompletion=completing.bundles)
]


@app.command(name="list")
def list_bundles(as_json: Json = False) -> None:
    """List the bundles that requests find by name."""
    found = named_bundles()
    if as_json:
        print_json(found)
        return
    listing = table("BUNDLE", "DIGEST", "MODELS", "TITLE", right=("MODELS",))
    for one in found:
        listing.add_row(one.name, one.digest[:12], str(one.models), one.title)
    console().print(listing)


@app.command()
def show(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="[BUNDLE|MODEL]",
            help="Name of a bundle, a folder, or a model.",
            autocompletion=completing.bundles_and_models,
        ),
    ] = DEFAULT,
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Only this object model.", autocompletion=completing.models),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a bundle's models are, how they were trained and on what, and how close they came."""
    found = look_into(bundle, model)
    if as_json:
        print_json(contents_for_programs(found))
    elif isinstance(found, OneModel):
        print_model(found)
    else:
        print_bundle(found)


@app.command()
def card(bundle: Which = DEFAULT, as_json: Json = False) -> None:
    """Print a bundle's model card (Markdown): intended use, training data, fidelity and limits."""
    written = bundle_card(bundle)
    if as_json:
        print_json({"card": written})
        return
    typer.echo(written, nl=False)


@app.command()
def verify(bundle: Which = DEFAULT, as_json: Json = False) -> None:
    """Check every digest of a bundle, and that this software can run it."""
    found = verify_bundle(bundle)
    if as_json:
        print_json({**asdict(found), "ok": True})
        return
    console().print(
        f"{found.path}: {found.models} models, digest {found.digest}, all as made", soft_wrap=True
    )


@app.command()
def export(
    bundle: Which = DEFAULT,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; NAME.tar by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a bundle as one file, the same bytes each time, for others to import."""
    written = export_bundle(bundle, output)
    found = written.bundle
    if as_json:
        print_json({**asdict(found), "path": written.file, "bytes": written.bytes})
        return
    size = format_bytes(written.bytes)
    typer.echo(f"{written.file}: {found.models} models, {size}, digest {found.digest}")


@app.command(name="import")
def import_(
    source: Annotated[Path, typer.Argument(help="A bundle's folder, or a tar archive of it.")],
    base: BaseOfLacking = None,
    as_json: Json = False,
) -> None:
    """Bring in networks that were trained elsewhere (see: bundle format); then: request --bundle NAME."""
    made = import_bundle(source, base=base)
    warn(made.mixtures)
    found, own = made.bundle, made.own_models
    if as_json:
        print_json({**asdict(found), "is_new": made.is_new, "own_models": own})
        return
    how = "imported" if made.is_new else "there already"
    whose = f" ({len(own)} of its own, {found.models - len(own)} of {made.base})" if made.base else ""
    typer.echo(f"{found.name}: {how}, {counted(found.models, 'model')}{whose}, digest {found.digest}")
    typer.echo(f"{found.path}")


@app.command(name="format")
def format_(
    model: Annotated[
        str | None,
        typer.Argument(help="Object model; the whole page without.", autocompletion=completing.models),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the format that bundles come in; with MODEL, what a file of its weights has to hold."""
    if model is not None:
        wanted = model_format(model)
        if as_json:
            print_json(wanted)
        else:
            _print_format(wanted)
    elif as_json:
        print_json(all_formats())
    else:
        typer.echo(format_page(), nl=False)


def _print_format(wanted: ModelFormat) -> None:
    network = dict(wanted.network)
    for key, value in (
        ("model", wanted.model),
        ("kind", wanted.kind),
        ("produces", wanted.produces),
        ("most", wanted.most),
        ("network", network),
        ("conditions", " ".join(wanted.conditions)),
        ("targets", " ".join(wanted.targets)),
    ):
        typer.echo(f"{key:11} {value}")
    for name, shape in wanted.tensors.items():
        typer.echo(f"  {name:40} {' x '.join(map(str, shape))}")
