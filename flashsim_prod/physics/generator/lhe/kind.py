"""LHE files as the source of a request."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.core.sources.lhe import LheFiles, merging_of, values_of
from flashsim_prod.core.sources.nano import Contents
from flashsim_prod.core.splitting import SimulateJob, event_pileup_seed, event_seed
from flashsim_prod.errors import ConfigError, InputError
from flashsim_prod.physics.generator.kinds import InputFacts, Locate, SourceKind, first_event_digest
from flashsim_prod.physics.generator.lhe.branches import branches_of_hard_process
from flashsim_prod.physics.generator.lhe.event import parse_event
from flashsim_prod.physics.generator.lhe.file import Head, count_events, event_texts, read_head
from flashsim_prod.physics.generator.lhe.index import find_index, index_path
from flashsim_prod.physics.generator.lhe.merging.powheg import powheg_settings, vetoes_emissions
from flashsim_prod.physics.generator.lhe.merging.settings import MadeFor, settings_for
from flashsim_prod.physics.generator.lhe.shower import LheSource, check_shower
from flashsim_prod.physics.generator.lhe.survey import Survey, survey, survey_alike
from flashsim_prod.physics.streams.served import file_name

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
_REFUSED = re.compile(r"((Beams|Init|Random):.*|SLHA:(file|readFrom)\b.*)", re.IGNORECASE)
#: what a card of a shower says where nothing else is to be said
_HEAVY = (6, 22, 23, 24, 25)
#: events that tell what the hard process is
_SAMPLED = 200
_PLAIN = ("PartonLevel:all = on",)


class LheKind(SourceKind):
    """LHE files, plain or gzipped, told by their names."""

    def takes(self, url: str) -> bool:
        return file_name(url).lower().endswith(_NAMES)

    def entries(self, url: str) -> int:
        number = count_events(url)
        if not number:
            raise InputError(f"{url} holds no events; leave it out")
        survey(url)
        return number

    def identity(self, url: str) -> str:
        # a file on a server is not read once more for that
        return super().identity(url) or first_event_digest(next(event_texts(url, 0, 1)))

    def of(self, files: Sequence[InputFile]) -> Source:
        first = survey_alike(file.url for file in files)[0]
        indexed = [file.url for file in files if not file.is_url and find_index(file.url) is not None]
        return LheFiles(
            files=tuple(files),
            indices=tuple(str(index_path(one)) for one in indexed),
            carried=branches_of_hard_process(first),
            told=told_of(first),
        )

    def facts(self, source: Source) -> InputFacts:
        surveys = survey_alike(file.url for file in source.files)
        energy_tev = surveys[0].head.energy_tev
        of_files = [
            (one.head.cross_section_pb, file.entries) for one, file in zip(surveys, source.files, strict=True)
        ]
        return InputFacts(
            energy_tev=energy_tev,
            heavy=bosons_of(source.files[0].url, source.files[0].entries, surveys[0]),
            is_whole=True,
            cross_section_pb=_cross_section(of_files),
            fallback=_primary(source.files[0].url, energy_tev),
        )

    def showered(
        self, card: ProcessCard, shower: ProcessCard | None, source: Source | None = None
    ) -> ProcessCard:
        url = source.files[0].url if source else ""
        return showered_for(card, shower, read_head(url) if url else None, url)

    def settled(self, source: Source, card: ProcessCard) -> Source:
        if not isinstance(source, LheFiles):
            return source
        return source.model_copy(update={"told": settled_told(source.told, card)})

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


def bosons_of(url: str, entries: int, of: Survey) -> frozenset[int]:
    """PDG ids of top quarks and bosons in most of the first events; leptons tell of bosons not written."""
    found: Counter[int] = Counter()
    number = 0
    for text in event_texts(url, 0, min(entries, _SAMPLED)):
        number += 1
        particles = parse_event(text, of.weights, f"{url}: event {number - 1}").particles
        ids = {abs(one.id) for one in particles if one.status > 0 and abs(one.id) in _HEAVY}
        leptons = Counter(abs(one.id) for one in particles if one.status == 1 and 11 <= abs(one.id) <= 16)
        if not ids & {23, 24}:
            if any(count >= 2 for count in leptons.values()):
                ids.add(23)
            if any(leptons[one] and leptons[one + 1] for one in (11, 13, 15)):
                ids.add(24)
        found.update(ids)
    return frozenset(one for one, count in found.items() if 2 * count >= number)


def _primary(url: str, energy_tev: float) -> str:
    """What a sample is called that is known by its file alone."""
    stem = re.sub(r"(?i)\.lhe(\.gz)?$", "", file_name(url))
    word = re.sub(r"[^A-Za-z0-9-]+", "-", stem).strip("-")[:60]
    if not word[:1].isalpha():
        word = f"lhe-{word}"
    return f"{word}_{energy_tev:g}".replace(".", "p") + "TeV_FlashSim-pythia8"


def settled_told(told: Contents, card: ProcessCard) -> Contents:
    """`told` as it is once it is known how `card` showers."""
    scheme = merging_of(card.settings)
    if vetoes_emissions(card.settings):
        normalisation = f"{told.normalisation}; POWHEG's emissions are the hardest (POWHEG:veto)"
        return told.model_copy(update={"normalisation": normalisation})
    if not scheme:
        return told
    normalisation = (
        f"{scheme} merging ({_scales(scheme, card)}) throws events away: how many are left is known "
        "afterwards, until then numbers are of those tried, an estimate from above; the cross section is "
        "that of <init> times the share that is left; genEventSumw is of the events that are left"
    )
    return told.model_copy(update={"normalisation": normalisation})


def told_of(of: Survey) -> Contents:
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
            "and seeds are the job's; leave it out"
        )
    return tuple(one for one in card.settings if one not in _PLAIN and not _HARD.fullmatch(one.strip()))


def showered_for(card: ProcessCard, shower: ProcessCard | None, head: Head | None, where: str) -> ProcessCard:
    """`card` with tune and settings of `shower`, or its own, and those that the files, as `where`, need."""
    chosen = shower or card
    settings = settings_for(head.merging if head else MadeFor(), _shower_settings(chosen), where)
    settings = powheg_settings(settings, is_powheg=head is not None and head.is_powheg)
    if merging_of(settings) and vetoes_emissions(settings):
        raise ConfigError(f"card {card.name}: merging and POWHEG's veto cannot both be; leave one out")
    settings = settings or _PLAIN
    return card.model_copy(update={"tune": chosen.tune, "settings": settings})


def _scales(scheme: str, card: ProcessCard) -> str:
    """What decides how much is left, as people compare it."""
    values = values_of(card.settings)
    if scheme == "CKKW-L":
        names = {"Merging:TMS": "TMS", "Merging:nJetMax": "nJetMax"}
    else:
        names = {"JetMatching:qCut": "qCut", "JetMatching:nJetMax": "nJetMax"}
    found = [f"{short} {values[name.lower()]}" for name, short in names.items() if name.lower() in values]
    return ", ".join(found) or "scales of the file"
