"""Samples to train on: generator events, their reconstruction, and tables drawn from NANOAOD with truth."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.production.order.library import find_card

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.model import ObjectModel
    from flashsim_prod.physics.training.portion import Portion

#: called with what is being done, how much of it is done, and how much there is if that is known
StepProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class GeneratedSample:
    """A file of generator-level NANOAOD."""

    card: str
    output: Path
    events: int
    seed: int


@dataclass(frozen=True)
class ReferenceSample:
    """A file of NANOAOD of the reference detector; `events` are reconstructed ones, all folds together."""

    output: Path
    events: int
    folds: int
    seed: int


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
    """

    tables: Path
    sizes: dict[str, TableSize]
    least_objects: int
    kept_files: int
    not_finite: tuple[NotFinite, ...]
    without_source: tuple[WithoutSource, ...]
    lacking: tuple[LackingIn, ...] = ()


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
    inputs: Sequence[str], output: Path, *, folds: int, seed: int, progress: StepProgress
) -> ReferenceSample:
    """Reconstruct generator events with the reference detector, each `folds` times.

    Raises
    ------
    RequestError
        If the file is there already.
    InputError
        If an input cannot be read.
    """
    from flashsim_prod.physics.training.sample import write_reference_sample

    _refuse_existing(output)
    steps = write_reference_sample(inputs, output, folds=folds, seed=seed)
    return ReferenceSample(output, _followed(steps, output.name, None, progress), folds, seed)


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


@dataclass(frozen=True)
class Choice:
    """What is drawn from files, and what it counts for.

    Attributes
    ----------
    without : sequence of str
        Object models that these files are not to teach; ``*`` and ``?`` as in file names.
    events : str, optional
        FIRST:LAST of each file, in events or in percent; all by default.
    weight : float
        Of each event, where a bundle's models are fine-tuned.
    """

    without: Sequence[str] = ()
    events: str | None = None
    weight: float = 1.0


def extract_tables(
    files: Sequence[str],
    work: Path,
    models: Sequence[str],
    *,
    choice: Choice | None = None,
    progress: StepProgress,
) -> Extracted:
    """Draw training tables from NANOAOD with truth; tables that are there already are kept.

    Parameters
    ----------
    work : Path
        Folder of the tables, in ``tables``.
    models : sequence of str
        Only these object models; all that the files have enough for by default.
    choice : Choice, optional
        Which models are left out, which events are taken, and what they count for.

    Raises
    ------
    RequestError
        If there is no such model, or two files have the same name, or the choice is none.
    InputError
        If a file cannot be read, lacks what a model of `models` needs, or is of another version of NanoAOD
        than the tables that are there.
    """
    from flashsim_prod.physics.training.fit import LEAST_OBJECTS
    from flashsim_prod.physics.training.portion import Portion
    from flashsim_prod.physics.training.tables import extract_file, table_sizes

    choice = choice or Choice()
    portion = Portion.parse(choice.events, choice.weight)
    chosen, tables = _without(_chosen(models), choice.without), work / "tables"
    _refuse_unwanted(files, choice.without, tables)
    twice = [name for name, times in Counter(Path(file).stem for file in files).items() if times > 1]
    if twice:
        raise RequestError(f"two files are called {twice[0]}, and so would be their tables; rename one")
    kept = 0
    impossible: dict[str, dict[str, str]] = {file: {} for file in files}
    for file in files:
        done = 0
        found = extract_file(
            file, chosen, tables, impossible=None if models else impossible[file], portion=portion
        )
        for done, total in found:
            progress(Path(file).name, done, total)
        kept += not done
    return Extracted(
        tables,
        {model.name: TableSize(*table_sizes(tables, model)) for model in chosen},
        LEAST_OBJECTS,
        kept,
        tuple(one for file in files for one in _not_finite(file, chosen, tables)),
        tuple(one for file in files for one in _without_source(file, chosen, tables, portion)),
        tuple(one for file in files for one in _lacking(file, chosen, tables, impossible[file])),
    )


def _chosen(names: Sequence[str]) -> list[ObjectModel]:
    from flashsim_prod.physics.chain.registry import MODELS, find_model

    return [find_model(name) for name in names] if names else list(MODELS)


def _without(models: list[ObjectModel], patterns: Sequence[str]) -> list[ObjectModel]:
    """`models` but those whose names fit one of `patterns`; `RequestError` if one fits none, or all do."""
    for pattern in patterns:
        if not any(fnmatchcase(model.name, pattern) for model in models):
            near = nearest(pattern, [one.name for one in models])
            raise RequestError(f"--without {pattern}: no object model is called so{near}")
    kept = [model for model in models if not any(fnmatchcase(model.name, one) for one in patterns)]
    if not kept:
        raise RequestError(f"--without {' '.join(patterns)} leaves no object model")
    return kept


def _refuse_unwanted(files: Sequence[str], patterns: Sequence[str], tables: Path) -> None:
    """`InputError` if tables of models that are to learn nothing of these files are there already."""
    for file in files:
        for path in sorted(tables.glob(f"*/{glob.escape(Path(file).stem)}.safetensors")):
            if any(fnmatchcase(path.parent.name, pattern) for pattern in patterns):
                raise InputError(f"{path} is there already, and would teach {path.parent.name}; remove it")


def _lacking(
    file: str, models: Sequence[ObjectModel], tables: Path, impossible: Mapping[str, str]
) -> list[LackingIn]:
    from flashsim_prod.physics.training.tables import lacking, open_declared

    found = lacking(file, models, tables)
    if not found and not impossible:
        return []
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
    from flashsim_prod.physics.training.tables import not_finite

    found = not_finite(file, models, tables)
    return [NotFinite(file, name, one.sources, one.objects, one.told()) for name, one in found.items()]


def _without_source(
    file: str, models: Sequence[ObjectModel], tables: Path, portion: Portion
) -> list[WithoutSource]:
    from flashsim_prod.physics.training.tables import left_out

    found = left_out(file, models, tables, portion)
    return [WithoutSource(file, name, none, number) for name, (none, number) in found.items()]
