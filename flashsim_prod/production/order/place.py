"""From an order to a request: its name, its dataset's version, its folder and its rows in the ledger."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from filelock import FileLock

from flashsim_prod import __version__
from flashsim_prod.core.choices import Device
from flashsim_prod.core.names import DatasetName, check_request_name
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.site import Rates, Site
from flashsim_prod.errors import ConfigError, RequestError, StorageError
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.extend import check_left, find_family
from flashsim_prod.production.order.folder import load_request, write_folder
from flashsim_prod.production.order.plan import Order, Plan, RatesSeen, dataset_name, make_plan
from flashsim_prod.production.order.speeds import find_speed, with_speed
from flashsim_prod.software import code_digest

log = logging.getLogger("flashsim_prod.placing")

#: how long Rucio is waited for when a version is chosen [s]
_RUCIO_PATIENCE_S = 5.0


def preview(home: Home, order: Order, name: str | None) -> Plan:
    """What `order` comes to here and now; nothing is written.

    Parameters
    ----------
    home : Home
    order : Order
    name : str, optional
        Name of the request; by default the card's name and the next free number.

    Raises
    ------
    RequestError
        If the name is taken, or the order cannot be fulfilled.
    """
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        plan = make_plan(
            order,
            name=_chosen_name(home, ledger, order, name),
            version=_version_of(home, ledger, order),
            created=datetime.now(UTC).replace(microsecond=0),
            software_version=__version__,
            measured=_rates_here(home, ledger, order),
        )
    return replace(plan, request=plan.request.model_copy(update={"code": code_digest()}))


def preview_rates(home: Home, order: Order) -> RatesSeen | None:
    """The rates that `preview` takes: what jobs and ``bench`` have shown at the order's site, if anything."""
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        return _rates_here(home, ledger, order)


def _rates_here(home: Home, ledger: Ledger, order: Order) -> RatesSeen | None:
    measured = measured_rates(ledger, order.site, order.card.name, order.device)
    return with_speed(order.site, measured, find_speed(home, order), order.card.name)


def place(home: Home, order: Order, plan: Plan, *, bundle_title: str, named: bool, dry_run: bool) -> Plan:
    """Write the request's folder and, unless `dry_run`, enter its jobs into the ledger.

    Between the preview and the user's yes another command may have taken the name or the version: a
    name that the user chose is then refused, everything else moves on to the next free one.

    Returns
    -------
    Plan
        With the request as it was written.
    """
    with FileLock(home.naming_lock), Ledger(home.ledger) as ledger:
        order, plan = _moved_on(home, ledger, order, plan)
        name = _chosen_name(home, ledger, order, plan.request.name if named else None)
        plan = _renamed(plan, name, _version_of(home, ledger, order))
        if dry_run:
            write_folder(home, plan, bundle_title=bundle_title)
            return plan
        return _enter_and_write(home, ledger, plan, bundle_title)


def enter_existing(ledger: Ledger, folder: RequestFolder, request: Request) -> None:
    """Enter a request that so far has only a folder (a dry run, or a crash before the ledger was written).

    Raises
    ------
    RequestError
        If the dataset was taken by another request meanwhile.
    """

    def digest(dataset: DatasetName) -> str:
        if dataset != request.dataset:
            raise RequestError(
                f"another request makes {request.dataset} by now; "
                f"order '{request.name}' anew under another --name"
            )
        return request.digest()

    _create(ledger, folder, request, digest)


def measured_rates(ledger: Ledger, site: Site, card: str, device: Device) -> RatesSeen | None:
    """The site's rates with those replaced that its finished jobs have measured, or ``None`` without any."""
    on_gpu = None if device is Device.AUTO else device is Device.CUDA
    measured = ledger.recent_rates(site.name, card, on_gpu=on_gpu)
    if measured is None:
        return None
    found = {
        key: value
        for key in ("generator_hz", "flashsim_hz", "startup_s", "bytes_per_event", "watts")
        if (value := getattr(measured, key)) is not None
    }
    return RatesSeen(Rates(**{**site.rates.model_dump(), **found}), measured.jobs)


def _enter_and_write(home: Home, ledger: Ledger, plan: Plan, bundle_title: str) -> Plan:
    final = plan

    def write(dataset: DatasetName) -> str:
        nonlocal final
        final = _renamed(plan, plan.request.name, dataset.version)
        write_folder(home, final, bundle_title=bundle_title)
        return final.request.digest()

    _create(ledger, home.folder(plan.request.name), plan.request, write)
    return final


