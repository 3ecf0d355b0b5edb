"""Datasets of Rucio as input: their files, each at the replica that suits the site."""

from __future__ import annotations

import os
from dataclasses import dataclass

from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.grid.catalog.base import FileEntry

#: what such an input begins with: ``rucio:SCOPE:NAME``
PREFIX = "rucio:"


@dataclass(frozen=True)
class NamedInput:
    """Where an input file is and, if a catalogue told so, its name there and its dataset's."""

    url: str
    lfn: str | None = None
    dataset: str | None = None


def input_files(told: str, rse: str) -> list[NamedInput]:
    """All files of a container or block of Rucio, in its order.

    Parameters
    ----------
    told : str
        ``rucio:SCOPE:NAME``.
    rse : str
        The site's storage element: its replicas are taken where there are any, then files that this
        machine sees, then whatever there is.

    Raises
    ------
    RequestError
        If `told` is not of this form.
    CatalogError, ConfigError, StorageError
        If Rucio does not know it, is not configured, or does not answer.
    InputError
        If it holds no files, or one of them is nowhere.
    """
    scope, _, name = told.removeprefix(PREFIX).partition(":")
    if not name:
        raise RequestError(f"--input '{told}': the form is rucio:SCOPE:NAME")
    from flashsim_prod.grid.catalog.rucio import RucioCatalog

    with RucioCatalog(scope) as catalog:
        dataset = name.partition("#")[0]
        found = [NamedInput(_best(entry, rse), entry.lfn, dataset) for entry in catalog.files(name)]
    if not found:
        raise InputError(f"{told} holds no files")
    return found


def _best(entry: FileEntry, rse: str) -> str:
    if not entry.replicas:
        raise InputError(
            f"{entry.lfn} is nowhere: Rucio has no replica of it that is AVAILABLE "
            "(rucio replica list file --all-states tells of others)"
        )
    best = min(
        entry.replicas, key=lambda replica: (replica.rse != rse, not os.path.isfile(replica.pfn), replica.rse)
    )
    return best.pfn
