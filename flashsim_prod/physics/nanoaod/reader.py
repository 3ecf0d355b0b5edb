"""Reading NANOAOD of any version, and anything that looks like it, into flat numpy columns."""

from __future__ import annotations

import lzma
import os
import re
import struct
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import awkward as ak
import cramjam
import numpy as np
import uproot
from numpy.typing import NDArray

from flashsim_prod.errors import FlashSimError, InputError, StorageError
from flashsim_prod.files import open_regular
from flashsim_prod.physics.events import Collection, Column, Events, split_name
from flashsim_prod.physics.nanoaod.remote import (
    RaisingSource,
    check_served,
    failure,
    is_http,
    transfer_errors,
    without_chatter,
)
from flashsim_prod.physics.nanoaod.schema import Schema, conform
from flashsim_prod.physics.nanoaod.stamps import read_header
from flashsim_prod.physics.nanoaod.versions.names import Dialect, find_dialect, version_of
from flashsim_prod.physics.streams.served import check_xrootd, is_xrootd

#: what uproot and the decompressors were seen to raise, or can raise, on damaged bytes
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    AssertionError,
    AttributeError,
    TypeError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    cramjam.DecompressionError,
    uproot.deserialization.DeserializationError,
)

#: what XRootD's client says of a file that is not there
_XROOTD_MISSING = ("[3011]",)

#: events read at least at a time: smaller requests that follow each other are cut from what is already
#: in memory, since every access to a file decompresses whole baskets
_READ_AHEAD = 4000


