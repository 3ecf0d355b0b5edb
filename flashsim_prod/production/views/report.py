"""All about one request on one page: what was asked, what was made, by what, and how to use it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashsim_prod import __version__, resources
from flashsim_prod.core.report import Accepted, EventWeights, JobReport, OutputFile
from flashsim_prod.core.request import Request
from flashsim_prod.core.sizes import format_bytes, format_count, format_duration
from flashsim_prod.core.speed import OVERLAP
from flashsim_prod.core.states import Stage
from flashsim_prod.energy.results.conventions import JOULE_PER_KWH
from flashsim_prod.files import read_text, write_whole
from flashsim_prod.production.dataset.validate import VALIDATION_FOLDER
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.accepted import accepted_of, told
from flashsim_prod.production.job.run import read_report
from flashsim_prod.production.job.weights import weights_of
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.views.status import RequestDetail, detail

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.assessment import Assessment

#: folders and names beside the request
REPORT_FOLDER = "report"
PAGE, FIGURES = "index.html", "validation.json"
#: files, hosts and seeds that are shown; all are in the reports
_SHOWN = 12


@dataclass(frozen=True)
class Step:
    """Wall time of one step of the jobs of a stage [s], summed over them."""

    stage: Stage
    name: str
    seconds: float
    share: float


@dataclass(frozen=True)
class EnergyUse:
    """What the jobs of a request used.

    Attributes
    ----------
    kwh : float
        Of the jobs whose node had a meter.
    kwh_per_event : float or None
        What an event took in these jobs, stage by stage; None if none of them simulated.
    merging_known : bool
        Whether the merge jobs are in that figure.
    measured_jobs, jobs : int
        Finished jobs whose node had a meter, and all.
    meters : tuple of str
    """

    kwh: float
    kwh_per_event: float | None
    merging_known: bool
    measured_jobs: int
    jobs: int
    meters: tuple[str, ...]


@dataclass(frozen=True)
class ValidationVerdict:
    """What ``validate`` said of the dataset, if it was asked.

    `told` is how well a classifier tells whole events from the reference's, an area and its error.
    """

    light: str
    reference: str
    groups: dict[str, str | None]
    page: str
    told: tuple[float, float] | None = None


@dataclass(frozen=True)
class RequestReport:
    """The contents of the page."""

    request: Request
    detail: RequestDetail
    files: tuple[OutputFile, ...]
    steps: tuple[Step, ...]
    hosts: tuple[tuple[str, int], ...]
    devices: tuple[tuple[str, int], ...]
    software: tuple[str, ...]
    seeds: tuple[int, ...]
    started: datetime | None
    ended: datetime | None
    energy: EnergyUse | None
    energy_void: tuple[str, ...]
    fidelity: ValidationVerdict | None
    bundle: dict[str, Any]
    merging: Accepted | None = None
    weights: EventWeights | None = None

    @property
    def cross_section_pb(self) -> float | None:
        """That of the events in the files, which merging makes smaller than that of the process [pb]."""
        entry = self.request.card.energy(self.request.energy_tev)
        known = entry.cross_section_pb if entry else None
        if known is None or self.merging is None:
            return known
        return None if self.merging.share is None else known * self.merging.share

    @property
    def of_merging(self) -> str | None:
        """What merging has left, in a line for people; ``None`` where there is none."""
        entry = self.request.card.energy(self.request.energy_tev)
        return None if self.merging is None else told(self.merging, entry.cross_section_pb if entry else None)

    @property
    def wall_s(self) -> float | None:
        """From the first job's start to the last one's end [s]."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None

    @property
    def events(self) -> int:
        """Events in finished files."""
        return sum(file.events for file in self.files)


def make_request_report(home: Home, name: str) -> RequestReport:
    """Gather what is known of a request; `RequestError` if there is none of this name."""
    folder = home.existing(name)
    request = load_request(folder.request)
    reports = [
        report
        for stage, number in ((Stage.SIMULATE, request.n_simulate), (Stage.MERGE, request.n_merge))
        for index in range(number)
        if (report := read_report(folder.report(stage, index))) is not None and report.succeeded
    ]
    simulated = [one for one in reports if one.stage is Stage.SIMULATE]
    merged = [one.output for one in reports if one.stage is Stage.MERGE and one.output is not None]
    return RequestReport(
        request=request,
        detail=detail(home, name),
        files=tuple(merged),
        steps=tuple(_steps(reports)),
        hosts=_most_common(one.host for one in reports),
        devices=_most_common(one.device for one in simulated),
        software=tuple(sorted({one.software_version for one in reports})),
        seeds=tuple(one.seed for one in simulated[:_SHOWN] if one.seed is not None),
        started=min((one.started for one in reports), default=None),
        ended=max((one.ended for one in reports), default=None),
        energy=_energy(reports),
        energy_void=tuple(dict.fromkeys(one.energy_void for one in reports if one.energy_void)),
        fidelity=_fidelity(folder.path / VALIDATION_FOLDER),
        bundle=_bundle(request),
        merging=accepted_of(folder, request),
        weights=weights_of(folder, request),
    )


