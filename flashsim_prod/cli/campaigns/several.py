"""``request CARD CARD ...``: a campaign without a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from flashsim_prod.cli.campaigns.making import How, make_campaign
from flashsim_prod.core.campaigns.campaign import Campaign
from flashsim_prod.core.sizes import parse_count
from flashsim_prod.errors import RequestError
from flashsim_prod.production.campaigns.store import campaign_names
from flashsim_prod.production.home import home_to_read
from flashsim_prod.production.order.order import Typed

#: options that a campaign's entry has under the same names
_SAME = ("bundle", "nano", "sampling", "slots", "catalog", "registration", "notify")


def make_several(
    typed: Typed,
    cards: Sequence[str],
    name: str | None,
    *,
    dry_run: bool,
    wait: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make a request of each card, all with the options of the first.

    Raises
    ------
    RequestError
        If there is a campaign of this name, or one of the requests cannot be made.
    """
    taken = campaign_names(home_to_read())
    if name in taken:
        raise RequestError(
            f"a campaign '{name}' exists already; choose another --name, "
            f"or go on with it: flashsim-prod campaign retry {name}"
        )
    if typed.events is None:
        raise RequestError("--events is missing; say how many output events are wanted")
    for option, value in (("--primary", typed.primary), ("--xsec", typed.xsec)):
        if value is not None:
            raise RequestError(f"{option} goes with --input, and so with one request")
    if typed.analysis is not None:
        raise RequestError("--analysis goes with one card; say it in the file of a campaign for several")
    if typed.era:
        raise RequestError("--era goes with one card; those of several follow the bundle")
    if typed.virtual:
        raise RequestError("--virtual goes with one card; register them one by one")
    per_job = typed.events_per_job
    said = {
        "cards": [_anchored(card) for card in cards],
        "events": parse_count(typed.events, "--events"),
        "oversample": typed.oversample,
        "energies": typed.energy_tev,
        "sites": _anchored(typed.site),
        "shower": None if typed.shower is None else _anchored(typed.shower),
        "seed": typed.seed if "seed" in typed.model_fields_set else None,
        "device": typed.wanted_device,
        "events_per_job": None if per_job is None else parse_count(per_job, "--events-per-job"),
        **{field: getattr(typed, field) for field in _SAME if field in typed.model_fields_set},
    }
    entry = {field: value for field, value in said.items() if value is not None}
    campaign = Campaign.from_mapping({"name": name or _free_name(taken), "requests": [entry]}, "options")
    make_campaign(campaign, "options", How(dry_run=dry_run, wait=wait, yes=yes, as_json=as_json))


def _anchored(word: str) -> str:
    """A file's name as it is found from anywhere, since the campaign may be gone on with elsewhere."""
    is_file = os.sep in word or word.endswith((".yaml", ".yml", ".cmnd", ".cmd", ".txt"))
    return str(Path(word).expanduser().absolute()) if is_file else word


def _free_name(taken: Sequence[str]) -> str:
    number = 1
    while (name := f"requests-{number:03d}") in taken:
        number += 1
    return name
