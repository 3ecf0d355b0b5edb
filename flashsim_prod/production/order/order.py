"""From what a user typed to an order: every name looked up, every number read, every input inspected."""

from __future__ import annotations

import glob
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, model_validator

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.choices import Device, FileFormat, RegisterIn
from flashsim_prod.core.notices.targets import Notify
from flashsim_prod.core.options import MAX_OVERSAMPLE, SEED_END, RequestOptions, Sampling
from flashsim_prod.core.site import Site
from flashsim_prod.core.sizes import parse_count
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.files import local_path
from flashsim_prod.production.order.input_card import card_of_input
from flashsim_prod.production.order.library import (
    BundleFound,
    asked_energy,
    default_bundle,
    drawn_with,
    find_analysis,
    find_card,
    find_checked_bundle,
    find_site,
    in_era,
    written_as,
)
from flashsim_prod.production.order.plan import Order
from flashsim_prod.production.order.rucio_input import PREFIX, NamedInput, input_files
from flashsim_prod.production.order.rucio_rses import find_registration
from flashsim_prod.production.order.shower import find_shower

if TYPE_CHECKING:
    from flashsim_prod.physics.generator.kinds import SourceKind

    Looked = tuple[Source, SourceKind]

#: how files of events end, which no card does
_FILES = (
    ".root",
    *(f"{form}{packed}" for form in (".lhe", ".hepmc", ".hepmc2", ".hepmc3") for packed in ("", ".gz")),
)


def _folds(typed: object) -> int:
    oversample = parse_count(str(typed), "--oversample")
    if oversample > MAX_OVERSAMPLE:
        raise RequestError(f"--oversample: at most {MAX_OVERSAMPLE} folds per gen event")
    return oversample


def _seed(typed: int) -> int:
    if not 0 <= typed < SEED_END:
        raise RequestError(f"--seed: {typed} is not from 0 to {SEED_END - 1}")
    return typed


class Typed(RequestOptions):
    """A request as typed on the command line; see ``flashsim-prod request --help``.

    What was not typed, or is ``None``, has its default: of the seed a number drawn here, of the device the
    site's.
    """

    card: str | None = None
    shower: str | None = None
    events: str | None = None
    oversample: Annotated[int, BeforeValidator(_folds)] = 1
    site: str = "local"
    catalog: RegisterIn = RegisterIn.LOCAL
    seed: Annotated[int, BeforeValidator(_seed)] = Field(default_factory=lambda: secrets.randbelow(SEED_END))
    inputs: tuple[str, ...] = ()
    energy_tev: float | None = None
    primary: str | None = None
    xsec: float | None = Field(default=None, gt=0)
    bundle: str | None = None
    analysis: str | None = None
    era: str = ""
    device: Device = Device.AUTO
    slots: int | None = None
    events_per_job: str | None = None
    notify: Notify | None = None

    @model_validator(mode="before")
    @classmethod
    def _none_is_not_typed(cls, typed: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in typed.items() if value is not None}

    @property
    def wanted_nano(self) -> str | None:
        """The version of NanoAOD, if one was typed."""
        return self.nano if "nano" in self.model_fields_set else None

    @property
    def wanted_sampling(self) -> Sampling | None:
        """How flows are to be integrated, if that was typed."""
        return self.sampling if "sampling" in self.model_fields_set else None

    @property
    def wanted_device(self) -> Device | None:
        """The device, if one was typed."""
        return self.device if "device" in self.model_fields_set else None


class Seen:
    """Bundles and inputs that were looked at, which takes seconds: each of them once for many orders."""

    def __init__(self) -> None:
        self._bundles: dict[tuple[str | None, str | None], BundleFound] = {}
        self._sources: dict[tuple[tuple[str, ...], str], tuple[Source, SourceKind]] = {}

    def bundle(self, name: str | None, analysis: str | None = None) -> BundleFound:
        """As `find_checked_bundle`, or of an analysis as `find_analysis`."""
        key = (name, analysis)
        if key not in self._bundles:
            self._bundles[key] = find_checked_bundle(name) if analysis is None else find_analysis(analysis)
        return self._bundles[key]

    def source(
        self, inputs: tuple[str, ...], rse: str, inspected: Callable[[str], None] | None = None
    ) -> tuple[Source, SourceKind]:
        """As `named_source`."""
        if (inputs, rse) not in self._sources:
            self._sources[inputs, rse] = named_source(inputs, inspected, rse=rse)
        return self._sources[inputs, rse]


