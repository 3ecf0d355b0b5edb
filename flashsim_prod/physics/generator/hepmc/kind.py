"""HepMC files as the source of a request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.sizes import format_count
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.core.sources.hepmc import HepmcFiles
from flashsim_prod.core.sources.nano import Contents
from flashsim_prod.core.splitting import SimulateJob, event_pileup_seed
from flashsim_prod.errors import InputError
from flashsim_prod.physics.generator.hepmc.events import HepmcSource
from flashsim_prod.physics.generator.hepmc.file import is_hepmc
from flashsim_prod.physics.generator.hepmc.survey import Survey, survey, survey_alike
from flashsim_prod.physics.generator.hepmc.weights import carried_weights, sorted_into_branches
from flashsim_prod.physics.generator.kinds import InputFacts, Locate, SourceKind, first_event_digest
from flashsim_prod.physics.streams.served import file_name

_ELSEWHERE = re.compile(r"\.(root|lhe(\.gz)?)$", re.IGNORECASE)
_UNKNOWN = "an unnamed generator"


class HepmcKind(SourceKind):
    """HepMC files in ASCII, told by their names or their first bytes."""

    def __init__(self) -> None:
        #: the latest survey of each file, so that a request that is made reads none of them twice
        self._surveys: dict[str, Survey] = {}

    def takes(self, url: str) -> bool:
        return not _ELSEWHERE.search(file_name(url)) and is_hepmc(url)

    def entries(self, url: str) -> int:
        self._surveys[url] = survey(url)
        return self._surveys[url].scan.entries

    def identity(self, url: str) -> str:
        # a file on a server is not read once more for that
        return super().identity(url) or first_event_digest((self._surveys.get(url) or survey(url)).first)

    def of(self, files: Sequence[InputFile]) -> Source:
        surveys = self._of(files)
        first = survey_alike(surveys)
        branches = sorted_into_branches(first.names, first.scan.nominal)
        return HepmcFiles(
            files=tuple(files),
            weights=first.names,
            nominal=first.scan.nominal,
            numbered=all(one.scan.lowest_number >= 0 for one in surveys),
            beams_gev=first.beams_gev,
            made_by=", ".join(dict.fromkeys(tool for one in surveys for tool in one.tools)) or _UNKNOWN,
            carried=carried_weights(first.names, branches),
            told=_told(surveys, branches),
        )

    def facts(self, source: Source) -> InputFacts:
        surveys = self._of(source.files)
        beams, heavy = surveys[0].beams_gev, [one.heavy for one in surveys if one.heavy is not None]
        measured = _measured(surveys)
        return InputFacts(
            energy_tev=None if beams is None else round(beams / 1000, 3),
            cross_section_pb=measured[0] if measured else None,
            heavy=frozenset.intersection(*heavy) if heavy else None,
            fallback=_primary(source.files[0].url, beams),
        )

    def check(self, source: Source, card: ProcessCard) -> None:
        """All was seen when the files were read."""

    def open(self, source: Source, request: Request, job: SimulateJob, locate: Locate = str) -> HepmcSource:
        if not isinstance(source, HepmcFiles):
            raise InputError(f"a source of kind {source.kind} is not of HepMC files")
        return HepmcSource(
            source,
            [(locate(file.url), file.entries) for file in source.files],
            first=job.gen_first,
            n_events=job.gen_events,
            pileup=request.pileup,
            pileup_seed=partial(event_pileup_seed, request.seed),
        )

    def _of(self, files: Sequence[InputFile]) -> list[Survey]:
        return [self._surveys.get(file.url) or survey(file.url) for file in files]


KIND = HepmcKind()


def _measured(surveys: Sequence[Survey]) -> tuple[float, float] | None:
    """The mean of what the last event of each file says, by their events, and its error [pb]."""
    told = [(one.scan.cross_section, one.scan.entries) for one in surveys if one.scan.cross_section]
    total = sum(entries for _, entries in told)
    if not total or len(told) < len(surveys):
        return None
    mean = sum(one[0] * entries for one, entries in told) / total
    error = sum((one[1] * entries) ** 2 for one, entries in told) ** 0.5 / total
    return mean, error


def _primary(url: str, beams_gev: float | None) -> str:
    """What a sample is called that is known by its file alone."""
    stem = re.sub(r"(?i)\.(hepmc[23]?|gz)(\.gz)?$", "", file_name(url))
    word = re.sub(r"[^A-Za-z0-9-]+", "-", stem).strip("-")[:60]
    if not word[:1].isalpha():
        word = f"hepmc-{word}"
    energy = "" if beams_gev is None else f"_{beams_gev / 1000:g}TeV".replace(".", "p")
    return f"{word}{energy}_FlashSim-hepmc"


def _told(surveys: Sequence[Survey], branches: dict[str, tuple[int, ...]]) -> Contents:
    """What becomes of the files, for people."""
    weights = ", ".join(f"{len(its)} {name}" for name, its in branches.items())
    odd = "; ".join(dict.fromkeys(line for one in surveys for line in one.told))
    return Contents(
        carried=f"all particles, as GenPart and what follows from it; {weights or 'no weights but one'}"
        + (f"; {odd}" if odd else ""),
        dropped="places of vertices, what else is noted of events and particles, heavy ions",
        drawn="pileup and generator vertices",
        normalisation=_normalisation(surveys),
    )


def _normalisation(surveys: Sequence[Survey]) -> str:
    first, measured = surveys[0], _measured(surveys)
    events, negative = (sum(getattr(one.scan, name) for one in surveys) for name in ("entries", "negative"))
    section = (
        f"cross section of the last event of each file, {measured[0]:.4g} +- {measured[1]:.2g} pb"
        if measured
        else "no cross section in the files"
    )
    weight = f"weight '{first.names[first.scan.nominal]}'" if first.names else "1, the files have no weights"
    share = f"negative in {format_count(negative)} of {format_count(events)} events"
    return f"{section}; genWeight is {weight}, {share}"
