"""The live pages as HTML: of all requests, and of one."""

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
from flashsim_prod.files import read_text
from flashsim_prod.grid.ledger.rows import Failure
from flashsim_prod.production.views.live.logs import log_name
from flashsim_prod.production.views.status import RequestDetail, RequestStanding, StageLine, StageSpeed

if TYPE_CHECKING:
    from jinja2 import Environment

_JOULES_PER_KWH = 3.6e6
#: causes of failures that the page of all requests shows, the commonest
_SHOWN = 30


@dataclass(frozen=True)
class ShownFailure:
    """A cause of failures, the request that it is of, and where its newest log is served."""

    request: str
    failure: Failure
    link: str | None


def page_of_all(standings: Sequence[RequestStanding], spoiled: Sequence[str] = ()) -> str:
    """The whole page of all requests; `spoiled` tells of those that cannot be shown."""
    return _page(body=body_of_all(standings, spoiled), title="requests", live="live")


def page_of_one(detail: RequestDetail) -> str:
    """The whole page of a request."""
    name = detail.line.name
    return _page(body=body_of_one(detail), title=name, live=f"/requests/{quote(name)}/live")


def body_of_all(standings: Sequence[RequestStanding], spoiled: Sequence[str] = ()) -> str:
    """What changes of the page of all requests."""
    failures = [shown for one in standings for shown in _failures(one)]
    failures.sort(key=lambda one: one.failure.attempts, reverse=True)
    sites = _by_site(standings)
    return (
        _environment()
        .get_template("live_all.html.j2")
        .render(
            requests=[(one, _speed(one.speeds), _kwh(one.speeds)) for one in reversed(standings)],
            spoiled=spoiled,
            sites=sites,
            states=_shown_states(sites.values()),
            failures=failures[:_SHOWN],
            more_failures=len(failures[_SHOWN:]),
            kwh=_sum([_kwh(one.speeds) for one in standings]),
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
    return [(colour, 100 * number / total.expected) for colour, number in jobs.items() if number]


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
    return None if joules is None else joules / _JOULES_PER_KWH


def _sum(figures: Sequence[float | None]) -> float | None:
    known = [one for one in figures if one is not None]
    return sum(known) if known else None
