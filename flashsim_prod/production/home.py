"""The state folder: where requests, the ledger, the catalogue and local files are kept."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod import resources
from flashsim_prod.core.names import check_request_name
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import RequestError, StorageError

VARIABLE = resources.HOME_VARIABLE


@dataclass(frozen=True)
class Home:
    """The state folder and what has its place there.

    Attributes
    ----------
    path : Path
    is_read_only : bool
        Nothing can be written there, so what it holds can but be looked at.
    """

    path: Path
    is_read_only: bool = False

    @property
    def ledger(self) -> Path:
        """The SQLite file that says where every job stands."""
        return self.path / "ledger.sqlite"

    @property
    def catalog(self) -> Path:
        """The SQLite file of the embedded catalogue."""
        return self.path / "catalog.sqlite"

    @property
    def speeds(self) -> Path:
        """What ``bench`` measured."""
        return self.path / "speeds.json"

    @property
    def requests(self) -> Path:
        """One folder per request."""
        return self.path / "requests"

    @property
    def naming_lock(self) -> Path:
        """Held while a request's name and its dataset's version are chosen."""
        return self.path / ".naming.lock"

    def folder(self, name: str) -> RequestFolder:
        """Where the request `name` is or would be; `RequestError` if that cannot be a name."""
        return RequestFolder(self.requests / check_request_name(name))

    def names(self) -> list[str]:
        """Names of all requests that have a folder."""
        return sorted(path.parent.name for path in self.requests.glob("[!.]*/request.yaml"))

    def existing(self, name: str) -> RequestFolder:
        """The folder of a request that is there; `RequestError` with the nearest name otherwise."""
        folder = self.folder(name)
        if not folder.request.is_file():
            known = self.names()
            hint = nearest(name, known) if known else "; there are none yet"
            raise RequestError(f"no request '{name}' in {self.path}{hint}")
        return folder


def home_of(request_file: Path) -> Path:
    """The state folder that a worker belongs to: the one named, or else the one that its request is in."""
    folder = request_file.absolute().parent
    if VARIABLE not in os.environ and folder.parent.name == "requests":
        return folder.parent.parent
    return resources.home_path()


def home_to_read() -> Home:
    """The state folder for a command that only looks: one that cannot be written serves as well.

    Raises
    ------
    StorageError
        If there is none and none can be made.
    """
    try:
        return open_home()
    except StorageError:
        path = resources.home_path()
        if not path.is_dir():
            raise
        return Home(path, is_read_only=True)


def open_home() -> Home:
    """The state folder, made if need be.

    Raises
    ------
    StorageError
        If it cannot be made or written.
    """
    path = resources.home_path()
    if not _is_utf_8(path):
        raise RequestError(
            f"the state folder {str(path)!a} has a name that is no UTF-8; set {VARIABLE} to another"
        )
    try:
        (path / "requests").mkdir(parents=True, exist_ok=True)
        # permissions alone do not tell: the file system may be full or mounted read-only
        with tempfile.NamedTemporaryFile(dir=path, prefix=".writable-"):
            pass
    except OSError as error:
        raise StorageError(
            f"the state folder {path} cannot be written: {error.strerror}; "
            f"set {VARIABLE} to a folder of your own"
        ) from error
    return Home(path)


def _is_utf_8(path: Path) -> bool:
    try:
        str(path.absolute()).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
