"""Who may put what where: CMS's rules of Rucio scopes, container names and storage elements."""

from __future__ import annotations

import re

from flashsim_prod.errors import RequestError

_SCOPE = re.compile(r"cms|(?P<kind>user|group)\.(?P<owner>[a-z][a-z0-9_\-]*)")
_RSE = re.compile(r"T[0-3]_[A-Z]{2}(_[A-Za-z0-9]+)+")
#: storage elements that users write to themselves; a rule then brings the files to the lasting one
_TEMPORARY = "_Temp"


def check_scope(scope: str) -> str:
    """`scope` itself if it is ``cms``, ``user.<name>`` or ``group.<name>``; `RequestError` otherwise."""
    if not _SCOPE.fullmatch(scope):
        raise RequestError(f"'{scope}' is no scope of CMS; the forms are cms, user.<name> and group.<name>")
    return scope


def owner_of(scope: str) -> str | None:
    """The user or group of a scope, ``None`` of ``cms``; `RequestError` if it is no scope."""
    match = _SCOPE.fullmatch(check_scope(scope))
    return match["owner"] if match else None


def check_container(scope: str, container: str) -> str:
    """`container` itself if it may be made in `scope`; `RequestError` otherwise.

    Outside ``cms`` all containers are of the tier ``USER``, inside none.
    """
    is_user = container.endswith("/USER")
    if is_user == (owner_of(scope) is None):
        raise RequestError(
            f"{container} cannot be in scope {scope}: "
            + ("tier USER belongs to user.<name> or group.<name>" if is_user else "its tier would be USER")
        )
    return container


def check_rse(rse: str) -> str:
    """`rse` itself if it can name a storage element of CMS; `RequestError` otherwise."""
    if not _RSE.fullmatch(rse):
        raise RequestError(
            f"'{rse}' is no storage element of CMS (as T2_IT_Pisa is); say --rse, or set FLASHSIM_PROD_RSE"
        )
    return rse


def lasting_rse(rse: str) -> str:
    """The storage element where files written to `rse` are to stay: without ``_Temp``."""
    return rse.removesuffix(_TEMPORARY)


def is_temporary(rse: str) -> bool:
    """Whether users may write to `rse` themselves."""
    return rse.endswith(_TEMPORARY)