def make_order(
    typed: Typed, *, inspected: Callable[[str], None] | None = None, seen: Seen | None = None
) -> tuple[Order, BundleFound]:
    """The order behind `typed`, and the bundle that it is bound to.

    Parameters
    ----------
    typed : Typed
    inspected : callable, optional
        Is told each input file that was inspected.
    seen : Seen, optional
        Remembers bundles and inputs from one order to the next.

    Raises
    ------
    RequestError, ConfigError
        If a card, site, era or number is none, or the bundle is of another era.
    BundleError
        If the bundle is missing or not whole.
    InputError
        If an input file cannot take the generator's place.
    NodeError
        If a GPU is asked for on this machine, which has none.
    """
    _check_analysis(typed)
    events = parse_count(typed.events, "--events") if typed.events is not None else None
    per_job = parse_count(typed.events_per_job, "--events-per-job") if typed.events_per_job else None
    named, site = _named_card(typed), find_site(typed.site)
    device = typed.wanted_device
    check_device(device, site)
    registration = find_registration(typed.catalog, typed.registration, site.storage.rse)
    seen = seen or Seen()
    rse = registration.rse or site.storage.rse
    name = _bundle_name(typed, named, lambda: seen.source(typed.inputs, rse, inspected))
    bundle, sampling = drawn_with(seen.bundle(name, typed.analysis), typed.wanted_sampling)
    shower = find_shower(typed.shower) if typed.shower is not None else None
    if typed.inputs:
        found = seen.source(typed.inputs, rse, inspected)
        source, card = _of_input(typed, named, shower, found, bundle.needs)
    else:
        assert named is not None
        source, card = _of_card(named, shower, typed.energy_tev)
    bundle.check_refines(asked=typed.keep_unrefined)
    if typed.virtual and source.vetoes(card):
        raise RequestError(
            "--virtual: which events the merging of the shower leaves is only known when they are made, so "
            "their numbers cannot be registered before; leave out --virtual"
        )
    energy_tev = card.energies[0].tev if source.files else typed.energy_tev
    card, of_era = in_era(card, energy_tev, bundle, typed.era, source.files)
    own = {
        "card": card,
        "site": site.as_ordered(typed.slots),
        "notify": typed.notify or site.notify,
        "bundle": bundle.ref,
        "bundle_tag": bundle.tag,
        "missing": bundle.missing,
        "draws": bundle.draws(sampling),
        "events": events,
        "energy_tev": energy_tev,
        "source": source,
        "events_per_job": per_job,
        "analysis": bundle.ntuple,
    }
    chosen = {**typed.chosen(), "sampling": sampling, "registration": registration}
    chosen["device"] = device or site.device
    if bundle.bundle and bundle.ntuple is None and (energy := card.energy(energy_tev)) is not None:
        nano, of_version = written_as(typed.wanted_nano, energy.tev, bundle.bundle)
        own["remarks"] = (*of_version, *of_era)
        chosen["nano"] = nano
    return Order.from_mapping({**chosen, **own}, "request"), bundle


def _bundle_name(typed: Typed, named: ProcessCard | None, source: Callable[[], Looked]) -> str | None:
    """The bundle that was typed, else the one of the collisions' energy; ``None``: the default one."""
    if typed.bundle is not None or typed.analysis is not None:
        return typed.bundle
    told = (lambda: source()[1].facts(source()[0]).energy_tev) if typed.inputs else (lambda: None)
    return default_bundle(asked_energy(typed.era, typed.energy_tev, told, named), typed.wanted_nano)


def _of_input(
    typed: Typed,
    named: ProcessCard | None,
    shower: ProcessCard | None,
    found: tuple[Source, SourceKind],
    needs: frozenset[str],
) -> tuple[Source, ProcessCard]:
    """The source that the input files are, and the card of their process; errors as of `make_order`."""
    source, kind = found
    kind.require(source, needs)
    card = card_of_input(
        named,
        kind.facts(source),
        primary=typed.primary,
        energy_tev=typed.energy_tev,
        cross_section_pb=typed.xsec,
    )
    card = kind.showered(card, shower, source)
    source = kind.settled(source, card)
    # what every job would fail at
    kind.check(source, card)
    return source, card


def _of_card(
    card: ProcessCard, shower: ProcessCard | None, energy_tev: float | None
) -> tuple[Source, ProcessCard]:
    """The source that `card` is by itself, and the card with what was found of it; errors as above."""
    from flashsim_prod.physics.generator.kinds import kind_of_card

    return kind_of_card(card).of_card(card, shower, energy_tev)


def _check_analysis(typed: Typed) -> None:
    """`RequestError` if options contradict --analysis, `ConfigError` if they need what is not installed."""
    if typed.analysis is None:
        if typed.format is not FileFormat.ROOT:
            raise RequestError(f"--format {typed.format} is of flat ntuples, with --analysis")
        return
    if typed.format is FileFormat.PARQUET:
        from flashsim_prod.physics.analysis.parquet import refuse_without_library

        refuse_without_library()
    for option, value in (("--nano", typed.wanted_nano), ("--bundle", typed.bundle)):
        if value is not None:
            raise RequestError(
                f"--analysis has a bundle of its own and makes flat ntuples, {option} is of NANOAOD: say one"
            )
    if typed.keep_unrefined:
        raise RequestError("--keep-unrefined: flat ntuples have the variables of their analysis alone")
    if typed.virtual:
        raise RequestError(
            "--virtual: which events an analysis selects is only known when they are made, so their numbers "
            "cannot be registered before; leave out --virtual"
        )


