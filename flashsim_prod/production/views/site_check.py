"""What running, registering and publishing need, and what of it is missing here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

from flashsim_prod.core.site import Site
from flashsim_prod.errors import FlashSimError, RequestError
from flashsim_prod.grid.batch.base import Finding
from flashsim_prod.grid.batch.opening import open_batch

#: what may be looked at, whatever the site's engine
WHAT = ("rucio", "rses", "rse", "xrootd", "dbs")


def check_site(site: Site, rse: str | None) -> Iterator[Finding]:
    """Look at the site's batch system, Rucio, `rse` (by default the site's), and programs that are needed."""
    if site.rules.goes_on_alone:
        yield from open_batch(site).check()
    yield from _rucio(rse or site.storage.rse)
    tools = [tool for tool in ("xrdcp", "xrdfs") if not shutil.which(tool)]
    said = f"no {' or '.join(tools)}: install xrootd-client" if tools else "xrdcp and xrdfs are here"
    yield Finding("xrootd", not tools, said)
    lacking = [remedy for is_there, remedy in _dbs_needs() if not is_there]
    yield Finding("dbs", not lacking, "; ".join(lacking) or "client and credentials are here")


def only_of(found: list[Finding], wanted: list[str], site: Site) -> list[Finding]:
    """Those of the findings that are `wanted`, by name; all if none is named.

    A check may end before it comes to a thing (no Rucio, no storage elements); that is missing, too.

    Raises
    ------
    RequestError
        For names of things that are never looked at.
    """
    by_name = {one.what: one for one in found}
    failed = "; ".join(f"{one.what}: {one.detail}" for one in found if not one.is_fine)
    known = sorted({*by_name, *WHAT, *site.rules.looks_at} if failed else by_name)
    for name in wanted:
        if name not in known:
            raise RequestError(f"--only: nothing to check is called '{name}'; there are {', '.join(known)}")
    not_reached = f"not looked at, since something before it is missing ({failed})"
    return [by_name.get(name, Finding(name, False, not_reached)) for name in wanted] or found


def _dbs_needs() -> Iterator[tuple[bool, str]]:
    """What publishing in DBS needs: whether it is here, and how to get it."""
    yield find_spec("dbs") is not None, "no dbs3-client: pip install dbs3-client"
    proxy = any(name in os.environ for name in ("X509_USER_PROXY", "X509_USER_CERT"))
    yield proxy, "no credentials: voms-proxy-init -voms cms, then set X509_USER_PROXY"


def _rucio(rse: str) -> Iterator[Finding]:
    from flashsim_prod.grid.catalog.rucio_calls import RucioCalls
    from flashsim_prod.production.order.rucio_rses import shown, storage_elements

    try:
        with RucioCalls(patience_s=10) as calls:
            who = calls.who
            yield Finding("rucio", True, f"{who['account']} ({who['account_type'].lower()}) at {calls.host}")
            elements = storage_elements(calls)
    except FlashSimError as error:
        yield Finding("rucio", False, str(error))
        return
    names = elements.writable()
    said = f"you may write to {shown(names)}" if names else "none that you may write to"
    yield Finding("rses", bool(names), said)
    try:
        elements.check(rse)
    except FlashSimError as error:
        yield Finding("rse", False, str(error))
    else:
        yield Finding("rse", True, f"you may write to {rse}")
