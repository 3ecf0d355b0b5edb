"""Telling Rucio that a file which it had given up is there again; some of it is for administrators only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flashsim_prod.errors import CatalogError
from flashsim_prod.grid.catalog import rucio_rows as rows
from flashsim_prod.grid.catalog.base import CatalogFile
from flashsim_prod.grid.catalog.rucio_calls import RucioCalls
from flashsim_prod.grid.catalog.rucio_states import replica_states

_AVAILABLE = "AVAILABLE"
#: as `update_replicas_states` is told of it
_MAKE_AVAILABLE = "A"


def revive(calls: RucioCalls, scope: str, file: CatalogFile, rse: str) -> None:
    """See that the replica of `file` at `rse` is one that Rucio hands out.

    Raises
    ------
    CatalogError
        If the server does not let this account do it; the line says who can.
    """
    name: Mapping[str, Any] = {"scope": scope, "name": file.lfn, "type": "FILE"}
    state = replica_states(calls, [name], rse).get(file.lfn)
    if state is None:
        calls.ask("add_replicas", rse, [rows.to_replica(scope, file)])
    elif state != _AVAILABLE:
        told = [{"scope": scope, "name": file.lfn, "state": _MAKE_AVAILABLE}]
        hint = f"ask an administrator of Rucio to make {file.lfn} AVAILABLE at {rse} (update_replicas_states)"
        _privileged(lambda: calls.ask("update_replicas_states", rse, told), hint)


def attach_to_closed(calls: RucioCalls, scope: str, block: str, lfn: str) -> None:
    """Put a file back into the block that it was detached from when its last replica was lost.

    The block is open for as long as that takes, and closed again whatever comes of it.
    """
    was_open = calls.ask("get_did", scope, block)["open"]
    if not was_open:
        hint = f"ask an administrator for 'rucio did update --open {scope}:{block}'"
        _privileged(lambda: calls.ask("set_status", scope, block, open=True), hint)
    try:
        calls.settled(
            "attach_dids",
            scope,
            block,
            [{"scope": scope, "name": lfn, "type": "FILE"}],
            already=("DuplicateContent", "FileAlreadyExists"),
        )
    finally:
        if not was_open:
            calls.settled("close", scope, block, already=("UnsupportedOperation",))


def _privileged(call: Callable[[], object], hint: str) -> None:
    try:
        call()
    except CatalogError as error:
        raise CatalogError(
            f"{error}; the file is in its place; {hint}, then the same command again"
        ) from error
