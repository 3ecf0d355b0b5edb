"""Storage elements of Rucio: which there are, where one may write, and which one a request takes."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from flashsim_prod.core.names import check_rse, is_temporary
from flashsim_prod.core.request import Registration
from flashsim_prod.errors import CatalogError, ConfigError, RequestError, StorageError
from flashsim_prod.grid.catalog.rucio_calls import RucioCalls
from flashsim_prod.production.catalogs import check_registration
from flashsim_prod.production.order.rucio_scopes import check_scope_use

#: storage elements named in a line, at most
_SHOWN = 5
#: how long Rucio is waited for before anything was made [s]
_PATIENCE_S = 5.0


@dataclass(frozen=True)
class StorageElements:
    """Those that Rucio knows.

    Attributes
    ----------
    open : dict of str to bool
        Whether each takes files at present.
    attributes : frozenset of str
        Those of this account that are set, as ``admin``.
    """

    open: dict[str, bool]
    attributes: frozenset[str]

    @property
    def may_all(self) -> bool:
        """Whether this account may write to others than ``*_Temp``."""
        return "admin" in self.attributes

    def writable(self, scope: str = "cms") -> list[str]:
        """Where this account may write files of a scope, sorted."""
        lasting = self.may_all and scope == "cms"
        return sorted(name for name, open_ in self.open.items() if open_ and (lasting or is_temporary(name)))

    def check(self, rse: str) -> None:
        """See that files can be written to `rse`; `RequestError` otherwise."""
        check_rse(rse)
        if rse not in self.open:
            near = get_close_matches(rse, self.open, n=1)
            raise RequestError(
                f"Rucio knows no storage element {rse}" + (f"; did you mean {near[0]}?" if near else "")
            )
        if not self.open[rse]:
            raise RequestError(f"{rse} takes no files at present")
        if not self.may_all and not is_temporary(rse):
            raise RequestError(f"you may not write to {rse}; say --rse {rse}_Temp")


def storage_elements(calls: RucioCalls) -> StorageElements:
    """What the server says of its storage elements and of this account; errors as of its calls."""
    # one list in pieces of lists
    told = calls.ask("list_account_attributes", calls.who["account"])
    attributes = frozenset(one["key"] for piece in told for one in piece if one["value"])
    known = {one["rse"]: bool(one["availability_write"]) for one in calls.ask("list_rses")}
    return StorageElements(known, attributes)


def shown(names: list[str]) -> str:
    """The first few of some names."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def find_registration(catalog: str, registration: Registration, site_rse: str) -> Registration:
    """Where a request is to be registered, checked before anything is made, as far as Rucio can be asked now.

    Parameters
    ----------
    catalog : str
        Only ``rucio`` cares.
    registration : Registration
        As typed.
    site_rse : str
        The site's own storage element. If Rucio cannot have it and nothing else was said, the only one that
        this account may write to is taken.

    Raises
    ------
    RequestError
        If files cannot be written there, this account may not add to the scope, or no rule can be made of
        the expression.
    """
    if catalog != "rucio":
        return registration
    calls = _calls()
    if calls is None:
        check_registration(catalog, registration.scope, registration.rse or site_rse)
        return registration
    with calls:
        elements = storage_elements(calls)
        rse = registration.rse or _own_or_only(site_rse, elements.writable(registration.scope))
        check_registration(catalog, registration.scope, rse)
        elements.check(rse)
        check_scope_use(calls, registration.scope, elements.attributes)
        if registration.rse_expression:
            _check_expression(calls, registration.rse_expression)
        return registration.model_copy(update={"rse": rse})


def _own_or_only(site_rse: str, writable: list[str]) -> str:
    try:
        return check_rse(site_rse)
    except RequestError as error:
        if len(writable) == 1:
            return writable[0]
        raise RequestError(f"{error}; you may write to {shown(writable) or 'none'}") from error


def _check_expression(calls: RucioCalls, expression: str) -> None:
    try:
        calls.ask("list_rses", expression)
    except CatalogError as error:
        raise RequestError(f"--rse-expression '{expression}': {error}") from error


def _calls() -> RucioCalls | None:
    try:
        return RucioCalls(patience_s=_PATIENCE_S)
    except (ConfigError, StorageError):
        # a dataset can be made all the same and registered later; the choice of its version tells of it
        return None
