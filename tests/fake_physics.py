"""The real worker and the real driver around physics that takes milliseconds.

Run as a program, this is a worker (``worker simulate request.yaml --job 3``) or a driver (``drive NAME``)
whose events are lines of text that depend on the job alone. All else is the package's own: reports,
locks, storage, ledger, catalogue. Tests kill these processes at will.

``FAKE_PAUSE_S`` makes jobs last. ``FAKE_TROUBLE`` is a folder: a file ``simulate_3`` there holds the name of
an error that the job raises, or ``kill``, ``no-report``, ``memory 800`` (takes so many MB), ``rest`` or
``once:...`` for the first attempt only, or ``on NODE:...`` for one node of a pool; a file named as one of
`KILL_POINTS` kills the process that comes there first. ``FAKE_OTHERWISE``: merged files have other bytes, and
these digests of their values.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from flashsim_prod import errors
from flashsim_prod.core.report import LumiRange, OutputFile
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.splitting import merge_job, simulate_job
from flashsim_prod.production.job import merge, simulate
from flashsim_prod.production.job.run import JobRun

THIS = Path(__file__)

#: modules that start workers
STARTERS = ("flashsim_prod.production.drive.local_run", "flashsim_prod.production.again.jobs")
#: where a process can be made to die: just before the call of a function. Modules are loaded where they are
#: needed, as hundreds of these workers start
KILL_POINTS = {
    "output-before-rename": ("grid.storage.local", "publish"),
    "report-before-write": ("production.job.worker", "write_report"),
    "attempt-before-start": ("grid.ledger.ledger", "Ledger.start_attempt"),
    "attempt-before-end": ("grid.ledger.ledger", "Ledger.finish_attempt"),
    "inputs-before-removal": ("production.drive.local_run", "drop_inputs"),
    "catalogue-before-block": ("grid.catalog.local", "LocalCatalog.ensure_block"),
    "catalogue-before-close": ("grid.catalog.local", "LocalCatalog.close_block"),
    "catalogue-before-rule": ("grid.catalog.local", "LocalCatalog.add_rule"),
    "ledger-before-registered": ("grid.ledger.ledger", "Ledger.set_registered"),
}


def fake_command(stage: str, request_file: Path | str, index: int | str) -> list[str]:
    """The worker's command with this program in the package's place."""
    return [sys.executable, str(THIS), "worker", stage, str(request_file), "--job", str(index)]


def fake_simulate(attempt: JobRun) -> OutputFile:
    """A line of text for each event."""
    job = simulate_job(attempt.request, attempt.index)
    attempt.seed = job.seed
    attempt.start_clock()
    _trouble(attempt)
    path = attempt.work / "output.root"
    with path.open("w") as file, attempt.timings.step("simulate"):
        for number in range(job.first_event, job.first_event + job.events):
            file.write(f"{job.seed} {number}\n")
            if number % 5 == 0:
                time.sleep(_pause_s() / 10)
                attempt.progress(number - job.first_event, job.events)
    attempt.gen_events, attempt.events = job.gen_events, job.events
    lumis = LumiRange(run=1, first=job.first_lumi, last=job.first_lumi + job.n_lumis - 1)
    return attempt.store(path, job.lfn, job.events, (lumis,))


def fake_merge(attempt: JobRun, folder: RequestFolder) -> OutputFile:
    """The inputs' lines, verified and joined."""
    job = merge_job(attempt.request, attempt.index)
    inputs = merge.reported_inputs(attempt, folder, job)
    attempt.start_clock()
    _trouble(attempt)
    time.sleep(_pause_s())
    path = attempt.work / "merged.root"
    with path.open("wb") as file:
        for one in inputs:
            file.write(merge.verified(attempt, one).read_bytes())
        if otherwise := os.environ.get("FAKE_OTHERWISE"):
            file.write(b"otherwise\n")
            attempt.content = json.loads(otherwise)
    attempt.events = job.events
    return attempt.store(path, job.lfn, job.events, tuple(lumi for one in inputs for lumi in one.lumis))


def _is_on(node: str) -> bool:
    ad = os.environ.get("_CONDOR_MACHINE_AD")
    if ad is None:
        return os.environ.get("SLURMD_NODENAME") == node
    return f'Machine = "{node}"' in Path(ad).read_text(encoding="utf-8")


def _pause_s() -> float:
    return float(os.environ.get("FAKE_PAUSE_S", "0"))


def _trouble(attempt: JobRun) -> None:
    folder = os.environ.get("FAKE_TROUBLE")
    path = Path(folder or "/nowhere") / f"{attempt.stage}_{attempt.index}"
    if not path.is_file():
        return
    what = path.read_text()
    if what.startswith("once:"):
        path.unlink()
    if what.startswith("on "):
        node, _, what = what.removeprefix("on ").partition(":")
        if not _is_on(node):
            return
    match what.removeprefix("once:"):
        case memory if memory.startswith("memory "):
            taken = b"x" * (int(memory.split()[1]) << 20)
            time.sleep(60)
            del taken
        case "rest":
            time.sleep(60)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "no-report":
            os._exit(0)
        case name:
            raise getattr(errors, name)(f"trouble in {attempt.stage} {attempt.index}")


def install_jobs() -> None:
    """Put the fakes in place of physics, in this process."""
    simulate.simulate = fake_simulate
    simulate.bound_bundle = lambda request: None  # type: ignore[assignment,return-value]
    merge.merge = fake_merge


def install() -> None:
    """The same, in the workers that this process starts as well."""
    install_jobs()
    for name in STARTERS:
        import_module(name).worker_command = fake_command  # type: ignore[attr-defined]


def arm() -> None:
    """Make this process die at the kill points that the folder names."""
    for point, (module, path) in KILL_POINTS.items():
        marker = Path(os.environ.get("FAKE_TROUBLE", "/nowhere")) / point
        if marker.is_file():
            owner, (*outer, name) = import_module(f"flashsim_prod.{module}"), path.split(".")
            for one in outer:
                owner = getattr(owner, one)
            setattr(owner, name, _deadly(getattr(owner, name), marker))


def _deadly(function: Callable[..., Any], marker: Path) -> Callable[..., Any]:
    def wrapped(*positional: Any, **named: Any) -> Any:
        with suppress(FileNotFoundError):
            marker.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*positional, **named)

    return wrapped


def main(arguments: list[str]) -> int:
    """A worker or a driver; errors end it as the command line does."""
    try:
        if arguments[0] == "worker":
            from flashsim_prod.cli.requests import worker as commands

            install_jobs()
            arm()
            commands.app(arguments[1:], standalone_mode=False)
        else:
            from flashsim_prod.production.drive.foreground import drive
            from flashsim_prod.production.home import open_home

            install()
            arm()
            outcome = drive(open_home(), arguments[1])
            return 128 + outcome.stopped_by if outcome.stopped_by else 0
    except errors.FlashSimError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
