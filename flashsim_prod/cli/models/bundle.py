"""``flashsim-prod bundle``: what a model bundle is, whether it is whole, and bundles of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.assessment import Assessment
    from flashsim_prod.physics.chain.bundle import Bundle

app = typer.Typer(no_args_is_help=True, help="Look at model bundles, and bring in one's own.")

Which = Annotated[
    str, typer.Argument(help="Name of a bundle, or a folder.", autocompletion=completing.bundles)
]

_DEFAULT = "reference"


@app.command(name="list")
def list_bundles(as_json: Json = False) -> None:
    """List the bundles that requests find by name."""
    from flashsim_prod.cli.show import console, print_json, table
    from flashsim_prod.physics.chain.bundle import find_bundle, imported_bundles, load_bundle, shipped_bundles

    found = [load_bundle(find_bundle(name)) for name in (*shipped_bundles(), *imported_bundles())]
    if as_json:
        print_json([{"path": str(one.path), **summary(one)} for one in found])
        return
    listing = table("BUNDLE", "DIGEST", "MODELS", "TITLE", right=("MODELS",))
    for one in found:
        listing.add_row(one.name, one.digest[:12], str(len(one.manifest.models)), one.title)
    console().print(listing)


def summary(bundle: Bundle) -> dict[str, str | int]:
    """What ``--json`` says of a bundle: name, digest, number of models, title."""
    manifest = bundle.manifest
    return {
        "name": manifest.name,
        "digest": bundle.digest,
        "models": len(manifest.models),
        "title": manifest.title,
    }


@app.command()
def show(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="[BUNDLE|MODEL]",
            help="Name of a bundle, a folder, or a model.",
            autocompletion=completing.bundles_and_models,
        ),
    ] = _DEFAULT,
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Only this object model.", autocompletion=completing.models),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a bundle's models are, how they were trained and on what, and how close they came."""
    from flashsim_prod.cli.models.bundle_model import as_asked, show_model
    from flashsim_prod.cli.show import console, print_json, table
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.compatibility import all_lacks, told_lacks

    bundle, model = as_asked(bundle, model, default=_DEFAULT)
    found = load_bundle(find_bundle(bundle))
    if model is not None:
        show_model(found, model, as_json=as_json)
        return
    manifest = found.manifest
    if as_json:
        about = {"path": str(found.path), "digest": found.digest, "lacks": all_lacks(found)}
        print_json({**about, **manifest.model_dump(mode="json")})
        return
    out = console()
    software = ", ".join(f"{name} {version}" for name, version in manifest.software.items())
    for line in (
        f"{manifest.name}  {manifest.title}",
        f"digest {found.digest}",
        f"made {manifest.created:%Y-%m-%d} with {software}",
        "trained on " + "; ".join(manifest.training_sample),
    ):
        out.print(line, markup=False, soft_wrap=True)
    numbers = ("SEES", "DRAWS", "WEIGHTS", "OBJECTS", "SEED")
    listing = table("MODEL", "PRODUCES", *numbers, right=numbers, whole=("MODEL",))
    for name, entry in manifest.models.items():
        columns = (len(entry.conditions), len(entry.targets), entry.parameters, entry.fit.get("objects", 0))
        seed = str(entry.fit.get("seed", "-"))
        listing.add_row(name, entry.produces, *(f"{number:,}" for number in columns), seed)
    out.print(listing)
    for name in all_lacks(found):
        lacking = told_lacks(name, manifest.models[name])
        out.print(f"{name} lacks {lacking}", markup=False, soft_wrap=True)
    for assessment in manifest.fidelity:
        _print_assessment(assessment)


