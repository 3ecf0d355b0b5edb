"""Datasets of CERN Open Data: fetched into a cache, or found for extraction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod import resources
from flashsim_prod.core.sizes import format_bytes, parse_bytes, parse_count
from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.production.models.drawing import Portion, StepProgress

if TYPE_CHECKING:
    from flashsim_prod.grid.opendata.portal import Record

#: what an address of a record begins with
SCHEME = "opendata:"
#: name another portal, another folder for copies, and how much may be there
SERVER_VARIABLE = "FLASHSIM_PROD_OPENDATA"
CACHE_LIMIT = "50GB"


@dataclass(frozen=True)
class Where:
    """The portal that is asked, how files are read, and where copies are kept.

    Attributes
    ----------
    server : str, optional
        The portal of CERN by default, or what the environment names.
    protocol : str
        ``xrootd`` or ``http``; what can be read here by default.
    cache : Path, optional
        In the state folder by default.
    cache_limit : str
        As ``50GB``.
    """

    server: str | None = None
    protocol: str = ""
    cache: Path | None = None
    cache_limit: str = CACHE_LIMIT

    @property
    def folder(self) -> Path:
        """Of the copies."""
        return self.cache or resources.home_path() / "opendata"


@dataclass(frozen=True)
class Fetched:
    """Copies of files of a record.

    Attributes
    ----------
    events : int
        In these files.
    of_events : int or None
        In all files of the record, as far as the portal says.
    """

    recid: int
    dataset: str
    files: tuple[Path, ...]
    bytes: int
    events: int
    of_events: int | None


def fetch(which: str, events: int | None, where: Where, *, progress: StepProgress) -> Fetched:
    """Copy files of a record into the cache until they hold `events`; all by default.

    Raises
    ------
    RequestError
        If there is no such record, or no room for its files.
    InputError
        If it holds no NanoAOD.
    StorageError, WrongChecksumError
        If a file cannot be copied, or is not what the portal says.
    """
    from flashsim_prod.grid.opendata.cache import Cache

    record = find_record(which, where)
    cache = Cache(where.folder, parse_bytes(where.cache_limit, "--cache-limit"))
    if events is None and record.size > cache.limit:
        raise RequestError(
            f"record {record.recid} has {format_bytes(record.size)}, more than --cache-limit "
            f"{where.cache_limit}; name --events, raise the limit, or read without copies: train extract "
            f"{SCHEME}{record.recid}"
        )
    copies: list[Path] = []
    found = 0
    for file in record.files:
        if events is not None and found >= events:
            break
        copies.append(cache.fetch(record.recid, file, copies, progress))
        found += entries(str(copies[-1]))
    size = sum(path.stat().st_size for path in copies)
    return Fetched(record.recid, record.dataset, tuple(copies), size, found, record.events)


def find_record(which: str, where: Where) -> Record:
    """What the portal says of a record, by its number or its dataset's name; errors as of `Portal`."""
    from flashsim_prod.grid.opendata.portal import SERVER, Portal, record_name

    server = where.server or os.environ.get(SERVER_VARIABLE) or SERVER
    return Portal(server, where.protocol).record(record_name(which))


def entries(url: str) -> int:
    """Events in a file, wherever it is."""
    from flashsim_prod.physics.training.stream import Stream

    with Stream(url) as opened:
        return opened.entries


def located(files: Sequence[str], where: Where, first: int | None = None) -> list[Portion]:
    """Files, and those of records: ``opendata:RECID`` and ``opendata:NAME``, each with ``:EVENTS`` in all.

    Parameters
    ----------
    first : int, optional
        So many events of each file at most.

    Raises
    ------
    RequestError
        If there is no such record, or it has fewer events than are wanted.
    """
    portions: list[Portion] = []
    for file in files:
        if not file.startswith(SCHEME):
            portions.append(Portion(file, first))
            continue
        which, _, wanted = file.removeprefix(SCHEME).partition(":")
        urls = addresses(find_record(which, where), where)
        if wanted:
            if first is not None:
                raise RequestError(f"{file} and --first both say how many events: choose one")
            portions += first_events(urls, parse_count(wanted), file)
        else:
            portions += [Portion(url, first) for url in urls]
    return portions


def addresses(record: Record, where: Where) -> list[str]:
    """Where the files of a record are read: copies, where there are any."""
    from flashsim_prod.grid.opendata.cache import Cache

    cache = Cache(where.folder, 0)
    return [str(cache.find(record.recid, file) or file.url) for file in record.files]


def first_events(urls: Sequence[str], events: int, called: str) -> list[Portion]:
    """Files that hold `events`, of the last one as many as are left; `InputError` if all hold fewer."""
    portions: list[Portion] = []
    left = events
    for url in urls:
        if not left:
            break
        # a file without events teaches nothing
        if there := entries(url):
            portions.append(Portion(url, min(left, there)))
            left -= min(left, there)
    if left:
        raise InputError(f"{called} has {events - left:,} events, and {events:,} are wanted; ask for fewer")
    return portions
