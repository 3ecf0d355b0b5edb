"""``software``: recipes of what nodes need, and whether a site has it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.options import Json
from flashsim_prod.cli.show import print_json
from flashsim_prod.errors import NodeError
from flashsim_prod.production.order.library import find_site
from flashsim_prod.production.views.recipes import Recipe, write_recipe
from flashsim_prod.production.views.software_check import check_software

app = typer.Typer(
    no_args_is_help=True, help="Print recipes of the software that nodes need, or check that of a site."
)

Cpu = Annotated[bool, typer.Option("--cpu", help="PyTorch without support of GPUs, which is far smaller.")]


@app.command()
def containerfile(cpu: Cpu = False, as_json: Json = False) -> None:
    """Print a Containerfile of this version, for podman or docker."""
    _print(Recipe.CONTAINERFILE, cpu, as_json)


@app.command()
def apptainer(cpu: Cpu = False, as_json: Json = False) -> None:
    """Print a definition file of this version, for apptainer build."""
    _print(Recipe.APPTAINER, cpu, as_json)


@app.command()
def cvmfs(cpu: Cpu = False, as_json: Json = False) -> None:
    """Print a script that puts this version into a CernVM-FS repository."""
    _print(Recipe.CVMFS, cpu, as_json)


@app.command()
def conda(cpu: Cpu = False, as_json: Json = False) -> None:
    """Print an environment.yml of this version, for conda."""
    _print(Recipe.CONDA, cpu, as_json)


@app.command()
def check(
    site: Annotated[
        str, typer.Argument(metavar="SITE", help="Name or file of a site.", autocompletion=completing.sites)
    ],
    as_json: Json = False,
) -> None:
    """Say whether the software of a site can run a job, by running its interpreter here.

    It ends with exit code 22 if no job could start.
    """
    found = list(check_software(find_site(site)))
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            print(f"{'ok' if one.is_fine else 'missing':8} {one.what:11} {one.detail}")
    bad = [one for one in found if not one.is_fine]
    if bad:
        raise NodeError(f"site {site}: its software runs no job: {bad[0].what}: {bad[0].detail}")


def _print(recipe: Recipe, cpu: bool, as_json: bool) -> None:
    written = write_recipe(recipe, cpu=cpu)
    if as_json:
        print_json(asdict(written))
    else:
        print(written.text, end="")
