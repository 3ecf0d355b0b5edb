"""The live pages as HTML: of all requests, of one, and of a campaign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flashsim_prod import __version__, resources
from flashsim_prod.core.sizes import format_bytes, format_count, format_duration
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.energy.results.conventions import JOULE_PER_KWH
from flashsim_prod.files import read_text
from flashsim_prod.grid.ledger.rows import Failure
from flashsim_prod.production.campaigns.status import CampaignStatus
from flashsim_prod.production.live.everything import Everything
from flashsim_prod.production.live.logs import log_name
from flashsim_prod.production.views.status import RequestDetail, RequestStanding, StageLine, StageSpeed

if TYPE_CHECKING:
    from jinja2 import Environment

#: causes of failures that the page of all requests shows, the commonest
_SHOWN = 30


@dataclass(frozen=True)
class ShownFailure:
    """A cause of failures, the request that it is of, and where its newest log is served."""

    request: str
    failure: Failure
    link: str | None


@dataclass(frozen=True)
class Group:
    """Requests that are shown together; `campaign` is what they belong to, if to anything."""

    campaign: CampaignStatus | None
    requests: list[tuple[RequestStanding, float | None, float | None]]


def page_of_all(seen: Everything) -> str:
    """The whole page of all requests."""
    return _page(body=body_of_all(seen), title="requests", live="live")


def page_of_campaign(seen: Everything, campaign: CampaignStatus) -> str:
    """The whole page of a campaign."""
    live = f"/campaigns/{quote(campaign.name)}/live"
    return _page(body=body_of_campaign(seen, campaign), title=campaign.name, live=live)


def page_of_one(detail: RequestDetail) -> str:
    """The whole page of a request."""
    name = detail.line.name
    return _page(body=body_of_one(detail), title=name, live=f"/requests/{quote(name)}/live")


def body_of_all(seen: Everything) -> str:
    """What changes of the page of all requests."""
    standings = seen.standings
    failures = _commonest(standings)
    sites = _by_site(standings)
    return (
        _environment()
        .get_template("live_all.html.j2")
        .render(
            groups=_groups(seen),
            trouble=seen.trouble,
            spoiled=seen.spoiled,
            sites=sites,
            states=_shown_states(sites.values()),
            failures=failures[:_SHOWN],
            more_failures=len(failures[_SHOWN:]),
            kwh=_sum([_kwh(one.speeds) for one in standings]),
        )
    )


def body_of_campaign(seen: Everything, campaign: CampaignStatus) -> str:
    """What changes of the page of a campaign."""
    standings = seen.of(campaign)
    failures, sites = _commonest(standings), _by_site(standings)
    return (
        _environment()
        .get_template("live_campaign.html.j2")
        .render(
            campaign=campaign,
            group=_group(None, standings),
            total=_total(standings),
            budget=_budget(campaign),
            sites=sites,
            states=_shown_states(sites.values()),
            failures=failures[:_SHOWN],
            more_failures=len(failures[_SHOWN:]),
        )
    )


def body_of_one(detail: RequestDetail) -> str:
    """What changes of the page of a request."""
    return (
        _environment()
        .get_template("live_one.html.j2")
        .render(
            detail=detail,
            states=_shown_states([detail.stages[0].states]),
            failures=_failures(detail),
            kwh=_kwh(detail.speeds),
            measured_jobs=sum(speed.measured_jobs for speed in detail.speeds),
            done_jobs=sum(speed.jobs for speed in detail.speeds),
        )
    )


def script() -> str:
    """What keeps a page up to date in a browser."""
    return read_text(resources.templates_dir() / "pages" / "live.js")


@cache
def _environment() -> Environment:
    made = resources.templates("pages", are_pages=True)
    made.filters.update(count=format_count, bytes=format_bytes, duration=format_duration)
    made.globals["parts"] = _parts
    made.globals["total"] = _total
    return made


def _page(**values: Any) -> str:
    return _environment().get_template("live.html.j2").render(version=__version__, **values)


def _parts(total: StageLine) -> list[tuple[str, float]]:
    """Colours of a bar of progress, and their shares of the jobs [%]."""
    colours = {
        "green": (JobState.DONE,),
        "blue": (JobState.RUNNING,),
        "amber": (JobState.HELD, JobState.UNKNOWN),
        "red": (JobState.FAILED, JobState.CANCELLED),
    }
    jobs = {colour: sum(total.states.get(one, 0) for one in states) for colour, states in colours.items()}
    return [(colour, 100 * number / max(1, total.expected)) for colour, number in jobs.items() if number]


def _groups(seen: Everything) -> list[Group]:
    """Campaigns with their requests, then the requests of none, the newest first."""
    groups = [_group(one, seen.of(one)) for one in seen.campaigns]
    taken = {one.line.name for group in groups for one, _, _ in group.requests}
    rest = [one for one in seen.standings if one.line.name not in taken]
    return groups + ([_group(None, rest)] if rest else [])


def _group(campaign: CampaignStatus | None, standings: Sequence[RequestStanding]) -> Group:
    shown = [(one, _speed(one.speeds), _kwh(one.speeds)) for one in reversed(standings)]
    return Group(campaign, shown)


def _total(standings: Sequence[RequestStanding]) -> StageLine:
    """The jobs of all of these."""
    states: Counter[JobState] = Counter()
    for one in standings:
        states.update(one.stages[0].states)
    return StageLine("TOTAL", dict(states), sum(one.stages[0].expected for one in standings))


def _budget(campaign: CampaignStatus) -> list[tuple[str, str, float]]:
    """What of a campaign's budget is used: what it is of, both in words, and the share [%]."""
    allowed, used_kwh = campaign.budget, campaign.energy_kwh or 0.0
    found = []
    if allowed.events:
        said = f"{format_count(campaign.events)} ordered of {format_count(allowed.events)}"
        found.append(("events", said, 100 * campaign.events / allowed.events))
    if allowed.tb:
        said = f"{format_bytes(campaign.bytes)} made of {allowed.tb:g} TB"
        found.append(("size", said, 100 * campaign.bytes / (allowed.tb * 1e12)))
    if allowed.kwh:
        said = f"{used_kwh:.3g} kWh measured of {allowed.kwh:g} kWh"
        found.append(("energy", said, 100 * used_kwh / allowed.kwh))
    return found


