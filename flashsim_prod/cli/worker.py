"""``worker``: what runs on a node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Run one job of a request on this machine.")

RequestFile = Annotated[Path, typer.Argument(metavar="REQUEST.YAML", help="The request.")]
Job = Annotated[int, typer.Option("--job", help="Number of the job, counted from 0.")]
Workdir = Annotated[
    Path | None,
    typer.Option("--workdir", help="Folder for scratch files; by default beside the request."),
]
Report = Annotated[
    Path | None, typer.Option("--report", help="Where the report goes; by default reports/ of the request.")
]


Output = Annotated[
    Path | None,
    typer.Option(
        "--output", help="Leave the output in this file, for somebody else to bring it into storage."
    ),
]
FrameworkReport = Annotated[
    Path | None, typer.Option("--framework-report", help="With --output: where CMS's report of the job goes.")
]
Bundle = Annotated[
    Path | None,
    typer.Option("--bundle", help="With --output: where the request's bundle is here."),
]


@app.command()
def simulate(
    request_file: RequestFile,
    job: Job,
    workdir: Workdir = None,
    report: Report = None,
    output: Output = None,
    framework_report: FrameworkReport = None,
    bundle: Bundle = None,
) -> None:
    """Make the events of one job: generate or read, oversample, simulate, write, check, store."""
    from flashsim_prod.core.states import Stage
    from flashsim_prod.production.attempt import KeptHere
    from flashsim_prod.production.worker import run_job

    here = KeptHere(output, framework_report, bundle) if output else None
    run_job(Stage.SIMULATE, request_file, job, work=workdir, report=report, here=here)


@app.command()
def merge(request_file: RequestFile, job: Job, workdir: Workdir = None, report: Report = None) -> None:
    """Join the outputs of some simulate jobs into one file of the dataset, and check it."""
    from flashsim_prod.core.states import Stage
    from flashsim_prod.production.worker import run_job

    run_job(Stage.MERGE, request_file, job, work=workdir, report=report)
