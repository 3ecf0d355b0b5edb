"""What dead commands and finished requests left behind, and nobody needs any more."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import merge_of
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import RequestError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.locks import is_driven
from flashsim_prod.grid.storage.atomic import is_dead, is_temporary
from flashsim_prod.grid.storage.base import Storage
from flashsim_prod.grid.storage.local import LocalStorage
from flashsim_prod.grid.storage.opening import open_storage
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.retention.named import Named, named_files
from flashsim_prod.production.retention.walking import Seen, empty_folders, files_below, is_inside

#: what is younger may be somebody's who is at work and holds no lock [s]
YOUNG_S = 86_400.0

_UNMERGED = re.compile(r"/unmerged/.+/(?P<request>[^/]+)/[0-9]{6}/simulate_(?P<index>[0-9]{6,})\.root")
#: files that were to appear whole, and whose writer died
_HALF = re.compile(r"\..+\.[0-9a-f]{12}|\.writable-.+")


@dataclass(frozen=True)
class Leftover:
    """A file, or an empty folder, that can go.

    Attributes
    ----------
    kind : str
        ``unmerged``, ``orphan``, ``half copy``, ``work``, ``again`` or ``empty folder``.
    top : Path
        The folder that it must be in to be removed.
    request : str or None
        The request whose lock is to be held meanwhile.
    """

    kind: str
    path: Path
    bytes: int
    top: Path
    request: str | None = None


@dataclass(frozen=True)
class Leftovers:
    """What can go, and which requests were left out since they are at work."""

    found: tuple[Leftover, ...]
    at_work: tuple[str, ...]


def find_leftovers(home: Home, names: Iterable[str] = ()) -> Leftovers:
    """What can go in a state folder and in the storage of its requests; nothing is removed.

    Parameters
    ----------
    home : Home
    names : iterable of str
        Only what is of these requests; by default of all, and of none that is there any more.

    Raises
    ------
    RequestError
        If there is no such request.
    """
    chosen = [home.existing(name).name for name in names]
    named = named_files(home)
    found: list[Leftover] = []
    at_work = []
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        known = {row.name for row in ledger.requests()}
        for name in chosen or home.names():
            open_elsewhere = name in known and ledger.submissions.open(name) is not None
            if open_elsewhere or is_driven(home.folder(name).path):
                at_work.append(name)
                continue
            found += _of_request(home, ledger, name, is_known=name in known)
    if not chosen:
        found += _of_nobody(home, known | set(home.names()), at_work)
    unique = {one.path: one for one in found}
    kept = [one for one in unique.values() if _can_go(one, named)]
    return Leftovers(
        tuple(sorted(kept, key=lambda one: (one.kind == "empty folder", one.path))), tuple(at_work)
    )


def _can_go(one: Leftover, named: Named) -> bool:
    return one.path not in named and is_inside(one.path, one.top)


def _of_request(home: Home, ledger: Ledger, name: str, *, is_known: bool) -> Iterator[Leftover]:
    folder = home.folder(name)
    for seen in _old(files_below(folder.work)):
        yield Leftover("work", seen.path, seen.bytes, folder.path, name)
    yield from _half_written(files_below(folder.path), folder.path, name)
    for seen in _old(files_below(home.path / "again" / name)):
        yield Leftover("again", seen.path, seen.bytes, home.path / "again", name)
    try:
        request = load_request(folder.request)
        storage = open_storage(request.site.storage, home.path)
    except RequestError:
        # a folder that somebody spoiled; nothing of it can be told
        return
    if not isinstance(storage, LocalStorage):
        return
    users = request.site.storage.user_lfn
    unmerged = storage.prefix / _above(request.dataset.unmerged_lfn(name, 0, users))
    done = _merged(ledger, request, storage) if is_known else set()
    for seen in files_below(unmerged):
        if is_temporary(seen.path.name):
            if is_dead(seen.path):
                yield Leftover("half copy", seen.path, seen.bytes, storage.prefix, name)
        elif (index := _job(seen)) is not None and index < request.n_simulate:
            lfn = f"/{seen.path.relative_to(storage.prefix)}"
            if merge_of(request, index) in done and not request.site.rules.removed_by_rule(lfn):
                yield Leftover("unmerged", seen.path, seen.bytes, storage.prefix, name)


def _above(lfn: str) -> PurePosixPath:
    """The folder of all groups, below the top of a storage element."""
    return PurePosixPath(lfn).parent.parent.relative_to("/")


def _job(seen: Seen) -> int | None:
    match = _UNMERGED.search(str(seen.path))
    return int(match["index"]) if match and str(seen.path).endswith(match[0]) else None


def _merged(ledger: Ledger, request: Request, storage: Storage) -> set[int]:
    """The merge jobs that are done, and whose file is there."""
    done = {job.index for job in ledger.jobs(request.name, Stage.MERGE, {JobState.DONE})}
    files = (row for row in ledger.files(request.name, Stage.MERGE) if row.index in done)
    return {row.index for row in files if storage.stat(row.output.lfn) == row.output.bytes}


def _of_nobody(home: Home, known: set[str], at_work: list[str]) -> Iterator[Leftover]:
    """In the home itself: outputs of requests that are gone, half copies of dead writers, empty folders."""
    store = home.path / "store"
    for seen in files_below(store):
        match = _UNMERGED.search(str(seen.path))
        if is_temporary(seen.path.name):
            if is_dead(seen.path):
                yield Leftover("half copy", seen.path, seen.bytes, store)
        elif match and match["request"] not in known and _is_old(seen):
            yield Leftover("orphan", seen.path, seen.bytes, store)
    for name in home.path.glob("*"):
        if name.is_file() and not name.is_symlink():
            stat = name.lstat()
            yield from _half_written([Seen(name, stat.st_size, stat.st_mtime)], home.path, None)
    for seen in _old(files_below(home.path / "again")):
        owner = seen.path.relative_to(home.path / "again").parts[0]
        if owner not in known and not is_driven(home.path / "again" / owner):
            yield Leftover("again", seen.path, seen.bytes, home.path / "again")
    for top in (store, home.path / "again"):
        for folder in empty_folders(top):
            if not set(folder.parts).intersection(at_work):
                yield Leftover("empty folder", folder, 0, top)


def _half_written(files: Iterable[Seen], top: Path, name: str | None) -> Iterator[Leftover]:
    for seen in _old(files):
        if _HALF.fullmatch(seen.path.name):
            yield Leftover("half copy", seen.path, seen.bytes, top, name)


def _old(files: Iterable[Seen]) -> Iterator[Seen]:
    return (seen for seen in files if _is_old(seen))


def _is_old(seen: Seen) -> bool:
    return time.time() - seen.modified > YOUNG_S
