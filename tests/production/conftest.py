"""Orders, plans and requests of any shape."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.request import BundleRef
from flashsim_prod.core.site import MergeRules, Rates, Resources, Site, StorageRules
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.order.plan import Order, Plan, make_plan

CARD = ProcessCard(
    name="toy",
    title="a toy process",
    primary="Toy_{energy}",
    energies=(Energy(tev=13, pileup="Run2_2018"), Energy(tev=13.6, pileup="flat")),
    settings=("Top:all = on",),
)
SITE = Site(
    name="here",
    title="this machine",
    engine="local",
    slots=2,
    max_attempts=2,
    resources=Resources(walltime_min=60, target_walltime_min=20),
    rates=Rates(generator_hz=50, flashsim_hz=200, startup_s=5, bytes_per_event=100),
    storage=StorageRules(rse="LOCAL", prefix="{home}"),
    merge=MergeRules(files_per_block=2),
)


def _order(*, per_merge: int | None = None, **changes: Any) -> Order:
    site = SITE
    if per_merge is not None:
        # as large as that many outputs
        size_mb = per_merge * int(changes["events_per_job"]) * SITE.rates.bytes_per_event / 1e6
        site = SITE.model_copy(update={"merge": MergeRules(target_file_mb=size_mb, files_per_block=2)})
    given: dict[str, Any] = {
        "card": CARD,
        "site": site,
        "oversample": 10,
        "seed": 1234,
        "bundle": BundleRef(path="reference", digest="0" * 64),
        "bundle_tag": "RefDet",
        "events": 1000,
    }
    # as the command does, so that what cannot be is refused here
    return Order.from_mapping({**given, **changes}, "request toy-001")


@pytest.fixture
def make_order() -> Callable[..., Order]:
    """A function that makes an order from what matters to a test."""
    return _order


@pytest.fixture
def plan_of() -> Callable[..., Plan]:
    """A function that plans such an order."""

    def plan(**changes: Any) -> Plan:
        measured = changes.pop("measured", None)
        return make_plan(
            _order(**changes),
            name="toy-001",
            version=1,
            created=datetime(2025, 1, 1, tzinfo=UTC),
            software_version="0.1.0",
            measured=measured,
        )

    return plan


@pytest.fixture
def placed(home: Home) -> Callable[..., Plan]:
    """A function that places a request in the state folder, without running it."""

    def do(name: str | None = None, *, dry_run: bool = False, **changes: Any) -> Plan:
        order = _order(**changes)
        plan = preview(home, order, name)
        return place(home, order, plan, bundle_title="toy models", named=name is not None, dry_run=dry_run)

    return do
