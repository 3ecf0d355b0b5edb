"""``campaign``: many requests from one file, made, looked at and ended together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import typer

from flashsim_prod.cli import completing
from flashsim_prod.cli.campaigns.making import How, go_on, make_campaign
from flashsim_prod.cli.campaigns.tables import print_campaigns, print_status
from flashsim_prod.cli.groups import DefaultGroup
from flashsim_prod.cli.options import Json, Tell, Wait, Yes, notify_of
from flashsim_prod.cli.show import console, counted, print_json
from flashsim_prod.production.campaigns.cancel import cancel_campaign
from flashsim_prod.production.campaigns.own import campaign_schema, new_campaign
from flashsim_prod.production.campaigns.report import write_campaign_report
from flashsim_prod.production.campaigns.status import all_campaigns, campaign_status, status_figures
from flashsim_prod.production.campaigns.store import read_campaign
from flashsim_prod.production.home import home_to_read, open_home

_DEFAULT = "run"


class _FileFirst(DefaultGroup):
    default: ClassVar[str] = _DEFAULT


app = typer.Typer(
    cls=_FileFirst,
    no_args_is_help=True,
    help="Make many requests from one file: campaign FILE.yaml, or one of these.",
)

Name = Annotated[
    str, typer.Argument(metavar="CAMPAIGN", help="Its name.", autocompletion=completing.campaigns)
]


@app.command(name=_DEFAULT)
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What is wanted (see: campaign new).")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan of all of it, and write nothing.")
    ] = False,
    wait: Wait = False,
    notify: Tell = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make what is new or has grown in a file, go on with what is not finished, and leave the rest alone."""
    how = How(dry_run=dry_run, wait=wait, yes=yes, as_json=as_json)
    make_campaign(read_campaign(file).telling(notify_of(notify)), str(file), how)


@app.command()
def status(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[CAMPAIGN]", help="All campaigns by default.", autocompletion=completing.campaigns
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how campaigns stand, or one: its requests, failures by cause, what is not ordered yet."""
    home = home_to_read()
    if name is None:
        found = all_campaigns(home)
        print_json([status_figures(one) for one in found]) if as_json else print_campaigns(found)
        return
    one = campaign_status(home, name)
    print_json(status_figures(one)) if as_json else print_status(one)


@app.command()
def retry(name: Name, wait: Wait = False, yes: Yes = False, as_json: Json = False) -> None:
    """Go on with a campaign as its file was last run: what is missing, what failed or was cancelled."""
    go_on(name, How(dry_run=False, wait=wait, yes=yes, as_json=as_json))


@app.command()
def cancel(name: Name, as_json: Json = False) -> None:
    """Stop a campaign and all of its requests; what is finished stays, and retry goes on from there."""
    cancelled, wrong = cancel_campaign(open_home(), name)
    if as_json:
        print_json(
            {
                "campaign": name,
                "cancelled_jobs": cancelled,
                "errors": {request: str(error) for request, error in wrong.items()},
            }
        )
    else:
        jobs = counted(sum(cancelled.values()), "job")
        of = counted(len(cancelled), "request")
        line = f"{jobs} of {of} cancelled; to go on: flashsim-prod campaign retry {name}"
        if not cancelled and not wrong:
            line = f"campaign {name}: no request had anything left to cancel"
        console().print(line, markup=False, soft_wrap=True)
    for error in wrong.values():
        raise error


@app.command()
def report(
    name: Name,
    output: Annotated[
        Path | None, typer.Option(help="Folder for index.html; by default report/ of the campaign.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a page about a campaign: how all of its requests stand, with links to their pages."""
    home = home_to_read()
    found = campaign_status(home, name)
    page = write_campaign_report(home, found, output)
    print_json({"campaign": name, "page": str(page)}) if as_json else print(page)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is to be called.")],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="NAME.yaml here by default.")] = None,
    as_json: Json = False,
) -> None:
    """Write a file of a campaign to begin with, every field described."""
    path = new_campaign(name, output or Path(f"{name}.yaml"))
    if as_json:
        print_json({"written": str(path)})
        return
    for line in (f"Written:  {path}", f"Then:     flashsim-prod campaign {path} --dry-run"):
        console().print(line, soft_wrap=True, markup=False)


@app.command()
def schema(as_json: Json = False) -> None:
    """Print the JSON schema of files of campaigns, for editors."""
    print_json(campaign_schema())
