"""The files that a name on the command line stands for: a dataset, a request, or files themselves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from flashsim_prod.core.choices import FileFormat
from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.report import OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import CatalogError, InputError, RequestError
from flashsim_prod.grid.catalog.base import FileEntry
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.catalogs import open_catalog
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request, readable_requests

_ENDINGS = tuple(f".{one}" for one in FileFormat)


@dataclass(frozen=True)
class DatasetFiles:
    """Files to look at.

    Attributes
    ----------
    name : str
        The dataset, or what the files may be called together.
    urls : tuple of str
        Paths or URLs.
    entries : tuple of FileEntry
        What the catalogue knows of them, in the same order; empty for files that were named themselves.
    request : Request, optional
        What made the dataset, if it was made here.
    more : tuple of Request
        What made the others, of several datasets that are one sample; all or none of them were made here.
    """

    name: str
    urls: tuple[str, ...]
    entries: tuple[FileEntry, ...] = ()
    request: Request | None = None
    more: tuple[Request, ...] = ()

    @property
    def requests(self) -> tuple[Request, ...]:
        """All that made the files; none if any is not known."""
        return () if self.request is None else (self.request, *self.more)


def find_files(
    home: Home, names: Sequence[str], *, catalog: str = "local", scope: str = "cms"
) -> DatasetFiles:
    """The files that `names` stand for.

    Parameters
    ----------
    home : Home
    names : sequence of str
        Datasets and requests, as one sample if there are several (a request and its extensions); or files.
    catalog, scope : str
        Which catalogue knows the dataset, and under whose name.

    Raises
    ------
    RequestError
        If there is no such dataset or request.
    InputError
        If there is no such file.
    """
    if any(map(_is_file, names)):
        for name in names:
            if "://" not in name and not os.path.exists(name):
                raise InputError(f"{name} does not exist; check the path")
        return DatasetFiles(names[0] if len(names) == 1 else f"{len(names)} files", tuple(names))
    found = [_of_name(home, name, catalog, scope) for name in dict.fromkeys(names)]
    if len(found) == 1:
        return found[0]
    requests = [one.request for one in found if one.request is not None]
    all_known = len(requests) == len(found)
    return DatasetFiles(
        name=" and ".join(one.name for one in found),
        urls=tuple(url for one in found for url in one.urls),
        entries=tuple(entry for one in found for entry in one.entries),
        request=requests[0] if all_known else None,
        more=tuple(requests[1:]) if all_known else (),
    )


def _of_name(home: Home, name: str, catalog: str, scope: str) -> DatasetFiles:
    if not name.startswith("/"):
        request = load_request(home.existing(name).request)
        return _of_dataset(home, str(request.dataset), request, catalog, scope)
    DatasetName.parse(name)
    made_by = next((one for _, one in readable_requests(home) if str(one.dataset) == name), None)
    return _of_dataset(home, name, made_by, catalog, scope)


def _is_file(name: str) -> bool:
    return "://" in name or name.endswith(_ENDINGS) or os.path.isfile(name)


def _of_dataset(home: Home, dataset: str, request: Request | None, catalog: str, scope: str) -> DatasetFiles:
    try:
        with open_catalog(catalog, home, scope) as opened:
            entries = tuple(opened.files(dataset))
    except CatalogError as error:
        hint = f"; finish it first: flashsim-prod retry {request.name}" if request else ""
        raise RequestError(f"the catalogue has no dataset {dataset}{hint}") from error
    missing = [entry.lfn for entry in entries if not entry.replicas]
    if missing or not entries:
        raise RequestError(
            f"{dataset}: {missing[0] if missing else 'no file'} has no copy that could be read"
        )
    urls = tuple(_readable(entry.replicas[0].pfn) for entry in entries)
    return DatasetFiles(dataset, urls, entries, request)


def _readable(pfn: str) -> str:
    """What a reader opens: a path where it is one."""
    return pfn.removeprefix("file://")


def made_files(home: Home, name: str) -> tuple[OutputFile, ...]:
    """The dataset's files that the request `name` has made so far, by number."""
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        if not ledger.has_request(name):
            return ()
        return tuple(row.output for row in ledger.files(name, Stage.MERGE))