class NanoFile:
    """The tree ``Events`` of one file, open for reading.

    Collections may share one counter (``Jet_pt[nJet]``) or have one counter per branch, as some tools
    write them; the number of objects is taken from the branches themselves, so both read the same.

    Parameters
    ----------
    url : str
        A path, or a URL that fsspec or XRootD can open.
    schema : Schema, optional
        Whose types the events are to have, as `conform` gives them; those of the file by default.
    declared : bool
        Whether branches go by the names that models declare, whatever the file's version calls them; by
        default they go by its own.
    near : str
        With `declared`: a version in which models are declared and which the file is near to, so that what
        plays the same part in both goes by that name; the file's own by default.

    Raises
    ------
    InputError
        The file is missing, empty, truncated, not ROOT, or holds no tree ``Events``.
    StorageError
        A remote file could not be reached.
    RequestError
        What reads it is not installed.
    """

    def __init__(
        self, url: str, schema: Schema | None = None, *, declared: bool = False, near: str = ""
    ) -> None:
        self.url = url
        self._schema = schema
        if "://" not in url:
            _check_local(url)
        with reading(url, "cannot be opened as a ROOT file"):
            without_chatter(url)
            if is_http(url):
                check_served(url)
            elif is_xrootd(url):
                check_xrootd(url)
            # for a path uproot chooses by itself
            by = {"handler": RaisingSource} if "://" in url and not url.startswith("file:") else {}
            self._file: Any = uproot.open({url: None}, **by)
        try:
            with reading(url, "is damaged"):
                self._tree = self._find_tree()
                self.n_entries = int(self._tree.num_entries)
                # an RNTuple lists its anonymous collections beside the branches that they are made of
                names = self._tree.keys(recursive=False)
                own = frozenset(name for name in names if not name.startswith("_"))
                self._own: dict[str, str] = {}
                self._dialect: Dialect | None = None
                self.branches = own
                if declared and self.version:
                    self._dialect = find_dialect(self.version)
                    if near:
                        self._dialect = self._dialect.near(find_dialect(near), own)
                    self._own = self._dialect.in_file(own)
                    self.branches = frozenset(self._own)
        except FlashSimError:
            self.close()
            raise
        self._window = _Window.none()

    @cached_property
    def version(self) -> str:
        """The version of NanoAOD that the file is of; empty if nothing in it tells."""
        told = self.provenance()
        if "nano" in told and re.fullmatch(r"v\d{1,3}", told["nano"][0]):
            return told["nano"][0]
        # of a bundle with few models there are few branches to tell it by
        ours = any(one.startswith("flashsim-prod") for one in told.get("software", ()))
        return Schema.default().version if ours else version_of(self._own.values() or self.branches)

    @property
    def identifier(self) -> uuid.UUID:
        """The file's own UUID."""
        identifier: uuid.UUID = self._file.file.uuid
        return identifier

    @property
    def n_bytes(self) -> int:
        """The file's size, as it says it itself."""
        return int(self._file.file.fEND)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; reading after this fails."""
        self._file.close()

    def provenance(self) -> dict[str, tuple[str, ...]]:
        """How the events were made: the texts of the tree MetaData by name, one of each merged part.

        Empty for files without such a tree.
        """
        if "MetaData" not in self._file.keys(recursive=False, cycle=False):
            return {}
        with reading(self.url, "has a damaged tree 'MetaData'"):
            texts = self._file["MetaData"].arrays(filter_typename=["char*", "*string*"], library="np")
            return {name: tuple(str(text) for text in column) for name, column in texts.items()}

    def tree(self, name: str) -> Any:
        """Another tree of the file, ``None`` if there is none."""
        return self._file[name] if name in self._file.keys(recursive=False, cycle=False) else None

    def typename(self, name: str) -> str:
        """The type of a branch, as ROOT calls it."""
        return str(self._tree[self._own.get(name, name)].typename)

    def title(self, name: str) -> str:
        """What the file says a branch is; empty where it says nothing."""
        name = self._own.get(name, name)
        branch = self._tree[name]
        if hasattr(branch, "title"):
            title = str(branch.title)
            # a tool that knows no title leaves the leaf's own: name, length and type
            return "" if re.fullmatch(rf"{re.escape(name)}(\[\w+\])?(/\w)?", title) else title
        return str(getattr(branch.description, "field_desc", ""))

    def first(self, names: Sequence[str], stop: int = 1) -> Events:
        """The branches of the first events as the file has them, without reading further ahead."""
        return self._load(tuple(names), 0, min(stop, self.n_entries)) if names else Events(0)

    def require(self, names: Sequence[str]) -> None:
        """`InputError` that names the file and all of `names` that it lacks."""
        lacking = [name for name in names if name not in self.branches]
        if lacking:
            told = ", ".join(f"'{name}'" for name in lacking)
            raise InputError(f"{self.url} has no branch {told}; give an input file that has it")

    def edges(self, names: Sequence[str]) -> list[int]:
        """Events at which what is stored together of all `names` begins; empty for RNTuples."""
        if not names or not hasattr(self._tree, "common_entry_offsets"):
            return []
        own = [self._own.get(name, name) for name in names]
        with reading(self.url, "is damaged"):
            return [int(edge) for edge in self._tree.common_entry_offsets(filter_name=own)]

    def read(self, names: Sequence[str], start: int, stop: int) -> Events:
        """The branches `names` of events [start, min(stop, n_entries)).

        Parameters
        ----------
        names : sequence of str
            Full branch names. Branches with one value per event become scalars, the others columns of
            the collection whose counter is in the file (``nProton_multiRP`` for ``Proton_multiRP_t``), or of
            what is before the first underscore.
        start, stop : int
            Event range.

        Raises
        ------
        InputError
            A branch is missing or not readable, or those of one collection disagree in their numbers
            of objects.
        """
        start, stop = (max(0, min(edge, self.n_entries)) for edge in (start, max(start, stop)))
        wanted = tuple(names)
        if not self._window.covers(wanted, start, stop):
            self.require(wanted)
            ahead = min(max(stop, start + _READ_AHEAD), self.n_entries)
            events = self._load(wanted, start, ahead)
            if self._schema is not None:
                events = conform(events, self._schema)
            self._window = _Window(wanted, start, ahead, events)
        return self._window.cut(start, stop)

    def place(self, name: str) -> tuple[str, str]:
        """Collection and attribute of a branch, by the file's counters or the first underscore."""
        return split_name(name, self._collections)

    @cached_property
    def _collections(self) -> frozenset[str]:
        """Those that have a counter, which is more than one branch's own, as some tools write them."""
        counted = {name[1:] for name in self.branches if name.startswith("n")}
        return frozenset(counted - self.branches)

    def _find_tree(self) -> Any:
        found = self._file.classnames(recursive=False, cycle=False).get("Events")
        if found is not None and found not in ("TTree", "ROOT::RNTuple"):
            raise InputError(f"{self.url} holds 'Events' as a {found}; give a TTree or an RNTuple")
        if found is None:
            raise InputError(f"{self.url} holds no tree 'Events'; is it a NANOAOD file?")
        return self._file["Events"]

    def _load(self, names: tuple[str, ...], start: int, stop: int) -> Events:
        with reading(self.url, f"cannot be read between events {start} and {stop}"):
            arrays = self._tree.arrays(
                [self._own.get(name, name) for name in names],
                entry_start=start,
                entry_stop=stop,
                library="ak",
                how=dict,
                array_cache=None,
            )
            scalars: dict[str, Column] = {}
            counts: dict[str, NDArray[np.int64]] = {}
            columns: dict[str, dict[str, Column]] = {}
            for name in names:
                array = arrays[self._own.get(name, name)]
                if array.ndim > 2:
                    raise InputError(f"{self.url}: '{name}' holds lists within lists, as no NANOAOD does")
                if array.ndim == 1:
                    scalars[name] = self._meant(name, ak.to_numpy(array))
                    continue
                collection, attribute = self.place(name)
                found, column = _flatten(array)
                column = self._meant(name, column)
                if not np.array_equal(counts.setdefault(collection, found), found):
                    raise InputError(f"{self.url}: '{name}' has other lengths than its collection")
                columns.setdefault(collection, {})[attribute] = column
        collections = {name: Collection(counts[name], columns[name], name) for name in columns}
        return Events(stop - start, scalars, collections)

    def _meant(self, name: str, column: Column) -> Column:
        return column if self._dialect is None else self._dialect.as_declared(name, column)