def _most_common(words: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(words).most_common(_SHOWN))


def _steps(reports: list[JobReport]) -> Iterable[Step]:
    for stage in Stage:
        seconds: Counter[str] = Counter()
        for one in reports:
            if one.stage is stage:
                seconds.update(one.timings_s)
        # what was done side by side has taken its time all the same
        seconds.pop(OVERLAP, None)
        total = sum(seconds.values())
        for name, spent in seconds.items():
            yield Step(stage, name, spent, spent / total if total else 0.0)


def _energy(reports: list[JobReport]) -> EnergyUse | None:
    measured = [one for one in reports if one.energy_j is not None]
    if not measured:
        return None
    simulate, merge = (_kwh_per_event([one for one in measured if one.stage is stage]) for stage in Stage)
    return EnergyUse(
        kwh=_kwh(measured),
        # every event is simulated in one job and merged in another
        kwh_per_event=None if simulate is None else simulate + (merge or 0.0),
        merging_known=merge is not None,
        measured_jobs=len(measured),
        jobs=len(reports),
        meters=tuple(sorted({one.energy_from for one in measured if one.energy_from})),
    )


def _kwh(measured: list[JobReport]) -> float:
    return sum(one.energy_j or 0.0 for one in measured) / JOULE_PER_KWH


def _kwh_per_event(measured: list[JobReport]) -> float | None:
    """Over the events of the jobs that were measured: those of others used energy that nobody knows."""
    events = sum(one.events for one in measured)
    return _kwh(measured) / events if events else None


def _fidelity(folder: Path) -> ValidationVerdict | None:
    """What was found when the dataset was validated; a file that is none of ours counts as nothing."""
    try:
        found = json.loads(read_text(folder / FIGURES))
        groups = {one["name"]: one["light"] for one in found["groups"]}
        area = (found.get("told") or {}).get("auc")
        told = (float(area["value"]), float(area["error"])) if area else None
        page = f"../{VALIDATION_FOLDER}/{PAGE}"
        return ValidationVerdict(found["light"], found["reference"], groups, page, told)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _bundle(request: Request) -> dict[str, Any]:
    """Title and training sample of the bundle, if it is still there and the same."""
    from flashsim_prod.errors import BundleError, RequestError
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle

    try:
        found = load_bundle(find_bundle(request.bundle.path))
    except (BundleError, RequestError):
        return {}
    if found.digest != request.bundle.digest:
        return {}
    return {
        "name": found.name,
        "title": found.title,
        "models": list(found.manifest.models),
        "training_sample": list(found.manifest.training_sample),
        "told_apart": [line for one in found.manifest.fidelity for line in _told_apart(one)],
    }


def _told_apart(found: Assessment) -> Iterable[str]:
    """How well the bundle's events are told from FullSim's, where that was measured; a line."""
    if found.told_apart:
        areas = (
            f"{name} {one.auc:.2f} ± {one.auc_error:.2f} (floor {one.auc_floor:.2f})"
            for name, one in found.told_apart.items()
        )
        events = f", events {found.events} of each" if found.events else ""
        yield f"{', '.join(areas)}; on {', '.join(found.files)}{events}"


def write_request_report(home: Home, report: RequestReport, output: Path | None = None) -> Path:
    """Write the page, by default into the folder of the request; its path is returned.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    environment = resources.templates("pages", are_pages=True)
    environment.filters.update(count=format_count, bytes=format_bytes, duration=format_duration, python=repr)
    path = (output or home.existing(report.request.name).path / REPORT_FOLDER) / PAGE
    text = environment.get_template("request.html.j2").render(
        report=report,
        request=report.request,
        detail=report.detail,
        energy_entry=report.request.card.energy(report.request.energy_tev),
        shown=_SHOWN,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )
    write_whole(path, text)
    return path
