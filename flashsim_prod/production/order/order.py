"""From what a user typed to an order: every name looked up, every number read, every input inspected."""

from __future__ import annotations

import glob
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from flashsim_prod.core.choices import Device, RegisterIn
from flashsim_prod.core.request import BundleRef, InputFile, Registration, Sampling
from flashsim_prod.core.site import Engine, Site
from flashsim_prod.core.sizes import parse_count
from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.production.order.library import find_card, find_site
from flashsim_prod.production.order.plan import Order
from flashsim_prod.production.order.rucio_input import PREFIX, NamedInput, input_files
from flashsim_prod.production.order.rucio_rses import find_registration

#: folds of one gen event, at most (`Request` has the same limit)
_MAX_OVERSAMPLE = 10_000
#: seeds are below this (`Request` has the same limit)
_SEED_END = 2**63


@dataclass(frozen=True)
class Typed:
    """A request as typed on the command line; see ``flashsim-prod request --help``."""

    card: str
    events: str | None = None
    oversample: str = "1"
    site: str = "local"
    catalog: RegisterIn = RegisterIn.LOCAL
    registration: Registration = field(default_factory=Registration)
    seed: int | None = None
    inputs: tuple[str, ...] = ()
    energy_tev: float | None = None
    bundle: str | None = None
    device: Device | None = None
    slots: int | None = None
    events_per_job: str | None = None
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True)
class BundleFound:
    """The bundle that an order is bound to, verified."""

    ref: BundleRef
    tag: str
    title: str


def make_order(typed: Typed, *, inspected: Callable[[str], None] | None = None) -> tuple[Order, BundleFound]:
    """The order behind `typed`, and the bundle that it is bound to.

    Parameters
    ----------
    typed : Typed
    inspected : callable, optional
        Is told each input file that was inspected.

    Raises
    ------
    RequestError, ConfigError
        If a card, site or number is none.
    BundleError
        If the bundle is missing or not whole.
    InputError
        If an input file cannot take the generator's place.
    NodeError
        If a GPU is asked for on this machine, which has none.
    """
    oversample = parse_count(typed.oversample, "--oversample")
    if oversample > _MAX_OVERSAMPLE:
        raise RequestError(f"--oversample: at most {_MAX_OVERSAMPLE} folds per gen event")
    if typed.seed is not None and not 0 <= typed.seed < _SEED_END:
        raise RequestError(f"--seed: {typed.seed} is not from 0 to {_SEED_END - 1}")
    events = parse_count(typed.events, "--events") if typed.events is not None else None
    per_job = parse_count(typed.events_per_job, "--events-per-job") if typed.events_per_job else None
    card, site = find_card(typed.card), find_site(typed.site)
    _check_device(typed.device, site)
    registration = find_registration(typed.catalog, typed.registration, site.storage.rse)
    bundle = find_checked_bundle(typed.bundle)
    order = Order(
        card=card,
        site=site if typed.slots is None else site.model_copy(update={"slots": typed.slots}),
        oversample=oversample,
        seed=secrets.randbelow(_SEED_END) if typed.seed is None else typed.seed,
        bundle=bundle.ref,
        bundle_tag=bundle.tag,
        events=events,
        energy_tev=typed.energy_tev,
        inputs=inspect_inputs(typed.inputs, inspected, rse=registration.rse or site.storage.rse),
        sampling=typed.sampling,
        device=typed.device or site.device,
        events_per_job=per_job,
        catalog=typed.catalog,
        registration=registration,
    )
    if not typed.inputs:
        # what every job would fail at
        from flashsim_prod.physics.generator.pythia import check_settings

        check_settings(card)
    return order, bundle


def find_checked_bundle(name_or_path: str | None) -> BundleFound:
    """A bundle by name (``None``: the default one) or by path, every digest checked, that jobs can run.

    Raises
    ------
    BundleError
        If it is missing, not whole, or its models are not those that this software declares.
    """
    from flashsim_prod.physics.chain.bundle import DEFAULT, find_bundle, load_bundle, shipped_bundles
    from flashsim_prod.physics.chain.compatibility import check_models, check_needs

    wanted = name_or_path or DEFAULT
    bundle = load_bundle(find_bundle(wanted))
    # what every job would fail at
    check_models(bundle)
    check_needs(bundle)
    path = wanted if wanted in shipped_bundles() else str(bundle.path)
    return BundleFound(BundleRef(path=path, digest=bundle.digest), bundle.manifest.tag, bundle.title)


def inspect_inputs(
    patterns: Sequence[str], inspected: Callable[[str], None] | None = None, *, rse: str = ""
) -> tuple[InputFile, ...]:
    """The files that `patterns` name, in order, each opened and checked.

    Parameters
    ----------
    patterns : sequence of str
        Files, globs, URLs that uproot can open, or ``rucio:SCOPE:NAME``.
    inspected : callable, optional
        Is told each file.
    rse : str
        Storage element whose replicas are preferred.

    Raises
    ------
    InputError
        If a pattern matches nothing, a file cannot be used, or one is named twice.
    """
    if not patterns:
        return ()
    from flashsim_prod.physics.generator.existing import inspect_input

    named = list(_expanded(patterns, rse))
    twice = next((url for url, times in Counter(one.url for one in named).items() if times > 1), None)
    if twice:
        raise InputError(f"{twice}: named twice as --input; its events would be simulated twice")
    files = []
    for one in named:
        entries = inspect_input(one.url)
        size = None if _is_url(one.url) else os.path.getsize(one.url)
        files.append(InputFile(url=one.url, entries=entries, bytes=size, lfn=one.lfn, dataset=one.dataset))
        if inspected:
            inspected(one.url)
    _check_alike(files)
    return tuple(files)


def _check_alike(files: Sequence[InputFile]) -> None:
    """Read the first event of each file as a job would: all must have the branches of the first one."""
    from flashsim_prod.physics.generator.existing import NanoSource

    ends = accumulate(file.entries for file in files)
    entries = [(file.url, file.entries) for file in files]
    for first in list(ends)[:-1]:
        next(NanoSource(entries, first=first, n_events=1, seed=0).chunks(1))


def _expanded(patterns: Iterable[str], rse: str) -> Iterable[NamedInput]:
    for pattern in patterns:
        path = str(Path(pattern).expanduser().absolute())
        if pattern.startswith(PREFIX):
            yield from input_files(pattern, rse)
            continue
        if os.path.isdir(path):
            raise InputError(f"--input: {pattern} is a folder; give its files, as {Path(pattern) / '*.root'}")
        if _is_url(pattern):
            yield NamedInput(pattern)
        elif os.path.exists(path) or not glob.has_magic(pattern):
            yield NamedInput(path)
        else:
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                raise InputError(f"--input: no file matches '{pattern}'")
            yield from map(NamedInput, matches)


def _is_url(name: str) -> bool:
    return "://" in name


def _check_device(wanted: Device | None, site: Site) -> None:
    """A GPU asked for by name must be there if the jobs are to run on this machine, or be asked for."""
    if wanted is not None and wanted is not site.device and site.engine.is_detached:
        raise RequestError(
            f"--device {wanted}: jobs at site {site.name} run on device {site.device}; choose another site, "
            "or a copy of its file (--site FILE) with another device"
        )
    if wanted is Device.CUDA and site.engine is Engine.LOCAL:
        # only here: torch takes seconds to load
        from flashsim_prod.physics.chain.device import pick_device

        pick_device(wanted)