def _create(
    ledger: Ledger, folder: RequestFolder, request: Request, write: Callable[[DatasetName], str]
) -> None:
    ledger.create_request(
        request.name,
        request.dataset,
        folder.path,
        card=request.card.name,
        site=request.site.name,
        catalog=request.catalog,
        seed=request.seed,
        gen_events=request.gen_events,
        oversample=request.oversample,
        n_simulate=request.n_simulate,
        n_merge=request.n_merge,
        write=write,
    )


def _renamed(plan: Plan, name: str, version: int) -> Plan:
    dataset = plan.request.dataset.model_copy(update={"version": version})
    return replace(plan, request=plan.request.model_copy(update={"name": name, "dataset": dataset}))


def _moved_on(home: Home, ledger: Ledger, order: Order, plan: Plan) -> tuple[Order, Plan]:
    """An extension behind those that others have made of the same request since it was planned."""
    if order.extends is None:
        return order, plan
    begins = find_family(home, ledger, order.extends.request).next()
    if begins == order.extends:
        return order, plan
    order = order.model_copy(update={"extends": begins})
    check_left(order)
    if order.available is not None and order.available < plan.request.gen_events:
        raise RequestError(
            f"another command has extended {begins.request} meanwhile: "
            f"{order.available} events of its input are left"
        )
    moved = {"extends": begins, "dataset": dataset_name(order, plan.request.dataset.version)}
    return order, replace(plan, request=plan.request.model_copy(update=moved))


def _chosen_name(home: Home, ledger: Ledger, order: Order, wanted: str | None) -> str:
    if wanted is None and order.extends is not None:
        wanted = f"{order.extends.request}_ext{order.extends.number}"
    return _free_name(home, ledger, order.card.name, wanted)


def _version_of(home: Home, ledger: Ledger, order: Order) -> int:
    """The version of the dataset: the first that is free, for an extension from that of its request on."""
    dataset, rows = dataset_name(order, 1), ledger.requests()
    here = [row.dataset for row in rows] + _only_folders(home, {row.name for row in rows})
    catalogued = _catalogued(home)
    if order.catalog == "rucio":
        catalogued += _in_rucio(dataset, order.registration.scope)
    taken = [one for one in here + catalogued if one.model_copy(update={"version": 1}) == dataset]
    free = max((one.version for one in taken), default=0) + 1
    if order.extends is None:
        return free
    foreign = next((one for one in taken if one not in here), None)
    if foreign is not None:
        raise RequestError(
            f"{foreign} is in the catalogue and no request here made it: it may hold the very events "
            f"that this extension of {order.extends.request} would; order a new request instead"
        )
    return max(free, order.extends.dataset_name().version)


def _free_name(home: Home, ledger: Ledger, card: str, wanted: str | None) -> str:
    taken = {row.name for row in ledger.requests()} | set(home.names())
    if wanted is None:
        numbers = [int(name[len(card) + 1 :]) for name in taken if re.fullmatch(f"{card}-[0-9]+", name)]
        return f"{card}-{max(numbers, default=0) + 1:03d}"
    if check_request_name(wanted) in taken:
        raise RequestError(
            f"a request '{wanted}' exists already; choose another --name, "
            f"or go on with it: flashsim-prod retry {wanted}"
        )
    return wanted


def _catalogued(home: Home) -> list[DatasetName]:
    with LocalCatalog(home.catalog, read_only=home.is_read_only) as catalog:
        return [DatasetName.parse(container.name) for container in catalog.containers()]


def _in_rucio(dataset: DatasetName, scope: str) -> list[DatasetName]:
    """Datasets of the same primary name that others have registered, as far as Rucio can be asked now."""
    from flashsim_prod.grid.catalog.rucio import RucioCatalog
    from flashsim_prod.grid.catalog.rucio_calls import RucioCalls

    try:
        with RucioCatalog(scope, RucioCalls(patience_s=_RUCIO_PATIENCE_S)) as catalog:
            names = catalog.names(f"/{dataset.primary}/{dataset.era}-*")
    except (ConfigError, StorageError) as error:
        # the dataset can be made all the same; if its name is another's, registering it will say so
        log.warning("the version is chosen without Rucio: %s", error)
        return []
    return [found for name in names if (found := _parsed(name)) is not None]


def _parsed(name: str) -> DatasetName | None:
    try:
        return DatasetName.parse(name)
    except RequestError:
        return None


def _only_folders(home: Home, in_ledger: set[str]) -> list[DatasetName]:
    """Datasets of dry runs, which the ledger does not know."""
    found = []
    for name in home.names():
        if name in in_ledger:
            continue
        try:
            found.append(load_request(home.folder(name).request).dataset)
        except (RequestError, ConfigError) as error:
            # one folder that somebody spoiled must not stop all requests
            log.warning("%s; its dataset's name is not counted as taken", error)
    return found
