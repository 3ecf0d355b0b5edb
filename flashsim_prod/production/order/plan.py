"""What a request will come to, before anything runs: jobs, events, files, size, time, energy.

Pure: the same order, site and rates give the same plan.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from datetime import datetime

from flashsim_prod.core import splitting
from flashsim_prod.core.analyses.ntuple import NTUPLE_TIER, Ntuple
from flashsim_prod.core.campaigns.extension import Extension
from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.choices import Device, RegisterIn
from flashsim_prod.core.names import USER_TIER, DatasetName, check_era, check_processing_string, owner_of
from flashsim_prod.core.notices.targets import Notify
from flashsim_prod.core.options import RequestOptions
from flashsim_prod.core.request import BundleRef, Request, Split
from flashsim_prod.core.site import Rates, Site
from flashsim_prod.core.sizes import counted, format_count, format_duration
from flashsim_prod.core.sources.kinds import HasSource
from flashsim_prod.energy.results.conventions import JOULE_PER_KWH
from flashsim_prod.errors import RequestError

#: beyond this many jobs a request is better cut into several
MAX_JOBS = 1_000_000
#: a plan that takes longer than this is confirmed first [s]
LONG = 3600.0
#: a job whose generator works for this part of its time or more waits for little else
_GENERATOR_BOUND = 0.85
#: with fewer gen events than this, what is measured with the folds of a dataset is known to 10 % at best
FEW_GEN_EVENTS = 100


class Order(HasSource, RequestOptions):
    """What a user wants, every name already looked up.

    Attributes
    ----------
    events : int or None
        Output events wanted; ``None`` with a source of so many events means all of them, times `oversample`.
    energy_tev : float or None
        ``None`` for the card's default.
    bundle_tag : str
        What the bundle is called in dataset names.
    missing : tuple of str
        What files simulated with the bundle will be without, a line each.
    remarks : tuple of str
        What was seen when names were looked up and its user should know before saying yes.
    events_per_job : int or None
        Output events of one job; ``None`` lets the site's limits decide.
    extends : Extension or None
        Where another request ended that this one goes on with.
    analysis : Ntuple or None
        What the files hold of each event, if not NANOAOD.
    notify : Notify or None
        Who is told of it; ``None`` leaves that to the state folder.
    """

    card: ProcessCard
    site: Site
    bundle: BundleRef
    bundle_tag: str
    missing: tuple[str, ...] = ()
    draws: str = ""
    events: int | None = None
    energy_tev: float | None = None
    device: Device = Device.AUTO
    events_per_job: int | None = None
    catalog: RegisterIn = RegisterIn.LOCAL
    remarks: tuple[str, ...] = ()
    extends: Extension | None = None
    analysis: Ntuple | None = None
    notify: Notify | None = None

    @property
    def available(self) -> int | None:
        """Gen events that its source has left for it; ``None`` if there is no end to them."""
        used = 0 if self.extends is None else self.extends.gen_events
        return None if self.source.available is None else self.source.available - used

    def with_resources(self, **changes: int | None) -> Order:
        """The same, with some of the site's `Resources` changed; ``None`` leaves one as it is."""
        chosen = {name: value for name, value in changes.items() if value is not None}
        resources = self.site.resources.model_copy(update=chosen)
        site = self.site.model_copy(update={"resources": resources})
        return self.model_copy(update={"site": site})


@dataclass(frozen=True)
class RatesSeen:
    """Rates of a site from jobs that ended there, and how many of those there were.

    Attributes
    ----------
    bench : str
        What else they come from, for people; empty if from jobs alone.
    """

    rates: Rates
    jobs: int
    bench: str = ""

    def __str__(self) -> str:
        return self.bench or f"measured in {self.jobs} job{'' if self.jobs == 1 else 's'}"


