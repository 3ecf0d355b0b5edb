"""What running, registering and publishing need, and what of it is missing here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

from flashsim_prod.core.scopes import check_rse, is_temporary
from flashsim_prod.core.site import Site
from flashsim_prod.errors import FlashSimError
from flashsim_prod.grid.batch.base import Finding
from flashsim_prod.grid.batch.opening import open_batch

#: storage elements named in a line, at most
_SHOWN = 5


def check_site(site: Site, rse: str | None) -> Iterator[Finding]:
    """Look at the site's batch system, Rucio, `rse` (by default the site's), and programs that are needed."""
    if site.engine.is_detached:
        yield from open_batch(site).check()
    yield from _rucio(rse or site.storage.rse)
    tools = [tool for tool in ("xrdcp", "xrdfs") if not shutil.which(tool)]
    said = f"no {' or '.join(tools)}: install xrootd-client" if tools else "xrdcp and xrdfs are here"
    yield Finding("xrootd", not tools, said)
    lacking = [remedy for is_there, remedy in _dbs_needs() if not is_there]
    yield Finding("dbs", not lacking, "; ".join(lacking) or "client and credentials are here")


def _dbs_needs() -> Iterator[tuple[bool, str]]:
    """What publishing in DBS needs: whether it is here, and how to get it."""
    yield find_spec("dbs") is not None, "no dbs3-client: pip install dbs3-client"
    proxy = any(name in os.environ for name in ("X509_USER_PROXY", "X509_USER_CERT"))
    yield proxy, "no credentials: voms-proxy-init -voms cms, then set X509_USER_PROXY"


def _rucio(rse: str) -> Iterator[Finding]:
    from flashsim_prod.grid.catalog.rucio_calls import RucioCalls

    try:
        calls = RucioCalls(patience_s=10)
        who = calls.who
        yield Finding("rucio", True, f"{who['account']} ({who['account_type'].lower()}) at {calls.host}")
        # one list in pieces of lists
        told = calls.ask("list_account_attributes", who["account"])
        attributes = {one["key"] for piece in told for one in piece if one["value"]}
        known = {one["rse"]: one["availability_write"] for one in calls.ask("list_rses")}
        calls.close()
    except FlashSimError as error:
        yield Finding("rucio", False, str(error))
        return
    may_all = "admin" in attributes
    yield _writable(known, may_all)
    yield _at(rse, known, may_all)


def _writable(known: dict[str, bool], may_all: bool) -> Finding:
    names = sorted(name for name, open_ in known.items() if open_ and (may_all or is_temporary(name)))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    said = f"you may write to {', '.join(names[:_SHOWN])}{more}" if names else "none that you may write to"
    return Finding("rses", bool(names), said)


def _at(rse: str, known: dict[str, bool], may_all: bool) -> Finding:
    try:
        check_rse(rse)
    except FlashSimError as error:
        return Finding("rse", False, str(error))
    if rse not in known:
        return Finding("rse", False, f"Rucio knows no storage element {rse}")
    if not known[rse]:
        return Finding("rse", False, f"{rse} takes no files at present")
    if not may_all and not is_temporary(rse):
        return Finding("rse", False, f"you may not write to {rse}; say --rse {rse}_Temp")
    return Finding("rse", True, f"you may write to {rse}")
