"""Samples to train on: generator events, their reconstruction, and tables drawn from NANOAOD with truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.production.models.drawing import Portion, StepProgress, check_portions, draw
from flashsim_prod.production.order.library import find_card

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.model import ObjectModel


@dataclass(frozen=True)
class GeneratedSample:
    """A file of generator-level NANOAOD."""

    card: str
    output: Path
    events: int
    seed: int


@dataclass(frozen=True)
class ReferenceSample:
    """A file of NANOAOD of the reference detector.

    Attributes
    ----------
    events : int
        Reconstructed ones, all folds together.
    era, nano, detector : str
        The years that it imitates, the version of NanoAOD that it is of, and the detector's digest.
    """

    output: Path
    events: int
    folds: int
    seed: int
    era: str
    nano: str
    detector: str


@dataclass(frozen=True)
class TableSize:
    """What there is to learn from for one object model."""

    sources: int
    objects: int


@dataclass(frozen=True)
class NotFinite:
    """What the tables of a file lack for one model, since numbers are not finite; `why` names these."""

    file: str
    model: str
    sources: int
    objects: int
    why: str


@dataclass(frozen=True)
class WithoutSource:
    """Objects of one collection in a file, of `number`, that came of no source and are in no table."""

    file: str
    collection: str
    objects: int
    number: int


@dataclass(frozen=True)
class LackingIn:
    """What a file could not give of one model.

    Attributes
    ----------
    version : str
        Of NanoAOD, the file's; empty if nothing in it tells.
    branches : tuple of str
        That the file lacks; of a model without a table the one that is asked for first is in `trouble`.
    targets : tuple of str
        What the table lacks with them.
    has_table : bool
    trouble : str
        Why there is no table, or why no bundle can have the model as the table is; empty if one can.
    """

    file: str
    version: str
    model: str
    branches: tuple[str, ...]
    targets: tuple[str, ...]
    has_table: bool
    trouble: str


@dataclass(frozen=True)
class Extracted:
    """Training tables.

    Attributes
    ----------
    tables : Path
        Their folder.
    sizes : mapping of object model to TableSize
        In all tables of the folder.
    least_objects : int
        With fewer a model is not fitted.
    kept_files : int
        Files all of whose tables were there already.
    not_finite, without_source
        What the tables do not hold.
    lacking
        What files did not have.
    without_era : tuple of str
        Files of FullSim that nothing tells the era of.
    counted_as : str
        The era that these count as, by their version.
    mixtures : tuple of str
        Lines on models with tables of several reference detectors.
    empty : tuple of str
        Files without events, of which nothing is drawn.
    events, seconds : int, float
        Looked at now, and how long that took.
    """

    tables: Path
    sizes: dict[str, TableSize]
    least_objects: int
    kept_files: int
    not_finite: tuple[NotFinite, ...]
    without_source: tuple[WithoutSource, ...]
    lacking: tuple[LackingIn, ...] = ()
    events: int = 0
    seconds: float = 0.0
    without_era: tuple[str, ...] = ()
    counted_as: str = ""
    mixtures: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()


def generate_sample(
    card: str, output: Path, *, events: int, energy_tev: float | None, seed: int, progress: StepProgress
) -> GeneratedSample:
    """Generate events of a card into a file of generator-level NANOAOD.

    Parameters
    ----------
    energy_tev : float, optional
        One of the card's; by default its first.

    Raises
    ------
    RequestError
        If there is no such card or energy, or the file is there already.
    """
    from flashsim_prod.physics.training.sample import write_generator_sample

    found = find_card(card)
    energy = found.energy(energy_tev)
    if energy is None:
        raise RequestError(f"card {found.name} has no energy of {energy_tev} TeV")
    _refuse_existing(output)
    steps = write_generator_sample(found, output, energy_tev=energy.tev, n_events=events, seed=seed)
    done = _followed(steps, f"{found.name} -> {output.name}", events, progress)
    return GeneratedSample(found.name, output, done, seed)


def reconstruct_sample(
    inputs: Sequence[str],
    output: Path,
    *,
    folds: int,
    seed: int,
    progress: StepProgress,
    era: str | None = None,
    constituents: bool = False,
) -> ReferenceSample:
    """Reconstruct generator events with the reference detector, each `folds` times.

    Parameters
    ----------
    era : str, optional
        Years to imitate; by default those of the inputs' energy.
    constituents : bool
        Whether there are those of the jets, too.

    Raises
    ------
    RequestError
        If the file is there already, or there are no such years, or none with constituents.
    InputError
        If an input cannot be read, or inputs are of different years.
    """
    from flashsim_prod.physics.detector.digest import detector_digest
    from flashsim_prod.physics.detector.eras import find_detector_era
    from flashsim_prod.physics.nanoaod.schema import Schema
    from flashsim_prod.physics.training.sample import era_of_inputs, write_reference_sample

    _refuse_existing(output)
    years = era_of_inputs(inputs) if era is None else find_detector_era(era)
    if constituents and "PFCands" not in Schema.load(years.nano).collections:
        raise RequestError(
            f"--constituents: NanoAOD {years.nano}, as which {years.name} is written, has no PFCands here; "
            "leave it out, or take --era UL18"
        )
    steps = write_reference_sample(
        inputs, output, folds=folds, seed=seed, era=years, constituents=constituents
    )
    done = _followed(steps, output.name, None, progress)
    return ReferenceSample(output, done, folds, seed, years.name, years.nano, detector_digest(years))


def _followed(steps: Iterator[int], task: str, total: int | None, progress: StepProgress) -> int:
    """Run `steps`, which yields how far it is, to its end; how far that was."""
    done = 0
    for done in steps:
        progress(task, done, total)
    if total is None:
        progress(task, done, done)
    return done


def _refuse_existing(output: Path) -> None:
    if output.exists():
        raise RequestError(f"{output} exists; give another name, or remove it")


def extract_tables(
    files: Sequence[str | Portion],
    work: Path,
    models: Sequence[str],
    *,
    progress: StepProgress,
    jobs: int = 1,
) -> Extracted:
    """Draw training tables from NANOAOD with truth; tables that are there already are kept.

    Parameters
    ----------
    work : Path
        Folder of the tables, in ``tables``.
    models : sequence of str
        Only these object models; all that the files have enough for by default.
    jobs : int
        Files at a time, each in a process of its own.

    Raises
    ------
    RequestError
        If there is no such model, or two files have the same name.
    InputError
        If a file cannot be read, lacks what a model of `models` needs, or is of another version of NanoAOD
        than the tables that are there; if there are no events in any file; or if one is another one's copy.
    """
    from flashsim_prod.physics.training.drawn import (
        refuse_same_events,
        table_files,
        told_mixtures,
        told_origins,
    )
    from flashsim_prod.physics.training.table import LEAST_OBJECTS
    from flashsim_prod.physics.training.tables import table_sizes

    chosen, tables = _chosen(models), work / "tables"
    portions = [Portion(one) if isinstance(one, str) else one for one in files]
    check_portions(portions, chosen, tables)
    made = draw(
        portions, [one.name for one in chosen] if models else (), tables, jobs=jobs, progress=progress
    )
    made.raise_failures()
    if portions and len(made.empty) == len(portions):
        others = f", nor do the {len(portions) - 1} others" if len(portions) > 1 else ""
        raise InputError(f"{made.empty[0]} holds no events{others}; give other files")
    for model in chosen:
        # files that are drawn at the same time do not see each other
        refuse_same_events(table_files(tables, model))
    there = {one.url: made.files[one.url].impossible for one in portions}
    of_no_era = tuple(file for file in there if _is_of_no_era(file, chosen, tables))
    chosen = [model for model in chosen if any(model in one.taught([model]) for one in portions)]
    return Extracted(
        tables,
        {model.name: TableSize(*table_sizes(tables, model)) for model in chosen},
        LEAST_OBJECTS,
        made.kept_files,
        tuple(one for file in there for one in _not_finite(file, chosen, tables)),
        tuple(one for file in there for one in _without_source(file, chosen, tables)),
        tuple(one for file, why in there.items() for one in _lacking(file, chosen, tables, why)),
        made.events,
        made.seconds,
        of_no_era,
        _counted_as(of_no_era[0], chosen, tables) if of_no_era else "",
        (*told_origins(tables, chosen), *told_mixtures(tables, chosen)),
        made.empty,
    )


def _counted_as(file: str, models: Sequence[ObjectModel], tables: Path) -> str:
    """The era of a file that does not tell it."""
    from flashsim_prod.physics.eras import era_of_version
    from flashsim_prod.physics.training.drawn import version_drawn

    return era_of_version(version_drawn(tables, file, models) or "")


def _is_of_no_era(file: str, models: Sequence[ObjectModel], tables: Path) -> bool:
    from flashsim_prod.physics.training.drawn import table_path
    from flashsim_prod.physics.training.table import era_counted, era_of_table, origin_of_table

    paths = (table_path(tables, file, model) for model in models)
    path = next((path for path in paths if path.exists()), None)
    return path is not None and not era_counted(era_of_table(path), origin_of_table(path))


def _chosen(names: Sequence[str]) -> list[ObjectModel]:
    from flashsim_prod.physics.chain.registry import MODELS, find_model

    return [find_model(name) for name in names] if names else list(MODELS)


def _lacking(
    file: str, models: Sequence[ObjectModel], tables: Path, impossible: Mapping[str, str]
) -> list[LackingIn]:
    from flashsim_prod.physics.training.drawn import version_drawn
    from flashsim_prod.physics.training.shortfall import lacking
    from flashsim_prod.physics.training.stream import open_declared

    found = lacking(file, models, tables)
    if not found and not impossible:
        return []
    version = version_drawn(tables, file, models)
    if version is None:
        with open_declared(file) as opened:
            version = opened.version
    return [
        *(
            LackingIn(file, version, name, one.branches, one.targets, True, one.trouble)
            for name, one in found.items()
        ),
        *(LackingIn(file, version, name, (), (), False, why) for name, why in impossible.items()),
    ]


def _not_finite(file: str, models: Sequence[ObjectModel], tables: Path) -> list[NotFinite]:
    from flashsim_prod.physics.training.shortfall import not_finite

    found = not_finite(file, models, tables)
    return [NotFinite(file, name, one.sources, one.objects, one.told()) for name, one in found.items()]


def _without_source(file: str, models: Sequence[ObjectModel], tables: Path) -> list[WithoutSource]:
    from flashsim_prod.physics.training.shortfall import left_out

    found = left_out(file, models, tables)
    return [WithoutSource(file, name, none, number) for name, (none, number) in found.items()]
