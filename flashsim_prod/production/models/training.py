"""Tables and fits that are handed to a site's batch system."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flashsim_prod.core.site import Site
from flashsim_prod.errors import JobsFailedError, LockedError, RequestError, StorageError
from flashsim_prod.files import read_text, storage_errors, write_json
from flashsim_prod.grid.batch.base import Training, TrainingBatch
from flashsim_prod.grid.batch.opening import open_batch
from flashsim_prod.grid.batch.outage import Outage

#: between two looks [s]
_INTERVAL_S = 5.0
#: held while fits are handed over, in the work folder
_LOCK = "handing_over.lock"
#: longer than that takes [s]
_PATIENCE_S = 300.0
#: in the folder of what is handed over: what it was, and the batch system's number for it
_HANDED_OVER = "handed_over.json"


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
    RequestError
        If something else of this folder is at work, without all of this.
    ConfigError, StorageError
        As by the batch system.
    """
    batch = _batch(site)
    with storage_errors(f"writing {training.work}"):
        training.work.mkdir(parents=True, exist_ok=True)
    with _alone(training.work):
        batch_id, is_new = batch.train(training)
        if is_new:
            _note(training, batch_id)
        elif left_out := _left_out(training, batch_id):
            raise RequestError(
                f"{site.name} is at work in {training.work} already ({batch_id}), but not on {left_out}; "
                "wait for its end and say this again, or give another --work"
            )
    return batch_id, is_new


def _note(training: Training, batch_id: int) -> None:
    """Write down what is handed over."""
    output = None if training.output is None else str(training.output)
    noted = {"batch_id": batch_id, "drawings": training.drawings, "models": training.models, "output": output}
    write_json(training.work / "batch" / _HANDED_OVER, noted)


def _noted(work: Path, batch_id: int) -> dict[str, Any] | None:
    """What was handed over under this number; ``None`` if nobody wrote it down."""
    path = work / "batch" / _HANDED_OVER
    try:
        noted: dict[str, Any] = json.loads(read_text(path))
    except (OSError, ValueError):
        return None
    return noted if noted.get("batch_id") == batch_id else None


def _left_out(training: Training, batch_id: int) -> str:
    """What of `training` is not in what is at work; empty if all is, as far as is known."""
    noted = _noted(training.work, batch_id)
    if noted is None:
        return ""
    drawn = [tuple(words) for words in noted["drawings"]]
    lacking = [
        *(f"tables of {words[1]}" for words in training.drawings if words not in drawn),
        *(f"a fit of {name}" for name in training.models if name not in noted["models"]),
    ]
    if training.output is not None and str(training.output) != noted["output"]:
        lacking.append(f"a bundle {training.output}")
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f"{lacking[0]}{more}" if lacking else ""


def said_by_drawing(work: Path, batch_id: int, words: tuple[str, ...]) -> Path:
    """Where the job that drew the tables of a file wrote what went wrong."""
    noted = _noted(work, batch_id)
    drawings = [] if noted is None else [tuple(each) for each in noted["drawings"]]
    number = drawings.index(words) + 1 if words in drawings else "*"
    return work / "batch" / f"draw{number}.err"


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
    follow(site, work, bundle_trouble(work, output), lambda: show(fitted()), say)


def bundle_trouble(work: Path, output: Path) -> Callable[[], str]:
    """What to tell if no bundle was made, and where its reason stands; nothing if it was."""
    return lambda: "" if output.is_dir() else f"no bundle was made; see {work / 'batch'}/*.err"


def follow(
    site: Site,
    work: Path,
    trouble: Callable[[], str],
    show: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Wait until what was handed over has ended; `show` is called again and again.

    A batch system that does not answer is waited for, which `say` is told.

    Raises
    ------
    JobsFailedError
        With the `trouble` that there is then, if any.
    StorageError
        If the batch system is away for long.
    """
    batch, outage = _batch(site), Outage(say)
    while _is_training(batch, work.absolute(), outage):
        show()
        time.sleep(_INTERVAL_S)
    show()
    if found := trouble():
        raise JobsFailedError(f"{found}, mend it, and say it again")


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
