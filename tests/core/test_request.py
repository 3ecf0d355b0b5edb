"""What a request pins down, and what it leaves to the site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flashsim_prod.core.choices import Device
from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.core.request import InputFile, Request, Sampling
from flashsim_prod.errors import ConfigError

Make = Callable[..., Request]


def test_counts(make_request: Make) -> None:
    request = make_request(gen_events=100, oversample=10, per_job=30, per_merge=3)
    assert (request.events, request.n_simulate, request.n_merge) == (1000, 4, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 99},
        {"gen_events": 101},
        {"oversample": 11},
        {"sampling": Sampling(evaluations=10)},
        {"software_version": "9"},
        {"energy_tev": 13.6},
    ],
)
def test_what_decides_the_contents_changes_the_digest(make_request: Make, change: dict[str, Any]) -> None:
    request = make_request()
    assert request.model_copy(update=change).digest() != request.digest()


@pytest.mark.parametrize("change", [{"name": "other"}, {"catalog": "none"}, {"device": Device.CUDA}])
def test_what_only_decides_the_way_does_not(make_request: Make, change: dict[str, Any]) -> None:
    request = make_request()
    assert request.model_copy(update=change).digest() == request.digest()


def _changed(request: Request, **changes: object) -> dict[str, object]:
    return {**request.model_dump(mode="json"), **changes}


def test_an_energy_that_the_card_lacks_is_refused(make_request: Make) -> None:
    with pytest.raises(ConfigError, match=r"card toy has no energy of 7\.0 TeV"):
        Request.from_mapping(_changed(make_request(), energy_tev=7), "request.yaml")


def test_too_few_input_events_are_refused(make_request: Make) -> None:
    inputs = [InputFile(url="a.root", entries=60), InputFile(url="b.root", entries=39)]
    changed = _changed(make_request(gen_events=100), inputs=[file.model_dump() for file in inputs])
    with pytest.raises(ConfigError, match="the input files hold fewer events than gen_events"):
        Request.from_mapping(changed, "request.yaml")


def test_more_lumis_than_nanoaod_can_number_are_refused(make_request: Make) -> None:
    changed = _changed(make_request(), gen_events=2**40)
    with pytest.raises(ConfigError, match="more luminosity sections than NanoAOD can number"):
        Request.from_mapping(changed, "request.yaml")


def test_the_version_of_nanoaod_is_known_and_needs_no_key(make_request: Make) -> None:
    request = make_request()
    assert request.nano == NANO_VERSION
    assert "nano" not in request.model_dump()
    other = request.model_copy(update={"nano": "v15"})
    assert other.model_dump()["nano"] == "v15"
    assert other.digest() != request.digest()
    assert Request.from_mapping(_changed(request, nano="v15"), "request.yaml").nano == "v15"
    with pytest.raises(ConfigError, match="nano"):
        Request.from_mapping(_changed(request, nano="fifteen"), "request.yaml")


def test_what_is_remembered_of_a_request_is_not_that_of_another(make_request: Make) -> None:
    request = make_request()
    asked, untouched = request.digest(), make_request()
    assert request.digest() is asked, "worked out once: each of thousands of jobs asks"
    assert request == untouched
    assert hash(request) == hash(untouched)
    assert request.to_yaml() == untouched.to_yaml()
    other = request.model_copy(update={"seed": request.seed + 1})
    assert other.digest() == make_request(seed=request.seed + 1).digest() != asked
    assert request.model_copy().digest() == asked
