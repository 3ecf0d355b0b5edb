"""Which tables are there, of which files: what was drawn once is not drawn again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from flashsim_prod.errors import InputError
from flashsim_prod.files import read_text, write_json
from flashsim_prod.physics.chain.detectors import NOT_RECORDED, is_mixed, named, together
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.drawn_from import DrawnFrom
from flashsim_prod.physics.event_range import WHOLE, EventRange
from flashsim_prod.physics.training.table import (
    Table,
    detector_of_table,
    drawn_from,
    era_counted,
    era_of_table,
    origin_of_table,
    version_of_table,
)

#: what a table is of that says nothing of it
FULLSIM = "FullSim"
#: noted of every model where there is nothing to draw from
_NO_EVENTS = "the file holds no events"


class NoEventsError(InputError):
    """A file is whole, and holds no events."""


def table_files(folder: Path, model: ObjectModel) -> list[Path]:
    """The tables of one object model."""
    return sorted((folder / model.name).glob("*.safetensors"))


def table_path(folder: Path, file: str, model: ObjectModel) -> Path:
    """Where the table of `model` from one NANOAOD `file` stands."""
    return folder / model.name / f"{Path(file).stem}.safetensors"


def told_url(url: str) -> str:
    """How a file is called in tables: a local one by its whole path."""
    return url if "://" in url else str(Path(url).absolute())


def is_drawn(
    folder: Path,
    url: str,
    model: ObjectModel,
    n_events: int | None,
    part: EventRange = WHOLE,
    era: str = "",
) -> bool:
    """Whether there is a table of `model` from just so many events of a file of this name, and of `era`."""
    path = table_path(folder, url, model)
    if not path.exists() or (era and era_of_table(path) != era):
        return False
    origin = drawn_from(path)
    if origin is None:
        return part == WHOLE
    return origin.is_of(n_events, part)


def refuse_other_file(folder: Path, models: Sequence[ObjectModel], url: str, here: DrawnFrom) -> None:
    """`InputError` if a table that has the name of the file `url` is of another file."""
    for model in models:
        path = table_path(folder, url, model)
        origin = drawn_from(path) if path.exists() else None
        if origin is not None and origin.is_other_file(here):
            raise InputError(
                f"{path} is of another file, {origin.url}, than {url}; rename one of them, or extract "
                "them into a --work of their own (if the file was made anew, remove its old tables)"
            )


def refuse_copies(folder: Path, models: Sequence[ObjectModel], url: str, here: DrawnFrom) -> None:
    """`InputError` if a table of another name has events that `here` is of: from a copy, or a former name."""
    for model in models:
        own = table_path(folder, url, model)
        for path in table_files(folder, model):
            there = drawn_from(path) if path != own else None
            if there is not None and there.shares_events(here):
                raise InputError(
                    f"{url} is a copy of {there.url}, which {path} is of; its events would count twice; "
                    "leave one out (if the file was renamed, remove its old tables)"
                )


def refuse_same_events(paths: Sequence[Path]) -> None:
    """`InputError` if two tables of one model have events in common, under whatever names of their file."""
    # what has another UUID is another file
    seen: dict[str, list[tuple[Path, DrawnFrom]]] = {}
    for path in paths:
        here = drawn_from(path)
        if here is None:
            continue
        of_its_uuid = seen.setdefault(here.uuid, [])
        for twin, there in of_its_uuid:
            if here.shares_events(there):
                raise InputError(
                    f"{twin} and {path} are of copies of one file ({there.url}, {here.url}); its events "
                    "would count twice; remove the tables of one"
                )
        of_its_uuid.append((path, here))


def _impossible_path(folder: Path, url: str, name: str) -> Path:
    return folder / name / f"{Path(url).stem}.none.json"


def remember_impossible(folder: Path, url: str, impossible: Mapping[str, str], origin: DrawnFrom) -> None:
    """Note of which models a file has no table, and why."""
    for name, why in impossible.items():
        write_json(_impossible_path(folder, url, name), {**asdict(origin), "why": why})


def known_impossible(
    folder: Path,
    url: str,
    models: Sequence[ObjectModel],
    n_events: int | None,
    part: EventRange = WHOLE,
    here: DrawnFrom | None = None,
) -> dict[str, str]:
    """Those of `models` that are known to have no table of this very file, and why.

    Parameters
    ----------
    here : DrawnFrom, optional
        What there is now: what is known of another file that was in its place does not count.
    """
    found = {}
    for model in models:
        path = _impossible_path(folder, url, model.name)
        if not path.is_file() or table_path(folder, url, model).exists():
            continue
        try:
            noted = json.loads(read_text(path))
            why = str(noted.pop("why"))
            origin = DrawnFrom(**noted)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            # is found out again
            continue
        is_same = origin.url == told_url(url) and (here is None or not origin.is_other_file(here))
        if is_same and origin.is_of(n_events, part):
            found[model.name] = why
    return found


def remember_empty(folder: Path, url: str, models: Sequence[ObjectModel], origin: DrawnFrom) -> None:
    """Note that a file holds no events."""
    remember_impossible(folder, url, {model.name: _NO_EVENTS for model in models}, origin)


def refuse_empty(url: str, known: Mapping[str, str]) -> None:
    """`NoEventsError` if that is what is known of a file."""
    if _NO_EVENTS in known.values():
        raise NoEventsError(f"{url} holds no events; leave it out")


def version_drawn(folder: Path, url: str, models: Sequence[ObjectModel]) -> str | None:
    """The version of NanoAOD that the tables of the file `url` remember; ``None`` if there are none."""
    paths = (table_path(folder, url, model) for model in models)
    return next((version_of_table(path) for path in paths if path.exists()), None)


def refuse_other_version(folder: Path, models: Sequence[ObjectModel], url: str, version: str) -> None:
    """`InputError` if there are tables of another version of NanoAOD than that of the file `url`."""
    for model in models:
        for path in table_files(folder, model):
            there = version_of_table(path)
            if version and there and there != version:
                raise InputError(
                    f"{url} is NanoAOD {version}, and {path} is of {there}; extract each version into a "
                    "--work of its own"
                )


def refuse_other_era(folder: Path, models: Sequence[ObjectModel], url: str, era: str, origin: str) -> None:
    """`InputError` if there are tables of another era than that of the file `url`, but its own of none."""
    here = era_counted(era, origin)
    for model in models:
        for path in table_files(folder, model):
            there = era_counted(era_of_table(path), origin_of_table(path))
            if here and there and there != here:
                raise InputError(
                    f"{url} is of {here}, and {path} is of {there}; extract each era into a --work of its own"
                )


def refuse_other_detector(folder: Path, models: Sequence[ObjectModel], url: str, digest: str) -> None:
    """`InputError` if the file `url` is of another reference detector than tables, or of several itself."""
    if is_mixed(digest):
        raise InputError(
            f"{url} is merged of files of several reference detectors, {digest}; extract these, each "
            "detector into a --work of its own, or say --mixed if they are known to be alike"
        )
    for model in models:
        for path in table_files(folder, model):
            there = detector_of_table(path)
            if digest and there and there != digest:
                raise InputError(
                    f"{url} is of reference detector {digest}, and {path} of {there}; extract each into a "
                    "--work of its own, or say --mixed if they are known to be alike"
                )


def refuse_mixture(paths: Sequence[Path], tables: Sequence[Table]) -> None:
    """`InputError` if tables are of several versions or eras, or of files that lack different branches."""
    first, one = paths[0], tables[0]
    eras = {table.counts_as: path for path, table in zip(paths, tables, strict=True) if table.counts_as}
    if len(eras) > 1:
        (era, path), (other, another) = list(eras.items())[:2]
        raise InputError(f"{path} is of {era} and {another} of {other}; fit each era in a --work of its own")
    for path, table in zip(paths[1:], tables[1:], strict=True):
        if table.version != one.version and table.version and one.version:
            raise InputError(
                f"{path} is of NanoAOD {table.version} and {first} of {one.version}; fit each version in a "
                "--work of its own"
            )
        if odd := sorted(set(table.absent) ^ set(one.absent)):
            poor, rich = (path, first) if odd[0] in table.absent else (first, path)
            raise InputError(
                f"{poor} is of a file without {odd[0]}, which the one of {rich} has; fit on files that hold "
                "the same, or leave one out"
            )


def refuse_weights(table: Table, where: Path) -> None:
    """`InputError` if events of a table, from the folder `where`, count for more or less than others."""
    if table.weight is not None:
        raise InputError(
            f"{where}: tables with a weight, which only fits with --base know; extract them without --weight"
        )


def told_weights(table: Table, where: Path) -> tuple[str, ...]:
    """A line if events of a table, from the folder `where`, have a weight that nobody looks at."""
    if table.weight is None:
        return ()
    return (f"{where}: tables with a weight, which only fits with --base know: here all count alike",)


def refuse_several_detectors(paths: Sequence[Path], tables: Sequence[Table]) -> None:
    """`InputError` if tables are of several reference detectors, and nobody said that they may be."""
    found: dict[str, Path] = {}
    for path, table in zip(paths, tables, strict=True):
        if table.detector and not table.is_mixed:
            found.setdefault(table.detector, path)
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise InputError(
            f"{first} is of reference detector {one} and {second} of {other}; extract each into a --work of "
            "its own, or, if they are known to be alike, remove the tables of one and extract its file again "
            "with --mixed"
        )


def detectors_drawn(folder: Path) -> dict[str, str]:
    """The reference detector that the tables of each model are of; empty where it is not known."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*/*.safetensors")):
        try:
            digest = detector_of_table(path)
        except InputError:
            # what is wrong with a table is told by whatever learns from it
            digest = ""
        found.setdefault(path.parent.name, []).append(digest)
    return {name: together(digests) for name, digests in found.items()}


def told_mixtures(folder: Path, models: Sequence[ObjectModel]) -> list[str]:
    """Lines on models with tables of several reference detectors, or of one and of files that say none."""
    found: dict[tuple[str, ...], list[str]] = {}
    for model in models:
        paths = table_files(folder, model)
        # what has no origin is FullSim
        of_it = [path for path in paths if detector_of_table(path) or origin_of_table(path)]
        ways = tuple(sorted({detector_of_table(path) or NOT_RECORDED for path in of_it}))
        if len(ways) > 1 or any(map(is_mixed, ways)):
            found.setdefault(ways, []).append(model.name)
    return [
        f"tables of several reference detectors ({', '.join(ways)}) in {folder}: {named(names)}"
        for ways, names in found.items()
    ]


def told_origins(folder: Path, models: Sequence[ObjectModel]) -> list[str]:
    """Lines on models with tables of FullSim and of what stands for it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for model in models:
        ways = tuple(sorted({origin_of_table(path) or FULLSIM for path in table_files(folder, model)}))
        if len(ways) > 1:
            found.setdefault(ways, []).append(model.name)
    return [
        f"tables of {' and of '.join(ways)} in {folder}, and what learns from both is like neither: "
        f"{named(names)}"
        for ways, names in found.items()
    ]
