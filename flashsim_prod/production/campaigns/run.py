"""Making a campaign: all of its requests placed first, then brought forward by priority, within the limits.

Killed at any point, the same command goes on: what is placed is found by its name, what is under way is taken
up as by ``retry``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from flashsim_prod.core.states import FINAL, JobState, RequestState
from flashsim_prod.errors import FlashSimError, LockedError, RequestError
from flashsim_prod.files import read_text, storage_errors, write_json
from flashsim_prod.grid.batch.outage import Outage
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.locks import is_driven
from flashsim_prod.production.campaigns.plan import Action, CampaignPlan
from flashsim_prod.production.campaigns.samples import find_samples
from flashsim_prod.production.campaigns.store import CampaignFolder, campaign_folder, keep_campaign
from flashsim_prod.production.context import Outcome
from flashsim_prod.production.drive.detached import hand_over, hand_over_rest, observe
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.drive.local_run import Display
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.place import place
from flashsim_prod.production.order.plan import slots_of

#: what the same command goes on with; what failed or was cancelled waits for ``campaign retry``
_GOES_ON = frozenset({RequestState.PLANNED, RequestState.RUNNING, RequestState.INTERRUPTED})
#: between two looks at batch systems [s]
LOOK_INTERVAL_S = 15.0
#: between two looks for room at a site [s]
_ROOM_INTERVAL_S = 2.0


@dataclass
class CampaignOutcome:
    """How a campaign stands when the command that brought it forward ends.

    Attributes
    ----------
    states : dict of str to RequestState
        Of each request that it had to do with.
    waiting : list of str
        What was not started, for want of room at its site.
    errors : dict of str to FlashSimError
        Why requests could not go on.
    stopped_by : int or None
        The signal that ended it early.
    is_cancelled : bool
        Whether somebody cancelled it.
    """

    states: dict[str, RequestState] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    errors: dict[str, FlashSimError] = field(default_factory=dict)
    stopped_by: int | None = None
    is_cancelled: bool = False


@dataclass(frozen=True)
class Shown:
    """How a campaign's progress is shown.

    Attributes
    ----------
    say : callable
        Is told a line.
    display : callable
        Gives a display for a request that runs here.
    """

    say: Callable[[str], None] = lambda line: None
    display: Callable[[], AbstractContextManager[Display]] | None = None


def run_campaign(
    home: Home, plan: CampaignPlan, *, retry: bool = False, wait: bool = False, shown: Shown | None = None
) -> CampaignOutcome:
    """Make what is new of a campaign, and bring all of it forward.

    Parameters
    ----------
    home : Home
    plan : CampaignPlan
    retry : bool
        Whether requests that failed or were cancelled are tried again.
    wait : bool
        Whether to follow what goes on at batch systems to its end.
    shown : Shown, optional

    Raises
    ------
    LockedError
        If another command is at work on the campaign.
    RequestError
        If another command has changed it since it was planned.
    """
    shown = shown or Shown()
    folder = campaign_folder(home, plan.campaign.name)
    with storage_errors(f"writing {folder.path}"):
        folder.path.mkdir(parents=True, exist_ok=True)
    with folder.lock():
        _check_unchanged(home, plan)
        keep_campaign(home, plan.campaign)
        folder.go_on()
        names = _placed(home, plan, retry=retry)
        return _Driver(home, folder, plan.campaign.at_once, names, wait, shown).run()


def _check_unchanged(home: Home, plan: CampaignPlan) -> None:
    with Ledger(home.ledger) as ledger:
        there = {name for one in find_samples(home, ledger, plan.campaign.name) for name in one.requests}
    if there != plan.there:
        raise RequestError(
            f"another command has changed campaign {plan.campaign.name} since it was planned; type it again"
        )


def _placed(home: Home, plan: CampaignPlan, *, retry: bool) -> list[str]:
    """Place what is new; the names of all that is to go on, the most urgent first."""
    names = []
    for row in sorted(plan.rows, key=lambda row: -row.priority):
        if row.action is Action.LEAVE:
            continue
        goes_on = _GOES_ON | ({RequestState.FAILED, RequestState.CANCELLED} if retry else set())
        names += [line.name for line in row.lines if line.state in goes_on]
        if row.plan is not None and row.order is not None:
            named = row.action is Action.NEW
            made = place(home, row.order, row.plan, bundle_title=row.bundle_title, named=named, dry_run=False)
            names.append(made.request.name)
    return names


class _Driver:
    """Brings requests forward until all are done, or nothing can be done here and now."""

    def __init__(
        self,
        home: Home,
        folder: CampaignFolder,
        at_once: dict[str, int],
        names: list[str],
        wait: bool,
        shown: Shown,
    ) -> None:
        self._home, self._folder, self._at_once, self._wait, self._shown = home, folder, at_once, wait, shown
        self._requests = {name: load_request(home.folder(name).request) for name in names}
        alone = {name: one.site.rules.goes_on_alone for name, one in self._requests.items()}
        self._elsewhere = [name for name in names if alone[name]]
        self._here = [name for name in names if not alone[name]]
        self._at_work: set[str] = set()
        self._caps = _read_caps(folder)
        self._outcome = CampaignOutcome()
        self._look_at = 0.0
        self._waits = False
        self._outages: dict[str, Outage] = {}

    def run(self) -> CampaignOutcome:
        """Until the end; what is still open then is in `CampaignOutcome.waiting`."""
        while not self._is_over():
            self._tend()
            if self._here and not self._is_over():
                self._run_here()
            elif self._elsewhere and self._wait:
                time.sleep(max(0.0, self._look_at - time.monotonic()))
            elif not self._here:
                break
        self._outcome.waiting += [*self._here, *(one for one in self._elsewhere if one not in self._at_work)]
        return self._outcome

    def _is_over(self) -> bool:
        self._outcome.is_cancelled = self._folder.is_stopped
        stopped = self._outcome.stopped_by is not None or self._outcome.is_cancelled
        return stopped or not (self._here or self._elsewhere)

    # ---- at batch systems

    def _tend(self) -> None:
        """Look at what goes on elsewhere, and hand over what there is room for; now and then only."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_INTERVAL_S
        for name in list(self._elsewhere):
            if self._folder.is_stopped:
                return
            try:
                self._look(name) if name in self._at_work else self._hand_over(name)
            except FlashSimError as error:
                if not (self._wait and self._outage(name).is_borne(error)):
                    self._fail(self._elsewhere, name, error)

    def _outage(self, name: str) -> Outage:
        """Of the site of a request."""
        site = self._requests[name].site.name
        return self._outages.setdefault(site, Outage(lambda line: self._shown.say(f"{site}: {line}")))

    def _look(self, name: str) -> None:
        found = observe(self._home, name, Display())
        self._outage(name).ended()
        if found is None:
            self._ended(self._elsewhere, hand_over_rest(self._home, name, Display()))

    def _hand_over(self, name: str) -> None:
        site = self._requests[name].site
        limit, cap = self._at_once.get(site.name), None
        if limit is not None and not self._is_open(name):
            cap = limit - self._load(site.name, but=name)
            # what is told to a batch system stays for all of the request, so it should not be too little
            own = None if site.rules.limited(1) else site.rules.most_at_once()
            if cap < min(own or max(1, limit // 2), self._unfinished(name)):
                return
            self._caps[name] = cap if own is None else own
            write_json(self._folder.path / _CAPS, self._caps)
        handed = hand_over(self._home, name, at_once=cap)
        self._outage(name).ended()
        for remark in handed.remarks:
            self._shown.say(f"{name}: {remark}")
        self._outcome.states[name] = handed.outcome.state
        if handed.batch_id is None:
            self._ended(self._elsewhere, handed.outcome)
            return
        self._at_work.add(name)
        if handed.is_new:
            self._shown.say(f"{name}: submitted, {site.engine} {handed.batch_id}")

    # ---- on this machine

    def _run_here(self) -> None:
        """Drive the most urgent request of this machine to its end, once there is room."""
        name = self._here[0]
        site = self._requests[name].site
        slots = None
        if site.name in self._at_once:
            slots = min(slots_of(site), self._at_once[site.name] - self._load(site.name, but=name))
            if slots < 1:
                if not self._waits:
                    self._shown.say(f"{name}: waits until there is room at {site.name}")
                self._waits = True
                time.sleep(_ROOM_INTERVAL_S)
                return
        self._shown.say(f"{name}: {self._requests[name].dataset}")
        try:
            if self._shown.display is None:
                outcome = drive(self._home, name, slots=slots, meanwhile=self._tend)
            else:
                with self._shown.display() as display:
                    outcome = drive(self._home, name, display, slots=slots, meanwhile=self._tend)
        except FlashSimError as error:
            self._fail(self._here, name, error)
            return
        self._outcome.stopped_by = outcome.stopped_by
        self._ended(self._here, outcome)

    # ---- what becomes of requests

    def _ended(self, among: list[str], outcome: Outcome) -> None:
        name = outcome.request.name
        among.remove(name)
        self._outcome.states[name] = outcome.state
        self._shown.say(f"{name}: {outcome.state}")

    def _fail(self, among: list[str], name: str, error: FlashSimError) -> None:
        """One request that cannot go on does not keep the others from it."""
        among.remove(name)
        if isinstance(error, LockedError):
            self._shown.say(f"{name}: {error}")
            self._outcome.states[name] = RequestState.RUNNING
            return
        self._outcome.errors[name] = error
        self._shown.say(f"{name}: {error}")

    # ---- room

    def _is_open(self, name: str) -> bool:
        with Ledger(self._home.ledger) as ledger:
            return name in ledger.submissions.open_names()

    def _unfinished(self, name: str) -> int:
        request = self._requests[name]
        with Ledger(self._home.ledger) as ledger:
            if not ledger.has_request(name):
                return request.n_simulate + request.n_merge
            counts = ledger.counts(name)
        # a job that failed or was taken back is tried again once the request is taken up
        return sum(number for (_, state), number in counts.items() if state is not JobState.DONE)

    def _load(self, site: str, *, but: str) -> int:
        """Jobs that all requests of this state folder may have at a site at this moment."""
        with Ledger(self._home.ledger) as ledger:
            open_ = ledger.submissions.open_names()
            load = 0
            for row in ledger.requests():
                folder = self._home.folder(row.name).path
                at_work = row.name in open_ or (folder.is_dir() and is_driven(folder))
                if row.site != site or row.name == but or not at_work:
                    continue
                counts = ledger.counts(row.name)
                left = sum(number for (_, state), number in counts.items() if state not in FINAL)
                load += min(self._most(row.name, left), left)
        return load

    def _most(self, name: str, left: int) -> int:
        """Jobs at a time of a request that is at work."""
        if name in self._caps:
            return self._caps[name]
        try:
            site = load_request(self._home.folder(name).request).site
        except RequestError:
            return left
        return site.rules.most_at_once() or left if site.rules.goes_on_alone else slots_of(site)


#: jobs at a time that were told to batch systems
_CAPS = "at_once.json"


def _read_caps(folder: CampaignFolder) -> dict[str, int]:
    try:
        found = json.loads(read_text(folder.path / _CAPS))
        return {str(name): int(cap) for name, cap in found.items()}
    except (OSError, ValueError, AttributeError):
        # without it, all that is left of a request is counted
        return {}
