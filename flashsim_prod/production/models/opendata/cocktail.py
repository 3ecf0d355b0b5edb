"""From records to a bundle: a cocktail's events drawn into tables, models fitted to them, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from flashsim_prod import resources
from flashsim_prod.core.sizes import format_count
from flashsim_prod.core.training.cocktail import Cocktail, Ingredient
from flashsim_prod.errors import BundleError, RequestError
from flashsim_prod.production.models.assembling import AssembledBundle, assemble_bundle
from flashsim_prod.production.models.at_site import train_at
from flashsim_prod.production.models.bundles import open_bundle
from flashsim_prod.production.models.drawing import (
    Portion,
    StepProgress,
    check_portions,
    refuse_same_names,
)
from flashsim_prod.production.models.fitting import (
    FitDisplay,
    FitOptions,
    Fits,
    Submitted,
    fit_all_models,
)
from flashsim_prod.production.models.opendata.fit_energy import EnergyOfFits, energy_of_fits
from flashsim_prod.production.models.opendata.records import Where, addresses, find_record, first_events
from flashsim_prod.production.models.samples import Extracted, extract_tables
from flashsim_prod.production.models.training import check_trains
from flashsim_prod.production.order.library import Shelf, find_site

COCKTAILS = Shelf(
    "cocktail",
    Cocktail,
    lambda: [folder / "cocktails" for folder in resources.card_folders()],
    lambda: resources.own_cards_dir() / "cocktails",
)


@dataclass(frozen=True)
class Trained:
    """A bundle that a cocktail came to.

    Attributes
    ----------
    extracted : Extracted
    fits : Fits
    bundle : AssembledBundle
    energy : EnergyOfFits
    """

    extracted: Extracted
    fits: Fits
    bundle: AssembledBundle
    energy: EnergyOfFits


@dataclass(frozen=True)
class TrainedAt:
    """A cocktail that a site trains.

    Attributes
    ----------
    submitted : Submitted
    energy : EnergyOfFits
        So far.
    """

    submitted: Submitted
    energy: EnergyOfFits


def find_cocktail(name_or_file: str) -> Cocktail:
    """The cocktail of this name, or in a file; `RequestError`, `ConfigError` as of `find_card`."""
    from flashsim_prod.physics.eras import find_era

    found = COCKTAILS.find(name_or_file)
    find_era(found.era)
    return found


def train_cocktail(
    cocktail: Cocktail,
    work: Path,
    output: Path,
    options: FitOptions,
    where: Where,
    *,
    events: int | None,
    jobs: int,
    progress: StepProgress,
    display: FitDisplay,
    extracted: Callable[[Extracted], None],
) -> Trained:
    """Draw tables of a cocktail's events, fit all models that have enough of them, and make the bundle.

    What is done already is kept: the same command goes on.

    Parameters
    ----------
    events : int, optional
        In all; as the cocktail says by default.
    jobs : int
        Files at a time.
    extracted : callable
        Is told what was drawn, before the fits.

    Raises
    ------
    RequestError, InputError, StorageError
        If a record is not there or holds too few events, or a file cannot be read.
    BundleError
        If there is something at `output`.
    """
    if output.exists():
        raise BundleError(f"{output} exists; give another --output for the bundle, or remove it")
    portions = find_portions(cocktail, events or cocktail.events, where, progress)
    drawn = extract_tables(
        [replace(portion, era=cocktail.era) for each in portions.values() for portion in each],
        work,
        (),
        progress=progress,
        jobs=jobs,
    )
    extracted(drawn)
    fits = fit_all_models(work, options, display)
    if fits.complaint and cocktail.base is None:
        fits.raise_complaint()
    made = assemble_bundle(
        work,
        output,
        name=cocktail.name,
        title=cocktail.title,
        tag=cocktail.tag,
        sample=sample_lines(cocktail, portions),
        base=cocktail.base if fits.too_few else None,
        tells_base=True,
    )
    return Trained(drawn, replace(fits, complaint=""), made, energy_of_fits(work))


def train_cocktail_at(
    cocktail: Cocktail,
    site: str,
    work: Path,
    output: Path,
    options: FitOptions,
    where: Where,
    *,
    events: int | None,
    wait: bool,
    progress: StepProgress,
    display: FitDisplay,
) -> TrainedAt:
    """Have a site do what `train_cocktail` does: a job for each file, then each model, then the bundle.

    Raises
    ------
    RequestError, ConfigError, InputError, StorageError
        If the site does not train, a record is not there or holds too few events, or a server is away.
    BundleError
        If there is something at `output`, or the cocktail's base is none.
    JobsFailedError
        If jobs that were followed made no bundle.
    """
    from flashsim_prod.physics.chain.registry import MODELS

    found = find_site(site)
    check_trains(found)
    if output.exists():
        raise BundleError(f"{output} exists; give another --output for the bundle, or remove it")
    if cocktail.base is not None:
        open_bundle(cocktail.base)
    each = find_portions(cocktail, events or cocktail.events, where, progress)
    portions = [replace(portion, era=cocktail.era) for its in each.values() for portion in its]
    check_portions(portions, MODELS, work / "tables")
    words = ["--name", cocktail.name, "--title", cocktail.title, "--tag", cocktail.tag, "--tell-base"]
    words += [word for line in sample_lines(cocktail, each) for word in ("--sample", line)]
    words += [] if cocktail.base is None else ["--base", cocktail.base]
    handed = train_at(
        *(found, work, portions, options, output, words, display),
        few_are_left=cocktail.base is not None,
        wait=wait,
    )
    return TrainedAt(handed, energy_of_fits(work))


def find_portions(
    cocktail: Cocktail, events: int, where: Where, progress: StepProgress
) -> dict[str, list[Portion]]:
    """The files of each process, and how many of their events are its part of `events`."""
    found: dict[str, list[Portion]] = {}
    for number, one in enumerate(cocktail.processes, 1):
        urls, called = _files(one, where)
        found[one.name] = first_events(urls, cocktail.shares(events)[one.name], called)
        progress("records", number, len(cocktail.processes))
    refuse_same_names([portion for each in found.values() for portion in each])
    return found


def _files(one: Ingredient, where: Where) -> tuple[list[str], str]:
    """Files of a process, and how it is called in messages."""
    if one.files:
        return list(one.files), f"process {one.name}"
    record = find_record(str(one.record or one.dataset), where)
    if one.record and one.dataset and record.dataset != one.dataset:
        raise RequestError(
            f"process {one.name}: record {one.record} is {record.dataset}, not {one.dataset}; "
            "mend the cocktail"
        )
    return addresses(record, where), f"process {one.name} (record {record.recid})"


def sample_lines(cocktail: Cocktail, portions: dict[str, list[Portion]]) -> list[str]:
    """What the models were trained on, a line for each process."""
    lines = [f"cocktail {cocktail.name}, era {cocktail.era}"]
    for one in cocktail.processes:
        number = sum(portion.events or 0 for portion in portions[one.name])
        source = one.dataset or (f"record {one.record}" if one.record else " ".join(one.files))
        lines.append(f"{one.name}: {format_count(number)} events of {source}")
    return lines
