"""More events of a sample that there is: the request that goes on where another one ended.

An extension has all of the first request but the number of events, and where it runs. What was drawn with
other models, or from other files, would be no part of the sample and is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.campaigns.extension import Extension
from flashsim_prod.core.choices import Device
from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.notices.targets import Notify
from flashsim_prod.core.request import Request
from flashsim_prod.core.sizes import format_count, parse_count
from flashsim_prod.core.states import JobState
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import BundleError, ConfigError, InputError, RequestError, StateError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.asked import asked_of
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.library import BundleFound, find_analysis, find_checked_bundle, find_site
from flashsim_prod.production.order.order import check_device
from flashsim_prod.production.order.plan import Order
from flashsim_prod.production.order.rucio_rses import find_registration
from flashsim_prod.software import is_same_software, software_here, software_told

if TYPE_CHECKING:
    from flashsim_prod.core.sources.base import InputFile
    from flashsim_prod.physics.generator.kinds import SourceKind

#: what the events of an extension cannot be made of, or with
_NOT_ONE_SAMPLE = "both together would not be one sample; bring it back, or order a new request"


class Extending(StrictModel):
    """An extension as typed; see ``flashsim-prod request extend --help``. ``None`` is as in the request."""

    events: str | None = None
    site: str | None = None
    device: Device | None = None
    slots: int | None = None
    events_per_job: str | None = None
    rse: str | None = None
    notify: Notify | None = None


@dataclass(frozen=True)
class Family:
    """A request and its extensions so far.

    Attributes
    ----------
    first : Request
    later : tuple of Request
        The extensions, by number.
    """

    first: Request
    later: tuple[Request, ...]

    @property
    def gen_events(self) -> int:
        """Distinct generator events of all of them."""
        return self.first.gen_events + sum(one.gen_events for one in self.later)

    def next(self) -> Extension:
        """Where the next extension begins: after the last one, be that finished or not."""
        last = self.later[-1] if self.later else self.first
        return Extension(
            request=self.first.name,
            dataset=str(self.first.dataset),
            digest=self.first.digest(),
            number=1 if last.extends is None else last.extends.number + 1,
            jobs=last.before.jobs + last.n_simulate,
            gen_events=last.before.gen_events + last.gen_events,
            lumis=last.before.lumis + last.n_lumis,
        )


def find_family(home: Home, ledger: Ledger, name: str) -> Family:
    """The request `name`, or the one that it extends, with all extensions.

    Raises
    ------
    RequestError
        If there is no such request.
    StateError
        If what an extension made is not known any more, because its folder is gone.
    """
    first = load_request(_kept(home, ledger, name))
    if first.extends is not None:
        extends = first.extends
        first = load_request(_kept(home, ledger, extends.request))
        if first.digest() != extends.digest:
            raise StateError(f"request {name} extends another {first.name} than the one that is there now")
    digest = first.digest()
    found = (load_request(_kept(home, ledger, one)) for one in _candidates(home, ledger, first.dataset))
    later = [one for one in found if one.extends is not None and one.extends.digest == digest]
    later.sort(key=lambda one: one.before.jobs)
    return Family(first, tuple(later))


def extension_order(home: Home, name: str, typed: Extending) -> tuple[Order, BundleFound, tuple[str, ...]]:
    """The order of an extension of `name`, its bundle, and what a user should know of it.

    Raises
    ------
    RequestError, ConfigError
        If there is no such request or site, a number is none, or no input is left.
    StateError
        If the request cannot be extended: it failed, was cancelled, or was never started.
    BundleError
        If the models are not those of the request any more.
    InputError
        If input files are not those of the request any more.
    """
    events = parse_count(typed.events, "--events") if typed.events is not None else None
    per_job = parse_count(typed.events_per_job, "--events-per-job") if typed.events_per_job else None
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        family = find_family(home, ledger, name)
        notes = [*_told_of(family, name), *_state_of(ledger, family)]
    first, begins = family.first, family.next()
    site = first.site if typed.site is None else find_site(typed.site)
    check_device(typed.device, site)
    registration = first.registration
    if typed.rse or (site.storage.rse != first.site.storage.rse and registration.rse is not None):
        registration = registration.model_copy(update={"rse": typed.rse})
    registration = find_registration(first.catalog, registration, site.storage.rse)
    bundle = _same_bundle(first)
    own = {
        "card": first.card,
        "site": site.as_ordered(typed.slots),
        "notify": typed.notify or site.notify or _as_of(home, first),
        "bundle": first.bundle,
        "analysis": first.analysis,
        "bundle_tag": bundle.tag,
        "missing": bundle.missing,
        "events": events,
        "energy_tev": first.energy_tev,
        "source": first.source,
        "events_per_job": per_job,
        "extends": begins,
    }
    is_same_site = site.as_ordered() == first.site
    device = typed.device or (first.device if is_same_site else site.device)
    chosen = {**first.chosen(), "device": device, "registration": registration}
    order = Order.from_mapping({**chosen, **own}, f"extension of {first.name}")
    check_left(order)
    _check_inputs(first, begins.gen_events)
    return order, bundle, tuple(notes)


def _as_of(home: Home, first: Request) -> Notify | None:
    """Who is told of the request that is extended, if that was said of it."""
    asked = asked_of(home, first.name)
    return None if asked is None or asked.file.parent == home.path else asked.notify


def check_left(order: Order) -> None:
    """See that the input has events that the requests before did not use; `RequestError` otherwise."""
    if order.available is not None and order.available < 1 and order.extends is not None:
        raise RequestError(
            f"request {order.extends.request}: all {format_count(order.extends.gen_events)} events of its "
            "input files are used; new files make a request of their own (request --input)"
        )


def _kept(home: Home, ledger: Ledger, name: str) -> Path:
    folder = home.folder(name)
    if not folder.request.is_file() and ledger.has_request(name):
        raise StateError(
            f"{folder.request} is gone: which events request {name} made is known no more, and so they "
            "cannot be gone on with; bring it back, or order a new request"
        )
    return home.existing(name).request


def _candidates(home: Home, ledger: Ledger, dataset: DatasetName) -> Iterator[str]:
    """Names of requests whose datasets are called as extensions of `dataset` are, in whatever version."""
    is_called_so = re.compile(re.escape(dataset.string) + "_ext[0-9]+")
    rows = ledger.requests()
    alike = dataset.model_dump(exclude={"string", "version"})
    for row in rows:
        same = row.dataset.model_dump(exclude={"string", "version"}) == alike
        if same and is_called_so.fullmatch(row.dataset.string):
            yield row.name
    known = {row.name for row in rows}
    for name in home.names():
        # dry runs, whose numbers are taken as long as their folders are there
        if name in known:
            continue
        try:
            request = load_request(home.folder(name).request)
        except (RequestError, ConfigError):
            continue
        if request.extends is not None:
            yield name


def _told_of(family: Family, name: str) -> Iterator[str]:
    if name != family.first.name:
        yield f"{name} is itself an extension: this one goes on after the last one of {family.first.name}"
    first = family.first
    if not is_same_software(first):
        yield (
            f"{first.name} was made with {software_told(first.software_version, first.code)}, this will be "
            f"made with {software_here()}, as its request.yaml says: compare them before both are used as "
            "one sample"
        )


def _state_of(ledger: Ledger, family: Family) -> Iterator[str]:
    """What is not finished of a family; `StateError` if the first request is not going to be."""
    first = family.first.name
    if not ledger.has_request(first):
        raise StateError(f"request {first} was never started; start it first: flashsim-prod retry {first}")
    for request in (family.first, *family.later):
        if not ledger.has_request(request.name):
            continue
        row, counts = ledger.request(request.name), ledger.counts(request.name)
        left = {state for (_, state), number in counts.items() if number} - {JobState.DONE}
        state = "failed" if JobState.FAILED in left else "was cancelled"
        if left and (row.cancelled or left & {JobState.FAILED, JobState.CANCELLED}):
            if request is family.first:
                raise StateError(
                    f"request {first} {state}, and what is not there cannot be extended; "
                    f"finish it first: flashsim-prod retry {first}"
                )
            yield f"{request.name} {state}: its events are left to it, and this one goes on after them"
        elif left:
            yield f"{request.name} is not finished yet; together they are one sample once all of them are"


def _same_bundle(first: Request) -> BundleFound:
    find = find_checked_bundle if first.analysis is None else find_analysis
    found = find(first.bundle.path)
    if found.ref.digest != first.bundle.digest:
        raise BundleError(
            f"bundle {first.bundle.path} is another one than when {first.name} was made (digest "
            f"{found.ref.digest[:12]}..., then {first.bundle.digest[:12]}...): {_NOT_ONE_SAMPLE}"
        )
    return found


def _check_inputs(first: Request, used: int) -> None:
    """See that the files that jobs will open are those that the first request was made of."""
    if not first.source.files:
        return
    from flashsim_prod.physics.generator.kinds import find_kind

    kind = find_kind(first.source.kind)
    left = sum(file.entries for file in first.source.files) - used
    for file in first.source.opened_for(used, left):
        found = _what_is_there(kind, file)
        odd = next((name for name, now in found.items() if now != getattr(file, name)), None)
        if odd is not None:
            raise InputError(
                f"{file.url} is another file than when {first.name} was made ({_told(odd, found[odd])}, then "
                f"{_told(odd, getattr(file, odd))}): {_NOT_ONE_SAMPLE}"
            )


def _what_is_there(kind: SourceKind, file: InputFile) -> dict[str, object]:
    """What an input file is now, of all that was written down of it."""
    found: dict[str, object] = {"entries": kind.entries(file.url)}
    if file.bytes is not None and not file.is_url:
        found["bytes"] = os.path.getsize(file.url)
    if file.identity is not None:
        found["identity"] = kind.identity(file.url)
    return found


def _told(name: str, value: object) -> str:
    if name == "identity":
        what, _, told = str(value).partition(":")
        return f"{what} {told[:13]}..."
    return f"{value} {'events' if name == 'entries' else name}"
