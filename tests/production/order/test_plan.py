"""What an order comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flashsim_prod.core.request import InputFile
from flashsim_prod.core.site import Rates
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.production.order.plan import MeasuredRates, Plan

PlanOf = Callable[..., Plan]
Effort = Callable[[Callable[[], object]], float]


def test_counts_and_estimates(plan_of: PlanOf) -> None:
    plan = plan_of(events=10_000, oversample=10, events_per_job=1000)
    request = plan.request
    assert (request.events, request.gen_events, request.n_simulate) == (10_000, 1000, 10)
    # 100 gen events at 50 Hz, 1000 output events at 200 Hz, 5 s before the first
    assert plan.job_seconds == pytest.approx(5 + 100 / 50 + 1000 / 200)
    assert plan.seconds == pytest.approx(5 * plan.job_seconds), "ten jobs, two at a time"
    assert plan.bytes == 10_000 * 100
    assert plan.energy_kwh is None
    assert plan.notes == ()
    assert not plan.is_long


def test_the_dataset_name_says_what_made_it(plan_of: PlanOf) -> None:
    assert str(plan_of().request.dataset) == "/Toy_13TeV/FlashSim2018-RefDet_x10-v1/NANOAODSIM"
    other = plan_of(energy_tev=13.6, oversample=1).request.dataset
    assert str(other) == "/Toy_13p6TeV/FlashSim13p6TeV-RefDet_x1-v1/NANOAODSIM"


def test_the_last_gen_events_folds_are_completed_and_the_plan_says_so(plan_of: PlanOf) -> None:
    plan = plan_of(events=1001, oversample=10)
    assert plan.request.events == 1010
    (note,) = plan.notes
    assert "1001 is no multiple of 10" in note
    assert "there will be 1,010 events" in note


def test_a_job_never_holds_half_a_gen_event(plan_of: PlanOf) -> None:
    plan = plan_of(events=1000, oversample=10, events_per_job=25)
    assert plan.request.split.gen_events_per_job == 3, "25 events are rounded up to 3 gen events"
    (note,) = plan.notes
    assert "--events-per-job 25 is no multiple of 10" in note
    assert "so a job makes 30 events" in note
    assert plan_of(events=1000, oversample=10, events_per_job=20).notes == ()


@pytest.mark.parametrize(
    ("events", "oversample", "warned"),
    [
        (10_000, 10_000, "1 gen event 10,000 times"),
        (990, 10, "99 gen events 10 times"),
        (1000, 10, None),
        (5, 1, None),
    ],
)
def test_too_few_gen_events_to_mean_anything(
    plan_of: PlanOf, events: int, oversample: int, warned: str | None
) -> None:
    plan = plan_of(events=events, oversample=oversample)
    assert len(plan.warnings) == (warned is not None)
    if warned:
        assert f"{events:,} events are {warned} over" in plan.warnings[0]
        assert f"than to {100 / (events / oversample) ** 0.5:.0f}%" in plan.warnings[0]


def test_the_last_short_job_counts_as_what_it_is(plan_of: PlanOf) -> None:
    plan = plan_of(events=210, oversample=10, events_per_job=100)
    full, last = 5 + 10 / 50 + 100 / 200, 5 + 1 / 50 + 10 / 200
    assert plan.seconds == pytest.approx(full + last), "two together, then the short one alone"


def test_measured_rates_replace_configured_ones(plan_of: PlanOf) -> None:
    configured = plan_of(events=100_000)
    rates = Rates(generator_hz=500, flashsim_hz=2000, startup_s=5, bytes_per_event=200)
    measured = plan_of(events=100_000, measured=MeasuredRates(rates, jobs=7))
    assert configured.rates_from.startswith("configured")
    assert measured.rates_from == "measured in 7 jobs"
    assert measured.seconds < configured.seconds / 5
    assert measured.bytes == 2 * configured.bytes


def test_energy_where_the_site_states_its_power(plan_of: PlanOf, make_order: Callable[..., Any]) -> None:
    site = make_order().site
    rates = site.rates.model_copy(update={"watts": 100.0})
    plan = plan_of(events=1000, events_per_job=1000, site=site.model_copy(update={"rates": rates}))
    assert plan.energy_kwh == pytest.approx(100 * plan.job_seconds / 3.6e6)


def test_a_long_plan_is_confirmed(plan_of: PlanOf) -> None:
    assert plan_of(events=10**7).is_long


def test_jobs_longer_than_the_site_allows_are_noted(plan_of: PlanOf) -> None:
    (note,) = plan_of(events=10**6, events_per_job=10**6).notes
    assert "more than the site's limit of 1 h; lower --events-per-job" in note


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"energy_tev": 7}, "card toy has no energy of 7 TeV; it offers 13 and 13.6"),
        ({"events": None}, "--events is missing"),
        (
            {"events": 10**9, "events_per_job": 10},
            "100,000,000 jobs are more than the 1,000,000 of one request",
        ),
        (
            {"events": 10**15, "events_per_job": 10**9 * 10},
            "more luminosity sections than NanoAOD can number",
        ),
        ({"oversample": 10_001}, "oversample"),
    ],
)
def test_orders_that_cannot_be_fulfilled(plan_of: PlanOf, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RequestError) as caught:
        plan_of(**changes)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_events_all_of_the_input_is_used(plan_of: PlanOf) -> None:
    inputs = (InputFile(url="/a.root", entries=30), InputFile(url="/b.root", entries=12))
    plan = plan_of(events=None, inputs=inputs, oversample=5)
    assert (plan.request.gen_events, plan.request.events) == (42, 210)


def test_too_little_input_says_how_much_there_is(plan_of: PlanOf) -> None:
    inputs = (InputFile(url="/a.root", entries=42),)
    with pytest.raises(RequestError, match="but the input files hold 42; ask for at most 420"):
        plan_of(events=421, inputs=inputs, oversample=10)
    assert plan_of(events=420, inputs=inputs, oversample=10).request.gen_events == 42


def test_reading_costs_no_generating(plan_of: PlanOf) -> None:
    inputs = (InputFile(url="/a.root", entries=100),)
    plan = plan_of(events=1000, inputs=inputs, events_per_job=1000)
    assert plan.job_seconds == pytest.approx(5 + 1000 / 200)


def test_a_hundred_million_events_are_planned_quickly(plan_of: PlanOf, effort: Effort) -> None:
    plans: list[Plan] = []
    assert effort(lambda: plans.append(plan_of(events=100_000_000, oversample=10))) < 1
    assert plans[0].request.n_simulate >= 100


def test_a_bad_order_is_a_config_error_of_the_request(plan_of: PlanOf) -> None:
    with pytest.raises(ConfigError, match=r"^request toy-001: "):
        plan_of(oversample=20_000)
