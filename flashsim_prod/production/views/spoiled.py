"""Folders of requests that were only written and cannot be read any more: told, and in nobody's way."""

from __future__ import annotations

from collections.abc import Collection

from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request


def spoiled(home: Home) -> tuple[str, ...]:
    """What is wrong with dry runs that cannot be shown, a line for each.

    A request that was started is known to the ledger, and shown without its file.
    """
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        known: Collection[str] = {row.name for row in ledger.requests()}
    found = []
    for name in home.names():
        if name in known:
            continue
        try:
            load_request(home.folder(name).request)
        except (ConfigError, RequestError) as error:
            found.append(f"request {name} is not shown: {error}; mend its file, or remove its folder")
    return tuple(found)
