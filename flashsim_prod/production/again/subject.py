"""What is made again: the request behind a name or a folder, and which of its dataset's files are meant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flashsim_prod.core.choices import FileFormat
from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.splitting import merge_job
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import RequestError
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request, readable_requests

_RANGE = re.compile(r"(?P<first>[0-9]+)(?:-(?P<last>[0-9]+))?")


@dataclass(frozen=True)
class Subject:
    """A request that was found.

    Attributes
    ----------
    home : Home
        The state folder that it belongs to, or the present one for a folder that stands alone.
    folder : RequestFolder
        Where its ``request.yaml`` is, and its reports as far as there are any.
    request : Request
    is_at_home : bool
        Whether the folder is one of the home's own.
    """

    home: Home
    folder: RequestFolder
    request: Request
    is_at_home: bool

    @property
    def dataset(self) -> str:
        """Name of its dataset."""
        return str(self.request.dataset)

    def lfn(self, index: int) -> str:
        """Logical name of the dataset's file number `index`."""
        return merge_job(self.request, index).lfn


def find_subject(home: Home, word: str) -> Subject:
    """The request that `word` stands for: a dataset's name, a request's, or the path of a request's folder.

    Raises
    ------
    RequestError
        If there is none such.
    """
    path = Path(word).expanduser()
    if path.name == "request.yaml":
        path = path.parent
    if word.startswith("/") and not (path / "request.yaml").is_file():
        return _of_dataset(home, word)
    if os.sep not in word and word not in (".", "..") and word in home.names():
        folder = home.existing(word)
        return Subject(home, folder, load_request(folder.request), is_at_home=True)
    if (path / "request.yaml").is_file():
        return _of_folder(home, path.absolute())
    if os.sep in word:
        raise RequestError(f"{word}: there is no request.yaml in this folder")
    folder = home.existing(word)
    return Subject(home, folder, load_request(folder.request), is_at_home=True)


def _of_dataset(home: Home, name: str) -> Subject:
    DatasetName.parse(name)
    known: list[str] = []
    for one, request in readable_requests(home):
        if str(request.dataset) == name:
            return Subject(home, home.folder(one), request, is_at_home=True)
        known.append(str(request.dataset))
    hint = nearest(name, known) if known else ""
    raise RequestError(
        f"no request in {home.path} makes {name}{hint}; if its folder is elsewhere, give that folder"
    )


def _of_folder(home: Home, path: Path) -> Subject:
    """A request's folder: of the home that it lies in, or on its own."""
    request = load_request(path / "request.yaml")
    own = path.parent.parent if path.parent.name == "requests" else None
    if own is not None and (own / "ledger.sqlite").is_file():
        home = home if own == home.path.absolute() else Home(own)
        return Subject(home, RequestFolder(path), request, is_at_home=True)
    return Subject(home, RequestFolder(path), request, is_at_home=False)


def chosen_files(request: Request, words: Iterable[str]) -> tuple[int, ...]:
    """The files that `words` mean: numbers, counted from 0, as ``3``, ``0-4`` or ``1,3,7-9``; or names.

    Without words, all files.

    Raises
    ------
    RequestError
        If the dataset has no such file.
    """
    parts = [part.strip() for word in words for part in word.split(",")]
    if not parts:
        return tuple(range(request.n_merge))
    found: set[int] = set()
    for part in parts:
        match = _RANGE.fullmatch(part)
        found.update(_numbers(request, part, match) if match else [_named(request, part)])
    return tuple(sorted(found))


def _numbers(request: Request, part: str, match: re.Match[str]) -> range:
    first = int(match["first"])
    last = int(match["last"]) if match["last"] else first
    if first > last:
        raise RequestError(f"--files: '{part}' ends before it begins")
    if last >= request.n_merge:
        raise RequestError(
            f"--files: no file {last}: {request.dataset} has {request.n_merge}, counted from 0"
        )
    return range(first, last + 1)


def _named(request: Request, part: str) -> int:
    """The number of a file by its logical name, or the last part of that."""
    name = PurePosixPath(part).name
    if name.endswith(tuple(f".{one}" for one in FileFormat)):
        for index in range(request.n_merge):
            lfn = merge_job(request, index).lfn
            if part in (lfn, PurePosixPath(lfn).name) or part.endswith(lfn):
                return index
        raise RequestError(f"--files: {request.dataset} has no file {part}")
    raise RequestError(f"--files: '{part}' is no number, no range as 0-4, and no file's name")
