"""The samples of a campaign that there are: found by the names of requests, which hold what each is of.

So a request belongs to its campaign from the moment that it appears, and nothing has to be written beside it
that could be lost in between.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from flashsim_prod.core.campaigns.campaign import Wanted
from flashsim_prod.core.campaigns.matching import Made
from flashsim_prod.core.request import Request
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request

#: longer names of cards are cut in the names of requests, which have 80 characters
_LABEL_MOST = 12
_NAME = re.compile(
    r"(?P<stem>(?P<campaign>[A-Za-z0-9_\-]+)\.(?P<label>[^.]+)\.(?P<key>[0-9a-f]{10})(-(?P<twin>[0-9]+))?)"
    r"(_ext(?P<extension>[0-9]+))?"
)


@dataclass(frozen=True)
class Sample:
    """A request of a campaign and its extensions.

    Attributes
    ----------
    made : Made
    requests : tuple of str
        Their names, the first one first.
    """

    made: Made
    requests: tuple[str, ...]


def stem_of(campaign: str, wanted: Wanted) -> str:
    """How the names of requests begin that make this sample."""
    card = re.sub(r"\.ya?ml$", "", wanted.card.rsplit("/", 1)[-1]) if wanted.card else "input"
    energy = wanted.era or (
        "" if wanted.energy_tev is None else f"{wanted.energy_tev:g}TeV".replace(".", "p")
    )
    words = (card[:_LABEL_MOST], energy[:_LABEL_MOST], f"x{wanted.oversample}")
    label = re.sub(r"[^A-Za-z0-9_\-]+", "-", "-".join(word for word in words if word))
    return f"{campaign}.{label}.{wanted.key}"


def free_name(stem: str, taken: Collection[str]) -> str:
    """The first name that begins so and is not taken."""
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    return name


def campaign_of(name: str) -> str | None:
    """The campaign that a request is of by its name; ``None`` if of none."""
    match = _NAME.fullmatch(name)
    return match["campaign"] if match else None


def find_samples(
    home: Home, ledger: Ledger, campaign: str, whole_inputs: Collection[str] = ()
) -> list[Sample]:
    """All samples of a campaign; of the keys in `whole_inputs` with the number of events of their input."""
    rows = {row.name: row for row in ledger.requests()}
    families: dict[str, dict[int, str]] = {}
    for name in {*rows, *home.names()}:
        match = _NAME.fullmatch(name)
        if match and match["campaign"] == campaign:
            families.setdefault(match["stem"], {})[int(match["extension"] or 0)] = name
    samples = []
    for stem, members in sorted(families.items()):
        if 0 not in members:
            continue
        names = tuple(members[number] for number in sorted(members))
        key = str(_NAME.fullmatch(stem)["key"])  # type: ignore[index]
        first = rows.get(stem)
        request = known_request(home, stem) if first is None or key in whole_inputs else None
        made = Made(
            name=stem,
            key=key,
            site=first.site if first else (request.site.name if request else "?"),
            gen_events=sum(
                rows[one].gen_events if one in rows else _gen_events(known_request(home, one))
                for one in names
            ),
            available=request.source.available if request else None,
        )
        samples.append(Sample(made, names))
    return samples


def known_request(home: Home, name: str) -> Request | None:
    """The request in the folder of this name, if it can be read."""
    try:
        return load_request(home.folder(name).request)
    except (RequestError, ConfigError):
        return None


def _gen_events(request: Request | None) -> int:
    return 0 if request is None else request.gen_events
