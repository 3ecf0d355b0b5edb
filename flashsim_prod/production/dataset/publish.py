"""Publishing a finished dataset in DBS: one block dump per block beside the request, then sent."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from getpass import getuser
from itertools import groupby
from pathlib import Path

from flashsim_prod.core.choices import FileFormat
from flashsim_prod.core.names import lasting_rse
from flashsim_prod.core.report import LumiRange
from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import lumi_events, merge_job, parent_files, simulate_job
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import CatalogError, RequestError, StateError, StorageError
from flashsim_prod.files import read_bytes, write_json
from flashsim_prod.grid.catalog.dbs import DbsFile, Dump, LumiCount, Provenance, block_dump, check_dump
from flashsim_prod.grid.ledger.rows import FileRow
from flashsim_prod.grid.storage.checksums import file_checksums
from flashsim_prod.production.context import RequestContext, opened_request
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.accepted import accepted_of

#: CMSSW release whose NANOAOD the files follow; version 9 was made with it
_RELEASE = "CMSSW_10_6_26"

#: is told blocks done and in all
BlocksProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Published:
    """What became of a dataset's blocks.

    Attributes
    ----------
    dumps : tuple of Path
        Their dumps.
    new : int
        How many of them DBS did not have before; ``None`` if nothing was sent.
    """

    request: Request
    dumps: tuple[Path, ...]
    new: int | None


def publish(
    home: Home, name: str, url: str | None, *, rse: str | None = None, progress: BlocksProgress | None = None
) -> Published:
    """Write the block dumps of a finished request and send them to DBS; may be done any number of times.

    Parameters
    ----------
    home : Home
    name : str
        Name of the request.
    url : str or None
        The DBS writer; ``None`` writes the dumps only.
    rse : str, optional
        Where the blocks lie; by default where the request registers them.
    progress : callable, optional
        Is told blocks done and in all.

    Raises
    ------
    RequestError
        If its files are of a form that DBS does not know.
    StateError
        If the dataset is not finished.
    StorageError
        If a file is not as it was made, or DBS does not answer.
    ConfigError
        If dbs3-client is not installed or finds no credentials.
    CatalogError
        If a dump is wrong, DBS refuses it, or has other contents under a block's name.
    """
    with opened_request(home, home.existing(name)) as context:
        if context.request.format is not FileFormat.ROOT:
            raise RequestError(
                f"{context.request.dataset}: DBS knows no files of {context.request.format}; what is to be "
                "published is ordered with --format root"
            )
        site = lasting_rse(rse or context.request.rse)
        paths = tuple(write_dumps(context, site, progress))
        new = None if url is None else _send(paths, url, progress)
        return Published(context.request, paths, new)


def write_dumps(context: RequestContext, site: str, progress: BlocksProgress | None = None) -> Iterator[Path]:
    """Write one dump per block into ``dbs/`` of the request's folder; those that are there stay.

    Every file is read, since DBS wants checksums that job reports do not have.
    """
    request = context.request
    made = context.ledger.counts(context.name).get((Stage.MERGE, JobState.DONE), 0)
    if made != request.n_merge:
        raise StateError(f"{request.dataset}: {made} of {request.n_merge} files are made; nothing published")
    rows = context.ledger.files(context.name, Stage.MERGE)
    for number, (block, files) in enumerate(
        groupby(rows, key=lambda row: merge_job(request, row.index).block)
    ):
        path = context.folder.path / "dbs" / f"block_{number:06d}.json"
        _write_dump(context, path, block, list(files), site)
        yield path
        if progress:
            progress(number + 1, -(-request.n_merge // request.split.files_per_block))


def _write_dump(context: RequestContext, path: Path, block: str, files: list[FileRow], site: str) -> None:
    if path.is_file() and _tells(_load(path), block, files, site):
        return
    entries = (_file(context, row) for row in files)
    dump = block_dump(context.request.dataset, block, entries, site, _provenance(context))
    write_json(path, dump)


def _tells(dump: Dump, block: str, files: list[FileRow], site: str) -> bool:
    """Whether a dump that is there is of this block, these files and this site."""
    named = (dump["block"]["block_name"], dump["block"]["origin_site_name"])
    known = [(file["logical_file_name"], file["file_size"], file["adler32"]) for file in dump["files"]]
    told = [(row.output.lfn, row.output.bytes, row.output.adler32) for row in files]
    return named == (block, site) and known == told


def _load(path: Path) -> Dump:
    try:
        dump: Dump = json.loads(read_bytes(path))
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path}: this block dump cannot be read: {error}; remove it") from error
    check_dump(dump)
    return dump


def _send(paths: tuple[Path, ...], url: str, progress: BlocksProgress | None) -> int:
    from flashsim_prod.grid.catalog.dbs_writer import DbsWriter

    writer, new = DbsWriter(url), 0
    for number, path in enumerate(paths, 1):
        new += writer.publish(_load(path))
        if progress:
            progress(number, len(paths))
    return new


def _file(context: RequestContext, row: FileRow) -> DbsFile:
    file = row.output
    with context.storage.readable(file.lfn) as path:
        sums, cksum = file_checksums(path), _cksum(path)
        events = _events_by_lumi(context.request, path)
    if (sums.bytes, sums.sha256) != (file.bytes, file.sha256):
        raise StorageError(
            f"{file.pfn} has adler32 {sums.adler32} and {sums.bytes} bytes, expected {file.adler32} and "
            f"{file.bytes}; not published; remove it, then flashsim-prod retry {context.name}"
        )
    lumis = (
        LumiCount(lumis.run, lumi, events(lumi))
        for lumis in file.lumis or _tried_lumis(context.request, row.index)
        for lumi in range(lumis.first, lumis.last + 1)
    )
    parents = parent_files(context.request, row.index)
    return DbsFile(
        file.lfn, file.bytes, file.events, file.adler32, sums.md5 or "", cksum, tuple(lumis), parents
    )


def _tried_lumis(request: Request, index: int) -> tuple[LumiRange, ...]:
    """The sections of a file that no event is left of: DBS wants some of every file, be they empty."""
    job = merge_job(request, index)
    first, last = (simulate_job(request, one) for one in (job.first, job.first + job.count - 1))
    return (LumiRange(run=request.run, first=first.first_lumi, last=last.first_lumi + last.n_lumis - 1),)


def _cross_section(before: float | None, context: RequestContext) -> float | None:
    """That of the events that are there: what merging threw away does not count."""
    found = accepted_of(context.folder, context.request)
    if before is None or found is None:
        return before
    return None if found.share is None else before * found.share


def _events_by_lumi(request: Request, path: Path) -> Callable[[int], int]:
    """The events of a luminosity section: as planned, or counted where events may have left."""
    if not request.is_thinned:
        return lambda lumi: lumi_events(request, lumi)
    from flashsim_prod.physics.nanoaod.runs import events_by_lumi

    found = events_by_lumi(str(path))
    return lambda lumi: found.get(lumi, 0)


def _cksum(path: Path) -> str:
    """POSIX's own checksum, by its own program."""
    done = subprocess.run(["cksum", path], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StorageError(f"cksum {path}: {' '.join(done.stderr.split())}")
    return done.stdout.split()[0]


def _provenance(context: RequestContext) -> Provenance:
    request = context.request
    energy = request.card.energy(request.energy_tev)
    bundle = re.sub(r"[^A-Za-z0-9]+", "_", Path(request.bundle.path).name).strip("_")
    return Provenance(
        release=_RELEASE,
        configuration=request.digest()[:32],
        global_tag=f"FlashSim_{bundle}_{request.bundle.digest[:8]}",
        author=getuser(),
        created=int(request.created.timestamp()),
        cross_section_pb=_cross_section(energy.cross_section_pb if energy else None, context),
    )
