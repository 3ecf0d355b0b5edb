"""What ``request`` and ``retry`` share: run a request in the foreground and tell how it ended."""

from __future__ import annotations

import typer

from flashsim_prod.cli.requests.display import shown_progress
from flashsim_prod.cli.show import console, counted, print_json
from flashsim_prod.core.choices import FileFormat
from flashsim_prod.core.report import OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.sizes import format_bytes, format_count
from flashsim_prod.core.states import RequestState
from flashsim_prod.errors import StateError
from flashsim_prod.production.context import Outcome
from flashsim_prod.production.drive.detached import HandOver, follow, hand_over, leftovers
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.plan import warnings_of

#: the shell's own code for a command that a signal ended is 128 and the signal's number
_SIGNALLED = 128


class Stopped(typer.TyperException):
    """A request was stopped by a signal or a cancel."""

    def __init__(self, name: str, outcome: Outcome) -> None:
        how = "cancelled" if outcome.state is RequestState.CANCELLED else "stopped"
        why = f" ({outcome.stopped})" if outcome.stopped else ""
        super().__init__(f"request {name} was {how}{why}; to go on: flashsim-prod retry {name}")
        self.exit_code = _SIGNALLED + outcome.stopped_by if outcome.stopped_by else StateError.exit_code


def drive_and_tell(home: Home, name: str, *, as_json: bool) -> None:
    """Drive a request to its end, in the foreground, and print its dataset.

    Raises
    ------
    JobsFailedError
        If jobs failed for good.
    Stopped
        If it was ended before its end.
    """
    with shown_progress() as display:
        outcome = drive(home, name, display)
    tell(outcome, as_json=as_json)


def start_and_tell(home: Home, name: str, *, wait: bool, as_json: bool) -> None:
    """Run a request here, or hand it over where its site goes on by itself, and print what came of it.

    Raises
    ------
    JobsFailedError, Stopped
        As by `drive_and_tell`, if this command waits for the end.
    """
    site = load_request(home.existing(name).request).site
    if not site.rules.goes_on_alone:
        drive_and_tell(home, name, as_json=as_json)
        return
    with shown_progress() as display:
        handed = hand_over(home, name, display)
    for remark in handed.remarks:
        console(stderr=True).print(remark, markup=False, soft_wrap=True)
    if handed.batch_id is None and (handed.outcome.state is not RequestState.PLANNED or not handed.remarks):
        tell(handed.outcome, as_json=as_json)
        _print_leftovers(home, name)
    elif wait and handed.batch_id is not None:
        _follow_and_tell(home, name, as_json=as_json)
    elif as_json:
        told = summary(handed.outcome.request, handed.outcome.state, handed.outcome.files)
        print_json({**told, "batch_id": handed.batch_id})
    elif handed.batch_id is not None:
        _print_handed_over(handed)


def _follow_and_tell(home: Home, name: str, *, as_json: bool) -> None:
    try:
        with shown_progress() as display:
            outcome = follow(home, name, display)
    except KeyboardInterrupt:
        console(stderr=True).print(
            f"no longer followed; the jobs go on: flashsim-prod status {name}", markup=False, soft_wrap=True
        )
        raise
    tell(outcome, as_json=as_json)
    _print_leftovers(home, name)


def _print_leftovers(home: Home, name: str) -> None:
    """Of a request that was just told to be done."""
    for line in leftovers(home, name):
        console(stderr=True).print(line, markup=False, soft_wrap=True)


def _print_handed_over(handed: HandOver) -> None:
    request = handed.outcome.request
    how = "Submitted" if handed.is_new else "At work already"
    jobs = counted(request.n_simulate + request.n_merge, "job")
    for line in (
        f"{how}: {jobs} at {request.site.name}, {request.site.engine} {handed.batch_id}",
        f"Dataset   {request.dataset}",
        f"See       flashsim-prod status {request.name} --watch",
        f"Wait      flashsim-prod retry {request.name} --wait",
        f"Stop      flashsim-prod cancel {request.name}",
    ):
        console().print(line, markup=False, soft_wrap=True)


def tell(outcome: Outcome, *, as_json: bool) -> None:
    """Print how a request ended; errors as of `drive_and_tell`."""
    if as_json:
        print_json(summary(outcome.request, outcome.state, outcome.files))
    if outcome.state is RequestState.DONE:
        if not as_json:
            _print_dataset(outcome)
        return
    if outcome.state is RequestState.FAILED:
        raise outcome.jobs_failed()
    raise Stopped(outcome.request.name, outcome)


def summary(request: Request, state: RequestState, files: tuple[OutputFile, ...]) -> dict[str, object]:
    """The object that ``--json`` prints."""
    return {
        "request": request.name,
        "dataset": str(request.dataset),
        "state": state.value,
        "events": events_of(request, files),
        "files": [file.model_dump(include={"lfn", "pfn", "bytes", "events", "adler32"}) for file in files],
        "scope": request.registration.scope,
        "container": str(request.dataset),
        "rse": request.rse,
        "gen_events": request.gen_events,
        "oversample": request.oversample,
        "warnings": list(warnings_of(request)),
    }


def events_of(request: Request, files: tuple[OutputFile, ...]) -> int:
    """Those that there are, where the shower may have thrown some away; else those that were asked for."""
    return sum(file.events for file in files) if request.is_thinned and files else request.events


def _ways_to_open(request: Request) -> tuple[str, ...]:
    """How each tool opens a file ``f`` of the dataset."""
    if request.analysis is None:
        return (
            "uproot   uproot.open(f)['Events'].arrays(['Jet_pt', 'Muon_pt'])",
            "coffea   NanoEventsFactory.from_root({f: 'Events'}, schemaclass=NanoAODSchema).events()",
            "ROOT     ROOT.RDataFrame('Events', f).Histo1D('Jet_pt')",
        )
    name = request.analysis.columns[0].name
    if request.format is FileFormat.PARQUET:
        return (f"awkward  ak.from_parquet(f)['{name}']", f"pandas   pandas.read_parquet(f)['{name}']")
    return (
        f"uproot   uproot.open(f)['Events'].arrays(['{name}', 'genWeight'])",
        f"ROOT     ROOT.RDataFrame('Events', f).Histo1D('{name}', 'genWeight')",
    )


def _print_dataset(outcome: Outcome) -> None:
    request, files = outcome.request, outcome.files
    out = console()

    def line(label: str, text: str) -> None:
        out.print(f"[bold]{label:9}[/bold]", end="")
        out.print(text, markup=False, soft_wrap=True)

    line("Dataset", str(request.dataset))
    size = format_bytes(sum(file.bytes for file in files))
    line("", f"{format_count(events_of(request, files))} events in {counted(len(files), 'file')}, {size}")
    for file in files[:3]:
        line("File", file.pfn)
    if len(files) > 3:
        line("", f"and {len(files) - 3} more: flashsim-prod files {request.dataset}")
    # as Python writes it, whatever quotes there are in it
    line("Open it", f"f = {files[0].pfn!r}")
    for how in _ways_to_open(request):
        line("", how)
    line("Next", f"flashsim-prod status {request.name}")
    if request.catalog != "none":
        where = "" if request.catalog == "local" else f" --catalog {request.catalog}"
        where += "" if request.registration.scope == "cms" else f" --scope {request.registration.scope}"
        line("", f"flashsim-prod files {request.dataset}{where}")
        line("", f"flashsim-prod verify {request.dataset}{where}")
