"""Registering the dataset of a request that was made before."""

from __future__ import annotations

import os
from dataclasses import replace

from flashsim_prod.core.request import Registration
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import RequestError
from flashsim_prod.production.catalogs import RSE_VARIABLE
from flashsim_prod.production.dataset.register import Progress
from flashsim_prod.production.drive.foreground import Outcome, opened_desk, register_in
from flashsim_prod.production.home import Home
from flashsim_prod.production.state import request_state


def register_request(
    home: Home,
    name: str,
    *,
    catalog: str | None = None,
    rse: str | None = None,
    rse_expression: str | None = None,
    lifetime_days: float | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Register a finished dataset; what is registered already is compared and left alone.

    Several of these may run at once. Options that are ``None`` are as in the request.

    Raises
    ------
    RequestError
        If there is no such request, or it names no catalogue.
    StateError, StorageError, CatalogError
        As by `flashsim_prod.production.dataset.register.register`.
    """
    given = {"rse": rse, "rse_expression": rse_expression, "lifetime_days": lifetime_days}
    with opened_desk(home, home.existing(name)) as opened:
        chosen = catalog or opened.request.catalog
        if chosen == "none":
            raise RequestError(f"request {name} names no catalogue; say --catalog local or --catalog rucio")
        told = {key: value for key, value in given.items() if value is not None}
        if rse is None and opened.request.registration.rse is None and os.environ.get(RSE_VARIABLE):
            told["rse"] = os.environ[RSE_VARIABLE]
        known = opened.request.registration.model_dump()
        registration = Registration.from_mapping({**known, **told}, "--rse, --rse-expression, --lifetime")
        request = opened.request.model_copy(update={"catalog": chosen, "registration": registration})
        desk = replace(opened, request=request)
        register_in(desk, chosen, progress)
        row, counts = desk.ledger.request(name), desk.ledger.counts(name)
        return Outcome(
            request=request,
            state=request_state(row, counts, driven=False),
            files=tuple(file.output for file in desk.ledger.files(name, Stage.MERGE)),
        )
