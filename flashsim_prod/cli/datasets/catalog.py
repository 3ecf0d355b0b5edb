"""``datasets``, ``files`` and ``verify``: what a catalogue holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.progress import Progress

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json, Scope, Where
from flashsim_prod.cli.show import console, counted, print_json
from flashsim_prod.core.choices import CatalogKind
from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.sizes import format_bytes, format_count, parse_bytes
from flashsim_prod.production.catalogs import local_datasets, open_catalog
from flashsim_prod.production.dataset.verify import Verification, error_of
from flashsim_prod.production.dataset.verify import verify as compare
from flashsim_prod.production.home import home_to_read, open_home
from flashsim_prod.production.quota import set_quota
from flashsim_prod.production.retention.sizes import Sizes, sizes

_NONE_YET = "no datasets yet; the first one: flashsim-prod request ttbar --events 1000 --oversample 10"

Dataset = Annotated[
    str,
    typer.Argument(
        metavar="DATASET", help="/Primary/Era-ProcString-vN/NANOAODSIM", autocompletion=completing.datasets
    ),
]


def datasets(
    with_sizes: Annotated[
        bool,
        typer.Option("--sizes", help="What takes room here: files, unmerged outputs, folders, leftovers."),
    ] = False,
    quota: Annotated[
        str | None,
        typer.Option(metavar="SIZE|none", help="Set what the state folder may hold (500GB); none: the disk."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the datasets of the catalogue."""
    if quota is not None:
        set_quota(open_home(), None if quota == "none" else parse_bytes(quota, "--quota"))
    if with_sizes or quota is not None:
        _tell_sizes(sizes(home_to_read()), as_json=as_json)
        return
    found = local_datasets(home_to_read())
    if as_json:
        print_json([{**asdict(one), "metadata": dict(one.metadata)} for one in found])
        return
    if not found:
        console().print(_NONE_YET)
        return
    # plain lines here and below, whatever the width: made for copying, grep, cut and xargs
    print(f"{'EVENTS':>12}  {'FILES':>6}  {'SIZE':>9}  {'CREATED':10}  DATASET")
    for one in found:
        created, size = one.created.strftime("%Y-%m-%d"), format_bytes(one.bytes)
        recipe = one.metadata.get("recipe")
        if isinstance(recipe, dict) and one.files < recipe["files"]:
            # what there is of a virtual dataset would not tell what it is
            print(
                f"{format_count(recipe['events']):>12}  {recipe['files']:>6}  {'virtual':>9}  {created:10}  "
                f"{one.name} ({one.files} made, {size})"
            )
            continue
        print(f"{format_count(one.events):>12}  {one.files:>6}  {size:>9}  {created:10}  {one.name}")


def _tell_sizes(found: Sizes, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print(f"{'FILES':>9}  {'UNMERGED':>9}  {'FOLDER':>9}  DATASET")
    for one in found.datasets:
        columns = (format_bytes(size) for size in (one.catalogued, one.unmerged, one.folder))
        print("  ".join(f"{column:>9}" for column in columns), f" {one.dataset}")
    beside = (("being made again", found.again), ("files with some branches", found.slim))
    for what, size in beside:
        if size:
            print(f"{format_bytes(size):>9}  {what}")
    if found.leftovers:
        print(f"{format_bytes(found.leftovers):>9}  nobody needs any more: flashsim-prod purge")
    of = f" of the {format_bytes(found.quota)} that it may hold" if found.quota else ""
    print(f"{format_bytes(found.home):>9}  in the state folder{of}; {format_bytes(found.free)} are free")


def files(
    dataset: Dataset, catalog: Where = CatalogKind.LOCAL, scope: Scope = "cms", as_json: Json = False
) -> None:
    """List the files of a dataset: events, bytes, adler32 and where each one is."""
    if catalog == "local":
        # Rucio has containers by other grammars, too
        DatasetName.parse(dataset)
    with open_catalog(catalog, home_to_read(), scope) as opened:
        found = opened.files(dataset)
        if as_json:
            print_json([{**asdict(one), "lumis": [lumi.model_dump() for lumi in one.lumis]} for one in found])
            return
        # line by line: there may be a hundred thousand
        for number, one in enumerate(found):
            if number == 0:
                print(f"{'EVENTS':>10}  {'BYTES':>12}  {'ADLER32':8}  FILE")
            where = one.replicas[0].pfn if one.replicas else one.lfn
            print(f"{one.events:>10}  {one.bytes:>12}  {one.adler32:8}  {where}")


def verify(
    dataset: Dataset, catalog: Where = CatalogKind.LOCAL, scope: Scope = "cms", as_json: Json = False
) -> None:
    """Compare catalogue, ledger and storage of a dataset, reading all checksums anew."""
    errors = console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("reading", total=None)
        found = compare(
            home_to_read(),
            dataset,
            catalog=catalog,
            scope=scope,
            seen=lambda _, size: progress.advance(task, size),
        )
    if as_json:
        print_json({**asdict(found), "ok": not found.problems})
    else:
        _print_verification(found)
    if (error := error_of(found)) is not None:
        raise error


def _print_verification(found: Verification) -> None:
    for problem in found.problems:
        print(f"{problem.kind:9} {problem.lfn}: {problem.detail}")
    if not found.problems:
        holds = f"{counted(found.files, 'file')}, {format_bytes(found.bytes)}"
        print(f"{found.dataset}: {holds}: catalogue, ledger and storage agree")
