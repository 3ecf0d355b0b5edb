"""May this account register datasets in a scope? Asked before anything is made."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from difflib import get_close_matches

from flashsim_prod.core.names import owner_of
from flashsim_prod.errors import CatalogError, RequestError
from flashsim_prod.grid.catalog.rucio_calls import RucioCalls


def check_scope_use(calls: RucioCalls, scope: str, attributes: Collection[str]) -> None:
    """See that a scope exists and that this account may add to it.

    Parameters
    ----------
    calls : RucioCalls
    scope : str
    attributes : collection of str
        Those of the account that are set, as ``admin``.

    Raises
    ------
    RequestError
        If there is no such scope, or the server does not let this account add to it.
    """
    account = calls.who["account"]
    scopes = calls.ask("list_scopes")
    if scope not in scopes:
        near = get_close_matches(scope, scopes, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RequestError(
            f"--scope {scope}: Rucio has no such scope{hint}"
            + ("" if near else f"; ask an administrator for it, for account {account}")
        )
    if "admin" in attributes or _refusal(calls, scope) is None:
        return
    own = [name for name in scopes if name in (f"user.{account}", f"group.{account}")]
    hint = f"; say --scope {own[0]}" if own else ""
    raise RequestError(f"--scope {scope}: Rucio lets account {account} add nothing there{hint}")


def _refusal(calls: RucioCalls, scope: str) -> CatalogError | None:
    """Why the server would not take a container in `scope`; ``None`` if it would.

    Each server has rules of its own, which it tells nobody. So it is asked for a container that holds a block
    which does not exist: permissions are looked at first, and then the whole call fails and is undone.
    """
    name = f"/Probe{uuid.uuid4().hex}/FlashSim-Probe-v1/{'NANOAODSIM' if owner_of(scope) is None else 'USER'}"
    absent = {"scope": scope, "name": f"{name}#{uuid.uuid4()}", "type": "DATASET"}
    try:
        calls.settled("add_did", scope, name, "CONTAINER", dids=[absent], already=("DataIdentifierNotFound",))
    except CatalogError as error:
        # whatever else it says is of this question, and not of the account
        return error if type(error.__cause__).__name__ in ("AccessDenied", "ScopeNotFound") else None
    return None
