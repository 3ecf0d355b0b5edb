"""What there is to tell about requests: numbers and lines, no layout.

A figure that cannot be known is ``None`` and says why in a warning; it is never a zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.states import ACTIVE, JobState, RequestState, Stage
from flashsim_prod.errors import ConfigError, FlashSimError, RequestError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import Counts, Failure, RequestRow, StageTotals
from flashsim_prod.grid.locks import is_driven
from flashsim_prod.production.context import in_state, request_state
from flashsim_prod.production.drive.detached import leftovers
from flashsim_prod.production.drive.watch import Glance, glance
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.accepted import accepted_of, told
from flashsim_prod.production.notices.telling import tell_aside
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.plan import slots_of


@dataclass(frozen=True)
class RequestLine:
    """One request in the list of all.

    Attributes
    ----------
    flag : str
        The worst that its jobs are in: H held, C cancelled, F failed, ? unknown; or nothing.
    percent : float
        Jobs that are done, of all [%].
    age_s, eta_s : float, float or None
        Time since it was created, and until it will be done [s].
    """

    name: str
    state: RequestState
    flag: str
    percent: float
    card: str
    dataset: str
    events: int
    site: str
    created: datetime
    age_s: float
    eta_s: float | None


@dataclass(frozen=True)
class StageLine:
    """The jobs of one stage, or of all, by state; states without jobs are left out."""

    label: str
    states: dict[JobState, int]
    expected: int


@dataclass(frozen=True)
class StageSpeed:
    """What the finished jobs of a stage were like.

    Attributes
    ----------
    events_hz : float or None
        Events per second of a job, start-up and everything included.
    job_seconds : float
        Mean length of a job [s].
    max_rss_mb : float
        Largest peak memory of any [MB].
    energy_j : float or None
        Measured on the nodes [J].
    measured_jobs, measured_events : int
        Jobs that this energy is of, and their events.
    """

    stage: Stage
    jobs: int
    events: int
    bytes: int
    events_hz: float | None
    job_seconds: float
    max_rss_mb: float
    energy_j: float | None
    measured_jobs: int
    measured_events: int


@dataclass(frozen=True)
class RequestDetail:
    """All about one request."""

    line: RequestLine
    folder: Path
    catalog: str
    registered: datetime | None
    stages: tuple[StageLine, ...]
    speeds: tuple[StageSpeed, ...]
    failures: tuple[Failure, ...]
    retries: dict[Stage, int]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class RequestStanding:
    """How a request stands, by the ledger: what its detail has that is cheap to know of all requests.

    Attributes
    ----------
    stages, speeds, failures : tuple
        As of `RequestDetail`.
    """

    line: RequestLine
    folder: Path
    stages: tuple[StageLine, ...]
    speeds: tuple[StageSpeed, ...]
    failures: tuple[Failure, ...]


def all_lines(home: Home) -> list[RequestLine]:
    """Every request, the oldest first; those that were only written (dry runs) last."""
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        lines = [line for _, _, line in _entered(home, ledger)]
    return lines + [_dry_line(request) for _, request in _only_written(home, lines)]


def all_standings(home: Home) -> list[RequestStanding]:
    """The same requests in the same order as `all_lines`, each with its jobs, speeds and failures."""
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        found = [
            RequestStanding(
                line=line,
                folder=row.folder,
                stages=_stage_lines(counts, row.n_simulate, row.n_merge),
                speeds=_speeds(ledger, row.name),
                failures=tuple(ledger.failures(row.name)),
            )
            for row, counts, line in _entered(home, ledger)
        ]
    dry = _only_written(home, [one.line for one in found])
    return found + [
        RequestStanding(_dry_line(request), folder.path, _planned(request), (), ()) for folder, request in dry
    ]


def _entered(home: Home, ledger: Ledger) -> Iterator[tuple[RequestRow, Counts, RequestLine]]:
    """The requests of the ledger, the oldest first; batch systems are asked before anything is told."""
    glances = {name: glance(home, name) for name in sorted(ledger.submissions.open_names())}
    for name in sorted(ledger.notices.left() - set(glances)):
        tell_aside(home, name)
    all_counts = ledger.all_counts()
    for row in ledger.requests():
        driven = _is_driven(home, row.name, glances.get(row.name))
        counts = _believable(all_counts.get(row.name, {}), driven=driven)
        line = _line(home, ledger, row, counts, driven=driven)[0]
        if line.state is RequestState.INTERRUPTED and row.name not in glances:
            # of what nobody drives any more, whoever looks has to tell
            tell_aside(home, row.name)
        yield row, counts, line


def _only_written(home: Home, lines: Iterable[RequestLine]) -> Iterator[tuple[RequestFolder, Request]]:
    """Dry runs: requests with a folder that are not in the ledger; `spoiled` tells of those left out."""
    known = {line.name for line in lines}
    for folder in (home.folder(name) for name in home.names() if name not in known):
        try:
            yield folder, load_request(folder.request)
        except (ConfigError, RequestError):
            continue


def detail(home: Home, name: str) -> RequestDetail:
    """One request; `RequestError` if there is none of this name."""
    with Ledger(home.ledger, read_only=home.is_read_only) as ledger:
        if not ledger.has_request(name):
            return _dry_detail(home.existing(name))
        found = glance(home, name) if ledger.submissions.open(name) else None
        row = ledger.request(name)
        driven = _is_driven(home, name, found)
        counts = _believable(ledger.counts(name), driven=driven)
        line, warnings = _line(home, ledger, row, counts, driven=driven)
        if found is not None and found.trouble:
            warnings = [f"where its jobs stand is not known: {found.trouble}"]
        last = ledger.submissions.last(name)
        if last is not None and last.stopped and line.state not in (RequestState.DONE, RequestState.RUNNING):
            warnings.append(f"{last.stopped}; to go on: flashsim-prod retry {name}")
        notes = found.notes if found else leftovers(home, name) if line.state is RequestState.DONE else ()
        return RequestDetail(
            line=line,
            folder=row.folder,
            catalog=row.catalog,
            registered=row.registered,
            stages=_stage_lines(counts, row.n_simulate, row.n_merge),
            speeds=_speeds(ledger, name),
            failures=tuple(ledger.failures(name)),
            retries=ledger.retries(name),
            notes=(*notes, *_of_merging(home.folder(name))),
            warnings=tuple(warnings),
        )


def _of_merging(folder: RequestFolder) -> tuple[str, ...]:
    """What merging has left so far, of a request whose shower may throw events away."""
    try:
        request = load_request(folder.request)
    except FlashSimError:
        return ()
    found = accepted_of(folder, request)
    if found is None:
        return ()
    entry = request.card.energy(request.energy_tev)
    return (told(found, entry.cross_section_pb if entry else None),)


def _is_driven(home: Home, name: str, found: Glance | None) -> bool:
    if found is not None:
        return found.alive
    folder = home.folder(name).path
    return folder.is_dir() and is_driven(folder)


def _believable(counts: Counts, *, driven: bool) -> Counts:
    """Jobs by state; what the ledger last heard of jobs whose driver has died is not known to be so."""
    if driven:
        return counts
    seen: Counts = {}
    for (stage, state), number in counts.items():
        key = (stage, JobState.UNKNOWN if state in ACTIVE else state)
        seen[key] = seen.get(key, 0) + number
    return seen


def _line(
    home: Home, ledger: Ledger, row: RequestRow, counts: Counts, *, driven: bool
) -> tuple[RequestLine, list[str]]:
    folder = home.folder(row.name)
    warnings = [] if folder.request.is_file() else [f"{folder.request} is missing: it cannot be retried"]
    state = request_state(row, counts, driven=driven)
    unknown = in_state(counts, JobState.UNKNOWN)
    if unknown and not driven:
        warnings.append(
            f"nobody drives this request, so what became of {unknown} started jobs is unknown; "
            f"to find out and go on: flashsim-prod retry {row.name}"
        )
    eta = None
    if state is RequestState.RUNNING:
        eta, why = _eta(ledger, folder, counts)
        warnings += [why] if why else []
    jobs = row.n_simulate + row.n_merge
    line = RequestLine(
        name=row.name,
        state=state,
        flag=_flag(counts),
        percent=100 * in_state(counts, JobState.DONE) / jobs,
        card=row.card,
        dataset=str(row.dataset),
        # of a finished one what is there, which the shower may have made fewer than were asked for
        events=ledger.made_events(row.name) if state is RequestState.DONE else row.events,
        site=row.site,
        created=row.created,
        age_s=(datetime.now(UTC) - row.created).total_seconds(),
        eta_s=eta,
    )
    return line, warnings


def _flag(counts: Counts) -> str:
    flags = {"H": JobState.HELD, "C": JobState.CANCELLED, "F": JobState.FAILED, "?": JobState.UNKNOWN}
    return next((flag for flag, state in flags.items() if in_state(counts, state)), "")


def _eta(ledger: Ledger, folder: RequestFolder, counts: Counts) -> tuple[float | None, str | None]:
    """Time until all jobs are done [s], or why that is not known.

    The jobs that are left take as long as the finished ones did on average, `slots` at a time.
    """
    try:
        slots = slots_of(load_request(folder.request).site)
    except RequestError as error:
        return None, f"no time of completion: {error}"
    totals = ledger.totals(folder.name)
    if Stage.SIMULATE not in totals:
        return None, "no time of completion yet: no job has finished"
    left = dict.fromkeys(Stage, 0)
    for (stage, state), number in counts.items():
        left[stage] += number if state is not JobState.DONE else 0
    seconds = sum(left[stage] * one.wall_s / one.jobs for stage, one in totals.items())
    return seconds / min(slots, max(1, sum(left.values()))), None


def _stage_lines(counts: Counts, n_simulate: int, n_merge: int) -> tuple[StageLine, ...]:
    expected = {Stage.SIMULATE: n_simulate, Stage.MERGE: n_merge}
    total = {state: number for state in JobState if (number := in_state(counts, state))}
    by_stage = [
        StageLine(
            stage.value,
            {state: number for state in JobState if (number := counts.get((stage, state), 0))},
            expected[stage],
        )
        for stage in Stage
    ]
    return (StageLine("TOTAL", total, n_simulate + n_merge), *by_stage)


def _speeds(ledger: Ledger, name: str) -> tuple[StageSpeed, ...]:
    totals = ledger.totals(name)
    return tuple(_speed(stage, totals[stage]) for stage in Stage if stage in totals)


def _speed(stage: Stage, totals: StageTotals) -> StageSpeed:
    return StageSpeed(
        stage=stage,
        jobs=totals.jobs,
        events=totals.events,
        bytes=totals.bytes,
        events_hz=totals.events / totals.wall_s if totals.wall_s > 0 else None,
        job_seconds=totals.wall_s / totals.jobs,
        max_rss_mb=totals.max_rss_mb,
        energy_j=totals.energy_j,
        measured_jobs=totals.measured_jobs,
        measured_events=totals.measured_events,
    )


def _dry_line(request: Request) -> RequestLine:
    return RequestLine(
        name=request.name,
        state=RequestState.PLANNED,
        flag="",
        percent=0.0,
        card=request.card.name,
        dataset=str(request.dataset),
        events=request.events,
        site=request.site.name,
        created=request.created,
        age_s=(datetime.now(UTC) - request.created).total_seconds(),
        eta_s=None,
    )


def _planned(request: Request) -> tuple[StageLine, ...]:
    """The stages of a request that was never started."""
    planned = {
        (Stage.SIMULATE, JobState.PLANNED): request.n_simulate,
        (Stage.MERGE, JobState.PLANNED): request.n_merge,
    }
    return _stage_lines(planned, request.n_simulate, request.n_merge)


def _dry_detail(folder: RequestFolder) -> RequestDetail:
    request = load_request(folder.request)
    return RequestDetail(
        line=_dry_line(request),
        folder=folder.path,
        catalog=request.catalog,
        registered=None,
        stages=_planned(request),
        speeds=(),
        failures=(),
        retries={},
        notes=(),
        warnings=(f"a dry run, never started; to start it: flashsim-prod retry {folder.name}",),
    )
