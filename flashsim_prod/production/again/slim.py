"""Files with some branches of a dataset: only the models run that these need. No catalogue takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import merge_job, simulate_job
from flashsim_prod.errors import EventsError, InputError
from flashsim_prod.files import appearing, storage_errors
from flashsim_prod.production.again.events import (
    Wanted,
    jobs_of,
    schema_of,
    simulated_jobs,
    wanted_branches,
)
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.simulate import bound_bundle, provenance
from flashsim_prod.software import check_same_software

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle
    from flashsim_prod.physics.events import Events
    from flashsim_prod.physics.nanoaod.schema import Schema

#: below the state folder, where nobody names a folder
FOLDER = "slim"
#: without these a file cannot be numbered, normalised, or filled into histograms of oversampled events
ALWAYS = (
    *("run", "luminosityBlock", "event", "genWeight"),
    *("FlashSim_genEvent", "FlashSim_fold", "FlashSim_oversample"),
)

#: is told how many events are written of a file, and in all
EventsProgress = Callable[[int, int], None]


def default_folder(home: Home, request: Request, patterns: Sequence[str]) -> Path:
    """Where such files go: another folder for other branches, or another request of the same name."""
    told = "\n".join((request.digest(), *sorted(patterns)))
    return home.path / FOLDER / request.name / hashlib.sha256(told.encode()).hexdigest()[:12]


def slim_files(
    request: Request,
    files: Sequence[int],
    patterns: Sequence[str],
    folder: Path,
    progress: EventsProgress = lambda done, total: None,
) -> list[Path]:
    """Write one file with some branches for each of the dataset's `files`; those that are there stay.

    Each has the events of the dataset's own file, in their order and with their numbers, and appears whole.

    Parameters
    ----------
    request : Request
    files : sequence of int
        Numbers of the dataset's files.
    patterns : sequence of str
        Names of branches, in which ``*`` stands for anything; what numbers and weighs events comes along.
    folder : Path
        Made if need be.
    progress : callable, optional
        Is told events written and events in all.

    Raises
    ------
    RequestError
        If a pattern means no branch.
    StateError, BundleError
        If software or bundle are others than the request's.
    StorageError
        If a file cannot be written, or there is another one of its name.
    """
    check_same_software(request)
    bundle = bound_bundle(request)
    wanted = wanted_branches(request, [*ALWAYS, *_weights(bundle), *patterns])
    about = provenance(request, bundle) | {"branches": " ".join(patterns)}
    with storage_errors(f"making {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    paths, total = [], sum(merge_job(request, index).events for index in files)
    done = 0
    for index in files:
        job = merge_job(request, index)
        path = folder / f"{request.name}_{index:06d}.root"
        # a shower that throws events away does not tell how many stay
        if not _is_there(path, None if request.is_thinned else job.events, about):
            _write(path, request, index, wanted, about, _Later(progress, done, total))
        done += job.events
        progress(done, total)
        paths.append(path)
    return paths


def _weights(bundle: Bundle) -> tuple[str, ...]:
    """The branch of weights, if models weight what they draw: without it events count for something else."""
    from flashsim_prod.physics.chain.compatibility import weighting
    from flashsim_prod.physics.events import WEIGHT

    return (WEIGHT,) if weighting(bundle) else ()


@dataclass(frozen=True)
class _Later:
    """Tells events of one file as those of all."""

    told: EventsProgress
    before: int
    total: int

    def __call__(self, done: int) -> None:
        self.told(self.before + done, self.total)


def _is_there(path: Path, events: int | None, about: dict[str, str]) -> bool:
    """Whether this very file is there; `EventsError` if another one is."""
    from flashsim_prod.physics.nanoaod.reader import NanoFile

    if not path.exists():
        return False
    try:
        with NanoFile(str(path)) as file:
            told = {name: texts[0] for name, texts in file.provenance().items()}
            is_it = told == about and events in (None, file.n_entries)
    except InputError:
        is_it = False
    if not is_it:
        raise EventsError(f"{path} is there, and it is another file; remove it, or say another --output")
    return True


def _write(
    path: Path,
    request: Request,
    index: int,
    wanted: Wanted,
    about: dict[str, str],
    written: Callable[[int], None],
) -> None:
    from flashsim_prod.physics.generator.kinds import find_kind
    from flashsim_prod.physics.nanoaod.runs import TriedSums
    from flashsim_prod.physics.nanoaod.writer import NanoWriter

    job, schema, done = merge_job(request, index), schema_of(request), 0
    first, last = (simulate_job(request, one) for one in (job.first, job.first + job.count - 1))
    gen_events = last.gen_first + last.gen_events - first.gen_first
    # of an ntuple the sums are of all that were simulated, as in the dataset's own files
    tried = TriedSums()
    of_input = find_kind(request.source.kind).runs(
        request.source, first.gen_first, gen_events, request.oversample, str
    )
    runs = of_input or tried.rows
    with (
        appearing(path) as temporary,
        NanoWriter(temporary, schema=schema, provenance=about, runs=runs) as writer,
    ):
        specimen: Events | None = None
        for batch in simulated_jobs(request, jobs_of(request, [index]), wanted):
            tried.add(batch.tried)
            events = _only(batch.events, wanted, schema)
            if batch.is_specimen:
                specimen = events
                continue
            writer.write(events)
            done += events.n
            written(done)
        tried.end()
        if specimen is not None and not done:
            writer.describe(specimen)


def _only(events: Events, wanted: Wanted, schema: Schema) -> Events:
    """`events` with the branches wanted; collections of which only the number is wanted are left out."""
    from flashsim_prod.physics.events import Collection, Events, full_name

    names = set(wanted.chosen(schema, events) or ())
    collections = {}
    for name, one in events.collections.items():
        kept = {key: column for key, column in one.columns.items() if full_name(name, key) in names}
        if kept:
            collections[name] = Collection(one.counts, kept, one.name)
    scalars = {name: column for name, column in events.scalars.items() if name in names}
    return Events(events.n, scalars, collections)
