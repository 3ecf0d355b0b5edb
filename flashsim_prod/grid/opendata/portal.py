"""Records of the CERN Open Data portal, by its own client.

The client is run as a program: it ends its process where something is wrong, says so on its output, and
waits for ever where a server does not answer.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePosixPath

from flashsim_prod.errors import InputError, RequestError, StorageError

#: the client's own default
SERVER = "http://opendata.cern.ch"
PROTOCOLS = ("xrootd", "http")
#: that the client may take for one record [s]; a long list of files takes the portal some
PATIENCE_S = 180.0
_RUN = "from cernopendata_client.cli import cernopendata_client; cernopendata_client()"
_SAID = re.compile(r"==> ERROR: *(.+)")
_CHECKSUM = re.compile(r"adler32:([0-9a-fA-F]{8})")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a record.

    Attributes
    ----------
    url : str
    size : int
        [B]
    adler32 : str
        Eight hexadecimal digits.
    """

    url: str
    size: int
    adler32: str

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.url).name


@dataclass(frozen=True)
class Record:
    """What the portal says of a dataset.

    Attributes
    ----------
    recid : int
    dataset : str
        CMS's name of it.
    events : int or None
        In all files; ``None`` if it does not say.
    files : tuple of RemoteFile
        ROOT files, in the portal's order.
    """

    recid: int
    dataset: str
    events: int | None
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Of all files [B]."""
        return sum(file.size for file in self.files)


class Portal:
    """The portal, or another server of its kind.

    Parameters
    ----------
    server : str
        HTTP address.
    protocol : str
        By which files are to be read: ``xrootd`` or ``http``; whatever can be read here if empty.
    """

    def __init__(self, server: str = SERVER, protocol: str = "") -> None:
        self.server = server.rstrip("/")
        if not self.server.startswith(("http://", "https://")):
            raise RequestError(f"--server {server}: not a web address; write https://HOST")
        if protocol and protocol not in PROTOCOLS:
            raise RequestError(f"--protocol {protocol}: choose {' or '.join(PROTOCOLS)}")
        if find_spec("cernopendata_client") is None:
            raise RequestError("records of CERN Open Data need: pip install 'flashsim-prod[opendata]'")
        self._protocol = protocol or ("xrootd" if find_spec("fsspec_xrootd") else "http")

    def record(self, which: int | str) -> Record:
        """The record of this number, or of the dataset of this name.

        Raises
        ------
        RequestError
            If there is none, or several of this name.
        InputError
            If it holds no NanoAOD, or no files.
        StorageError
            If the portal cannot be reached.
        """
        words = ["--recid", str(which)] if isinstance(which, int) else ["--title", which]
        told = self._ask(which, "get-metadata", *words)
        try:
            metadata = json.loads(told)
            recid = int(metadata["recid"])
            dataset = str(metadata.get("title", ""))
            distribution = metadata.get("distribution") or {}
            events = distribution.get("number_events")
            formats = [str(one).lower() for one in distribution.get("formats") or ()]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"{self.server}: what it says of record {which} is not understood") from error
        where = f"record {recid} of {self.server} ({dataset})"
        tiers = formats or [dataset.rpartition("/")[2].lower()]
        if not any("nanoaod" in tier for tier in tiers):
            raise InputError(
                f"{where} holds {', '.join(tiers).upper() or 'data'}, no NanoAOD; take another one"
            )
        files = self._files(recid)
        if not files:
            raise InputError(f"{where} lists no ROOT files; take another record")
        return Record(recid, dataset, None if events is None else int(events), files)

    def _files(self, recid: int) -> tuple[RemoteFile, ...]:
        words = ("--recid", str(recid), "--protocol", self._protocol, "--verbose")
        told = self._ask(recid, "get-file-locations", *words)
        lines = [line.split("\t") for line in told.splitlines() if line.strip()]
        return tuple(_file(*fields) for fields in lines if len(fields) == 3 and fields[0].endswith(".root"))

    def _ask(self, which: int | str, *words: str) -> str:
        """What the client prints."""
        command = [sys.executable, "-c", _RUN, *words, "--server", self.server]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise StorageError(
                f"{self.server} does not answer within {PATIENCE_S:g} s; try again later"
            ) from error
        if done.returncode == 0:
            return done.stdout
        raise self._failure(which, done)

    def _failure(self, which: int | str, done: subprocess.CompletedProcess[str]) -> Exception:
        called = f"record {which}" if isinstance(which, int) else f"dataset {which}"
        said = _SAID.search(done.stdout)
        # the library that it reaches servers by
        last = (done.stderr.strip().splitlines() or [""])[-1]
        if "requests.exceptions." in done.stderr or said is None:
            reason = "there is no connection"
            if "requests.exceptions.ConnectionError" not in done.stderr:
                reason = re.sub(r"^[\w.]+: *", "", last)[:200] or f"the client ended with {done.returncode}"
            return StorageError(f"{self.server} cannot be asked for {called}: {reason}; try again later")
        if done.returncode == 3:
            return RequestError(
                f"{called} is in several records of {self.server}; say which by its number: --recid"
            )
        # whatever the server answers but success, the client says this of
        return RequestError(
            f"{self.server} gives no {called} ({said[1].strip()}); check it on the portal's pages, or try "
            "again later"
        )


def _file(url: str, size: str, checksum: str) -> RemoteFile:
    found = _CHECKSUM.fullmatch(checksum.strip())
    if found is None or not size.isdigit():
        raise InputError(
            f"{url}: the portal gives no size and adler32 ('{size}', '{checksum}'); leave it out"
        )
    return RemoteFile(url, int(size), found[1].lower())


def record_name(text: str) -> int | str:
    """A record's number, or a dataset's name, of what was typed; `RequestError` if it is neither."""
    if text.isdigit() and int(text) > 0:
        return int(text)
    if text.startswith("/") and text.count("/") == 3 and text.upper().endswith(("NANOAODSIM", "NANOAOD")):
        return text
    raise RequestError(
        f"'{text}' is neither a record's number nor the name of a NanoAOD dataset; write 67993 or "
        "/PRIMARY/CAMPAIGN/NANOAODSIM"
    )
