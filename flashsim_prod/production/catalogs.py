"""The catalogue that a request or a command names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flashsim_prod.core.names import check_rse, is_temporary
from flashsim_prod.errors import RequestError
from flashsim_prod.grid.catalog.base import Catalog, Container
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.production.home import Home

#: names the storage element where a site names none of CMS
RSE_VARIABLE = "FLASHSIM_PROD_RSE"


def open_catalog(name: str, home: Home, scope: str = "cms") -> Catalog:
    """The catalogue `name`: ``local`` or ``rucio``.

    Raises
    ------
    ConfigError
        If rucio is not installed, not configured, or refuses its credentials.
    StorageError
        If the catalogue cannot be opened or reached.
    """
    if name == "local":
        return LocalCatalog(home.catalog, scope, read_only=home.is_read_only)
    from flashsim_prod.grid.catalog.rucio import RucioCatalog

    return RucioCatalog(scope)


@contextmanager
def one_sign_in() -> Iterator[None]:
    """Sign in to Rucio at most once for all that the block asks of it, however many parts of it do."""
    from flashsim_prod.grid.catalog.rucio_calls import one_sign_in as shared

    with shared():
        yield


def local_datasets(home: Home) -> list[Container]:
    """All datasets of the embedded catalogue."""
    with LocalCatalog(home.catalog, read_only=home.is_read_only) as catalog:
        return catalog.containers()


def check_registration(catalog: str, scope: str, rse: str) -> None:
    """See that files at `rse` can be registered in `scope`, as far as names tell; `RequestError` otherwise.

    Outside ``cms`` users write to ``*_Temp`` only, and a rule then moves them to where they stay.
    """
    if catalog != "rucio":
        return
    check_rse(rse)
    if scope != "cms" and not is_temporary(rse):
        raise RequestError(
            f"scope {scope} may not write to {rse}; say --rse {rse}_Temp: a rule then moves them to {rse}"
        )