class _Window:
    """A stretch of events in memory."""

    def __init__(self, names: tuple[str, ...], start: int, stop: int, events: Events) -> None:
        self.names, self.start, self.stop, self.events = names, start, stop, events

    @classmethod
    def none(cls) -> _Window:
        return cls((), 0, -1, Events(0))

    def covers(self, names: tuple[str, ...], start: int, stop: int) -> bool:
        return names == self.names and self.start <= start and stop <= self.stop

    def cut(self, start: int, stop: int) -> Events:
        """Events [start, stop) of the file, as views into the window."""
        return self.events.slice(start - self.start, stop - self.start)


def _flatten(array: ak.Array) -> tuple[NDArray[np.int64], Column]:
    """Numbers of objects and flat values of an array that is jagged in its second dimension."""
    layout = array.layout
    if isinstance(layout, ak.contents.ListOffsetArray) and isinstance(layout.content, ak.contents.NumpyArray):
        # as uproot makes them; to take both out of it costs less than to call for them
        offsets = np.asarray(layout.offsets).astype(np.int64, copy=False)
        return np.diff(offsets), np.asarray(layout.content.data)[offsets[0] : offsets[-1]]
    return ak.to_numpy(ak.num(array)).astype(np.int64), ak.to_numpy(ak.flatten(array))


def _check_local(path: str) -> None:
    """`InputError` for a file that is missing, empty, not ROOT, or shorter than its header says."""
    try:
        with open_regular(Path(path)) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise InputError(f"{path} is empty")
            if file.read(4) != b"root":
                raise InputError(f"{path} is no ROOT file")
            end = read_header(file).end
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except struct.error:
        end = size + 1
    if size < end:
        raise InputError(f"{path} is truncated; copy it again")


@contextmanager
def reading(url: str, trouble: str) -> Iterator[None]:
    """Turn whatever a damaged file makes the libraries raise into one line.

    Raises
    ------
    InputError
        With `trouble` and the reason.
    StorageError
        If `url` is remote and the transfer failed, which may pass.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(f"{url} needs another Python package to be read: {_one_line(error)}") from error
    except (*_DAMAGED, *transfer_errors()) as error:
        if is_http(url) and (why := failure(url, error)) is not None:
            raise why from error
        if isinstance(error, FileNotFoundError) or any(code in str(error) for code in _XROOTD_MISSING):
            raise InputError(f"{url} does not exist; check the path") from error
        if "://" in url and isinstance(error, OSError):
            raise StorageError(f"{url} cannot be read: {_one_line(error)}") from error
        raise InputError(f"{url} {trouble}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
