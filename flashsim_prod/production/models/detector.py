"""The reference detector beside real files, and the table that it is moved by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.files import read_bytes, write_whole
from flashsim_prod.production.models.validating import Progress

if TYPE_CHECKING:
    from flashsim_prod.physics.detector.eras import DetectorEra
    from flashsim_prod.physics.detector.retuning.table import Table
    from flashsim_prod.physics.validation.detector.beside import Beside as Beside

#: stands for a detector that is moved by no table
PARAMETRIC = "none"
PARTS = ("all", "tuning", "judging")


def compare_detector(
    files: Sequence[str],
    *,
    part: str,
    seed: int,
    table: str | None,
    progress: Progress,
    era: str | None = None,
) -> Beside:
    """The detector on the generator level of real `files`, beside what is reconstructed there.

    Parameters
    ----------
    part : str
        ``all`` events, or every second one: ``tuning`` or ``judging``.
    table : str, optional
        File of a table, or ``none`` for the detector before it; the one that comes with the package if None.
    era : str, optional
        Years that the detector imitates; by default those of the files.
    """
    from flashsim_prod.physics.validation.detector.beside import stand_beside
    from flashsim_prod.physics.validation.detector.sides import Part

    known = None if table is None else {} if table == PARAMETRIC else _read(Path(table))
    wanted, years = Part(_known(part)), _years(files, era)
    return stand_beside(files, part=wanted, seed=seed, table=known, era=years, progress=progress)


def write_table(
    files: Sequence[str], path: Path, *, part: str, seed: int, progress: Progress, era: str | None = None
) -> None:
    """Measure the table of real `files` and write it to `path`; `RequestError` if there is a file."""
    from flashsim_prod.physics.validation.detector.beside import table_of
    from flashsim_prod.physics.validation.detector.sides import Part

    if path.exists():
        raise RequestError(f"{path} exists; give another name, or remove it")
    if not path.parent.is_dir():
        raise RequestError(f"{path.parent} is no folder; make it, or give another name")
    wanted, years = Part(_known(part)), _years(files, era)
    write_whole(path, table_of(files, part=wanted, seed=seed, era=years, progress=progress))


def _years(files: Sequence[str], era: str | None) -> DetectorEra:
    from flashsim_prod.physics.detector.eras import find_detector_era
    from flashsim_prod.physics.training.sample import era_of_inputs

    return era_of_inputs(files) if era is None else find_detector_era(era)


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
