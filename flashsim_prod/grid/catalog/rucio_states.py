"""What Rucio thinks of replicas: one that is declared is not yet one that can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flashsim_prod.errors import CatalogError
from flashsim_prod.grid.catalog.rucio_calls import RucioCalls

#: the state of a replica that is handed out
AVAILABLE = "AVAILABLE"


def replica_states(calls: RucioCalls, dids: Sequence[Mapping[str, Any]], rse: str) -> dict[str, str]:
    """The state of each file's replica at `rse`, as ``BAD``; files without one are left out.

    Parameters
    ----------
    calls : RucioCalls
    dids : sequence of mapping
        Files, each with ``scope`` and ``name``.
    rse : str
    """
    # replicas in all other states are not listed unless they are asked for
    found = calls.ask("list_replicas", list(dids), rse_expression=rse, all_states=True)
    return {row["name"]: row["states"][rse] for row in found if rse in row.get("states", {})}


def check_available(calls: RucioCalls, dids: Sequence[Mapping[str, Any]], rse: str) -> None:
    """See that each file has a replica at `rse` that Rucio would hand out; `CatalogError` that names one."""
    states = replica_states(calls, dids, rse)
    wrong = [(did["name"], states.get(did["name"])) for did in dids if states.get(did["name"]) != AVAILABLE]
    if not wrong:
        return
    lfn, state = wrong[0]
    others = f", and so it is with {len(wrong) - 1} more files" if len(wrong) > 1 else ""
    if state is None:
        raise CatalogError(f"Rucio has no replica of {lfn} at {rse}{others}; register again")
    raise CatalogError(
        f"Rucio knows the replica of {lfn} at {rse} as {state}{others}: nobody gets it; if the file there is "
        "sound, ask an administrator of Rucio to make it AVAILABLE (update_replicas_states), then register "
        "again"
    )


def not_of_closed_block(lfn: str, scope: str, block: str, *, is_known: bool) -> CatalogError:
    """What to say of a file that is to go into a closed block."""
    if is_known:
        return CatalogError(
            f"{lfn} is no longer in its block {block}, which is closed: it was detached, as Rucio does with "
            f"files whose last replica was lost; ask an administrator for 'rucio did update --open "
            f"{scope}:{block}', then register again"
        )
    return CatalogError(
        f"{lfn} is new, but its block {block} is closed; if it belongs there, ask an administrator for "
        f"'rucio did update --open {scope}:{block}', then register again"
    )