def _print_assessment(found: Assessment) -> None:
    from flashsim_prod.cli.show import console, table

    out = console()
    files = ", ".join(f"{name} ({events:,} events)" for name, events in found.files.items())
    for line in (
        f"held out: {found.compared_with}, {files}; {found.made:%Y-%m-%d}, {found.software}",
        f"          {found.command}",
    ):
        out.print(line, markup=False, soft_wrap=True)
    numbers = ("OBJECTS", "W1", "AUC", "FLOOR", "CHI2 PT", "ETA", "OTHER")
    listing = table("MODEL", *numbers, right=numbers, whole=("MODEL",))
    for name, one in found.models.items():
        others = [value for axis, value in one.chi2_per_ndf.items() if axis not in ("pt", "eta")]
        listing.add_row(
            name,
            "-" if one.objects is None else f"{one.objects:,}",
            *(_figure(value, 3) for value in (one.median_w1, one.auc, one.auc_floor)),
            *(_figure(one.chi2_per_ndf.get(axis), 1) for axis in ("pt", "eta")),
            _figure(max(others, default=None), 1),
        )
    out.print(listing)


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


@app.command()
def card(bundle: Which = _DEFAULT, as_json: Json = False) -> None:
    """Print a bundle's model card (Markdown): intended use, training data, fidelity and limits."""
    from flashsim_prod.cli.show import print_json
    from flashsim_prod.production.models.bundles import bundle_card

    written = bundle_card(bundle)
    if as_json:
        print_json({"card": written})
        return
    typer.echo(written, nl=False)


@app.command()
def verify(bundle: Which = _DEFAULT, as_json: Json = False) -> None:
    """Check every digest of a bundle, and that this software can run it."""
    from flashsim_prod.cli.show import console, print_json
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.chain import Chain
    from flashsim_prod.physics.chain.compatibility import check_needs

    found = load_bundle(find_bundle(bundle))
    Chain(found)
    check_needs(found)
    if as_json:
        print_json({"path": str(found.path), **summary(found), "ok": True})
        return
    console().print(
        f"{found.path}: {len(found.manifest.models)} models, digest {found.digest}, all as made",
        soft_wrap=True,
    )


@app.command()
def export(
    bundle: Which = _DEFAULT,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; NAME.tar by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a bundle as one file, the same bytes each time, for others to import."""
    from flashsim_prod.cli.show import print_json
    from flashsim_prod.core.sizes import format_bytes
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.production.models.bundles import export_bundle

    found = load_bundle(find_bundle(bundle))
    written = export_bundle(found, output)
    if as_json:
        print_json({"path": str(written), "bytes": written.stat().st_size, **summary(found)})
        return
    size = format_bytes(written.stat().st_size)
    typer.echo(f"{written}: {len(found.manifest.models)} models, {size}, digest {found.digest}")


@app.command(name="import")
def import_(
    source: Annotated[Path, typer.Argument(help="A bundle's folder, or a tar archive of it.")],
    base: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="Take the models that it lacks from this bundle.",
            autocompletion=completing.bundles,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring in networks that were trained elsewhere (see: bundle format); then: request --bundle NAME."""
    from flashsim_prod.cli.show import print_json
    from flashsim_prod.production.models.bundles import import_bundle

    found, is_new = import_bundle(source, base=base)
    if as_json:
        print_json({"path": str(found.path), **summary(found), "is_new": is_new})
        return
    how = "imported" if is_new else "there already"
    typer.echo(f"{found.name}: {how}, {len(found.manifest.models)} models, digest {found.digest}")
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
    from flashsim_prod import resources
    from flashsim_prod.cli.show import print_json

    if model is None and not as_json:
        typer.echo((resources.bundles_dir() / "FORMAT.md").read_text(encoding="utf-8"), nl=False)
        return
    from flashsim_prod.physics.chain.tensors import contract

    if model is None:
        from flashsim_prod.physics.chain.registry import MODELS

        print_json({one.name: contract(one.name) for one in MODELS})
        return
    wanted = contract(model)
    if as_json:
        print_json(wanted)
        return
    for key in ("model", "kind", "produces", "most", "network"):
        typer.echo(f"{key:11} {wanted[key]}")
    for key in ("conditions", "targets"):
        typer.echo(f"{key:11} {' '.join(wanted[key])}")
    for name, shape in wanted["tensors"].items():
        typer.echo(f"  {name:40} {' x '.join(map(str, shape))}")