def is_input(word: str) -> bool:
    """Whether a word where a card can be is a file of events: no card is called so."""
    return word.endswith(_FILES) or word.startswith(PREFIX) or "://" in word


def _named_card(typed: Typed) -> ProcessCard | None:
    """The card that was named; with input there need not be one."""
    if typed.inputs:
        return find_card(typed.card) if typed.card is not None else None
    if typed.card is None:
        raise RequestError(
            "Missing argument 'CARD' (see: flashsim-prod cards); it may be left out with --input"
        )
    for option, value in (("--primary", typed.primary), ("--xsec", typed.xsec)):
        if value is not None:
            raise RequestError(f"{option} is of existing events, with --input; of a card it is in its file")
    return find_card(typed.card)


def named_source(
    patterns: Sequence[str],
    inspected: Callable[[str], None] | None = None,
    *,
    rse: str = "",
) -> tuple[Source, SourceKind]:
    """The source of generator-level events, and its kind: the files that `patterns` name, else the generator.

    Parameters
    ----------
    patterns : sequence of str
        Files, globs, URLs that uproot can open, or ``rucio:SCOPE:NAME``.
    inspected : callable, optional
        Is told each file, when it was opened and checked.
    rse : str
        Storage element whose replicas are preferred.

    Raises
    ------
    InputError
        If a pattern matches nothing, a file cannot be used, one is named twice, or they are of several kinds.
    """
    from flashsim_prod.physics.generator.kinds import kind_of_file, kind_without_files

    named = list(_expanded(patterns, rse))
    _check_once(one.url for one in named)
    # a path is sent to jobs that do not see it, an address is not
    named = [replace(one, url=local_path(one.url)) for one in named]
    kind = kind_of_file(named[0].url) if named else kind_without_files()
    other = next((one.url for one in named if kind_of_file(one.url) is not kind), None)
    if other:
        raise InputError(f"--input: {other} is not of the kind of {named[0].url}; give files of one kind")
    return kind.of([_inspected(kind, one, inspected) for one in named]), kind


def _check_once(urls: Iterable[str]) -> None:
    """`InputError` if two names are of one file: the same name, a link, a way round."""
    seen: dict[object, str] = {}
    for url in urls:
        own = _identities(url)
        twin = next((seen[one] for one in own if one in seen), None)
        if twin is not None:
            also = "" if twin == url else f", once as {twin}"
            raise InputError(f"{url}: named twice as --input{also}; its events would be simulated twice")
        seen |= dict.fromkeys(own, url)


def _identities(url: str) -> list[object]:
    """What a file is beyond its spelling; copies are told by the UUID in them, when they are opened."""
    from flashsim_prod.physics.streams.served import is_url, usual_spelling

    url = local_path(url)
    if is_url(url):
        return [usual_spelling(url)]
    try:
        status = os.stat(url)
    except OSError:
        return [os.path.realpath(url)]
    return [os.path.realpath(url), (status.st_dev, status.st_ino)]


def _inspected(kind: SourceKind, one: NamedInput, told: Callable[[str], None] | None) -> InputFile:
    found = InputFile(
        url=one.url,
        entries=kind.entries(one.url),
        lfn=one.lfn,
        dataset=one.dataset,
        identity=kind.identity(one.url),
    )
    if not found.is_url:
        found = found.model_copy(update={"bytes": os.path.getsize(one.url)})
    if told:
        told(one.url)
    return found


def _expanded(patterns: Iterable[str], rse: str) -> Iterable[NamedInput]:
    for pattern in patterns:
        path = str(Path(pattern).expanduser().absolute())
        if pattern.startswith(PREFIX):
            yield from input_files(pattern, rse)
            continue
        if os.path.isdir(path):
            raise InputError(f"--input: {pattern} is a folder; give its files, as {Path(pattern) / '*.root'}")
        if "://" in pattern:
            yield NamedInput(pattern)
        elif os.path.exists(path) or not glob.has_magic(pattern):
            yield NamedInput(path)
        else:
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                raise InputError(f"--input: no file matches '{pattern}'")
            yield from map(NamedInput, matches)


def check_device(wanted: Device | None, site: Site) -> None:
    """A GPU asked for by name must be there if the jobs are to run on this machine, or be asked for."""
    if wanted is not None and wanted is not site.device and site.rules.goes_on_alone:
        raise RequestError(
            f"--device {wanted}: jobs at site {site.name} run on device {site.device}; choose another site, "
            "or a copy of its file (--site FILE) with another device"
        )
    if wanted is Device.CUDA and not site.rules.goes_on_alone:
        # only here: torch takes seconds to load
        from flashsim_prod.physics.chain.device import pick_device

        pick_device(wanted)
