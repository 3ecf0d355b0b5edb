"""Fits that are handed to a site's batch system."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flashsim_prod.core.site import Site
from flashsim_prod.errors import JobsFailedError, RequestError, StorageError
from flashsim_prod.grid.batch.base import Training, TrainingBatch
from flashsim_prod.grid.batch.opening import open_batch
from flashsim_prod.grid.batch.outage import Outage

#: between two looks [s]
_INTERVAL_S = 5.0


def hand_over_fits(
    site: Site, work: Path, models: Sequence[str], options: Sequence[str], output: Path
) -> tuple[int, bool]:
    """Hand over the fits of `models` and the bundle after them; the batch system's number, and if it is new.

    Raises
    ------
    RequestError
        If the site's batch system is not one that trains, or the bundle is there already.
    ConfigError, StorageError
        As by the batch system.
    """
    batch = _batch(site)
    if output.exists():
        raise RequestError(f"{output} exists; give another folder for the bundle, or remove it")
    batch.check_software()
    return batch.train(Training(work.absolute(), tuple(models), tuple(options), output.absolute()))


def follow_fits(
    site: Site,
    work: Path,
    output: Path,
    fitted: Callable[[], int],
    show: Callable[[int], None],
    say: Callable[[str], None],
) -> None:
    """Wait until the fits have ended; `show` is told how many there are of `fitted`.

    A batch system that does not answer is waited for, which `say` is told.

    Raises
    ------
    JobsFailedError
        If there is no bundle then.
    StorageError
        If the batch system is away for long.
    """
    batch, outage = _batch(site), Outage(say)
    while _is_training(batch, work.absolute(), outage):
        show(fitted())
        time.sleep(_INTERVAL_S)
    show(fitted())
    if not output.is_dir():
        raise JobsFailedError(f"no bundle was made; see {work / 'batch'}/*.err, mend it, and say it again")


def _is_training(batch: TrainingBatch, work: Path, outage: Outage) -> bool:
    try:
        found = batch.is_training(work)
    except StorageError as error:
        if not outage.is_borne(error):
            raise
        return True
    outage.ended()
    return found


def _batch(site: Site) -> TrainingBatch:
    batch = open_batch(site) if site.rules.goes_on_alone else None
    if not isinstance(batch, TrainingBatch):
        raise RequestError(
            f"site {site.name}: its engine '{site.engine}' does not train; choose a site of one that does "
            "(HTCondor, Slurm), or fit here: --site local"
        )
    return batch
