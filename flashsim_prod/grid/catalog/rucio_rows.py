"""Between this program's files and Rucio's records of them: pure translations and comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from flashsim_prod.core.report import LumiRange
from flashsim_prod.errors import CatalogError
from flashsim_prod.grid.catalog.base import CatalogFile, FileEntry, Replica, Rule

Row = Mapping[str, Any]


def to_did(scope: str, file: CatalogFile) -> dict[str, Any]:
    """A file to be declared; `meta` becomes the file's own when it is new to the server."""
    return {
        "scope": scope,
        "name": file.lfn,
        "bytes": file.bytes,
        "adler32": file.adler32,
        **({"md5": file.md5} if file.md5 else {}),
        "meta": {
            "events": file.events,
            "lumis": [[lumi.run, lumi.first, lumi.last] for lumi in file.lumis],
            "sha256": file.sha256,
        },
    }


def to_replica(scope: str, file: CatalogFile) -> dict[str, Any]:
    """A further replica of a file that the server knows."""
    return {"scope": scope, "name": file.lfn, "bytes": file.bytes, "adler32": file.adler32}


def compare(file: CatalogFile, row: Row) -> None:
    """See that the server knows `file` as it is; `CatalogError` that names it otherwise.

    Events and md5 that the server does not have are no disagreement.
    """
    for what in ("bytes", "adler32", "events", "md5"):
        known, told = row.get(what), getattr(file, what)
        if what in ("events", "md5") and (known is None or told is None):
            continue
        if known != told:
            raise CatalogError(
                f"{file.lfn} is known with {what} {known}, now it has {told}; nothing was overwritten"
            )


def compare_details(file: CatalogFile, details: Row) -> None:
    """See that the lumis and the sha256 that the server keeps, if it does, are those of `file`."""
    told = to_did("", file)["meta"]
    for what in ("lumis", "sha256"):
        if details.get(what, told[what]) != told[what]:
            raise CatalogError(
                f"{file.lfn} is known with other {what}, now they are {told[what]}; nothing was overwritten"
            )


def to_entry(block: str, row: Row, replicas: Row, details: Row) -> FileEntry:
    """A file of `block` from the server's listing of files, of replicas and of metadata."""
    return FileEntry(
        lfn=row["name"],
        block=block,
        bytes=int(row["bytes"] or 0),
        events=int(row["events"] or 0),
        adler32=row["adler32"] or "",
        sha256=str(details.get("sha256") or ""),
        lumis=tuple(
            LumiRange(run=run, first=first, last=last) for run, first, last in details.get("lumis") or ()
        ),
        replicas=tuple(
            Replica(rse, path_of(pfns[0])) for rse, pfns in sorted(replicas.get("rses", {}).items()) if pfns
        ),
    )


def to_rule(container: str, row: Row) -> Rule:
    """A rule of the server."""
    expires = row.get("expires_at")
    return Rule(container, row["rse_expression"], int(row["copies"]), utc(expires) if expires else None)


def path_of(pfn: str) -> str:
    """A replica's URL, or the path alone where it is a file of this machine's file system."""
    url = urlsplit(pfn)
    return url.path if url.scheme == "file" else pfn


def utc(time: datetime) -> datetime:
    """A time of the server, which is UTC without saying so."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
