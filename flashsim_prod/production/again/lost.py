"""Which files of a dataset are lost: what a catalogue says, and what storage has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from flashsim_prod.core.splitting import merge_job
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import CatalogError, RequestError
from flashsim_prod.grid.catalog.base import Catalog, FileEntry, Replica
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.opening import open_storage
from flashsim_prod.production.again.subject import Subject
from flashsim_prod.production.catalogs import open_catalog
from flashsim_prod.production.dataset.verify import against_storage, storage_of
from flashsim_prod.production.job.run import read_report

#: is told how many files were looked at
Looked = Callable[[int], None]


@dataclass(frozen=True)
class LostFile:
    """A file of the dataset that cannot be read as it was made.

    Attributes
    ----------
    index : int
        Number of its merge job.
    entry : FileEntry
        What it is said to hold.
    why : str
        ``missing``, ``size``, ``checksum``, or ``detached`` for one that the catalogue has taken out.
    detail : str
        The same for people.
    """

    index: int
    entry: FileEntry
    why: str
    detail: str


@dataclass(frozen=True)
class Dataset:
    """A dataset as it is known, and where it is.

    Attributes
    ----------
    catalog : Catalog or None
        The catalogue that has it; ``None`` if the reports in the request's folder are all there is.
    storage : Storage
        Where its files are to be.
    entries : dict of int to FileEntry
        What is known of its files, by number; of files that were never made, nothing.
    detached : frozenset of int
        Those that the catalogue no longer counts to the dataset.
    """

    subject: Subject
    catalog: Catalog | None
    storage: Storage
    entries: dict[int, FileEntry]
    detached: frozenset[int] = frozenset()

    def look(
        self, chosen: Sequence[int], *, read: bool = True, looked: Looked | None = None
    ) -> list[LostFile]:
        """The lost ones among the files `chosen`; without `read`, checksums are not compared."""
        found = []
        for number, index in enumerate(one for one in chosen if one in self.entries):
            entry = self.entries[index]
            if index in self.detached:
                detail = "the catalogue has taken it out of its block, as it does with lost files"
                found.append(LostFile(index, entry, "detached", detail))
            else:
                problems = against_storage(entry, self.storage, self.catalog, read=read)
                found += [LostFile(index, entry, one.kind, one.detail) for one in problems]
            if looked:
                looked(number + 1)
        return found


@contextmanager
def opened_dataset(
    subject: Subject, chosen: Sequence[int], *, catalog: str | None = None, scope: str | None = None
) -> Iterator[Dataset]:
    """The dataset of a request as its catalogue knows it, or, where none does, as its reports tell.

    Parameters
    ----------
    subject : Subject
    chosen : sequence of int
        The files that matter.
    catalog, scope : str, optional
        Which catalogue, and whose names; those of the request by default.

    Raises
    ------
    RequestError
        If nothing tells what the files held.
    CatalogError
        If a catalogue that was named does not know the dataset.
    """
    request = subject.request
    named = catalog or request.catalog
    if named == "none":
        yield _reported(subject, chosen)
        return
    with open_catalog(named, subject.home, scope or request.registration.scope) as opened:
        known = {}
        try:
            known = {entry.lfn: entry for entry in opened.files(subject.dataset)}
        except CatalogError:
            if catalog is not None:
                raise
            yield _reported(subject, chosen)
            return
        yield _catalogued(subject, chosen, opened, known)


def _catalogued(
    subject: Subject, chosen: Sequence[int], catalog: Catalog, known: dict[str, FileEntry]
) -> Dataset:
    entries, detached = {}, set()
    for index in chosen:
        job = merge_job(subject.request, index)
        if job.lfn in known:
            entries[index] = known[job.lfn]
        elif (lost := catalog.file(job.lfn)) is not None:
            entries[index] = replace(lost, block=job.block)
            detached.add(index)
    storage = storage_of(subject.home, subject.request, catalog, list(entries.values()))
    return Dataset(subject, catalog, storage, entries, frozenset(detached))


def _reported(subject: Subject, chosen: Sequence[int]) -> Dataset:
    storage = open_storage(subject.request.site.storage, subject.home.path)
    entries = {
        index: entry for index in chosen if (entry := reported_entry(subject, index, storage)) is not None
    }
    if not entries:
        raise RequestError(
            f"{subject.dataset}: no catalogue knows it, and there are no reports of its files in "
            f"{subject.folder.reports}, so nothing tells what they held; say --catalog rucio if Rucio does"
        )
    return Dataset(subject, None, storage, entries)


def reported_entry(subject: Subject, index: int, storage: Storage) -> FileEntry | None:
    """What the report of the merge job `index` says of its file, if there is one that is of this request."""
    report = read_report(subject.folder.report(Stage.MERGE, index))
    job = merge_job(subject.request, index)
    if report is None or report.output is None or report.request_digest != subject.request.digest():
        return None
    file = report.output
    if file.lfn != job.lfn:
        return None
    return FileEntry.of(file, job.block, Replica(storage.rse, storage.pfn(file.lfn)))
