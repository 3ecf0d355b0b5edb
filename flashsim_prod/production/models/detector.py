"""The reference detector beside real files, and the table that it is moved by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.files import read_bytes, write_whole
from flashsim_prod.production.models.validating import Progress

if TYPE_CHECKING:
    from flashsim_prod.physics.detector.retuning.table import Table
    from flashsim_prod.physics.validation.detector.beside import Beside as Beside

#: stands for a detector that is moved by no table
PARAMETRIC = "none"
PARTS = ("all", "tuning", "judging")


def compare_detector(
    files: Sequence[str], *, part: str, seed: int, table: str | None, progress: Progress
) -> Beside:
    """The detector on the generator level of real `files`, beside what is reconstructed there.

    Parameters
    ----------
    part : str
        ``all`` events, or every second one: ``tuning`` or ``judging``.
    table : str, optional
        File of a table, or ``none`` for the parametric response; the one that comes with the package if None.
    """
    from flashsim_prod.physics.nanoaod.schema import Schema
    from flashsim_prod.physics.validation.detector.beside import stand_beside
    from flashsim_prod.physics.validation.detector.sides import Part

    known = None if table is None else {} if table == PARAMETRIC else _read(Path(table))
    return stand_beside(
        files, part=Part(_known(part)), seed=seed, table=known, schema=Schema.default(), progress=progress
    )


def write_table(files: Sequence[str], path: Path, *, part: str, seed: int, progress: Progress) -> None:
    """Measure the table of real `files` and write it to `path`; `RequestError` if there is a file."""
    from flashsim_prod.physics.nanoaod.schema import Schema
    from flashsim_prod.physics.validation.detector.beside import table_of
    from flashsim_prod.physics.validation.detector.sides import Part

    if path.exists():
        raise RequestError(f"{path} exists; give another name, or remove it")
    if not path.parent.is_dir():
        raise RequestError(f"{path.parent} is no folder; make it, or give another name")
    text = table_of(files, part=Part(_known(part)), seed=seed, schema=Schema.default(), progress=progress)
    write_whole(path, text)


def _known(part: str) -> str:
    if part not in PARTS:
        raise RequestError(f"--part: '{part}' is none of {', '.join(PARTS)}")
    return part


def _read(path: Path) -> Table:
    from flashsim_prod.physics.detector.retuning.table import parse

    try:
        return parse(read_bytes(path).decode("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} is no table of the reference detector: {error}") from error
