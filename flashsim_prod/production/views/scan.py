"""What a request would come to with other factors of oversampling, and what its events would be worth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flashsim_prod import __version__
from flashsim_prod.core.splitting import processes_of, seconds_per_gen_event
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.files import read_text, storage_errors
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.place import preview_rates
from flashsim_prod.production.order.plan import Order, RatesSeen, make_plan

#: what ``validate proof`` writes into its folder
PROOF_NAME = "proof.json"
#: observables that are compared if none is chosen
_SHOWN = 3


@dataclass(frozen=True)
class Worth:
    """What an output event is worth for one observable.

    Attributes
    ----------
    per_event : float
        Independent events that it stands for: 1 without oversampling.
    gain : float
        Independent events that a gen event with all its folds stands for.
    is_proven : bool
        Whether this very factor was tried with toys; else it follows from the nearest one that was.
    """

    per_event: float
    gain: float
    is_proven: bool


@dataclass(frozen=True)
class Factor:
    """A request with one factor of oversampling.

    Attributes
    ----------
    events_hz : float
        Output events per second of one job, its gen events included.
    gen_hz : float
        Gen events per second of one job, their folds included.
    seconds : float
        Wall time of all on the site [s].
    worth : mapping
        By observable; empty where no proof is at hand.
    """

    oversample: int
    gen_events: int
    events: int
    events_hz: float
    gen_hz: float
    seconds: float
    energy_kwh: float | None
    bytes: int
    worth: Mapping[str, Worth]


@dataclass(frozen=True)
class Proofs:
    """What a proof has found of one process.

    Attributes
    ----------
    gains : mapping
        By observable, gains by factor; only what is proven.
    file : Path
    """

    gains: Mapping[str, Mapping[int, float]]
    file: Path

    def of(self, names: Sequence[str]) -> Proofs:
        """Of these observables, or the first few; `RequestError` if one was not tried."""
        for name in names:
            if name not in self.gains:
                raise RequestError(
                    f"--observable: {self.file} proves nothing of '{name}'{nearest(name, self.gains)}"
                )
        kept = list(dict.fromkeys(names)) or list(self.gains)[:_SHOWN]
        return Proofs({name: self.gains[name] for name in kept}, self.file)

    def worth(self, oversample: int) -> dict[str, Worth]:
        """What an event is worth with this factor, by observable."""
        return {name: _worth(gains, oversample) for name, gains in self.gains.items()}


def scan(home: Home, order: Order, factors: Sequence[int], proofs: Proofs | None = None) -> list[Factor]:
    """What `order` comes to with each factor of oversampling, at the same number of output events.

    Raises
    ------
    RequestError
        If the order cannot be fulfilled with one of them, which is named.
    """
    measured = preview_rates(home, order)
    return [_factor(order, factor, measured, proofs) for factor in factors]


def _factor(order: Order, oversample: int, measured: RatesSeen | None, proofs: Proofs | None) -> Factor:
    try:
        plan = make_plan(
            order.model_copy(update={"oversample": oversample}),
            name="scan",
            version=1,
            created=datetime.now(UTC).replace(microsecond=0),
            software_version=__version__,
            measured=measured,
        )
    except RequestError as error:
        raise RequestError(f"with {oversample} folds of a gen event: {error}") from error
    rates, ask = measured.rates if measured else order.site.rates, plan.request
    each_s = seconds_per_gen_event(
        oversample, rates, generated=ask.source.runs_generator, processes=processes_of(ask.site)
    )
    return Factor(
        oversample=oversample,
        gen_events=ask.gen_events,
        events=ask.events,
        events_hz=oversample / each_s,
        gen_hz=1 / each_s,
        seconds=plan.seconds,
        energy_kwh=plan.energy_kwh,
        bytes=plan.bytes,
        worth=proofs.worth(oversample) if proofs else {},
    )


def find_proofs(place: Path, process: str) -> Proofs | None:
    """What the proof in a folder or file says of a process, called as pages call it; ``None`` without any.

    Raises
    ------
    ConfigError
        If the file is not what ``validate proof`` writes.
    """
    path = place / PROOF_NAME if place.is_dir() else place
    if not path.is_file():
        return None
    with storage_errors(f"reading {path}"):
        text = read_text(path)
    try:
        found = [one["observables"] for one in json.loads(text)["processes"] if one["title"] == process]
        gains: dict[str, dict[int, float]] = {}
        for one in (inner for outer in found for inner in outer):
            if one["proven"]:
                gains.setdefault(str(one["observable"]), {})[int(one["folds"])] = float(one["gain"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: not what 'flashsim-prod validate proof' writes ({type(error).__name__}: {error})"
        ) from error
    return Proofs(gains, path) if gains else None


def _worth(gains: Mapping[int, float], oversample: int) -> Worth:
    if oversample == 1:
        return Worth(1.0, 1.0, True)
    if oversample in gains:
        return Worth(gains[oversample] / oversample, gains[oversample], True)
    near = min(gains, key=lambda folds: abs(folds - oversample))
    # with a correlation rho of two folds, the variance of a sum of k of them is k (1 + rho (k - 1))
    correlation = min(max((near / gains[near] - 1) / (near - 1), 0.0), 1.0)
    gain = oversample / (1 + correlation * (oversample - 1))
    return Worth(gain / oversample, gain, False)


def figures(factor: Factor) -> dict[str, Any]:
    """What is printed as JSON."""
    return {
        **{name: value for name, value in vars(factor).items() if name != "worth"},
        "worth": {name: vars(one) for name, one in factor.worth.items()},
    }
