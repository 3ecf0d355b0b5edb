"""Training on a cluster: a task of a job array for each file and each object model, then the bundle.

``intention.json`` in the folder of what is handed over holds the token that all of it is named by. It is
written before anything is handed over, and again with Slurm's number when all is: without a number, part of
it may be there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from flashsim_prod.core.site import Site
from flashsim_prod.errors import ConfigError, StateError
from flashsim_prod.files import read_text, storage_errors, write_json
from flashsim_prod.grid.batch.base import Training
from flashsim_prod.grid.batch.slurm.client import Slurm
from flashsim_prod.grid.batch.slurm.render import check_paths, exported, of_site, write_scripts
from flashsim_prod.grid.batch.slurm.section import SlurmRules

_DRAW, _FIT, _BUNDLE = "draw", "fit", "bundle"
_INTENTION = "intention.json"


def submit_training(site: Site, training: Training) -> tuple[int, bool]:
    """Hand tables and fits over, unless they are at work; number of the first array, and if it is new.

    Parameters
    ----------
    site : Site
        One with a section ``slurm``.
    training : Training
        The nodes must see its folders.

    Raises
    ------
    RequestError
        If a path cannot be told to Slurm or to a container.
    ConfigError
        If Slurm does not take such jobs.
    StorageError
        If it cannot be reached.
    """
    rules, folder, slurm = site.rules_as(SlurmRules), training.work / "batch", Slurm()
    check_paths(_seen(training), rules)
    token, number = _intended(folder)
    left = _live(slurm, token)
    if left and number is not None:
        return number, False
    # of a hand-over that was broken off: what is there of it makes no bundle
    slurm.cancel(left)
    write_scripts(
        folder, (_DRAW, _FIT, _BUNDLE), {**of_site(site, rules), **_context(training, rules, folder)}
    )
    token = secrets.token_hex(16)
    write_json(folder / _INTENTION, {"token": token})
    numbers: list[int] = []
    try:
        before: list[int] = []
        files = tuple(str(number) for number in range(1, len(training.drawings) + 1))
        bundle = () if training.output is None else ((_BUNDLE, ("",)),)
        for script, each in ((_DRAW, files), (_FIT, training.models), *bundle):
            its: list[int] = []
            for words in _arrays(slurm, each):
                after = [] if before else left
                asked = _options(token, folder, len(words), rules, afterok=before, afterany=after)
                its.append(slurm.submit(asked, folder / f"{script}.sh", *filter(None, words)))
                numbers.append(its[-1])
            # what nothing is done of is not waited for
            before = its or before
    except ConfigError:
        # refused for certain, as may be what comes after the first array
        slurm.cancel(numbers)
        raise
    write_json(folder / _INTENTION, {"token": token, "number": numbers[0]})
    return numbers[0], True


def training_at_work(work: Path) -> bool:
    """Whether fits of this folder, or their bundle, are with Slurm; `StorageError` if it does not answer."""
    return bool(_live(Slurm(), _intended(work / "batch")[0]))


def _intended(folder: Path) -> tuple[str | None, int | None]:
    """Token and number of the last hand-over; ``None`` for what is not known."""
    path = folder / _INTENTION
    try:
        told = json.loads(read_text(path))
        return str(told["token"]), told.get("number")
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StateError(
            f"{path} cannot be read, so nobody knows whether fits are at work ({error}); "
            "see squeue, and remove it"
        ) from error


def _live(slurm: Slurm, token: str | None) -> list[int]:
    """Numbers of the arrays of a hand-over that have tasks in the queue, at work or not."""
    if token is None:
        return []
    names = {_name(token)}
    queue = slurm.queue().items()
    return sorted({job for (job, _), record in queue if record.name in names and not record.is_over})


def _name(token: str) -> str:
    return f"train.{token}"


def _arrays(slurm: Slurm, models: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if models:
        size = slurm.most_tasks()
        yield from (models[first : first + size] for first in range(0, len(models), size))


def _options(
    token: str,
    folder: Path,
    tasks: int,
    rules: SlurmRules,
    *,
    afterok: Iterable[int] = (),
    afterany: Iterable[int] = (),
) -> Iterator[str]:
    """What an array asks for besides what its script says."""
    yield f"--job-name={_name(token)}"
    yield f"--array=0-{tasks - 1}"
    yield f"--chdir={folder}"
    yield f"--output={str(folder).replace('%', '%%')}/slurm.%A_%a.err"
    yield "--open-mode=append"
    yield exported(rules)
    before = [
        f"{how}:{':'.join(map(str, jobs))}"
        for how, jobs in (("afterok", afterok), ("afterany", afterany))
        if jobs
    ]
    if before:
        yield f"--dependency={','.join(before)}"
        yield "--kill-on-invalid-dep=yes"


def _seen(training: Training) -> list[Path]:
    """Folders that the nodes have to see."""
    output = [] if training.output is None else [training.output.parent]
    return [training.work, *output]


def _context(training: Training, rules: SlurmRules, folder: Path) -> dict[str, object]:
    with storage_errors(f"writing {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    seen = dict.fromkeys(map(str, _seen(training)))
    return {
        "work": str(training.work),
        "words": training.options,
        "output": "" if training.output is None else str(training.output),
        "drawings": training.drawings,
        "bundle": training.bundle,
        "folder": str(folder),
        "binds": [*seen, *rules.software.binds],
    }
