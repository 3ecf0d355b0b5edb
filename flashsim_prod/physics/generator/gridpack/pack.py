"""One gridpack: fetched, seen to be whole, unpacked, and its script run."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import subprocess
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.errors import InputError, NodeError
from flashsim_prod.files import local_path, open_regular, storage_errors
from flashsim_prod.physics.streams.opened import reading
from flashsim_prod.physics.streams.served import is_url, served

SCRIPT = "runcmsgrid.sh"
RESULT = "cmsgrid_final.lhe"
_LOG = "runcmsgrid.log"
_CHUNK = 1 << 20
#: of what the script says last, how much is told
_LINES, _LETTERS = 5, 600
_DAMAGED = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError)


@dataclass(frozen=True)
class Gridpack:
    """A tarball on this machine.

    Attributes
    ----------
    path : Path
    url : str
        What it is called in messages.
    bytes : int
    sha256 : str
    """

    path: Path
    url: str
    bytes: int
    sha256: str


def find_gridpack(url: str, folder: Path) -> Gridpack:
    """The gridpack `url`, brought into `folder` if it is not on a disk of this machine.

    Raises
    ------
    InputError
        If there is none, or it is no file.
    StorageError
        If it cannot be fetched, or not be written.
    RequestError
        If what fetches it is not installed.
    """
    path = Path(local_path(url))
    if is_url(local_path(url)):
        path = folder / "gridpack.tar"
        _fetch(url, path)
    digest, size = hashlib.sha256(), 0
    with reading(f"gridpack {url}"), open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Gridpack(path, url, size, digest.hexdigest())


def _fetch(url: str, path: Path) -> None:
    with served(url) as stream, storage_errors(f"writing {path}"), path.open("wb") as file:
        shutil.copyfileobj(stream, file, _CHUNK)


def unpack(pack: Gridpack, folder: Path) -> None:
    """Unpack a gridpack into `folder`, of which nothing is written outside.

    Raises
    ------
    InputError
        If it is no tarball, is cut off, or lacks the script.
    StorageError, NoSpaceError
        If its files cannot be written.
    """
    with storage_errors(f"unpacking {pack.url}"):
        try:
            with tarfile.open(pack.path) as tarball:
                tarball.extractall(folder, filter="tar")
        except _DAMAGED as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"gridpack {pack.url} is no tarball, or is cut off: {said}") from error
    if not (folder / SCRIPT).is_file():
        raise InputError(f"gridpack {pack.url} has no {SCRIPT} at its top; is it one of CMS's?")


def run(pack: Gridpack, folder: Path, events: int, seed: int, cpus: int) -> Path:
    """Run the script of a gridpack that was unpacked into `folder`; the LHE file that it wrote.

    Raises
    ------
    NodeError
        If it fails, with what it said last.
    InputError
        If it ends well and there is no file of events.
    """
    log, command = folder / _LOG, ["bash", SCRIPT, str(events), str(seed), str(cpus)]
    called = f"gridpack {pack.url}: {SCRIPT} {events} {seed} {cpus}"
    with storage_errors(f"running {SCRIPT} in {folder}"), log.open("wb") as said:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise NodeError(f"{called} {how}; it said last: {_last_words(log)}")
    result = folder / RESULT
    if not result.is_file():
        raise InputError(f"{called} wrote no {RESULT}; it said last: {_last_words(log)}")
    return result


def _last_words(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8 * _LETTERS))
        text = file.read().decode("utf-8", "replace")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_LINES:])[-_LETTERS:] or "nothing"
