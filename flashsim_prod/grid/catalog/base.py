"""What every catalogue can do, in the words of Rucio and CMS.

A *container* is a CMS dataset (``/Primary/Era-Proc-vN/TIER``). A *block* is what Rucio calls a dataset
(``<container>#<uuid>``). A *file* has a logical name and belongs to one block; a *replica* is a copy of it
at a storage element (RSE). A *rule* says how many copies are to be kept where and for how long.

To register a dataset, call in this order::

    catalog.ensure_container(name, metadata)
    for block in ...:
        catalog.ensure_block(name, block)
        catalog.declare(block, files, rse)
        catalog.close_block(block)           # once all its files are declared
    catalog.add_rule(name, rse)

Each call says what is to be, not what to change: made a second time, or by two commands at once, it finds
things as they should be and does nothing. So a registration that was cut short is simply done again.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import ClassVar, Self

from flashsim_prod.core.report import LumiRange, OutputFile
from flashsim_prod.errors import CatalogError


@dataclass(frozen=True)
class CatalogFile:
    """A file to be declared: what is told about it is compared with what is known.

    `pfn` is where it lies at the storage element that it is declared at; catalogues that work names out
    by themselves ignore it.
    """

    lfn: str
    pfn: str
    bytes: int
    events: int
    adler32: str
    sha256: str
    lumis: tuple[LumiRange, ...] = ()
    md5: str | None = field(default=None, compare=False)

    @classmethod
    def of(cls, output: OutputFile, pfn: str, md5: str | None = None) -> Self:
        """What a job left, lying at `pfn`."""
        return cls(
            lfn=output.lfn,
            pfn=pfn,
            bytes=output.bytes,
            events=output.events,
            adler32=output.adler32,
            sha256=output.sha256,
            lumis=output.lumis,
            md5=md5,
        )


@dataclass(frozen=True)
class Replica:
    """A copy of a file at a storage element."""

    rse: str
    pfn: str


@dataclass(frozen=True)
class FileEntry:
    """A file as the catalogue knows it; `sha256` and `lumis` are empty where it does not keep them."""

    lfn: str
    block: str
    bytes: int
    events: int
    adler32: str
    sha256: str
    lumis: tuple[LumiRange, ...]
    replicas: tuple[Replica, ...]

    @classmethod
    def of(cls, output: OutputFile, block: str, replica: Replica) -> Self:
        """What a catalogue would say of what a job left, with one copy of it."""
        return cls(
            lfn=output.lfn,
            block=block,
            bytes=output.bytes,
            events=output.events,
            adler32=output.adler32,
            sha256=output.sha256,
            lumis=output.lumis,
            replicas=(replica,),
        )

    def made_anew(self, pfn: str, size: int, adler32: str, sha256: str) -> CatalogFile:
        """The same events at `pfn`, in a file of this size and of these checksums."""
        return CatalogFile(self.lfn, pfn, size, self.events, adler32, sha256, self.lumis)


@dataclass(frozen=True)
class Block:
    """A block with the sums over its files."""

    name: str
    is_open: bool
    files: int
    events: int
    bytes: int


@dataclass(frozen=True)
class Container:
    """A container with the sums over its files."""

    scope: str
    name: str
    created: datetime
    metadata: Mapping[str, object] = field(hash=False)
    blocks: int
    open_blocks: int
    files: int
    events: int
    bytes: int


@dataclass(frozen=True)
class Rule:
    """A wish to keep `copies` replicas of all files of a container at the RSEs of an expression."""

    container: str
    rse_expression: str
    copies: int
    expires: datetime | None


#: metadata that is measured, and so another one when a lost file was made anew: what came first stays, all
#: of it, since an energy and the number of jobs that it is of belong together
MEASURED = frozenset({"energy_j", "energy_measured_jobs", "energy_all_jobs"})


def merged_metadata(
    container: str, known: Mapping[str, object], told: Mapping[str, object]
) -> dict[str, object]:
    """`known` with the new keys of `told`.

    Raises
    ------
    CatalogError
        If they disagree in a key that was not measured.
    """
    merged = dict(known)
    settled = MEASURED if MEASURED & known.keys() else frozenset()
    for key, value in json.loads(json.dumps(told)).items():
        if key not in settled and merged.setdefault(key, value) != value:
            raise CatalogError(
                f"dataset {container} is known with {key} = {merged[key]!r}, now it is said to be {value!r}"
            )
    return merged


class Catalog(ABC):
    """A catalogue of containers, blocks, files, replicas and rules; a context manager.

    All methods raise `StorageError` when the catalogue cannot be reached, read or written, and
    `CatalogError` when it knows something else under the same name, or does not know what is asked about.

    Attributes
    ----------
    kind : str
        ``local`` or ``rucio``.
    scope : str
        Whose names these are: ``cms``, ``user.<name>`` or ``group.<name>``.
    """

    kind: ClassVar[str]

    def __init__(self, scope: str) -> None:
        self.scope = scope

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prefix(self, rse: str, lfn: str) -> str | None:
        """What `rse` puts before the logical name `lfn`; ``None`` if the catalogue does not care.

        Raises
        ------
        CatalogError
            If it does not know `rse`, or names there are not made in this way.
        """
        return None

    def close(self) -> None:  # noqa: B027 - most catalogues have nothing to give back
        """Give back what the catalogue holds open."""

    @abstractmethod
    def ensure_container(self, container: str, metadata: Mapping[str, object]) -> None:
        """See that a container exists and has `metadata` (JSON values; new keys are added).

        Raises
        ------
        CatalogError
            If a key is known with another value.
        """

    @abstractmethod
    def ensure_block(self, container: str, block: str) -> None:
        """See that `block` exists and belongs to `container`.

        Raises
        ------
        CatalogError
            If there is no such container, or the block belongs to another one.
        """

    @abstractmethod
    def declare(self, block: str, files: Iterable[CatalogFile], rse: str) -> int:
        """See that the files exist, belong to `block` and have a replica at `rse`.

        Parameters
        ----------
        block : str
            An existing block.
        files : iterable of CatalogFile
            Any number; taken in portions that suit the catalogue.
        rse : str
            The storage element that holds them.

        Returns
        -------
        int
            How many of them were new to the catalogue.

        Raises
        ------
        CatalogError
            If a file is known with another size, checksum or number of events or in another block, or is
            new to a block that is closed; the message names the file.
        """

    @abstractmethod
    def repair(self, block: str, file: CatalogFile, rse: str) -> None:
        """See that a known file, made anew and in its place again, can be had at `rse`.

        Parameters
        ----------
        block : str
            The block that it is of, though it may have been taken out of it when it was lost.
        file : CatalogFile
            As it is now. Who keeps checksums that may change keeps these from now on.
        rse : str
            The storage element that holds it again.

        Raises
        ------
        CatalogError
            If the catalogue does not know the file, knows other events in it, or cannot be told.
        """

    def withheld(self, lfn: str, rse: str) -> str | None:
        """The word by which the catalogue keeps a replica that it knows from readers, as ``BAD``; ``None``
        if it knows of none there, or hands it out."""
        return None

    @abstractmethod
    def file(self, lfn: str) -> FileEntry | None:
        """What is known of a file, also of one that no block has any more; ``None`` if nothing is."""

    @abstractmethod
    def close_block(self, block: str) -> None:
        """See that a block is closed: it takes no more files."""

    @abstractmethod
    def add_rule(
        self, container: str, rse_expression: str, *, copies: int = 1, lifetime_s: float | None = None
    ) -> None:
        """See that there is a rule of this expression and number of copies; lives for ever by default."""

    @abstractmethod
    def containers(self) -> list[Container]:
        """All containers of this scope, sorted by name."""

    @abstractmethod
    def container(self, name: str) -> Container:
        """One container; `CatalogError` with the nearest known name if there is none such."""

    @abstractmethod
    def blocks(self, container: str) -> list[Block]:
        """The blocks of a container, in the order they were made."""

    @abstractmethod
    def files(self, container: str) -> Iterator[FileEntry]:
        """The files of a container, block after block, sorted by logical name."""

    @abstractmethod
    def rules(self, container: str) -> list[Rule]:
        """The rules of a container."""
