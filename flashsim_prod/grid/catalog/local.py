"""The embedded catalogue: one SQLite file beside the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from flashsim_prod.grid.catalog.base import Block, Catalog, CatalogFile, Container, FileEntry, Rule


class LocalCatalog(Catalog):
    """A catalogue in an SQLite file, safe with several commands at once.

    Parameters
    ----------
    path : Path
        The file (``catalog.sqlite`` in the state folder); made if missing.
    scope : str
        Whose names these are.

    Raises
    ------
    StorageError
        If the file cannot be made or opened.
    StateError
        If it is no catalogue, damaged, or of a newer schema.
    """

    def __init__(self, path: Path, scope: str = "cms") -> None:
        super().__init__(scope)
        raise NotImplementedError

    def ensure_container(self, container: str, metadata: Mapping[str, object]) -> None:
        raise NotImplementedError

    def ensure_block(self, container: str, block: str) -> None:
        raise NotImplementedError

    def declare(self, block: str, files: Iterable[CatalogFile], rse: str) -> int:
        raise NotImplementedError

    def close_block(self, block: str) -> None:
        raise NotImplementedError

    def add_rule(
        self, container: str, rse_expression: str, *, copies: int = 1, lifetime_s: float | None = None
    ) -> None:
        raise NotImplementedError

    def containers(self) -> list[Container]:
        raise NotImplementedError

    def container(self, name: str) -> Container:
        raise NotImplementedError

    def blocks(self, container: str) -> list[Block]:
        raise NotImplementedError

    def files(self, container: str) -> Iterator[FileEntry]:
        raise NotImplementedError

    def rules(self, container: str) -> list[Rule]:
        raise NotImplementedError
