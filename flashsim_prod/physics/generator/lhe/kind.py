"""LHE files as the source of a request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.core.sources.lhe import LheFiles, merging_of, values_of
from flashsim_prod.core.sources.nano import Contents
from flashsim_prod.core.splitting import SimulateJob, event_pileup_seed, event_seed
from flashsim_prod.errors import ConfigError, InputError
from flashsim_prod.physics.generator.kinds import InputFacts, Locate, SourceKind
from flashsim_prod.physics.generator.lhe.branches import branches_of_hard_process
from flashsim_prod.physics.generator.lhe.file import count_events, read_head
from flashsim_prod.physics.generator.lhe.merging import MadeFor, settings_for
from flashsim_prod.physics.generator.lhe.shower import LheSource, check_shower
from flashsim_prod.physics.generator.lhe.survey import Survey, survey, survey_alike

_NAMES = (".lhe", ".lhe.gz")
#: settings that choose hard processes or bound them: the file has chosen already
_HARD = re.compile(
    r"(SoftQCD|HardQCD|PromptPhoton|WeakBosonExchange|WeakSingleBoson|WeakDoubleBoson|WeakBosonAndParton|"
    r"PhotonCollision|PhotonParton|Charmonium|Bottomonium|Onia|Top|FourthGeneration|"
    r"FourthBottom|FourthTop|FourthPair|HiggsSM|HiggsBSM|HiggsH1|HiggsH2|HiggsA3|SUSY|NewGaugeBoson|"
    r"LeftRightSymmetry|LeptoQuark|ExcitedFermion|ContactInteractions|ExtraDimensions[\w*]*|DM|PhaseSpace|ProcessLevel):.*",
    re.IGNORECASE,
)
#: settings that would change which events there are, or that the job sets itself
_REFUSED = re.compile(r"((Beams|POWHEG|Init|Random):.*|SLHA:(file|readFrom)\b.*)", re.IGNORECASE)
#: what a card of a shower says where nothing else is to be said
_PLAIN = ("PartonLevel:all = on",)


class LheKind(SourceKind):
    """LHE files, plain or gzipped, told by their names."""

    def takes(self, url: str) -> bool:
        return url.lower().endswith(_NAMES)

    def entries(self, url: str) -> int:
        number = count_events(url)
        if not number:
            raise InputError(f"{url} holds no events; leave it out")
        survey(url)
        return number

    def of(self, files: Sequence[InputFile]) -> Source:
        first = survey_alike(file.url for file in files)[0]
        return LheFiles(files=tuple(files), carried=branches_of_hard_process(first), told=_told(first))

    def facts(self, source: Source) -> InputFacts:
        surveys = survey_alike(file.url for file in source.files)
        energy_tev = surveys[0].head.energy_tev
        of_files = [
            (one.head.cross_section_pb, file.entries) for one, file in zip(surveys, source.files, strict=True)
        ]
        return InputFacts(
            energy_tev=energy_tev,
            cross_section_pb=_cross_section(of_files),
            fallback=_primary(source.files[0].url, energy_tev),
        )

    def showered(
        self, card: ProcessCard, shower: ProcessCard | None, source: Source | None = None
    ) -> ProcessCard:
        chosen = shower or card
        url = source.files[0].url if source else ""
        made = read_head(url).merging if url else MadeFor()
        settings = settings_for(made, _shower_settings(chosen), url) or _PLAIN
        return card.model_copy(update={"tune": chosen.tune, "settings": settings})

    def settled(self, source: Source, card: ProcessCard) -> Source:
        scheme = merging_of(card.settings)
        if not scheme or not isinstance(source, LheFiles):
            return source
        normalisation = (
            f"{scheme} merging ({_scales(scheme, card)}) throws events away: how many are left is known "
            "afterwards, until then numbers are of those tried, an estimate from above; the cross section is "
            "that of <init> times the share that is left; genEventSumw is of the events that are left"
        )
        told = source.told.model_copy(update={"normalisation": normalisation})
        return source.model_copy(update={"told": told})

    def check(self, source: Source, card: ProcessCard) -> None:
        url = source.files[0].url
        check_shower(card, survey(url), url)

    def open(self, source: Source, request: Request, job: SimulateJob, locate: Locate = str) -> LheSource:
        return LheSource(
            request.card,
            [(locate(file.url), file.entries) for file in source.files],
            first=job.gen_first,
            n_events=job.gen_events,
            pileup=request.pileup,
            init_seed=job.generator_seed,
            event_seed=partial(event_seed, request.seed),
            pileup_seed=partial(event_pileup_seed, request.seed),
        )


KIND = LheKind()


def _cross_section(of_files: Sequence[tuple[float, int]]) -> float | None:
    """The mean of what the files say, by their events: each is a measurement of the same [pb]."""
    total = sum(entries for _, entries in of_files)
    mean = sum(value * entries for value, entries in of_files) / total
    return mean if mean > 0 else None


def _primary(url: str, energy_tev: float) -> str:
    """What a sample is called that is known by its file alone."""
    stem = re.sub(r"(?i)\.lhe(\.gz)?$", "", Path(url).name)
    word = re.sub(r"[^A-Za-z0-9-]+", "-", stem).strip("-")[:60]
    if not word[:1].isalpha():
        word = f"lhe-{word}"
    return f"{word}_{energy_tev:g}".replace(".", "p") + "TeV_FlashSim-pythia8"


def _told(of: Survey) -> Contents:
    """What becomes of the files, for people."""
    weights = ", ".join(f"{len(its)} {name}" for name, its in of.branches.items())
    return Contents(
        carried=f"the hard process (LHEPart, LHE_*); {weights or 'no weights but the nominal one'}",
        dropped="nothing that NanoAOD has a place for",
        drawn="pileup and generator vertices",
        normalisation="cross section of <init>; genWeight is the weight of the file (XWGTUP)",
    )


def _shower_settings(card: ProcessCard) -> tuple[str, ...]:
    """The settings of `card` that are not about hard processes; `ConfigError` for those that cannot be."""
    refused = next((one for one in card.settings if _REFUSED.fullmatch(one.strip())), None)
    if refused is not None:
        raise ConfigError(
            f"card {card.name}: '{refused}' cannot be set for LHE input: beams are the file's, "
            "seeds are the job's, and the vetoed shower of POWHEG is not there; leave it out"
        )
    return tuple(one for one in card.settings if one not in _PLAIN and not _HARD.fullmatch(one.strip()))


def _scales(scheme: str, card: ProcessCard) -> str:
    """What decides how much is left, as people compare it."""
    values = values_of(card.settings)
    if scheme == "CKKW-L":
        names = {"Merging:TMS": "TMS", "Merging:nJetMax": "nJetMax"}
    else:
        names = {"JetMatching:qCut": "qCut", "JetMatching:nJetMax": "nJetMax"}
    found = [f"{short} {values[name.lower()]}" for name, short in names.items() if name.lower() in values]
    return ", ".join(found) or "scales of the file"
