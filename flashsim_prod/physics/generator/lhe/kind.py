"""LHE files as the source of a request."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.core.sources.lhe import LheFiles
from flashsim_prod.core.splitting import SimulateJob, event_pileup_seed, event_seed
from flashsim_prod.errors import ConfigError, InputError
from flashsim_prod.physics.generator.kinds import Locate, SourceKind
from flashsim_prod.physics.generator.lhe.event import parse_event
from flashsim_prod.physics.generator.lhe.file import count_events, event_texts
from flashsim_prod.physics.generator.lhe.shower import LheSource, check_shower
from flashsim_prod.physics.generator.lhe.survey import survey, survey_alike
from flashsim_prod.physics.generator.pileup import find_profile

_NAMES = (".lhe", ".lhe.gz")
#: up to this energy the pileup of Run 2 is drawn [TeV]
_RUN2_TEV = 13.3
#: settings that choose hard processes or bound them: the file has chosen already
_HARD = re.compile(
    r"(SoftQCD|HardQCD|PromptPhoton|WeakBosonExchange|WeakSingleBoson|WeakDoubleBoson|WeakBosonAndParton|"
    r"PhotonCollision|PhotonParton|Charmonium|Bottomonium|Onia|Top|FourthGeneration|"
    r"FourthBottom|FourthTop|FourthPair|HiggsSM|HiggsBSM|HiggsH1|HiggsH2|HiggsA3|SUSY|NewGaugeBoson|"
    r"LeftRightSymmetry|LeptoQuark|ExcitedFermion|ContactInteractions|ExtraDimensions[\w*]*|DM|PhaseSpace):.*",
    re.IGNORECASE,
)
#: settings that would change which events there are, or that the job sets itself
_REFUSED = re.compile(r"((Beams|JetMatching|Merging|POWHEG|Init|Random):.*|SLHA:(file|readFrom)\b.*)", re.IGNORECASE)
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
        return LheFiles(files=tuple(files))

    def card(self, source: Source, named: ProcessCard | None, shower: ProcessCard | None) -> ProcessCard:
        """The card that was named with the file's energy and cross section, or one that the files make."""
        surveys = survey_alike(file.url for file in source.files)
        tev, first = surveys[0].head.energy_tev, source.files[0].url
        energy = Energy(
            tev=tev,
            pileup=_pileup(named, tev, first),
            cross_section_pb=_cross_section(
                [(one.head.cross_section_pb, file.entries) for one, file in zip(surveys, source.files, strict=True)]
            ),
        )
        settings = shower or named
        own = named or _card_of_file(first, energy)
        return own.model_copy(
            update={
                "energies": (energy,),
                "tune": settings.tune if settings else own.tune,
                "settings": _shower_settings(settings) if settings else own.settings,
            }
        )

    def check(self, source: Source, card: ProcessCard) -> None:
        url = source.files[0].url
        of = survey(url)
        event = parse_event(next(event_texts(url, 0, 1)), of.weights, f"{url}: event 0")
        check_shower(card, of, event)

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


def _pileup(named: ProcessCard | None, tev: float, url: str) -> str:
    """Name of the profile: the card's at this energy, else the one of the data-taking nearest to it."""
    if named is None:
        name = "Run2_2018" if tev < _RUN2_TEV else "Run3_2022"
    else:
        same = [one for one in named.energies if math.isclose(one.tev, tev, rel_tol=1e-4)]
        if not same:
            offered = " and ".join(f"{one.tev:g}" for one in named.energies)
            raise InputError(
                f"{url} is of {tev:g} TeV, but card {named.name} of {offered} TeV; leave the card out, "
                "or name one of this energy"
            )
        name = same[0].pileup
    find_profile(name)
    return name


def _cross_section(of_files: Sequence[tuple[float, int]]) -> float | None:
    """The mean of what the files say, by their events: each is a measurement of the same [pb]."""
    total = sum(entries for _, entries in of_files)
    mean = sum(value * entries for value, entries in of_files) / total
    return mean if mean > 0 else None


def _card_of_file(url: str, energy: Energy) -> ProcessCard:
    stem = re.sub(r"(?i)\.lhe(\.gz)?$", "", Path(url).name)
    word = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "lhe"
    primary = re.sub(r"[^A-Za-z0-9-]+", "-", stem).strip("-")[:60] or "lhe"
    if not primary[0].isalpha():
        primary = f"lhe-{primary}"
    return ProcessCard(
        name=word[:60],
        title=f"hard processes of {Path(url).name}",
        primary=f"{primary}_{{energy}}_FlashSim-pythia8",
        energies=(energy,),
        settings=_PLAIN,
    )


def _shower_settings(card: ProcessCard) -> tuple[str, ...]:
    """The settings of `card` that are not about hard processes; `ConfigError` for those that cannot be."""
    refused = next((one for one in card.settings if _REFUSED.fullmatch(one.strip())), None)
    if refused is not None:
        raise ConfigError(
            f"card {card.name}: '{refused}' cannot be set for LHE input: beams are the file's, and vetoes of "
            "merging or matching are not supported; leave it out"
        )
    return tuple(one for one in card.settings if not _HARD.fullmatch(one.strip())) or _PLAIN
