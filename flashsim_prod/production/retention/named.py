"""The files that a catalogue or the ledger names: nobody's leftovers, whatever they are called."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.core.states import Stage
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import Home


@dataclass(frozen=True)
class Named:
    """Files by their names.

    Attributes
    ----------
    paths : frozenset of str
        Where they are, every link resolved.
    lfns : frozenset of str
        What they are called.
    """

    paths: frozenset[str]
    lfns: frozenset[str]

    def __contains__(self, path: Path) -> bool:
        """Whether one of them is at `path`, or would be called as what is there."""
        if os.path.realpath(path) in self.paths:
            return True
        text = str(path)
        start = text.find("/store/")
        while start >= 0:
            if text[start:] in self.lfns:
                return True
            start = text.find("/store/", start + 1)
        return False


def named_files(home: Home) -> Named:
    """All files that the embedded catalogue names, of every scope, and those of datasets in the ledger."""
    lfns: set[str] = set()
    paths: set[str] = set()
    if home.catalog.is_file():
        with LocalCatalog(home.catalog, read_only=home.is_read_only) as catalog:
            for lfn, pfn in catalog.all_replicas():
                lfns.add(lfn)
                paths.update(_path(pfn))
    if home.ledger.is_file():
        with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
            for row in ledger.requests():
                for file in ledger.files(row.name, Stage.MERGE):
                    lfns.add(file.output.lfn)
                    paths.update(_path(file.output.pfn))
    return Named(frozenset(paths), frozenset(lfns))


def _path(pfn: str | None) -> tuple[str, ...]:
    path = (pfn or "").removeprefix("file://")
    return (os.path.realpath(path),) if path.startswith("/") else ()
