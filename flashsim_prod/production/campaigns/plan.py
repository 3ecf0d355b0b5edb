"""What a campaign's file comes to here and now: what is new, what grows, what is left alone, and the sum."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from flashsim_prod.core.campaigns.campaign import Campaign, Wanted
from flashsim_prod.core.campaigns.matching import Made, Match, match
from flashsim_prod.core.options import Registration
from flashsim_prod.core.sizes import format_count
from flashsim_prod.core.states import RequestState, Stage
from flashsim_prod.errors import FlashSimError, RequestError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.campaigns.looking import Looking
from flashsim_prod.production.campaigns.samples import Sample, find_samples, free_name, known_request, stem_of
from flashsim_prod.production.catalogs import RSE_VARIABLE
from flashsim_prod.production.drive.detached import check_software
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.extend import Extending, extension_order, find_family
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import measured_rates, preview
from flashsim_prod.production.order.plan import Order, Plan, estimate
from flashsim_prod.production.views.status import RequestLine, all_lines

_TB = 1e12


class Action(StrEnum):
    """What is to be done about a row of the plan."""

    NEW = "new"
    EXTEND = "extend"
    KEEP = "keep"
    LEAVE = "leave"


@dataclass(frozen=True)
class Row:
    """One sample of a campaign.

    Attributes
    ----------
    action : Action
        ``new`` and ``extend`` make a request; ``keep`` has one, that goes on if it is not finished; ``leave``
        is no more in the file.
    name : str
        Of the request that is made, or of the first one of the sample.
    plan : Plan or None
        Of the request that is made.
    order : Order or None
        What that is made of.
    bundle_title : str
    lines : tuple of RequestLine
        How the requests stand that there are.
    events, seconds, bytes : int, float, int
        Of the whole sample; the time is that of what is not done yet.
    energy_kwh : float or None
        ``None`` where the site does not state its power.
    remark : str
        What a user should know.
    """

    action: Action
    name: str
    wanted: Wanted | None
    site: str
    events: int
    seconds: float
    bytes: int
    energy_kwh: float | None
    plan: Plan | None = None
    order: Order | None = None
    bundle_title: str = ""
    lines: tuple[RequestLine, ...] = ()
    remark: str = ""

    @property
    def priority(self) -> int:
        """The higher, the earlier."""
        return self.wanted.priority if self.wanted else 0

    @property
    def jobs(self) -> int:
        """Simulate jobs of the request that is made; none if none is."""
        return self.plan.request.n_simulate if self.plan else 0

    @property
    def state(self) -> RequestState | None:
        """Of what there is, the state that is farthest from being done."""
        states = [line.state for line in self.lines]
        order = [*(state for state in RequestState if state is not RequestState.DONE), RequestState.DONE]
        return next((state for state in order if state in states), None)


@dataclass(frozen=True)
class CampaignPlan:
    """A campaign and all of its samples.

    Attributes
    ----------
    there : frozenset of str
        The requests that there were when it was planned.
    """

    campaign: Campaign
    rows: tuple[Row, ...]
    there: frozenset[str]

    @property
    def made(self) -> tuple[Row, ...]:
        """What makes a request."""
        return tuple(row for row in self.rows if row.plan is not None)

    @property
    def events(self) -> int:
        """Output events of all samples."""
        return sum(row.events for row in self.rows)

    @property
    def bytes(self) -> int:
        """Size of all datasets [B]."""
        return sum(row.bytes for row in self.rows)

    @property
    def energy_kwh(self) -> float | None:
        """What all of it takes; ``None`` if some site does not state its power."""
        known = [row.energy_kwh for row in self.rows if row.energy_kwh is not None]
        return sum(known) if len(known) == len(self.rows) else None

    @property
    def seconds(self) -> float:
        """Until all is done: at a site one request after another, sites at the same time [s]."""
        at: Counter[str] = Counter()
        for row in self.rows:
            at[row.site] += row.seconds  # type: ignore[assignment]
        return max(at.values(), default=0.0)

    def check_budget(self, where: str) -> None:
        """See that it stays within the budget of its file; `RequestError` otherwise."""
        budget = self.campaign.budget
        if budget.events is not None and self.events > budget.events:
            self._refuse(where, "events", f"{self.events:,}", f"{budget.events:,}", "events")
        if budget.tb is not None and self.bytes > budget.tb * _TB:
            self._refuse(where, "tb", f"{self.bytes / _TB:.3g}", f"{budget.tb:g}", "TB")
        if budget.kwh is None:
            return
        unknown = next((row.site for row in self.rows if row.energy_kwh is None), None)
        if unknown is not None:
            raise RequestError(
                f"{where}: budget.kwh: what jobs take at site {unknown} is not known; "
                "write rates.watts into its site file, or leave the budget out"
            )
        if (self.energy_kwh or 0.0) > budget.kwh:
            self._refuse(where, "kwh", f"{self.energy_kwh:.3g}", f"{budget.kwh:g}", "kWh")

    def _refuse(self, where: str, field: str, comes_to: str, budget: str, unit: str) -> None:
        raise RequestError(
            f"{where}: budget.{field}: the campaign comes to {comes_to} {unit}, the budget is {budget} "
            f"{unit}; nothing was written"
        )


def plan_campaign(home: Home, campaign: Campaign, where: str) -> CampaignPlan:
    """Everything of a campaign, looked up and checked; nothing is written.

    Parameters
    ----------
    home : Home
    campaign : Campaign
    where : str
        What errors call its file.

    Raises
    ------
    FlashSimError
        In one line that names the file, the entry and the field, of the class of what is wrong.
    """
    looking = Looking(where)
    wanted = list(campaign.wanted())
    for one in wanted:
        looking.check(one)
    for site, limit in campaign.at_once.items():
        looking.check_limit(site, limit, {one.site for one in wanted})
    lines = {line.name: line for line in all_lines(home)}
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        whole = {one.key for one in wanted if one.events is None}
        samples = {one.made.name: one for one in find_samples(home, ledger, campaign.name, whole)}
        planning = _Planning(home, ledger, campaign, looking, samples, lines)
        matches, left = match(
            [one.model_copy(update={"site": looking.site(one).name}) for one in wanted],
            [one.made for one in samples.values()],
        )
        rows = [planning.row(each, one) for each, one in zip(matches, wanted, strict=True)]
        rows += [planning.left(one) for one in left]
    for at in {row.order.site.name: row.order.site for row in rows if row.order}.values():
        check_software(at)
    there = frozenset(name for one in samples.values() for name in one.requests)
    made = CampaignPlan(campaign, tuple(rows), there)
    made.check_budget(where)
    return made


class _Planning:
    """From matches to rows."""

    def __init__(
        self,
        home: Home,
        ledger: Ledger,
        campaign: Campaign,
        looking: Looking,
        samples: dict[str, Sample],
        lines: dict[str, RequestLine],
    ) -> None:
        self._home, self._ledger, self._campaign = home, ledger, campaign
        self._looking, self._samples, self._lines = looking, samples, lines
        self._taken = {*lines, *home.names()}
        self._datasets: Counter[str] = Counter()

    def row(self, found: Match, wanted: Wanted) -> Row:
        """The row of something that the file asks for; `wanted` as it is written there."""
        if found.made is None:
            return self._new(wanted)
        sample = self._samples[found.made.name]
        remarks = list(self._remarks(wanted, found.made))
        lacking = self._lacking(found)
        if not lacking:
            if found.beyond:
                more = format_count(found.beyond * wanted.oversample)
                remarks.append(f"has {more} events more than the file asks for: left as it is")
            return self._kept(Action.KEEP, sample, wanted, remarks)
        stuck = next((line for line in self._lines_of(sample) if line.state in _STUCK), None)
        if stuck is not None:
            remarks.append(f"not extended: {stuck.name} {_STUCK[stuck.state]} (campaign retry)")
            return self._kept(Action.KEEP, sample, wanted, remarks)
        return self._extended(sample, wanted, lacking, remarks)

    def left(self, made: Made) -> Row:
        """The row of a sample that the file asks for no more."""
        return self._kept(
            Action.LEAVE, self._samples[made.name], None, ["no more in the file: left as it is"]
        )

    def _new(self, wanted: Wanted) -> Row:
        name = free_name(stem_of(self._campaign.name, wanted), self._taken)
        self._taken.add(name)
        with self._looking.told(wanted):
            order, bundle = make_order(self._typed(wanted), seen=self._looking.seen)
            plan = self._versioned(preview(self._home, order, name))
        return Row(
            action=Action.NEW,
            name=name,
            wanted=wanted,
            site=order.site.name,
            events=plan.request.events,
            seconds=plan.seconds,
            bytes=plan.bytes,
            energy_kwh=plan.energy_kwh,
            plan=plan,
            order=order,
            bundle_title=bundle.title,
            remark="; ".join((*plan.warnings, *plan.notes)),
        )

    def _extended(self, sample: Sample, wanted: Wanted, lacking: int, remarks: list[str]) -> Row:
        choices, first = wanted.choices, sample.made.name
        typed = Extending(
            events=str(lacking * wanted.oversample),
            site=None if self._looking.site(wanted).name == sample.made.site else wanted.site,
            device=choices.device,
            slots=choices.slots,
            events_per_job=None if choices.events_per_job is None else str(choices.events_per_job),
            notify=choices.notify,
        )
        with self._looking.told(wanted):
            order, bundle, notes = extension_order(self._home, first, typed)
            plan = preview(self._home, order, None)
        self._taken.add(plan.request.name)
        there = self._kept(Action.KEEP, sample, wanted, [])
        energy = (
            None
            if plan.energy_kwh is None or there.energy_kwh is None
            else plan.energy_kwh + there.energy_kwh
        )
        return replace(
            there,
            action=Action.EXTEND,
            name=plan.request.name,
            site=order.site.name,
            events=there.events + plan.request.events,
            seconds=there.seconds + plan.seconds,
            bytes=there.bytes + plan.bytes,
            energy_kwh=energy,
            plan=plan,
            order=order,
            bundle_title=bundle.title,
            remark="; ".join((*remarks, *notes, *plan.warnings, *plan.notes)),
        )

    def _kept(self, action: Action, sample: Sample, wanted: Wanted | None, remarks: list[str]) -> Row:
        lines = self._lines_of(sample)
        seconds, size, energy = 0.0, 0, 0.0
        is_known = True
        for line in lines:
            request = known_request(self._home, line.name)
            if request is None:
                remarks.append(f"the folder of {line.name} is gone")
                size += self._bytes_made(line)
                continue
            rates = measured_rates(self._ledger, request.site, request.card.name, request.device)
            plan = estimate(request, rates)
            seconds += plan.seconds * (1 - line.percent / 100)
            size += self._bytes_made(line) if line.state is RequestState.DONE else plan.bytes
            is_known &= plan.energy_kwh is not None
            energy += plan.energy_kwh or 0.0
        return Row(
            action=action,
            name=sample.made.name,
            wanted=wanted,
            site=sample.made.site,
            events=sum(line.events for line in lines),
            seconds=seconds,
            bytes=size,
            energy_kwh=energy if is_known else None,
            lines=lines,
            remark="; ".join(remarks),
        )

    def _lines_of(self, sample: Sample) -> tuple[RequestLine, ...]:
        return tuple(self._lines[name] for name in sample.requests if name in self._lines)

    def _bytes_made(self, line: RequestLine) -> int:
        if not self._ledger.has_request(line.name):
            return 0
        merged = self._ledger.totals(line.name).get(Stage.MERGE)
        return merged.bytes if merged else 0

    def _lacking(self, found: Match) -> int:
        """Gen events that the sample lacks, those counted that were added under other names."""
        if found.made is None or not found.lacking:
            return 0
        try:
            family = find_family(self._home, self._ledger, found.made.name)
        except FlashSimError:
            # what is wrong with it is told when it is extended
            return found.lacking
        return max(0, found.made.target(found.wanted) - family.gen_events)

    def _remarks(self, wanted: Wanted, made: Made) -> Iterator[str]:
        site = self._looking.site(wanted).name
        if site != made.site:
            yield f"was ordered at {made.site}: not moved to {site}"
        request = known_request(self._home, made.name)
        card = self._looking.card(wanted)
        # what is showered has the settings of its shower
        is_plain = card is not None and not (wanted.inputs or card.gridpack or wanted.choices.shower)
        if request is not None and card is not None and is_plain and self._looking.differs(wanted, request):
            yield f"card {card.name} has changed since: what was ordered stays as it was"

    def _typed(self, wanted: Wanted) -> Typed:
        choices = wanted.choices
        registration = choices.registration or Registration()
        if registration.rse is None:
            registration = registration.model_copy(update={"rse": os.environ.get(RSE_VARIABLE)})
        told = {
            "card": wanted.card,
            "inputs": wanted.inputs,
            "events": None if wanted.events is None else str(wanted.events),
            "oversample": wanted.oversample,
            "site": wanted.site,
            "energy_tev": self._looking.energy_tev(wanted),
            "era": self._looking.era(wanted),
            "events_per_job": None if choices.events_per_job is None else str(choices.events_per_job),
            "registration": registration,
            **{name: getattr(choices, name) for name in _AS_TYPED},
        }
        return Typed.from_mapping(told, "options")

    def _versioned(self, plan: Plan) -> Plan:
        """With the version that comes behind those of the same dataset in this very plan."""
        dataset = plan.request.dataset
        behind = self._datasets[str(dataset)]
        self._datasets[str(dataset)] += 1
        moved = dataset.model_copy(update={"version": dataset.version + behind})
        return replace(plan, request=plan.request.model_copy(update={"dataset": moved}))


#: what cannot be extended before somebody has looked at it
_STUCK = {RequestState.FAILED: "failed", RequestState.CANCELLED: "was cancelled"}
#: options of a request that a file has under the same names
_AS_TYPED = (
    *("bundle", "seed", "primary", "xsec", "shower", "nano", "sampling", "device", "slots", "catalog"),
    *("notify", "keep_unrefined", "analysis", "format"),
)
