"""Campaigns from file to datasets: edited, killed, failed, cancelled, within budgets and limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashsim_prod.core.campaigns.campaign import Campaign, Wanted
from flashsim_prod.core.states import JobState, RequestState
from flashsim_prod.errors import ConfigError, FlashSimError, LockedError, RequestError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.campaigns import plan as planning
from flashsim_prod.production.campaigns import run as running
from flashsim_prod.production.campaigns.cancel import cancel_campaign
from flashsim_prod.production.campaigns.looking import Looking
from flashsim_prod.production.campaigns.plan import CampaignPlan, plan_campaign
from flashsim_prod.production.campaigns.report import write_campaign_report
from flashsim_prod.production.campaigns.run import CampaignOutcome, run_campaign
from flashsim_prod.production.campaigns.samples import find_samples
from flashsim_prod.production.campaigns.status import all_campaigns, campaign_status
from flashsim_prod.production.campaigns.store import campaign_folder, read_campaign, stored_campaign
from flashsim_prod.production.context import Outcome
from flashsim_prod.production.drive.detached import HandOver
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request

TWO = [{"cards": ["ttbar", "wjets"], "events": 20, "oversample": 10}]


def _campaign(requests: list[dict[str, Any]], **more: Any) -> Campaign:
    return Campaign.from_mapping({"name": "summer", "requests": requests, **more}, "summer.yaml")


def _plan(home: Home, requests: list[dict[str, Any]], **more: Any) -> CampaignPlan:
    return plan_campaign(home, _campaign(requests, **more), "summer.yaml")


def _run(home: Home, requests: list[dict[str, Any]], *, retry: bool = False, **more: Any) -> CampaignOutcome:
    return run_campaign(home, _plan(home, requests, **more), retry=retry)


def _actions(plan: CampaignPlan) -> list[str]:
    return [row.action.value for row in plan.rows]


def _states(home: Home) -> set[RequestState]:
    return {line.state for line in campaign_status(home, "summer").lines}


def test_from_a_file_to_datasets_and_no_more(home: Home, fake_physics: Any) -> None:
    plan = _plan(home, TWO)
    assert not (home.path / "campaigns").exists()
    assert home.names() == []
    assert (_actions(plan), plan.events, plan.energy_kwh) == (["new", "new"], 40, None)
    run_campaign(home, plan)
    assert [name.split(".")[1] for name in home.names()] == ["ttbar-x10", "wjets-x10"]
    status = campaign_status(home, "summer")
    assert (status.state, status.percent, status.events, status.missing) == ("DONE", 100, 40, ())
    again = _plan(home, TWO)
    assert (_actions(again), again.made, again.events, again.seconds) == (["keep", "keep"], (), 40, 0)
    run_campaign(home, again)
    assert len(home.names()) == 2
    assert [one.name for one in all_campaigns(home)] == ["summer"]


def test_an_edited_file_makes_what_is_new_and_what_has_grown(home: Home, fake_physics: Any) -> None:
    _run(home, TWO)
    edited = [
        {"cards": "ttbar", "events": 50, "oversample": 10},
        {"cards": "ttbar", "events": 20, "oversample": 5, "priority": 1},
    ]
    plan = _plan(home, edited)
    assert _actions(plan) == ["extend", "new", "leave"]
    assert [row.events for row in plan.rows] == [50, 20, 20]
    assert plan.rows[2].remark == "no more in the file: left as it is"
    run_campaign(home, plan)
    (grown,) = [name for name in home.names() if name.endswith("_ext1")]
    request = load_request(home.folder(grown).request)
    assert (request.events, request.before.gen_events) == (30, 2)
    assert _states(home) == {RequestState.DONE}
    assert _actions(_plan(home, edited)) == ["keep", "keep", "leave"]
    smaller = _plan(home, [{**edited[0], "events": 30}, edited[1]])
    assert _actions(smaller) == ["keep", "keep", "leave"]
    assert smaller.rows[0].remark == "has 20 events more than the file asks for: left as it is"


def test_what_was_ordered_elsewhere_is_not_moved(
    home: Home, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "check_software", lambda site: None)
    _run(home, [{"cards": "ttbar", "events": 20}])
    plan = _plan(home, [{"cards": "ttbar", "events": 20, "sites": "htcondor"}])
    assert _actions(plan) == ["keep"]
    assert plan.rows[0].remark == "was ordered at local: not moved to htcondor"


def test_a_card_that_has_changed_is_told(home: Home, fake_physics: Any, tmp_path: Path) -> None:
    cards = home.path / "cards"
    cards.mkdir()
    text = (
        (Path(__file__).parents[3] / "jobs" / "ttbar.yaml").read_text().replace("name: ttbar", "name: mine")
    )
    (cards / "mine.yaml").write_text(text)
    entry = [{"cards": "mine", "events": 20}]
    _run(home, entry)
    (cards / "mine.yaml").write_text(re.sub("(?m)^title: .*", "title: other", text))
    plan = _plan(home, entry)
    assert (_actions(plan), plan.rows[0].remark) == (
        ["keep"],
        "card mine has changed since: what was ordered stays as it was",
    )


class _Killed(BaseException):
    """Ends a driver as a kill does: nothing after it is done."""


@pytest.mark.parametrize(("point", "after"), [("place", 0), ("place", 1), ("drive", 1)])
def test_after_a_kill_the_same_command_goes_on(
    home: Home, fake_physics: Any, monkeypatch: pytest.MonkeyPatch, point: str, after: int
) -> None:
    whole, calls = getattr(running, point), iter(range(10))

    def killed(*arguments: Any, **options: Any) -> Any:
        if next(calls) == after:
            raise _Killed
        return whole(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(running, point, killed)
        with pytest.raises(_Killed):
            _run(home, TWO)
    status = campaign_status(home, "summer")
    assert len(status.lines) == (after if point == "place" else 2)
    assert len(status.missing) == 2 - len(status.lines)
    plan = plan_campaign(home, stored_campaign(home, "summer"), "stored")
    run_campaign(home, plan)
    assert len(home.names()) == 2
    assert campaign_status(home, "summer").state == "DONE"


def test_one_that_fails_keeps_no_other_from_going_on(
    home: Home, fake_physics: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [{"cards": ["ttbar", "wjets"], "events": 20, "events_per_job": 10, "oversample": 10}]
    entries += [{"cards": "dyjets", "events": 10}]
    monkeypatch.setenv("FAKE_TROUBLE", str(tmp_path))
    (tmp_path / "simulate_1").write_text("InputError")
    outcome = _run(home, entries)
    assert sorted(outcome.states.values()) == [RequestState.DONE, RequestState.FAILED, RequestState.FAILED]
    status = campaign_status(home, "summer")
    assert (status.state, len(status.failures)) == ("FAILED", 2)
    page = write_campaign_report(home, status).read_text()
    assert "trouble in simulate 1" in page
    (tmp_path / "simulate_1").unlink()
    # the file alone does not touch what failed, and does not make it larger
    assert _run(home, entries).states == {}
    plan = _plan(home, [{**entries[0], "events": 30}, entries[1]])
    assert _actions(plan) == ["keep"] * 3
    assert re.fullmatch(r"not extended: summer\.ttbar\S+ failed \(campaign retry\)", plan.rows[0].remark)
    assert set(_run(home, entries, retry=True).states.values()) == {RequestState.DONE}
    assert campaign_status(home, "summer").state == "DONE"


def test_priorities_decide_the_order(home: Home, fake_physics: Any) -> None:
    first = {"events": 10, "oversample": 10}
    outcome = _run(home, [{"cards": "ttbar", **first}, {"cards": "wjets", **first, "priority": 2}])
    assert [name.split(".")[1] for name in outcome.states] == ["wjets-x10", "ttbar-x10"]


def test_a_cancelled_campaign_is_taken_up_by_retry(
    home: Home, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(running, "drive", _raise_killed)
        with pytest.raises(_Killed):
            _run(home, TWO)
    cancelled, wrong = cancel_campaign(home, "summer")
    assert (sorted(cancelled.values()), wrong) == ([2, 2], {})
    assert _run(home, TWO).states == {}
    assert _states(home) == {RequestState.CANCELLED}
    assert set(_run(home, TWO, retry=True).states.values()) == {RequestState.DONE}
    with pytest.raises(RequestError, match=r"no campaign 'sumer'.*; did you mean 'summer'"):
        cancel_campaign(home, "sumer")


def _raise_killed(*_: Any, **__: Any) -> None:
    raise _Killed


def test_a_campaign_has_one_driver(home: Home, fake_physics: Any) -> None:
    plan = _plan(home, TWO)
    campaign_folder(home, "summer").path.mkdir(parents=True)
    with (
        campaign_folder(home, "summer").lock(),
        pytest.raises(LockedError, match="at work on campaign summer"),
    ):
        run_campaign(home, plan)
    assert home.names() == []


def test_what_another_command_made_meanwhile_is_not_made_again(home: Home, fake_physics: Any) -> None:
    plan = _plan(home, TWO)
    _run(home, TWO)
    with pytest.raises(
        RequestError, match="another command has changed campaign summer since it was planned"
    ):
        run_campaign(home, plan)
    assert len(home.names()) == 2


@pytest.mark.parametrize(
    ("budget", "line"),
    [
        (
            {"events": 39},
            r"summer\.yaml: budget\.events: the campaign comes to 40 events, the budget is 39 events",
        ),
        ({"tb": 1e-9}, r"budget\.tb: the campaign comes to 6\.4e-08 TB, the budget is 1e-09 TB"),
        ({"kwh": 5}, r"budget\.kwh: what jobs take at site local is not known; write rates\.watts"),
    ],
)
def test_a_budget_refuses_before_anything_is_written(home: Home, budget: dict[str, Any], line: str) -> None:
    with pytest.raises(RequestError, match=line):
        _plan(home, TWO, budget=budget)
    assert list(home.path.rglob("*summer*")) == []
    _plan(home, TWO, budget={"events": 40, "tb": 1})


def test_what_was_made_counts_in_the_budget(home: Home, fake_physics: Any) -> None:
    _run(home, TWO)
    with pytest.raises(RequestError, match="comes to 50 events"):
        _plan(home, [{"cards": "dyjets", "events": 10}], budget={"events": 45})


@pytest.mark.parametrize(
    ("entry", "error", "line"),
    [
        ({"cards": "tbar"}, RequestError, r"requests\.1\.cards: no card 'tbar'; did you mean 'ttbar'\?"),
        ({"sites": "locl"}, RequestError, r"requests\.1\.sites: no site 'locl'; did you mean 'local'\?"),
        (
            {"eras": "Run9"},
            RequestError,
            r"requests\.1\.eras: era 'Run9': card ttbar offers Run2_2018, Run3_2022",
        ),
        ({"energies": 7}, RequestError, r"requests\.1\.energies: card ttbar has no energy of 7 TeV"),
        ({"bundle": "nope"}, FlashSimError, r"requests\.1\.bundle: "),
        ({"inputs": "no.root"}, FlashSimError, r"requests\.1\.inputs: .*no\.root"),
        ({"device": "cuda"}, FlashSimError, r"requests\.1 \(ttbar x1 at local\): "),
        ({"oversample": 10000, "events_per_job": 1, "events": "1M"}, None, ""),
    ],
)
def test_everything_is_checked_before_anything_is_written(
    home: Home, entry: dict[str, Any], error: type[Exception] | None, line: str
) -> None:
    entries = [TWO[0], {"cards": "ttbar", "events": 10, **entry}]
    if error is None:
        _plan(home, entries)
    else:
        with pytest.raises(error, match=r"^summer\.yaml: " + line):
            _plan(home, entries)
    assert home.names() == []
    assert not (home.path / "campaigns").exists()


@pytest.mark.parametrize(
    ("site", "line"),
    [
        ("htcondor", r"at_once\.htcondor: no request is at this site; known: crab"),
        (
            "crab",
            r"at_once\.crab: engine crab cannot be told how many jobs may run at a time, and the site's",
        ),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(home: Home, site: str, line: str) -> None:
    entry = {"cards": "ttbar", "events": 10, "sites": "crab"}
    with pytest.raises(ConfigError, match=line):
        _plan(home, [entry], at_once={site: 5})


def test_a_limit_is_kept_on_this_machine(
    home: Home, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int | None] = []
    whole = running.drive

    def drive(*arguments: Any, slots: int | None, **options: Any) -> Outcome:
        seen.append(slots)
        return whole(*arguments, slots=slots, **options)

    monkeypatch.setattr(running, "drive", drive)
    _run(home, [{**TWO[0], "slots": 8}], at_once={"local": 3})
    _run(home, [{"cards": "dyjets", "events": 10}])
    assert seen == [3, 3, None]


def test_a_limit_is_kept_over_all_requests_of_a_site(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this campaign and of others: whatever of them is not done may be in the queue."""
    monkeypatch.setattr(planning, "check_software", lambda site: None)
    monkeypatch.setattr(running, "LOOK_INTERVAL_S", 0.0)
    handed: list[tuple[str, int | None]] = []

    def hand_over(home: Home, name: str, *, at_once: int | None) -> HandOver:
        with Ledger(home.ledger) as ledger:
            ledger.submissions.intend(name, name, frozenset())
            ledger.submissions.handed_over(name, f"batch {name}")
        handed.append((name.split(".")[1], at_once))
        request = load_request(home.folder(name).request)
        return HandOver(Outcome(request, RequestState.RUNNING, ()), f"batch {name}", True)

    monkeypatch.setattr(running, "hand_over", hand_over)
    monkeypatch.setattr(
        running,
        "observe",
        lambda home, name, display: Outcome(  # type: ignore[arg-type]
            load_request(home.folder(name).request), RequestState.RUNNING, ()
        ),
    )
    jobs = {"events_per_job": 10, "sites": "htcondor", "oversample": 1}
    entries = [
        {"cards": "ttbar", "events": 60, "priority": 9, **jobs},
        {"cards": "wjets", "events": 60, "priority": 8, **jobs},
        {"cards": "dyjets", "events": 10, "priority": 7, **jobs},
        {"cards": "qcd", "events": 90, **jobs},
    ]
    outcome = _run(home, entries, at_once={"htcondor": 10})
    # seven jobs each of the first two with merging: the second would be eleven and more, the third fits
    assert handed == [("ttbar-x1", 10), ("dyjets-x1", 3)]
    assert [name.split(".")[1] for name in outcome.waiting] == ["wjets-x1", "qcd-x1"]
    (first,) = [name for name in home.names() if "ttbar" in name]
    with Ledger(home.ledger) as ledger:
        ledger.move_all(first, [JobState.PLANNED], JobState.CANCELLED)
    _run(home, entries, at_once={"htcondor": 10})
    assert handed[2:] == [("wjets-x1", 8)]


