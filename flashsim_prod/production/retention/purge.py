"""Removing what can go: looked at once more under the lock of its request, the moment before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby

from flashsim_prod.errors import LockedError, StorageError
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.production.home import Home
from flashsim_prod.production.retention.leftovers import Leftover, find_leftovers
from flashsim_prod.production.retention.named import named_files
from flashsim_prod.production.retention.walking import empty_folders, remove_empty, remove_file

#: is told files looked at, and in all
Purging = Callable[[int, int], None]


@dataclass(frozen=True)
class Purged:
    """What became of it.

    Attributes
    ----------
    removed : tuple of Leftover
    kept : tuple of Leftover
        Needed again by now, or gone already.
    at_work : tuple of str
        Requests that were left out.
    """

    removed: tuple[Leftover, ...]
    kept: tuple[Leftover, ...]
    at_work: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Room that was made [B]."""
        return sum(one.bytes for one in self.removed)


def purge(home: Home, names: Iterable[str] = (), progress: Purging = lambda done, total: None) -> Purged:
    """Remove what `find_leftovers` finds, and then the folders that are empty.

    Raises
    ------
    StorageError
        If the state folder cannot be written, or the system refuses to remove a file.
    RequestError
        If there is no such request.
    """
    if home.is_read_only:
        raise StorageError(f"the state folder {home.path} cannot be written; nothing was removed")
    chosen = tuple(names)
    before = find_leftovers(home, chosen)
    removed: list[Leftover] = []
    kept: list[Leftover] = []
    at_work = list(before.at_work)
    files = [one for one in before.found if one.kind != "empty folder"]
    by_request = sorted(files, key=lambda one: one.request or "")
    for name, portion in groupby(by_request, key=lambda one: one.request):
        mine = list(portion)
        try:
            with request_lock(home.folder(name).path) if name else nullcontext():
                gone, stayed = _remove(home, name, mine)
        except LockedError:
            at_work.append(str(name))
            gone, stayed = [], mine
        removed += gone
        kept += stayed
        progress(len(removed) + len(kept), len(files))
    removed += _remove_folders(home, before.found, removed, at_work)
    return Purged(tuple(removed), tuple(kept), tuple(at_work))


def _remove(
    home: Home, name: str | None, leftovers: Iterable[Leftover]
) -> tuple[list[Leftover], list[Leftover]]:
    """Those that went, and those that did not."""
    # somebody may have registered one of them since they were found
    named = named_files(home)
    removed: list[Leftover] = []
    kept: list[Leftover] = []
    for one in leftovers:
        is_gone = one.path not in named and remove_file(one.path, one.top)
        (removed if is_gone else kept).append(one)
    return removed, kept


def _remove_folders(
    home: Home, found: Iterable[Leftover], removed: Iterable[Leftover], at_work: list[str]
) -> list[Leftover]:
    """Empty folders that were found, and those that became so, but for those of requests at work."""
    empty = [one for one in found if one.kind == "empty folder"]
    innermost_first = sorted(empty, key=lambda one: len(one.path.parts), reverse=True)
    gone = [one for one in innermost_first if remove_empty(one.path, one.top)]
    tops = {one.top: one.request for one in removed}
    for top, _ in tops.items():
        inside = {folder for one in removed if one.top == top for folder in one.path.parents}
        for folder in empty_folders(top):
            if folder in inside and not set(folder.parts).intersection(at_work) and remove_empty(folder, top):
                gone.append(Leftover("empty folder", folder, 0, top))
    return gone
