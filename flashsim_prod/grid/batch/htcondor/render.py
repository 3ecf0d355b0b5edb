"""The folder that is handed to DAGMan: one DAG, the submit files of its nodes, the scripts that they run."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from flashsim_prod import resources
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Site
from flashsim_prod.core.splitting import merge_job, simulate_job
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import NodeError, NoSpaceError, RequestError, StorageError
from flashsim_prod.files import storage_errors, write_whole
from flashsim_prod.grid.batch.base import NodeKey, Submission
from flashsim_prod.grid.batch.htcondor import rules as failure_rules
from flashsim_prod.grid.batch.htcondor.section import FileAccess, HTCondorRules
from flashsim_prod.grid.storage.local import LocalStorage
from flashsim_prod.grid.storage.opening import open_storage

if TYPE_CHECKING:
    from jinja2 import Environment

DAG = "request.dag"
STATUS = "request.status"
#: of which files under their final names are made
TEMPLATES = (
    "request.dag",
    "dagman.config",
    "simulate.sub",
    "merge.sub",
    "register.sub",
    "worker.sh",
    "register.sh",
)
#: how often DAGMan writes where its nodes stand [s]
_STATUS_INTERVAL_S = 10


@dataclass(frozen=True)
class _Job:
    """A node of the DAG and what is its own in the submit file of its stage."""

    node: str
    index: int
    variables: dict[str, str] = field(default_factory=dict)
    parents: tuple[str, ...] = ()


def node_name(key: NodeKey) -> str:
    """The name of a node in the DAG, also that of its report."""
    return f"{key.stage}_{key.index:06d}"


def node_key(name: str) -> NodeKey | None:
    """The node of a name; ``None`` for what is no job of the request."""
    stage, _, index = name.partition("_")
    return NodeKey(Stage(stage), int(index)) if index.isdecimal() and stage in list(Stage) else None


def render(submission: Submission, rules: HTCondorRules) -> None:
    """Write the DAG and all that it names; a rescue file as well if some nodes are done already.

    Raises
    ------
    RequestError
        If input files that are sent along have the same name.
    StorageError
        If the folder cannot be written.
    """
    write_files(submission.folder, TEMPLATES, _context(submission, rules))
    if submission.done:
        with storage_errors(f"writing {submission.folder}"):
            write_whole(_next_rescue(submission.folder), _rescue(submission))


def write_files(folder: Path, templates: Iterable[str], context: Mapping[str, Any]) -> None:
    """Write files from the templates of the same names; `StorageError` if that fails."""
    environment = _environment()
    for name in templates:
        text = environment.get_template(f"{name}.j2").render(context)
        write_whole(folder / name, text, mode=0o755 if name.endswith(".sh") else 0o644)


def make_targets(submission: Submission, rules: HTCondorRules) -> None:
    """Make the folders that transferred files land in: HTCondor makes none."""
    with storage_errors("making folders for the jobs' files"):
        for folder in (submission.request_file.parent / "logs", submission.request_file.parent / "reports"):
            folder.mkdir(exist_ok=True)
        storage = _Storage(submission, rules)
        if rules.files is FileAccess.TRANSFER and storage.is_local:
            for target in {Path(storage.pfns(lfn)[0]).parent for lfn in _lfns(submission.request)}:
                target.mkdir(parents=True, exist_ok=True)


class _Storage:
    """Where HTCondor carries files to and from; nowhere if jobs bring them to a server themselves."""

    def __init__(self, submission: Submission, rules: HTCondorRules) -> None:
        storage = open_storage(submission.request.site.storage, submission.home)
        self.is_local = isinstance(storage, LocalStorage)
        self._carried = storage if self.is_local or rules.carries_urls else None

    @property
    def is_carried(self) -> bool:
        return self._carried is not None

    def pfns(self, lfn: str) -> tuple[str, ...]:
        return (self._carried.pfn(lfn),) if self._carried else ()


def _lfns(request: Request) -> Iterator[str]:
    """Logical names of all files of the request."""
    yield from (simulate_job(request, index).lfn for index in range(request.n_simulate))
    yield from (merge_job(request, index).lfn for index in range(request.n_merge))


def _context(submission: Submission, rules: HTCondorRules) -> dict[str, Any]:
    request, storage = submission.request, _Storage(submission, rules)
    folder = submission.request_file.parent
    return {
        **of_site(request.site, rules),
        "request": request,
        "number": submission.number,
        "token": submission.token,
        "folder": submission.folder,
        "request_folder": folder,
        "request_file": str(submission.request_file),
        "reports": str(folder / "reports"),
        "home": str(submission.home),
        "disk_full": NoSpaceError.exit_code,
        "simulate": list(_simulate_jobs(submission, rules, storage)),
        "merge": list(_merge_jobs(submission, rules, storage)),
        "takes": {"simulate": bool(_sent_inputs(request)), "merge": True},
        "common_inputs": _common_inputs(request, rules),
        "transfers": {stage.value: _transfers(stage, storage, folder) for stage in Stage},
    }


def of_site(site: Site, rules: HTCondorRules) -> dict[str, Any]:
    """What every template may want to know of the site."""
    return {
        "site": site,
        "rules": rules,
        "software": rules.software,
        "throttle": rules.throttle,
        "dagman": rules.dagman,
        "files": rules.files.value,
        "gpus": rules.gpus,
        "python": rules.software.python.replace("{python}", sys.executable),
        "python_here": sys.executable,
        "status_interval_s": _STATUS_INTERVAL_S,
        "codes": {"node": NodeError.exit_code, "storage": StorageError.exit_code},
        "expressions": {
            "memory": failure_rules.memory(site, rules),
            "requirements": failure_rules.requirements(site, rules),
            "no_retry": failure_rules.no_retry(),
            "hold": failure_rules.hold(rules),
            "hold_reason": failure_rules.HOLD_REASON,
            "hold_code": failure_rules.STARTS_HOLD[1],
            "release": failure_rules.release(site, rules),
            "remove": failure_rules.remove(site, rules),
            "walltime_s": round(site.resources.walltime_min * 60),
        },
    }


def _simulate_jobs(submission: Submission, rules: HTCondorRules, storage: _Storage) -> Iterator[_Job]:
    request = submission.request
    transferred = rules.files is FileAccess.TRANSFER
    for index in range(request.n_simulate):
        variables = {}
        if transferred:
            job = simulate_job(request, index)
            variables = _target(storage, job.lfn)
            inputs = _inputs_of(request, job.gen_first, job.gen_events)
            variables |= {"inputs": ", ".join(inputs)} if inputs else {}
        yield _Job(node_name(NodeKey(Stage.SIMULATE, index)), index, variables)


def _merge_jobs(submission: Submission, rules: HTCondorRules, storage: _Storage) -> Iterator[_Job]:
    request = submission.request
    reports = submission.request_file.parent / "reports"
    for index in range(request.n_merge):
        job = merge_job(request, index)
        before = range(job.first, job.first + job.count)
        names = tuple(node_name(NodeKey(Stage.SIMULATE, i)) for i in before)
        variables = {}
        if rules.files is FileAccess.TRANSFER:
            inputs = [str(reports / f"{name}.json") for name in names]
            inputs += [pfn for i in before for pfn in storage.pfns(simulate_job(request, i).lfn)]
            variables = {**_target(storage, job.lfn), "inputs": ", ".join(inputs)}
        yield _Job(node_name(NodeKey(Stage.MERGE, index)), index, variables, names)


def _target(storage: _Storage, lfn: str) -> dict[str, str]:
    return {"file": PurePosixPath(lfn).name, "pfn": storage.pfns(lfn)[0]} if storage.is_carried else {}


def _transfers(stage: Stage, storage: _Storage, folder: Path) -> dict[str, list[str]]:
    """What comes back of a job, and where it lands."""
    outputs, remaps = ["$(JOB).json"], [f"$(JOB).json={folder}/reports/$(JOB).json"]
    if storage.is_carried:
        # the file first: a report never stands for one that is still on its way
        return {"outputs": ["$(file)", *outputs], "remaps": ["$(file)=$(pfn)", *remaps]}
    return {"outputs": outputs, "remaps": remaps}


def _common_inputs(request: Request, rules: HTCondorRules) -> list[str]:
    sent = [rules.software.archive] if rules.software.archive else []
    if os.path.isabs(request.bundle.path):
        sent.append(request.bundle.path)
    return sent


def _sent_inputs(request: Request) -> list[str]:
    """Input files that jobs cannot open by their URL."""
    return [file.url for file in request.source.sent]


def _inputs_of(request: Request, first: int, number: int) -> list[str]:
    """Those that hold some of the gen events [first, first + number)."""
    sent = _sent_inputs(request)
    twice = [name for name, n in Counter(os.path.basename(path) for path in sent).items() if n > 1]
    if twice:
        raise RequestError(
            f"two input files are called {twice[0]}, which cannot both be sent to a job; rename one"
        )
    return [file.url for file in request.source.sent_for(first, number)]


def _next_rescue(folder: Path) -> Path:
    """Where the next rescue file goes; DAGMan takes the one with the highest number."""
    numbers = [int(path.name[-3:]) for path in folder.glob(f"{DAG}.rescue[0-9][0-9][0-9]")]
    number = max(numbers, default=0) + 1
    if number > 999:
        raise RequestError(f"{folder}: 999 rescue files are there; remove the old ones, then retry")
    return folder / f"{DAG}.rescue{number:03d}"


def _rescue(submission: Submission) -> str:
    """DAGMan's own form of what need not run again, with reports and files as witnesses."""
    head = f"# nodes of submission {submission.number} whose reports and files are there\n"
    return head + "".join(f"DONE {node_name(key)}\n" for key in sorted(submission.done))


def _environment() -> Environment:
    environment = resources.templates("htcondor", are_pages=False)
    environment.filters.update(shell=shlex.quote, basename=os.path.basename)
    return environment