@dataclass(frozen=True)
class Plan:
    """A request and what it is expected to come to.

    Attributes
    ----------
    seconds : float
        Wall time on the site with `slots` jobs at a time, merging not counted [s].
    bytes : int
        Size of the finished dataset [B].
    energy_kwh : float or None
        ``None`` where the site does not state its power.
    rates_from : str
        Where the rates come from, for people.
    notes : tuple of str
        What a user should know before saying yes, a line each.
    draws : str
        How attributes are drawn, for people; empty of a request that was planned before.
    notify : Notify or None
        As of the order.
    advice : tuple of str
        Those of the notes that are about speed alone, and not about what the dataset will hold.
    """

    request: Request
    slots: int
    seconds: float
    job_seconds: float
    bytes: int
    energy_kwh: float | None
    rates_from: str
    notes: tuple[str, ...]
    draws: str = ""
    notify: Notify | None = None
    advice: tuple[str, ...] = ()

    @property
    def is_long(self) -> bool:
        """Whether to ask before starting."""
        return self.seconds > LONG

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the dataset of little use, a line each."""
        return warnings_of(self.request)


def warnings_of(request: Request) -> tuple[str, ...]:
    """What makes the dataset of `request` of little use: so few gen events that their folds mean nothing."""
    gen_events = request.before.gen_events + request.gen_events
    if request.oversample == 1 or gen_events >= FEW_GEN_EVENTS:
        return ()
    made = gen_events * request.oversample
    events = f"{counted(gen_events, 'gen event')} {format_count(request.oversample)} times over"
    return (
        f"{format_count(made)} events are {events}: folds of a gen event are not independent, so "
        f"no rate or yield is known better than to {1 / math.sqrt(gen_events):.0%}, however many there are; "
        f"ask for more --events or a lower --oversample: {FEW_GEN_EVENTS} gen events or more",
    )


def slots_of(site: Site) -> int:
    """Jobs that run at a time on `site`; as many as have a place on these CPU cores, if it does not say."""
    return site.slots or max(1, len(os.sched_getaffinity(0)) // site.resources.cpus)


def dataset_name(order: Order, version: int) -> DatasetName:
    """The name of the dataset that `order` makes, in its `version`."""
    if order.extends is not None:
        return order.extends.dataset_name(version)
    energy = _energy(order)
    string = check_processing_string(f"{order.bundle_tag}_x{order.oversample}")
    owner = owner_of(order.registration.scope)
    if owner is not None:
        return DatasetName(
            primary=order.card.primary_name(energy.tev),
            era=check_era(owner.replace("-", "_")),
            string=f"{_era(energy)}_{string}",
            version=version,
            tier=USER_TIER,
        )
    tier = {} if order.analysis is None else {"tier": NTUPLE_TIER}
    return DatasetName(
        primary=order.card.primary_name(energy.tev), era=_era(energy), string=string, version=version, **tier
    )


def make_plan(
    order: Order,
    *,
    name: str,
    version: int,
    created: datetime,
    software_version: str,
    measured: RatesSeen | None = None,
) -> Plan:
    """The request that `order` comes to, and its expected cost.

    Parameters
    ----------
    order : Order
    name : str
        Name of the request.
    version : int
        Version of the dataset, one that is free.
    created : datetime
        Now, with its time zone.
    software_version : str
    measured : MeasuredRates, optional
        What finished jobs of the site say; takes the place of the site file's rates.

    Raises
    ------
    RequestError
        If the order cannot be fulfilled; one line that says why and how to mend it.
    """
    rates = measured.rates if measured else order.site.rates
    gen_events = _gen_events(order)
    contents = {
        **order.chosen(),
        "name": name,
        "dataset": dataset_name(order, version),
        "card": order.card,
        "energy_tev": _energy(order).tev,
        "gen_events": gen_events,
        "source": order.source,
        "bundle": order.bundle,
        "split": _split(order, gen_events, rates),
        "site": order.site,
        "software_version": software_version,
        "created": created,
        "extends": order.extends,
        "analysis": order.analysis,
    }
    request = Request.from_mapping(contents, f"request {name}")
    return _estimated(request, order, measured)


def _estimated(request: Request, order: Order, measured: RatesSeen | None) -> Plan:
    made = estimate(request, measured)
    pace = _paced_by_generator(request, measured.rates if measured else request.site.rates)
    notes = (*_notes(request, order, made.job_seconds), *pace)
    return replace(made, draws=order.draws, notes=notes, notify=order.notify, advice=pace)


def estimate(request: Request, measured: RatesSeen | None) -> Plan:
    """What a request is expected to come to, with the rates that were seen, else those of its site."""
    rates, slots = measured.rates if measured else request.site.rates, slots_of(request.site)
    busy = request.n_simulate * rates.startup_s + request.gen_events * _seconds_each(request, rates)
    return Plan(
        request=request,
        slots=slots,
        seconds=_wall_seconds(request, rates, slots),
        job_seconds=_job_seconds(request, rates, request.split.gen_events_per_job),
        bytes=round(request.events * rates.bytes_per_event),
        energy_kwh=rates.watts * busy / JOULE_PER_KWH if rates.watts else None,
        rates_from=str(measured) if measured else "configured, not yet measured here",
        notes=(),
    )


def _gen_events(order: Order) -> int:
    available = order.available
    if order.events is None:
        if available is None:
            raise RequestError("--events is missing; say how many output events are wanted")
        return available
    wanted = splitting.gen_events_for(order.events, order.oversample)
    if available is not None and wanted > available:
        raise RequestError(
            f"{format_count(order.events)} events at --oversample {order.oversample} need "
            f"{format_count(wanted)} gen events, but the input files hold {format_count(available)}"
            f"{' more' if order.extends else ''}; "
            f"ask for at most {format_count(available * order.oversample)}"
        )
    return wanted


def _energy(order: Order) -> Energy:
    energy = order.card.energy(order.energy_tev)
    if energy is None:
        offered = " and ".join(f"{energy.tev:g}" for energy in order.card.energies)
        raise RequestError(
            f"card {order.card.name} has no energy of {order.energy_tev:g} TeV; it offers {offered}"
        )
    return energy


def _era(energy: Energy) -> str:
    """The acquisition era, after the year of data-taking whose pileup is imitated, else the energy."""
    year = re.search("20[0-9]{2}", energy.pileup)
    return check_era(f"FlashSim{year[0]}" if year else f"FlashSim{energy.tev:g}TeV".replace(".", "p"))


def _split(order: Order, gen_events: int, rates: Rates) -> Split:
    per_lumi = splitting.gen_events_per_lumi(order.oversample)
    wanted = _gen_events_per_job(order, gen_events, rates)
    per_job = order.site.rules.gen_events_of_job(wanted, per_lumi)
    jobs = -(-gen_events // per_job)
    if jobs > MAX_JOBS:
        raise RequestError(
            f"{format_count(jobs)} jobs are more than the {format_count(MAX_JOBS)} of one request; "
            "raise --events-per-job, or ask for fewer --events"
        )
    return Split(
        gen_events_per_job=per_job,
        gen_events_per_lumi=per_lumi,
        jobs_per_merge=splitting.jobs_per_merge(per_job * order.oversample, rates, order.site.merge),
        files_per_block=order.site.merge.files_per_block,
    )


def _gen_events_per_job(order: Order, gen_events: int, rates: Rates) -> int:
    if order.events_per_job is not None:
        return min(splitting.gen_events_for(order.events_per_job, order.oversample), gen_events)
    return splitting.gen_events_per_job(
        gen_events,
        order.oversample,
        rates=rates,
        resources=order.site.resources,
        slots=slots_of(order.site),
        generated=order.source.runs_generator,
        processes=splitting.processes_of(order.site),
    )


def _job_seconds(request: Request, rates: Rates, gen_events: int) -> float:
    return rates.startup_s + gen_events * _seconds_each(request, rates)


def _seconds_each(request: Request, rates: Rates) -> float:
    generated, n = request.source.runs_generator, splitting.processes_of(request.site)
    return splitting.seconds_per_gen_event(request.oversample, rates, generated=generated, processes=n)


def _wall_seconds(request: Request, rates: Rates, slots: int) -> float:
    """Full waves of jobs, and a last one that may hold nothing but the short last job [s]."""
    full_jobs, rest = divmod(request.gen_events, request.split.gen_events_per_job)
    full = math.ceil(full_jobs / slots) * _job_seconds(request, rates, request.split.gen_events_per_job)
    return full + (_job_seconds(request, rates, rest) if rest and full_jobs % slots == 0 else 0.0)


def _paced_by_generator(request: Request, rates: Rates) -> tuple[str, ...]:
    """A line where jobs do little but wait for the generator."""
    processes = splitting.processes_of(request.site)
    share = splitting.generator_share(request.oversample, rates, processes=processes)
    if not request.source.runs_generator or share < _GENERATOR_BOUND:
        return ()
    remedy = "a higher --oversample costs little"
    if processes > 1:
        remedy = f"raise --oversample, or have more jobs with fewer of the {processes} cpus each"
    return (
        f"the generator sets the pace: {rates.generator_hz:,.3g} gen events/s a job, "
        f"where {rates.flashsim_hz:,.4g} events/s could be simulated; {remedy}",
    )


def _notes(request: Request, order: Order, job_seconds: float) -> list[str]:
    notes = []
    if order.events is not None and request.events != order.events:
        notes.append(
            f"{order.events} is no multiple of {order.oversample}: the last gen event's folds are completed, "
            f"so there will be {format_count(request.events)} events"
        )
    per_job = request.split.gen_events_per_job * request.oversample
    if order.events_per_job is not None and per_job > order.events_per_job:
        notes.append(
            f"--events-per-job {order.events_per_job} is no multiple of {order.oversample}: all folds of a "
            f"gen event stay in one job, so a job makes {format_count(per_job)} events"
        )
    limit = order.site.resources.walltime_min * 60
    if job_seconds > limit:
        notes.append(
            f"a job is expected to take {format_duration(job_seconds)}, more than the site's limit of "
            f"{format_duration(limit)}; lower --events-per-job"
        )
    notes += [f"the dataset will lack: {line}" for line in order.missing]
    if request.is_vetoed:
        notes.append(
            "numbers of events, size, time and energy are estimates from above: merging throws events away "
            "in the shower, and how many are left is known when the jobs are done"
        )
    if request.analysis is not None:
        notes.append(
            f"the files hold the events that pass the selection of {request.analysis.name}, the sums in Runs "
            "are of all that are simulated; numbers of events and size are estimates from above"
        )
    return [*notes, *order.site.rules.notes(request), *order.remarks]
