"""``worker``: what runs on a node."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from flashsim_prod.cli.options import Json
from flashsim_prod.core.states import Stage
from flashsim_prod.production.job.run import KeptHere
from flashsim_prod.production.job.worker import run_job

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
Sandbox = Annotated[
    bool,
    typer.Option("--sandbox", help="All input was sent to the request's folder, and output stays there."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="With --sandbox: where the output is left, for others to bring away."),
]
AnyBundle = Annotated[
    bool, typer.Option("--any-bundle", hidden=True, help="Take a bundle of another digest; for recover.")
]
FrameworkReport = Annotated[
    Path | None, typer.Option("--framework-report", help="With --output: where CMS's report goes.")
]


@app.command()
def simulate(
    request_file: RequestFile,
    job: Job,
    workdir: Workdir = None,
    report: Report = None,
    sandbox: Sandbox = False,
    output: Output = None,
    framework_report: FrameworkReport = None,
    any_bundle: AnyBundle = False,
    as_json: Json = False,
) -> None:
    """Make the events of one job: generate or read, oversample, simulate, write, check, store."""
    kept = KeptHere(output, framework_report) if output else None
    _run("simulate", request_file, job, workdir, report, sandbox, as_json, kept, any_bundle)


@app.command()
def merge(
    request_file: RequestFile,
    job: Job,
    workdir: Workdir = None,
    report: Report = None,
    sandbox: Sandbox = False,
    as_json: Json = False,
) -> None:
    """Join the outputs of some simulate jobs into one file of the dataset, and check it."""
    _run("merge", request_file, job, workdir, report, sandbox, as_json)


@app.command()
def register(request_file: RequestFile, as_json: Json = False) -> None:
    """Register the dataset of a request whose jobs have all been done elsewhere."""
    # jobs do not drive, and a pool starts thousands of them
    from flashsim_prod.cli.requests.driving import summary
    from flashsim_prod.cli.show import print_json
    from flashsim_prod.production.drive.detached import register_finished
    from flashsim_prod.production.home import open_home

    outcome = register_finished(open_home(), request_file.absolute().parent.name)
    if as_json:
        print_json(summary(outcome.request, outcome.state, outcome.files))


def _run(
    stage: str,
    request_file: Path,
    job: int,
    workdir: Path | None,
    report: Path | None,
    sandbox: bool,
    as_json: bool,
    kept: KeptHere | None = None,
    any_bundle: bool = False,
) -> None:
    # how far it is stands on standard output for who reads the log
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        done = run_job(
            Stage(stage),
            request_file,
            job,
            work=workdir,
            report=report,
            sandbox=sandbox,
            kept=kept,
            any_bundle=any_bundle,
        )
    if as_json:
        from flashsim_prod.cli.show import print_json

        print_json(done.model_dump(mode="json"))
