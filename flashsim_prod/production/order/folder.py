"""The folder of a request: written whole before anything runs, readable by people, never changed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod import resources
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.sizes import format_bytes, format_count, format_duration
from flashsim_prod.core.splitting import merge_job, simulate_job
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.files import appearing_folder, read_text, write_whole
from flashsim_prod.production.asked import ask
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.plan import Plan

if TYPE_CHECKING:
    from jinja2 import Environment

#: of more jobs than these the README shows only the first ones and the last one
_EXAMPLES = 3


def write_folder(home: Home, plan: Plan, *, bundle_title: str) -> RequestFolder:
    """Write the folder of a planned request; it appears complete, under a name nobody has yet.

    Raises
    ------
    RequestError
        If there is a request of this name.
    StorageError
        If the folder cannot be written.
    """
    folder = home.folder(plan.request.name)
    taken = RequestError(
        f"a request '{folder.name}' exists already; choose another --name, "
        f"or go on with it: flashsim-prod retry {folder.name}"
    )
    with appearing_folder(folder.path, taken) as scratch:
        _fill(scratch, plan, home, bundle_title)
    return folder


def load_request(path: Path) -> Request:
    """The request in a ``request.yaml``; `ConfigError` or `RequestError` if it cannot be read."""
    try:
        text = read_text(path)
    except OSError as error:
        raise RequestError(f"{path}: this request file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: this request file is not text") from error
    return Request.from_yaml(text, str(path))


def readable_requests(home: Home) -> Iterator[tuple[str, Request]]:
    """All requests with a folder, by name; one that somebody spoiled keeps nobody from the others."""
    for name in home.names():
        try:
            yield name, load_request(home.folder(name).request)
        except (ConfigError, RequestError):
            continue


def worker_command(stage: str, request_file: Path | str, index: int | str) -> list[str]:
    """The command that runs one job on a node."""
    return [
        sys.executable,
        "-m",
        "flashsim_prod.cli",
        "worker",
        stage,
        str(request_file),
        "--job",
        str(index),
    ]


def _fill(scratch: Path, plan: Plan, home: Home, bundle_title: str) -> None:
    request = plan.request
    environment = _environment()
    write_whole(scratch / "request.yaml", request.to_yaml())
    worker = environment.get_template("worker.sh.j2").render(
        request=request, home=str(home.path), python=sys.executable
    )
    write_whole(scratch / "worker.sh", worker, mode=0o755)
    readme = environment.get_template("README.md.j2").render(
        request=request,
        bundle_title=bundle_title,
        seconds=plan.seconds,
        bytes=plan.bytes,
        slots=plan.slots,
        rates_from=plan.rates_from,
        notes=(*plan.warnings, *plan.notes),
        examples=[simulate_job(request, index) for index in _examples(request.n_simulate)],
        merges=[merge_job(request, index) for index in _examples(request.n_merge)],
        worker_command=shlex.join(worker_command("simulate", "request.yaml", "0")),
    )
    write_whole(scratch / "README.md", readme)
    if plan.notify is not None:
        ask(scratch, plan.notify, request.created)
    (scratch / "logs").mkdir()
    (scratch / "reports").mkdir()


def _examples(number: int) -> list[int]:
    return sorted({*range(min(number, _EXAMPLES)), number - 1})


def _environment() -> Environment:
    environment = resources.templates("request", are_pages=False)
    environment.filters.update(
        count=format_count, bytes=format_bytes, duration=format_duration, shell=shlex.quote
    )
    return environment
