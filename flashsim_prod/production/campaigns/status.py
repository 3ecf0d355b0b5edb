"""How a campaign stands: its requests, what of its file is not there yet, and all of it together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from flashsim_prod.core.campaigns.campaign import Budget, Campaign
from flashsim_prod.core.campaigns.matching import match
from flashsim_prod.core.states import RequestState, Stage
from flashsim_prod.energy.results.conventions import JOULE_PER_KWH
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import Failure
from flashsim_prod.production.campaigns.samples import find_samples
from flashsim_prod.production.campaigns.store import campaign_folder, campaign_names, stored_campaign
from flashsim_prod.production.home import Home
from flashsim_prod.production.views.status import RequestLine, all_lines


@dataclass(frozen=True)
class CampaignStatus:
    """A campaign.

    Attributes
    ----------
    state : str
        ``DONE``, ``FAILED``, ``RUNNING``, ``CANCELLED``, ``INTERRUPTED`` or ``PLANNED``: of its requests,
        what is most worth knowing.
    is_at_work : bool
        Whether a command is at work on it.
    lines : tuple of RequestLine
        Its requests.
    missing : tuple of str
        What its file asks for and is not there yet.
    events, events_done : int
        Output events of its requests, and how many of them are made, as far as whole jobs tell.
    bytes : int
        Of finished merged files [B].
    energy_kwh : float or None
        Measured on the nodes so far; ``None`` if no node has a meter.
    eta_s : float or None
        Until all that is at work is done [s].
    failures : dict of str to Failure
        The commonest cause of each request that failed.
    budget : Budget
        What all of it may come to, as its file says.
    """

    name: str
    title: str
    state: str
    is_at_work: bool
    lines: tuple[RequestLine, ...]
    missing: tuple[str, ...]
    events: int
    events_done: int
    bytes: int
    energy_kwh: float | None
    eta_s: float | None
    failures: dict[str, Failure]
    budget: Budget

    @property
    def percent(self) -> float:
        """Events that are made, of those of its requests [%]."""
        return 100 * self.events_done / self.events if self.events else 0.0

    @property
    def states(self) -> dict[str, int]:
        """Requests by their state."""
        return dict(Counter(line.state.value for line in self.lines))


def all_campaigns(home: Home, seen: Iterable[RequestLine] | None = None) -> list[CampaignStatus]:
    """Every campaign, by name; with the lines of all requests, if somebody has looked at them just now."""
    lines = {line.name: line for line in (all_lines(home) if seen is None else seen)}
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        return [_status(home, ledger, stored_campaign(home, name), lines) for name in campaign_names(home)]


def status_figures(found: CampaignStatus) -> dict[str, Any]:
    """What ``--json`` prints of a campaign."""
    budget = found.budget.model_dump(mode="json")
    return {**asdict(found), "budget": budget, "percent": found.percent, "states": found.states}


def campaign_status(home: Home, name: str) -> CampaignStatus:
    """One campaign; `RequestError` if there is none of this name."""
    campaign = stored_campaign(home, name)
    lines = {line.name: line for line in all_lines(home)}
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        return _status(home, ledger, campaign, lines)


def _status(home: Home, ledger: Ledger, campaign: Campaign, lines: dict[str, RequestLine]) -> CampaignStatus:
    samples = find_samples(home, ledger, campaign.name)
    own = tuple(lines[name] for one in samples for name in one.requests if name in lines)
    matches, _ = match(campaign.wanted(), [one.made for one in samples])
    at_work = campaign_folder(home, campaign.name).is_at_work
    size, joules = 0, 0.0
    failures = {}
    for line in own:
        if not ledger.has_request(line.name):
            continue
        totals = ledger.totals(line.name)
        size += totals[Stage.MERGE].bytes if Stage.MERGE in totals else 0
        joules += sum(one.energy_j or 0.0 for one in totals.values())
        if line.state is RequestState.FAILED and (causes := ledger.failures(line.name)):
            failures[line.name] = causes[0]
    etas = [line.eta_s for line in own if line.eta_s is not None]
    missing = tuple(str(one.wanted) for one in matches if one.made is None)
    return CampaignStatus(
        name=campaign.name,
        title=campaign.title,
        state=_state(own, missing, at_work=at_work),
        is_at_work=at_work,
        lines=own,
        missing=missing,
        events=sum(line.events for line in own),
        events_done=sum(round(line.events * line.percent / 100) for line in own),
        bytes=size,
        energy_kwh=joules / JOULE_PER_KWH if joules else None,
        eta_s=max(etas, default=None),
        failures=failures,
        budget=campaign.budget,
    )


def _state(lines: tuple[RequestLine, ...], missing: tuple[str, ...], *, at_work: bool) -> str:
    states = {line.state for line in lines}
    if states <= {RequestState.DONE} and states and not missing:
        return RequestState.DONE.value
    if at_work or RequestState.RUNNING in states:
        return RequestState.RUNNING.value
    for state in (RequestState.FAILED, RequestState.CANCELLED, RequestState.INTERRUPTED):
        if state in states:
            return state.value
    return (
        RequestState.INTERRUPTED if states - {RequestState.PLANNED} or missing else RequestState.PLANNED
    ).value
