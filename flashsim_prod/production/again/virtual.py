"""Virtual datasets: registered with recipe, numbering and norms, and made when somebody wants their files."""

from __future__ import annotations

from typing import Any

from flashsim_prod.core.choices import RegisterIn
from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.production.catalogs import check_registration, open_catalog
from flashsim_prod.production.context import Outcome, opened_request, outcome
from flashsim_prod.production.dataset.register import metadata
from flashsim_prod.production.home import Home

#: what a catalogue's metadata of a dataset calls what its files will hold
RECIPE = "recipe"


def register_virtual(home: Home, name: str) -> Outcome:
    """Register the dataset of a request of which no file is made yet; may be done any number of times.

    Raises
    ------
    CatalogError
        If the catalogue knows something else under its name.
    StorageError
        If the catalogue cannot be reached.
    """
    with opened_request(home, home.existing(name)) as context:
        request = context.request
        if request.catalog is not RegisterIn.NONE:
            check_registration(request.catalog, request.registration.scope, request.rse)
            with open_catalog(request.catalog, home, request.registration.scope) as catalog:
                told = {**metadata(context), RECIPE: recipe(request)}
                catalog.ensure_container(str(request.dataset), told)
        return outcome(context)


def recipe(request: Request) -> dict[str, Any]:
    """What the files will hold: how many there are, how events are numbered in them, what they count for."""
    per_file = request.split.gen_events_per_job * request.split.jobs_per_merge * request.oversample
    entry = request.card.energy(request.energy_tev)
    return {
        "files": request.n_merge,
        "events": request.events,
        "events_per_file": min(per_file, request.events),
        "run": request.run,
        "first_event": simulate_job(request, 0).first_event,
        "cross_section_pb": None if entry is None else entry.cross_section_pb,
        # of what is generated, weights are known when it is: a file's own tree Runs has their sums
        **_sums(request),
    }


def _sums(request: Request) -> dict[str, float]:
    """The sums of weights of all events, where the input tells them."""
    from flashsim_prod.physics.generator.kinds import find_kind
    from flashsim_prod.physics.nanoaod.runs import total

    first, kind = request.before.gen_events, find_kind(request.source.kind)
    runs = kind.runs(request.source, first, request.gen_events, request.oversample)
    return total(runs) if runs else {"genEventCount": float(request.events)}
