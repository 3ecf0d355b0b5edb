"""Jobs of a request run once more, in a folder of their own: its reports and files are not touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from flashsim_prod import __version__
from flashsim_prod.core.report import JobReport
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import SandboxFolder
from flashsim_prod.core.splitting import merge_job
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import StorageError
from flashsim_prod.files import storage_errors, write_whole
from flashsim_prod.grid.batch.base import Command, Node, NodeKey, Observer
from flashsim_prod.grid.batch.local import LocalBatch, RunSummary
from flashsim_prod.grid.storage.local import FlatStorage
from flashsim_prod.production.again.subject import Subject
from flashsim_prod.production.home import VARIABLE, Home
from flashsim_prod.production.job.run import read_report, valid_output
from flashsim_prod.production.order.folder import worker_command
from flashsim_prod.software import code_digest

#: below the state folder: what is being made again
FOLDER = "again"

#: is told how many jobs are done, and in all
JobsProgress = Callable[[int, int], None]


def place_of(home: Home, request: Request, bundle_digest: str) -> Path:
    """Where jobs of `request` are run again: another place for other software, or another bundle.

    So what an interrupted command left is used by the next one only if it was made in the same way.
    """
    made_by = f"{request.digest()[:8]}-{__version__}-{code_digest()}-{bundle_digest[:8]}"
    return home.path / FOLDER / request.name / made_by


class AgainRun(Observer):
    """Payload and observer of jobs that are run again.

    Parameters
    ----------
    subject : Subject
    place : Path
        Their folder; made if need be.
    bundle : Path, optional
        Folder of the bundle, if it is not to be found where the request says.
    any_bundle : bool
        Whether a bundle of another digest will do; what comes of it is then compared.
    """

    def __init__(
        self, subject: Subject, place: Path, *, bundle: Path | None = None, any_bundle: bool = False
    ) -> None:
        self._home, self.any_bundle = subject.home, any_bundle
        self._place, self._folder = place, SandboxFolder(place)
        self._storage = FlatStorage(subject.request.site.storage.rse, place)
        self._told: JobsProgress = lambda done, total: None
        self._done = self._total = 0
        self.request = _placed_in(subject.request, place)
        self._digest = subject.request.digest()
        with storage_errors(f"making {place}"):
            (place / "logs").mkdir(parents=True, exist_ok=True)
            if bundle is not None:
                _link(place / Path(self.request.bundle.path).name, bundle)
        write_whole(self._folder.request, self.request.to_yaml())

    def simulate(self, index: int) -> list[Node]:
        """A simulate job, unless it is done already."""
        return [] if self.report(Stage.SIMULATE, index) else [Node(NodeKey(Stage.SIMULATE, index))]

    def file(self, index: int) -> list[Node]:
        """A merge job and the simulate jobs that it takes, as far as they are not done already."""
        if self.report(Stage.MERGE, index):
            return []
        job = merge_job(self.request, index)
        before = [node for one in range(job.first, job.first + job.count) for node in self.simulate(one)]
        return [*before, Node(NodeKey(Stage.MERGE, index), tuple(node.key for node in before))]

    def run(self, nodes: Iterable[Node], slots: int, told: JobsProgress) -> RunSummary:
        """Run jobs as processes of this machine."""
        graph = list(nodes)
        self._told, self._done, self._total = told, 0, len(graph)
        told(0, self._total)
        return LocalBatch(slots, max_attempts=self.request.site.max_attempts).run(graph, self, self)

    def report(self, stage: Stage, index: int) -> JobReport | None:
        """What a job that is done says of itself, its output being here."""
        return valid_output(self._folder.report(stage, index), self._digest, stage, index, self._storage)

    def output(self, lfn: str) -> Path:
        """Where the file `lfn` is here."""
        return self._place / PurePosixPath(lfn).name

    def inputs(self, index: int) -> list[Path]:
        """What a merge job was made of."""
        job = merge_job(self.request, index)
        reports = [self.report(Stage.SIMULATE, one) for one in range(job.first, job.first + job.count)]
        return [self.output(one.output.lfn) for one in reports if one is not None and one.output is not None]

    def error(self, key: NodeKey) -> str:
        """Why a job failed, with its log."""
        report = read_report(self._folder.report(key.stage, key.index))
        said = report.error if report is not None and report.error else "it ended without a report"
        return f"{key}: {said} (log: {self._log(key)})"

    def drop(self, index: int) -> None:
        """Remove what was made for a file."""
        job = merge_job(self.request, index)
        done = [(Stage.MERGE, index), *((Stage.SIMULATE, job.first + one) for one in range(job.count))]
        for stage, one in done:
            report = self.report(stage, one)
            if report is not None and report.output is not None:
                self.output(report.output.lfn).unlink(missing_ok=True)
            self._folder.report(stage, one).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the folder, and those above it if nothing else is in them."""
        shutil.rmtree(self._place, ignore_errors=True)
        for folder in (self._place.parent, self._place.parent.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    # ---- payload

    def command(self, node: Node, attempt: int) -> Command:
        """The worker's command, everything staying in this folder."""
        argv = [*worker_command(node.key.stage, self._folder.request, node.key.index), "--sandbox"]
        if self.any_bundle and node.key.stage is Stage.SIMULATE:
            argv.append("--any-bundle")
        return Command(
            argv=tuple(argv),
            log=self._log(node.key),
            environment={VARIABLE: str(self._home.path)},
            walltime_s=self.request.site.resources.walltime_min * 60,
        )

    def judge(self, node: Node, attempt: int, exit_code: int) -> int:
        """0 if report and file are there, never 0 otherwise."""
        if self.report(node.key.stage, node.key.index) is not None:
            return 0
        return exit_code or StorageError.exit_code

    # ---- observer

    def finished(self, node: Node, attempt: int, exit_code: int, *, retrying: bool) -> None:
        self._done += exit_code == 0
        self._told(self._done, self._total)

    def _log(self, key: NodeKey) -> Path:
        return self._place / "logs" / f"{key.stage}_{key.index:06d}.log"


def _placed_in(request: Request, place: Path) -> Request:
    """The same request, whose site keeps its files in `place`: contents and names do not depend on it.

    Its jobs run with whatever code is here: what they make is compared with what was lost.
    """
    storage = request.site.storage.model_copy(update={"prefix": str(place.absolute())})
    site = request.site.model_copy(update={"storage": storage})
    return request.model_copy(update={"site": site, "code": None})


def _link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target.absolute(), target_is_directory=True)
