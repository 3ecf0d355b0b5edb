"""``flashsim-prod validate``: whether events and their statistics are right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.datasets.validate_tables import (
    print_analysis,
    print_detector,
    print_histogram,
    print_proof,
    print_validation,
)
from flashsim_prod.cli.groups import DefaultGroup
from flashsim_prod.cli.options import Json, Scope, Where
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.show import counted, print_json
from flashsim_prod.core.choices import CatalogKind, Device
from flashsim_prod.errors import RequestError
from flashsim_prod.production.dataset.checks import CheckedDataset, check_dataset, error_of
from flashsim_prod.production.dataset.files import find_files
from flashsim_prod.production.dataset.validate import Progress, histograms, validate_dataset
from flashsim_prod.production.home import home_to_read
from flashsim_prod.production.models.detector import compare_detector, write_table
from flashsim_prod.production.models.validating import Compared, Proven, prove_uncertainties, run_analyses

_DEFAULT = "dataset"


class _DatasetFirst(DefaultGroup):
    default: ClassVar[str] = _DEFAULT


app = typer.Typer(
    cls=_DatasetFirst,
    no_args_is_help=True,
    help="Show that events and statistics are right: validate DATASET --reference FILES, or one of these.",
)

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET|REQUEST|FILES",
        help="Datasets, requests, or files; several are one sample.",
        autocompletion=completing.datasets_and_requests,
    ),
]
Output = Annotated[Path, typer.Option(help="Folder for index.html and JSON.")]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn.")]


@contextmanager
def _progress() -> Iterator[Progress]:
    with shown_steps() as show:
        yield lambda stage, done, total: show(stage, done, total, "")


@app.command(name=_DEFAULT)
def dataset(
    name: Annotated[
        str,
        typer.Argument(
            metavar="DATASET|REQUEST|FILE",
            help="A dataset, a request, or a file.",
            autocompletion=completing.datasets_and_requests,
        ),
    ],
    more_references: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="FILE")] = None,
    reference: Annotated[
        list[str] | None, typer.Option(metavar="FILES", help="NANOAOD to compare with, of the same process.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the page; by default beside the request, or validation/ here."),
    ] = None,
    max_events: Annotated[
        int, typer.Option(min=100, metavar="N", help="Events of either sample, at most.")
    ] = 20_000,
    check: Annotated[bool, typer.Option(help="Run the technical checks first.")] = True,
    figures: Annotated[bool, typer.Option(help="Draw every attribute, which takes most of the time.")] = True,
    catalog: Where = CatalogKind.LOCAL,
    scope: Scope = "cms",
    as_json: Json = False,
) -> None:
    """Compare a dataset with a reference, attribute by attribute: a page, JSON, exit code 19 if it is red."""
    # a glob that the shell expanded leaves its first match to --reference and the rest as arguments
    references = [*(reference or ()), *(more_references or ())]
    if not reference:
        raise RequestError("say what to compare with: --reference FILES")
    with _progress() as progress:
        made = validate_dataset(
            home_to_read(),
            name,
            references,
            output=output,
            max_events=max_events,
            check=check,
            catalog=catalog,
            scope=scope,
            progress=progress,
            figures=figures,
        )
    if as_json:
        print_json(made.summary())
    else:
        print_validation(made.found)
        typer.echo(f"{made.page}")
    if (error := made.error) is not None:
        raise error


@app.command()
def check(
    names: Files, catalog: Where = CatalogKind.LOCAL, scope: Scope = "cms", as_json: Json = False
) -> None:
    """Run the technical checks on every file: ids, folds, values, links, order, sums, checksums."""
    found = find_files(home_to_read(), names, catalog=catalog, scope=scope)
    with _progress() as progress:
        checked = check_dataset(found, progress)
    if as_json:
        print_json(
            {
                "name": checked.name,
                "ok": not checked.all_problems,
                "files": _plain(checked),
                "problems": list(checked.problems),
            }
        )
    else:
        _print_checked(checked)
    if (error := error_of(checked)) is not None:
        raise error


@app.command()
def histogram(
    names: Files,
    observable: Annotated[
        list[str],
        typer.Option(
            "--observable", "-o", help="Jet_pt (all jets), Jet_pt[0] (leading), nJet, HT, 'm(bb)', ..."
        ),
    ],
    bins: Annotated[
        str | None, typer.Option(metavar="N,LOW,HIGH", help="By default bins that fit the first events.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="ROOT file to write TH1D into.")] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG to draw, with one observable.")] = None,
    catalog: Where = CatalogKind.LOCAL,
    scope: Scope = "cms",
    as_json: Json = False,
) -> None:
    """Fill histograms with the uncertainties of oversampling: folds of a generator event are correlated."""
    if picture and len(observable) > 1:
        raise RequestError("--picture goes with one --observable")
    found = find_files(home_to_read(), names, catalog=catalog, scope=scope)
    with _progress() as progress:
        filled = histograms(found, observable, bins=bins, root=root, picture=picture, progress=progress)
    if as_json:
        print_json([one.figures() for one in filled])
        return
    for one in filled:
        print_histogram(one)


@app.command()
def proof(
    cards: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CARDS]",
            help="Processes; by default ttbar and zh_llbb.",
            autocompletion=completing.cards,
        ),
    ] = None,
    gen_events: Annotated[
        int, typer.Option(min=50, metavar="N", help="Generator events of the pool that toys are drawn from.")
    ] = 1500,
    events: Annotated[int, typer.Option(min=600, metavar="N", help="Events of the whole sample.")] = 3000,
    factor: Annotated[
        list[int] | None, typer.Option(min=2, max=100, help="Oversampling factors; by default 6 and 10.")
    ] = None,
    toys: Annotated[int, typer.Option(min=50, help="How often both samples are drawn.")] = 400,
    output: Output = Path("proof"),
    seed: Seed = 2026,
    as_json: Json = False,
) -> None:
    """Prove the uncertainties of oversampling: pulls of N events against N/6 oversampled generator events."""
    with _progress() as progress:
        made = prove_uncertainties(
            cards or ("ttbar", "zh_llbb"),
            output,
            n_gen=gen_events,
            n_events=events,
            factors=factor or [6, 10],
            n_toys=toys,
            seed=seed,
            progress=progress,
        )
    if not as_json:
        for one in made.found:
            print_proof(one)
    _end(made, as_json)


@app.command()
def detector(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILES", help="NANOAODSIM of real FullSim, generator level included."),
    ],
    part: Annotated[
        str, typer.Option(metavar="PART", help="all events, or every second one: tuning, judging.")
    ] = "all",
    table: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Table to move by, or 'none'; by default the one of the package."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a new table of these files, and end.")
    ] = None,
    era: Annotated[
        str | None,
        typer.Option(metavar="UL18|Run3_2022", help="Era to imitate; by default that of the files."),
    ] = None,
    seed: Seed = 2026,
    as_json: Json = False,
) -> None:
    """Hold the reference detector against real files: objects by source, all distributions, classifiers."""
    with _progress() as progress:
        if write is not None:
            write_table(files, write, part=part, seed=seed, era=era, progress=progress)
            typer.echo(f"{write}")
            return
        made = compare_detector(files, part=part, seed=seed, table=table, era=era, progress=progress)
    if as_json:
        print_json(made.figures())
    else:
        print_detector(made)


@app.command()
def analyses(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAMES]", help="vbf_hmumu, zh_llbb; by default both.")
    ] = None,
    bundle: Annotated[
        str, typer.Option(help="Name of a bundle, or a folder.", autocompletion=completing.bundles)
    ] = "reference",
    gen_events: Annotated[
        int, typer.Option(min=100, metavar="N", help="Generator events of each process.")
    ] = 2000,
    oversample: Annotated[int, typer.Option(min=1, metavar="K", help="Folds of each.")] = 10,
    device: Annotated[Device, typer.Option(help="Where the chain runs.")] = Device.AUTO,
    output: Output = Path("analyses"),
    seed: Seed = 2026,
    as_json: Json = False,
) -> None:
    """Run two analyses on FlashSim and on the reference detector: cut flows, distributions, a network."""
    with _progress() as progress:
        made = run_analyses(
            names or [],
            bundle,
            output,
            device=device,
            n_gen=gen_events,
            folds=oversample,
            seed=seed,
            progress=progress,
        )
    if not as_json:
        for one in made.found:
            print_analysis(one)
    _end(made, as_json)


def _end(made: Proven | Compared, as_json: bool) -> None:
    """The figures for programs, or where the page is; the error that they come to, if any."""
    if as_json:
        print_json(made.figures())
    else:
        typer.echo(f"{made.page}")
    if (error := made.error) is not None:
        raise error


def _plain(checked: CheckedDataset) -> list[dict[str, object]]:
    return [vars(file) for file in checked.files]


def _print_checked(checked: CheckedDataset) -> None:
    for file in checked.files:
        if file.problem is None:
            print(f"ok      {file.url}: {file.events:,} events of {file.gen_events:,} generator events")
        else:
            print(f"failed  {file.problem}")
    for problem in checked.problems:
        print(f"failed  {problem}")
    if not checked.all_problems:
        print(f"{checked.name}: {counted(len(checked.files), 'file')}, all checks passed")
