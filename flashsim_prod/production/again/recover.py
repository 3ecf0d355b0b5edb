"""Recovering lost files: exactly their jobs run again, what they make is compared, replicas are repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flashsim_prod.core.report import JobReport
from flashsim_prod.core.sizes import counted
from flashsim_prod.core.splitting import merge_job, simulate_job
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import (
    BundleError,
    JobsFailedError,
    LockedError,
    VerifyError,
)
from flashsim_prod.files import storage_errors
from flashsim_prod.grid.batch.local import RunSummary
from flashsim_prod.grid.catalog.base import CatalogFile
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.grid.storage.checksums import Checksums
from flashsim_prod.production.again.jobs import AgainRun, place_of
from flashsim_prod.production.again.lost import Dataset, LostFile, opened_dataset
from flashsim_prod.production.again.proof import Proof, Verdict, matches, prove
from flashsim_prod.production.again.subject import Subject
from flashsim_prod.production.job.run import read_report, write_report
from flashsim_prod.software import software_told

#: is told a task, steps done, steps in all if known
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Recovered:
    """What became of one lost file.

    Attributes
    ----------
    proof : Proof or None
        How it is known to be the same; ``None`` if it was not put back.
    refused : str
        Why it was not.
    """

    lost: LostFile
    proof: Proof | None = None
    refused: str = ""


@dataclass(frozen=True)
class Recovery:
    """What a recovery found and did.

    Attributes
    ----------
    looked_at : int
        Files of the dataset that were compared with what is known of them.
    files : tuple of Recovered
        The lost ones.
    jobs : int
        Jobs that these come to.
    stopped_by : int or None
        The signal that ended it early.
    """

    dataset: str
    looked_at: int
    files: tuple[Recovered, ...]
    jobs: int
    stopped_by: int | None = None

    def error(self) -> VerifyError | None:
        """The error that tells of files that are not what they were; ``None`` if there is none."""
        refused = [one for one in self.files if one.refused]
        if not refused:
            return None
        more = f" (and {counted(len(refused) - 1, 'more file')})" if len(refused) > 1 else ""
        return VerifyError(
            f"{refused[0].lost.entry.lfn}: made again it is not what it was: {refused[0].refused}{more}; "
            "nothing was put in its place"
        )


@dataclass(frozen=True)
class Ways:
    """How files are to be made again.

    Attributes
    ----------
    slots : int
        Jobs at a time; 0 for one per core.
    bundle : str or None
        Name or folder of the bundle, if it is no longer where the request says; it may be another one whose
        files are compared.
    read : bool
        Whether checksums are compared to find what is lost, or sizes only.
    dry_run : bool
        Only tell what is lost.
    """

    slots: int = 0
    bundle: str | None = None
    read: bool = True
    dry_run: bool = False


def recover(
    subject: Subject,
    chosen: Sequence[int],
    ways: Ways,
    *,
    catalog: str | None = None,
    scope: str | None = None,
    progress: Progress = lambda task, done, total: None,
) -> Recovery:
    """Find the lost files among those `chosen`, make them again, and put back what is proven to be the same.

    May be stopped at any point; the same call goes on. Files that are sound are read and left alone.

    Raises
    ------
    LockedError
        If another command is at work on the request.
    BundleError
        If the bundle is not to be found, or is another one than the request's and none was named.
    JobsFailedError
        If jobs fail; what was recovered before stays.
    StorageError, CatalogError
        If files cannot be written, or the catalogue does not take the repair.
    """
    with (
        ExitStack() as held,
        opened_dataset(subject, chosen, catalog=catalog, scope=scope) as dataset,
    ):
        if not ways.dry_run:
            held.enter_context(_held(subject))
        total = sum(index in dataset.entries for index in chosen)
        lost = dataset.look(chosen, read=ways.read, looked=lambda done: progress("looking", done, total))
        jobs = sum(merge_job(subject.request, one.index).count + 1 for one in lost)
        found = Recovery(subject.dataset, total, tuple(map(Recovered, lost)), jobs)
        if ways.dry_run or not lost:
            return found
        return _recovered(dataset, found, chosen, ways, progress)


def _recovered(
    dataset: Dataset, found: Recovery, chosen: Sequence[int], ways: Ways, progress: Progress
) -> Recovery:
    subject = dataset.subject
    bundle, digest = _bundle(subject, ways.bundle)
    run = AgainRun(
        subject,
        place_of(subject.home, subject.request, digest),
        bundle=bundle,
        any_bundle=digest != subject.request.bundle.digest,
    )
    witness = _Witness(dataset, run, {one.lost.index for one in found.files}, chosen)
    done: list[Recovered] = []
    waiting = [one.lost for one in found.files]
    for portion in _portions(subject, waiting, ways.slots):
        nodes = [node for one in portion for node in run.file(one.index)]
        summary = run.run(nodes, ways.slots, partial(progress, _task(len(done), waiting)))
        if summary.stopped_by is not None:
            left = [Recovered(one) for one in waiting[len(done) :]]
            return Recovery(found.dataset, found.looked_at, (*done, *left), found.jobs, summary.stopped_by)
        there = [one for one in portion if run.report(Stage.MERGE, one.index)]
        done += [_put_back(dataset, run, one, witness) for one in there]
        _check_jobs(run, summary)
    if not any(one.refused for one in done):
        run.clear()
    return Recovery(found.dataset, found.looked_at, tuple(done), found.jobs)


def _task(done: int, lost: Sequence[LostFile]) -> str:
    return f"file {done + 1} of {len(lost)}"


def _portions(subject: Subject, lost: Sequence[LostFile], slots: int) -> Iterator[list[LostFile]]:
    """A few files at a time: enough to keep all slots at work, and no more on the disk than that."""
    portion: list[LostFile] = []
    jobs = 0
    for one in lost:
        portion.append(one)
        jobs += merge_job(subject.request, one.index).count
        if jobs >= max(1, slots):
            yield portion
            portion, jobs = [], 0
    if portion:
        yield portion


def _check_jobs(run: AgainRun, summary: RunSummary) -> None:
    if summary.failed:
        key = min(summary.failed)
        raise JobsFailedError(
            f"{counted(len(summary.failed), 'job')} failed, so nothing more was put back: {run.error(key)}"
        )


def _put_back(dataset: Dataset, run: AgainRun, lost: LostFile, witness: _Witness) -> Recovered:
    """Compare one file with what is known of it, and bring it into its place."""
    verdict = prove(dataset.subject, run, lost.index, lost.entry, witness)
    if verdict.proof is None:
        return Recovered(lost, refused=verdict.why)
    is_changed = not matches(verdict.sums, lost.entry)
    if is_changed and dataset.catalog is not None and dataset.catalog.kind == "rucio":
        request = dataset.subject.request
        why = (
            "its values are the same, but not its bytes, and Rucio keeps a file's checksum for ever; make it "
            f"with {software_told(request.software_version, request.code)} and the tools of its time"
        )
        return Recovered(lost, refused=why)
    _repair(dataset, run, lost, verdict)
    run.drop(lost.index)
    return Recovered(lost, proof=verdict.proof)


def _repair(dataset: Dataset, run: AgainRun, lost: LostFile, verdict: Verdict) -> None:
    """Storage first, then what tells of it: cut short in between, the next call finds and repeats it."""
    entry, sums, storage = lost.entry, verdict.sums, dataset.storage
    expected = Checksums(sums.bytes, sums.adler32, sums.sha256)
    # the copy here stays until all is told
    pfn = storage.put(run.output(entry.lfn), entry.lfn, expected, overwrite=True)
    file = entry.made_anew(pfn, sums.bytes, sums.adler32, sums.sha256)
    if dataset.catalog is not None:
        dataset.catalog.repair(entry.block, file, storage.rse)
    if not matches(sums, entry):
        _tell_others(dataset.subject, lost.index, file, verdict.made)


def _tell_others(subject: Subject, index: int, file: CatalogFile, made: JobReport | None) -> None:
    """The ledger and the request's own report have the new bytes of the same events."""
    name, path = subject.request.name, subject.folder.report(Stage.MERGE, index)
    if subject.is_at_home:
        with Ledger(subject.home.ledger) as ledger:
            if ledger.has_request(name):
                ledger.replace_file(name, Stage.MERGE, index, file.bytes, file.adler32, file.sha256)
    known = read_report(path) or made
    if known is None or made is None or made.output is None:
        return
    output = made.output.model_copy(
        update={"pfn": file.pfn, "bytes": file.bytes, "adler32": file.adler32, "sha256": file.sha256}
    )
    write_report(path, known.model_copy(update={"output": output, "content": made.content}))


