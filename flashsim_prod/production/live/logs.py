"""Logs of failures, as far as they are a request's own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from flashsim_prod.errors import RequestError
from flashsim_prod.files import open_regular, storage_errors
from flashsim_prod.grid.ledger.rows import Failure

#: of a long log, its end is shown [B]
SHOWN_BYTES = 1 << 20


def log_name(folder: Path, log: Path) -> str | None:
    """What a log is called in links: its place below the request's folder; ``None`` for one elsewhere."""
    if ".." in log.parts or not log.is_relative_to(folder):
        return None
    return log.relative_to(folder).as_posix()


def own_log(folder: Path, failures: Iterable[Failure], name: str) -> Path:
    """The log called `name`, if it is one of these failures' and really lies in the request's folder.

    Raises
    ------
    RequestError
        If it is not, or not there.
    """
    refused = RequestError(f"request {folder.name} has no failure with a log '{name}'")
    listed = next((one.log for one in failures if log_name(folder, one.log) == name), None)
    if listed is None:
        raise refused
    try:
        # a link that leads out of the folder would show anything
        real = listed.resolve(strict=True)
        home = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise RequestError(f"{listed} is not there (any more, or yet)") from error
    if not real.is_relative_to(home):
        raise refused
    return real


def end_of(path: Path) -> bytes:
    """The last `SHOWN_BYTES` of a log, from the beginning of a line, with a line that says what is left out.

    Raises
    ------
    StorageError
        If it cannot be read.
    """
    with storage_errors(f"reading {path}"), open_regular(path) as file:
        left_out = max(0, file.seek(0, os.SEEK_END) - SHOWN_BYTES)
        file.seek(left_out)
        text = file.read(SHOWN_BYTES)
    if not left_out:
        return text
    return (
        f"[the first {left_out:,} bytes are left out; all of it: {path}]\n".encode(errors="replace")
        + text.partition(b"\n")[2]
    )