def _commonest(standings: Sequence[RequestStanding]) -> list[ShownFailure]:
    failures = [shown for one in standings for shown in _failures(one)]
    return sorted(failures, key=lambda one: one.failure.attempts, reverse=True)


def _by_site(standings: Sequence[RequestStanding]) -> dict[str, Counter[JobState]]:
    found: dict[str, Counter[JobState]] = {}
    for one in standings:
        found.setdefault(one.line.site, Counter()).update(one.stages[0].states)
    return dict(sorted(found.items()))


def _shown_states(of: Any) -> list[JobState]:
    """States that some job is in, and those that always matter."""
    always = (JobState.PLANNED, JobState.DONE, JobState.FAILED)
    return [state for state in JobState if state in always or any(one.get(state) for one in of)]


def _failures(one: RequestStanding | RequestDetail) -> list[ShownFailure]:
    name = one.line.name
    found = []
    for failure in one.failures:
        log = log_name(one.folder, failure.log)
        link = None if log is None else f"/requests/{quote(name)}/logs/{quote(log)}"
        found.append(ShownFailure(name, failure, link))
    return found


def _speed(speeds: Sequence[StageSpeed]) -> float | None:
    return next((one.events_hz for one in speeds if one.stage is Stage.SIMULATE), None)


def _kwh(speeds: Sequence[StageSpeed]) -> float | None:
    joules = _sum([one.energy_j for one in speeds])
    return None if joules is None else joules / JOULE_PER_KWH


def _sum(figures: Sequence[float | None]) -> float | None:
    known = [one for one in figures if one is not None]
    return sum(known) if known else None
