"""The speeds that ``bench`` measured on this machine's sites, kept for planning."""

from __future__ import annotations

import json
from typing import Literal

from filelock import FileLock

from flashsim_prod.core.choices import Device
from flashsim_prod.core.site import Rates, Site
from flashsim_prod.core.speed import Speed
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import ConfigError
from flashsim_prod.files import read_text, storage_errors, write_whole
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.plan import Order, RatesSeen


class _Stored(StrictModel):
    """``speeds.json``."""

    schema_version: Literal[1] = 1
    speeds: tuple[Speed, ...] = ()


def stored_speeds(home: Home) -> tuple[Speed, ...]:
    """All speeds kept, the oldest first; none without a file.

    Raises
    ------
    ConfigError
        If the file is not what `store_speed` wrote.
    """
    if not home.speeds.is_file():
        return ()
    with storage_errors(f"reading {home.speeds}"):
        text = read_text(home.speeds)
    mend = "remove it and run 'flashsim-prod bench' again"
    try:
        return _Stored.from_mapping(json.loads(text), str(home.speeds)).speeds
    except ConfigError as error:
        raise ConfigError(f"{error}; {mend}") from error
    except ValueError as error:
        raise ConfigError(f"{home.speeds}: not valid JSON: {error}; {mend}") from error


def store_speed(home: Home, speed: Speed) -> None:
    """Keep `speed` in the place of an earlier one of the same site, device, cores, bundle, sampling, card."""
    with storage_errors(f"locking {home.speeds}"), FileLock(home.speeds.with_suffix(".lock")):
        kept = (one for one in stored_speeds(home) if not speed.replaces(one))
        stored = _Stored(speeds=(*kept, speed))
        write_whole(home.speeds, stored.model_dump_json(indent=1) + "\n")


def find_speed(home: Home, order: Order) -> Speed | None:
    """The speed that tells how fast `order` will be: of its card if there is one, else the newest."""
    found = [
        speed
        for speed in stored_speeds(home)
        if speed.is_of(
            order.site.name,
            Device(order.device),
            order.bundle.digest,
            order.sampling,
            order.site.resources.cpus,
        )
    ]
    same_card = [speed for speed in found if speed.card == order.card.name]
    return max(same_card or found, key=lambda speed: speed.measured, default=None)


def with_speed(site: Site, measured: RatesSeen | None, speed: Speed | None, card: str) -> RatesSeen | None:
    """What finished jobs have shown, or the site's file says, with the speeds that `bench` has measured.

    Event size, start-up and power stay those of jobs, where there are any: `bench` runs alone, and briefly.
    """
    if speed is None:
        return measured
    rates = measured.rates if measured else site.rates
    found: dict[str, float] = {"flashsim_hz": speed.flashsim_hz}
    if measured is None:
        found["bytes_per_event"] = speed.bytes_per_event
    if speed.generator_hz is not None and speed.card == card:
        found["generator_hz"] = speed.generator_hz
    source = f"measured by bench with {speed.card} on {speed.device_name}, {speed.measured:%Y-%m-%d}"
    return RatesSeen(Rates(**{**rates.model_dump(), **found}), measured.jobs if measured else 0, source)