def test_names_of_files_are_below_the_campaigns_file(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    (folder / "c.yaml").write_text(
        "name: c\nrequests: [{cards: [ttbar, ./my.yaml], inputs: [a.root, 'root://x//b.root'], events: 5}]"
    )
    (only,) = read_campaign(Path("here/c.yaml")).requests
    assert only.cards == ("ttbar", str(folder / "my.yaml"))
    assert only.inputs == ((str(folder / "a.root"),), ("root://x//b.root",))


_entry = st.fixed_dictionaries(
    {
        "cards": st.sampled_from([["ttbar"], ["wjets"], ["ttbar", "wjets"]]),
        "events": st.sampled_from([[10], [30], [10, 30]]),
        "oversample": st.sampled_from([[1], [10]]),
    }
)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(files=st.lists(st.lists(_entry, min_size=1, max_size=2), min_size=2, max_size=4))
def test_no_sequence_of_edited_files_doubles_or_loses_a_request(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[dict[str, Any]]]
) -> None:
    """With folders and ledger; every second run is killed in the middle of its placing."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.requests.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running._Driver, "run", lambda self: CampaignOutcome())
        sizes: dict[str, int] = {}
        for number, entries in enumerate(files):
            try:
                campaign = _campaign(entries)
            except ConfigError:
                continue  # two entries that ask for the same
            if number % 2:
                with patch.context() as kill:
                    kill.setattr(running, "place", _dying(running.place))
                    with suppress(_Killed):
                        run_campaign(home, plan_campaign(home, campaign, "x"))
            run_campaign(home, plan_campaign(home, campaign, "x"))
            plan = plan_campaign(home, campaign, "x")
            assert plan.made == ()
            assert sum(row.wanted is not None for row in plan.rows) == len(list(campaign.wanted()))
            with Ledger(home.ledger) as ledger:
                found = {one.made.name: one.made for one in find_samples(home, ledger, "summer")}
            assert all(found[name].gen_events >= size for name, size in sizes.items())
            sizes = {name: one.gen_events for name, one in found.items()}
            for row in plan.rows:
                if row.wanted is not None:
                    assert row.wanted.gen_events is not None
                    assert sizes[row.name] >= row.wanted.gen_events
        kinds = [name.rpartition(".")[2].partition("-")[0] for name in sizes]
        assert max((kinds.count(one) for one in kinds), default=0) <= 2, (
            "two sizes at once are wanted at most"
        )


def _dying(whole: Callable[..., Any]) -> Callable[..., Any]:
    calls = iter(range(100))

    def place(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 1:
            raise _Killed
        return whole(*arguments, **options)

    return place


def test_an_engine_that_keeps_its_own_limit_is_taken_at_its_word(home: Home, tmp_path: Path) -> None:
    """What is told to such an engine once is forgotten by whoever looks next, so its site must say it."""
    text = (Path(__file__).parents[3] / "site_configs" / "slurm.yaml").read_text(encoding="utf-8")
    (home.path / "sites").mkdir()
    for name, most in (("tight", 5), ("wide", 50)):
        own = text.replace("name: slurm", f"name: {name}").replace(
            "slurm:\n", f"slurm:\n  most_jobs: {most}\n"
        )
        (home.path / "sites" / f"{name}.yaml").write_text(own, encoding="utf-8")
    looking = Looking("x")
    for name in ("tight", "wide"):
        looking.site(Wanted(entry=0, site=name))
    looking.check_limit("tight", 5, {"tight"})
    with pytest.raises(ConfigError, match="has no limit of 5 or less for each request"):
        looking.check_limit("wide", 5, {"wide"})