class _Witness:
    """A sound file of the dataset, compared once with what the same jobs make now."""

    def __init__(self, dataset: Dataset, run: AgainRun, lost: set[int], chosen: Sequence[int]) -> None:
        self._dataset, self._run, self._lost, self._chosen = dataset, run, lost, chosen
        self._found: list[str] | None = None
        self._asked = False

    def __call__(self) -> list[str] | None:
        """The branches that differ; ``None`` if there is no sound file."""
        if not self._asked:
            self._asked = True
            self._found = self._compare()
        return self._found

    def _compare(self) -> list[str] | None:
        from flashsim_prod.physics.analysis.parquet import as_root
        from flashsim_prod.physics.nanoaod.content import different_branches

        with opened_dataset_of_all(self._dataset) as entries:
            # a file without events witnesses nothing
            sound = [
                index
                for index in sorted(entries.entries)
                if index not in self._lost and entries.entries[index].events
            ]
            for index in sound:
                if entries.look([index]):
                    continue
                made = self._first_events(index)
                if made is None:
                    return None
                with (
                    entries.storage.readable(entries.entries[index].lfn) as path,
                    as_root(str(path)) as there,
                ):
                    return different_branches(str(made), there)
        return None

    def _first_events(self, index: int) -> Path | None:
        """What the first of a file's jobs makes now that any event is left of; ``None`` if there is none."""
        request = self._dataset.subject.request
        job = merge_job(request, index)
        for one in range(job.first, job.first + job.count):
            summary = self._run.run(self._run.simulate(one), 1, lambda done, total: None)
            report = self._run.report(Stage.SIMULATE, one) if summary.succeeded else None
            if report is None:
                return None
            if report.events:
                return self._run.output(simulate_job(request, one).lfn)
        return None


