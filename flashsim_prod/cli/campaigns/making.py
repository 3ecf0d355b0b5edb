"""What ``campaign`` and ``request CARD CARD`` do: show the plan of all of it, ask, and bring it forward."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

import typer

from flashsim_prod.cli.campaigns.tables import plan_figures, print_status, show_plan
from flashsim_prod.cli.requests.display import shown_progress
from flashsim_prod.cli.show import console, counted, print_json
from flashsim_prod.core.campaigns.campaign import Campaign
from flashsim_prod.core.sizes import format_duration
from flashsim_prod.core.states import RequestState
from flashsim_prod.errors import JobsFailedError, RequestError, StateError
from flashsim_prod.production.campaigns.plan import CampaignPlan, plan_campaign
from flashsim_prod.production.campaigns.run import CampaignOutcome, Shown, run_campaign
from flashsim_prod.production.campaigns.status import campaign_status, status_figures
from flashsim_prod.production.campaigns.store import campaign_folder, stored_campaign
from flashsim_prod.production.catalogs import one_sign_in
from flashsim_prod.production.home import Home, home_to_read, open_home
from flashsim_prod.production.order.plan import LONG

#: the shell's own code for a command that a signal ended is 128 and the signal's number
_SIGNALLED = 128


@dataclass(frozen=True)
class How:
    """How a campaign is made: options of commands, and no part of its file."""

    dry_run: bool
    wait: bool
    yes: bool
    as_json: bool


class Ended(typer.TyperException):
    """A campaign was ended by a signal or a cancel."""

    def __init__(self, name: str, outcome: CampaignOutcome) -> None:
        said = "cancelled" if outcome.is_cancelled else "stopped"
        super().__init__(f"campaign {name} was {said}; to go on: flashsim-prod campaign retry {name}")
        self.exit_code = _SIGNALLED + outcome.stopped_by if outcome.stopped_by else StateError.exit_code


@one_sign_in()
def make_campaign(campaign: Campaign, where: str, how: How) -> None:
    """Plan a campaign and bring it forward, or with `dry_run` show its plan only.

    Raises
    ------
    RequestError
        If it cannot be made, breaks its budget, or takes long and nobody can be asked.
    JobsFailedError
        If jobs of some request failed for good.
    Ended
        If it was ended before its end.
    """
    home = home_to_read() if how.dry_run else open_home()
    plan = plan_campaign(home, campaign, where)
    if how.dry_run:
        print_json(plan_figures(plan)) if how.as_json else show_plan(plan, console())
        return
    show_plan(plan, console(stderr=True))
    _confirm(plan, yes=how.yes)
    _run(home, plan, how, retry=False)


@one_sign_in()
def go_on(name: str, how: How) -> None:
    """Go on with a campaign as it was last run; errors as of `make_campaign`."""
    home = open_home()
    plan = plan_campaign(home, stored_campaign(home, name), str(campaign_folder(home, name).file))
    show_plan(plan, console(stderr=True))
    _confirm(plan, yes=how.yes)
    _run(home, plan, how, retry=True)


def _confirm(plan: CampaignPlan, *, yes: bool) -> None:
    """Ask before this command would be at work for long."""
    here: Counter[str] = Counter()
    for row in plan.rows:
        if row.order is not None and not row.order.site.rules.goes_on_alone:
            here[row.site] += int(row.seconds)
    seconds = sum(here.values())
    if yes or seconds <= LONG:
        return
    duration = format_duration(seconds)
    if not sys.stdin.isatty():
        raise RequestError(f"this takes about {duration} and nobody can be asked here; say --yes to start it")
    typer.confirm(f"This takes about {duration}. Start?", abort=True, err=True)


def _run(home: Home, plan: CampaignPlan, how: How, *, retry: bool) -> None:
    name, errors = plan.campaign.name, console(stderr=True)

    def say(line: str) -> None:
        errors.print(line, markup=False, soft_wrap=True)

    outcome = run_campaign(
        home, plan, retry=retry, wait=how.wait, shown=Shown(say=say, display=shown_progress)
    )
    found = campaign_status(home, name)
    if how.as_json:
        print_json(status_figures(found))
    else:
        print_status(found)
    if outcome.waiting and not (outcome.stopped_by or outcome.is_cancelled):
        say(
            f"{counted(len(outcome.waiting), 'request')} not started yet, for want of room; to go on: "
            f"flashsim-prod campaign retry {name}, or with --wait until all is done"
        )
    _raise_for(name, outcome)


def _raise_for(name: str, outcome: CampaignOutcome) -> None:
    if outcome.stopped_by or outcome.is_cancelled:
        raise Ended(name, outcome)
    for request, error in outcome.errors.items():
        more = f" (and {len(outcome.errors) - 1} more)" if len(outcome.errors) > 1 else ""
        raise type(error)(f"campaign {name}: {request}: {error}{more}")
    failed = [request for request, state in outcome.states.items() if state is RequestState.FAILED]
    if failed:
        raise JobsFailedError(
            f"campaign {name}: {counted(len(failed), 'request')} failed, the first {failed[0]}; see: "
            f"flashsim-prod campaign status {name}; once it is mended: flashsim-prod campaign retry {name}"
        )
