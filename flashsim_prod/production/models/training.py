"""Tables and fits that are handed to a site's batch system."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flashsim_prod.core.site import Site
from flashsim_prod.errors import JobsFailedError, LockedError, RequestError, StorageError
from flashsim_prod.files import storage_errors
from flashsim_prod.grid.batch.base import Training, TrainingBatch
from flashsim_prod.grid.batch.opening import open_batch
from flashsim_prod.grid.batch.outage import Outage

#: between two looks [s]
_INTERVAL_S = 5.0
#: held while fits are handed over, in the work folder
_LOCK = "handing_over.lock"
#: longer than that takes [s]
_PATIENCE_S = 300.0


def check_hand_over(site: Site, work: Path, output: Path | None, *, anew: bool) -> None:
    """See that tables and fits can be handed to a site, before anything is removed or written.

    Parameters
    ----------
    output : Path, optional
        Of the bundle, if one is to be made.

    Raises
    ------
    RequestError
        If the site's batch system is not one that trains, the bundle is there already, or fits that are to be
        done `anew` are at work.
    ConfigError
        If nodes would not find their software.
    StorageError
        If the batch system cannot be reached.
    """
    batch = _batch(site)
    if output is not None and output.exists():
        raise RequestError(f"{output} exists; give another folder for the bundle, or remove it")
    batch.check_software()
    if anew and batch.is_training(work.absolute()):
        raise RequestError(
            f"fits in {work} are at work at {site.name}; take them back there first, or leave out --anew"
        )


def hand_over(site: Site, training: Training) -> tuple[int, bool]:
    """Hand over what `check_hand_over` has seen; the batch system's number, and if it is new.

    Raises
    ------
    LockedError
        If another command hands fits of this folder over, and does not end.
    ConfigError, StorageError
        As by the batch system.
    """
    batch = _batch(site)
    training.work.mkdir(parents=True, exist_ok=True)
    with _alone(training.work):
        return batch.train(training)


def hand_over_fits(
    site: Site, work: Path, models: Sequence[str], options: Sequence[str], output: Path
) -> tuple[int, bool]:
    """Hand over the fits of `models` and the bundle after them; as `hand_over`."""
    return hand_over(site, Training(work.absolute(), tuple(models), tuple(options), output.absolute()))


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Hand over alone: of two commands at once, the second then finds the fits of the first at work."""
    lock = FileLock(work / _LOCK)
    with storage_errors(f"locking {work}"):
        try:
            lock.acquire(timeout=_PATIENCE_S)
        except Timeout as error:
            raise LockedError(
                f"another command hands fits of {work} over; wait for it to end, or stop it"
            ) from error
    try:
        yield
    finally:
        lock.release()


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
    follow(site, work, output.is_dir, "no bundle was made", lambda: show(fitted()), say)


def follow(
    site: Site,
    work: Path,
    is_made: Callable[[], bool],
    what: str,
    show: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Wait until what was handed over has ended; `show` is called again and again.

    A batch system that does not answer is waited for, which `say` is told.

    Raises
    ------
    JobsFailedError
        If `what` was to be made is not made then.
    StorageError
        If the batch system is away for long.
    """
    batch, outage = _batch(site), Outage(say)
    while _is_training(batch, work.absolute(), outage):
        show()
        time.sleep(_INTERVAL_S)
    show()
    if not is_made():
        raise JobsFailedError(f"{what}; see {work / 'batch'}/*.err, mend it, and say it again")


def check_trains(site: Site) -> None:
    """`RequestError` if the site's batch system is not one that trains."""
    _batch(site)


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
            "(HTCondor, Slurm), or train here: --site local"
        )
    return batch