@contextmanager
def opened_dataset_of_all(dataset: Dataset) -> Iterator[Dataset]:
    """The dataset with all of its files, of which a command may have looked at some only."""
    subject = dataset.subject
    named = "none" if dataset.catalog is None else dataset.catalog.kind
    scope = None if dataset.catalog is None else dataset.catalog.scope
    with opened_dataset(subject, range(subject.request.n_merge), catalog=named, scope=scope) as whole:
        yield whole


@contextmanager
def _held(subject: Subject) -> Iterator[None]:
    """The request, for this command alone; `LockedError` or `StateError` if others are at work on it."""
    if not subject.is_at_home:
        place = subject.home.path / "again" / subject.request.name
        with storage_errors(f"making {place}"):
            place.mkdir(parents=True, exist_ok=True)
        with request_lock(place):
            yield
        return
    with request_lock(subject.folder.path), Ledger(subject.home.ledger) as ledger:
        name = subject.request.name
        if ledger.has_request(name) and ledger.submissions.open(name) is not None:
            raise LockedError(f"request {name} is at work at {subject.request.site.name}; wait for it to end")
        yield


def _bundle(subject: Subject, named: str | None) -> tuple[Path | None, str]:
    """Where the bundle is if it is not where the request says, and its digest."""
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.production.job import simulate

    if named is not None:
        bundle = load_bundle(find_bundle(named))
        return bundle.path, bundle.digest
    try:
        simulate.bound_bundle(subject.request)
    except BundleError as error:
        raise BundleError(
            f"{error}; or name one by --bundle: if it is another one, a file is put back if its "
            "job told digests of all values, and these are the same"
        ) from error
    return None, subject.request.bundle.digest
