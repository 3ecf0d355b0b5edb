"""Speeds: measured like a job runs, kept for planning, and said where they come from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flashsim_prod.core.choices import Device
from flashsim_prod.core.request import Sampling
from flashsim_prod.core.speed import Speed
from flashsim_prod.errors import ConfigError
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.place import preview
from flashsim_prod.production.order.plan import Order, RatesSeen
from flashsim_prod.production.order.speeds import find_speed, store_speed, stored_speeds, with_speed

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MakeOrder = Callable[..., Order]


def _speed(**changes: Any) -> Speed:
    given = {
        "site": "here",
        "device": "cpu",
        "device_name": "cpu",
        "threads": 1,
        "bundle": "reference",
        "bundle_digest": "0" * 64,
        "sampling": Sampling(),
        "card": "toy",
        "oversample": 10,
        "chunk_events": 1000,
        "batch_rows": 512,
        "gen_events": 100,
        "events": 1000,
        "stages_s": {"generate": 2.0, "flows": 3.0, "write": 1.0},
        "seconds": 6.0,
        "cpu_s": 6.0,
        "bytes_per_event": 1500.0,
        "measured": NOON,
        "host": "h",
        "software_version": "1",
    }
    return Speed.model_validate({**given, **changes})


def test_rates_are_those_that_sites_state() -> None:
    speed = _speed()
    assert speed.events_hz == pytest.approx(1000 / 6)
    assert speed.flashsim_hz == pytest.approx(250)
    assert speed.generator_hz == pytest.approx(50)
    read = _speed(stages_s={"read": 1.0})
    assert read.generator_hz is None
    assert read.flashsim_hz == read.events_hz


def test_a_new_measurement_takes_the_place_of_the_old_one(home: Home) -> None:
    assert stored_speeds(home) == ()
    store_speed(home, _speed())
    store_speed(home, _speed(bundle_digest="1" * 64))
    store_speed(home, _speed(seconds=4.0, measured=NOON + timedelta(days=1)))
    assert [speed.seconds for speed in stored_speeds(home)] == [6.0, 4.0]


@pytest.mark.parametrize(
    "changes",
    [
        {"site": "there"},
        {"device": "cuda"},
        {"bundle_digest": "1" * 64},
        {"sampling": Sampling(evaluations=20)},
        {"sampling": Sampling(solver="euler")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_only_a_measurement_of_the_same_counts(
    home: Home, make_order: MakeOrder, changes: dict[str, Any]
) -> None:
    store_speed(home, _speed(**changes))
    order = make_order(device=Device.CPU)
    assert find_speed(home, order) is None
    assert preview(home, order, None).rates_from.startswith("configured")


def test_the_same_card_goes_before_a_newer_one(home: Home, make_order: MakeOrder) -> None:
    store_speed(home, _speed())
    store_speed(home, _speed(card="other", measured=NOON + timedelta(days=1)))
    found = find_speed(home, make_order())
    assert found is not None
    assert found.card == "toy"


def test_plans_use_it_and_say_so(home: Home, make_order: MakeOrder) -> None:
    before = preview(home, make_order(events=100_000), None)
    store_speed(home, _speed())
    plan = preview(home, make_order(events=100_000), None)
    assert plan.rates_from == "measured by bench with toy on cpu, 2026-01-02"
    # 250 Hz instead of the 200 Hz of the site's file, at the same generator rate
    assert plan.seconds < before.seconds
    assert plan.bytes == 100_000 * 1500


def test_the_generators_rate_is_that_of_its_card(make_order: MakeOrder) -> None:
    site = make_order().site
    speed = _speed(stages_s={"generate": 5.0})
    assert with_speed(site, None, speed, "toy").rates.generator_hz == pytest.approx(20)  # type: ignore[union-attr]
    other = with_speed(site, None, speed, "other")
    assert other is not None
    assert other.rates.generator_hz == site.rates.generator_hz
    assert other.rates.flashsim_hz == pytest.approx(1000)


def test_jobs_know_sizes_and_start_up_better(make_order: MakeOrder) -> None:
    site = make_order().site
    jobs = RatesSeen(site.rates.model_copy(update={"bytes_per_event": 77.0, "startup_s": 9.0}), 5)
    rates = with_speed(site, jobs, _speed(), "toy").rates  # type: ignore[union-attr]
    assert (rates.bytes_per_event, rates.startup_s, rates.flashsim_hz) == (77.0, 9.0, 250.0)
    assert with_speed(site, jobs, None, "toy") is jobs


@pytest.mark.parametrize("text", ["{", '{"schema_version": 1, "speds": []}', '{"schema_version": 2}'])
def test_a_damaged_file_is_named_with_what_to_do(home: Home, make_order: MakeOrder, text: str) -> None:
    home.speeds.write_text(text)
    with pytest.raises(
        ConfigError, match=r"speeds\.json: .*; remove it and run 'flashsim-prod bench' again"
    ) as told:
        find_speed(home, make_order())
    assert "\n" not in str(told.value)
