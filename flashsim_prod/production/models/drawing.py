"""Tables drawn from files: one after another here, or several at a time in processes of their own."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import InputError, NodeError, NoSpaceError, RequestError, StorageError

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.model import ObjectModel

#: called with what is being done, how much of it is done, and how much there is if that is known
StepProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Portion:
    """A file, or some of its events.

    Attributes
    ----------
    url : str
    events : int, optional
        So many at most; all by default.
    part : str, optional
        FIRST:LAST in events or in percent, instead.
    weight : float
        What each event counts for when a bundle's models are fine-tuned.
    without : tuple of str
        Object models that the file is not to teach; ``*`` and ``?`` as in names of files.
    era : str
        That it is of, if nothing in it tells.
    mixed : bool
        Whether its tables may stand beside those of another reference detector.
    """

    url: str
    events: int | None = None
    part: str | None = None
    weight: float = 1.0
    without: tuple[str, ...] = ()
    era: str = ""
    mixed: bool = False

    def taught(self, models: Iterable[ObjectModel]) -> list[ObjectModel]:
        """Those of `models` that the file is to teach."""
        return [one for one in models if not any(fnmatchcase(one.name, odd) for odd in self.without)]


@dataclass(frozen=True)
class Drawn:
    """What came of one file.

    Attributes
    ----------
    events : int
        Looked at now; 0 if all its tables were there already.
    impossible : mapping of object model to str
        Those without a table, and why.
    is_empty : bool
        Whether the file holds no events.
    """

    events: int
    impossible: dict[str, str] = field(default_factory=dict)
    is_empty: bool = False


@dataclass
class Drawings:
    """What came of all files.

    Attributes
    ----------
    files : mapping of URL to Drawn
    seconds : float
        Wall time.
    failed : list of StorageError
        Of files that could not be reached; the others are done nonetheless.
    """

    files: dict[str, Drawn] = field(default_factory=dict)
    seconds: float = 0.0
    failed: list[StorageError] = field(default_factory=list)

    @property
    def events(self) -> int:
        """Looked at now."""
        return sum(one.events for one in self.files.values())

    @property
    def kept_files(self) -> int:
        """Files all of whose tables were there already."""
        return sum(not one.events and not one.is_empty for one in self.files.values())

    @property
    def empty(self) -> tuple[str, ...]:
        """Files without events."""
        return tuple(url for url, one in self.files.items() if one.is_empty)

    def raise_failures(self) -> None:
        """`StorageError` if some files could not be reached, with how many."""
        if not self.failed:
            return
        number = len(self.failed)
        others = f" (so are {number - 1} other files)" if number > 2 else " (so is another file)"
        raise StorageError(f"{self.failed[0]}{others if number > 1 else ''}") from self.failed[0]


def draw(
    portions: Sequence[Portion],
    models: Sequence[str],
    tables: Path,
    *,
    jobs: int,
    progress: StepProgress,
) -> Drawings:
    """Draw the tables of `portions`, which are of different names, into the folder `tables`.

    Parameters
    ----------
    models : sequence of str
        Those without which it is an error; if empty, all that each file has enough for.
    jobs : int
        Files at a time.

    Raises
    ------
    InputError, RequestError
        As of `extract_file`, for the first file that is no good.
    """
    found, began_s = Drawings(), time.monotonic()
    steps = _here if jobs == 1 or len(portions) < 2 else _in_processes
    for portion, drawn in steps(portions, models, tables, jobs, progress):
        if isinstance(drawn, StorageError):
            found.failed.append(drawn)
        else:
            found.files[portion.url] = drawn
    found.seconds = time.monotonic() - began_s
    return found


def _here(
    portions: Sequence[Portion], models: Sequence[str], tables: Path, jobs: int, progress: StepProgress
) -> Iterator[tuple[Portion, Drawn | StorageError]]:
    for portion in portions:
        yield portion, _tried(portion, models, tables, progress)


def _in_processes(
    portions: Sequence[Portion], models: Sequence[str], tables: Path, jobs: int, progress: StepProgress
) -> Iterator[tuple[Portion, Drawn | StorageError]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(portions)), mp_context=context) as pool:
        futures: dict[Future[Drawn | StorageError], Portion] = {
            pool.submit(_tried, one, tuple(models), tables): one for one in portions
        }
        left = set(futures)
        try:
            while left:
                done, left = wait(left, return_when=FIRST_COMPLETED)
                for future in done:
                    yield futures[future], future.result()
                progress("files", len(futures) - len(left), len(futures))
        except BrokenProcessPool as error:
            raise NodeError("a process that drew tables was killed; is there enough memory?") from error
        finally:
            # what is not done would be waited for, for minutes
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children() if left else ():
                process.terminate()


def _tried(
    portion: Portion, models: Sequence[str], tables: Path, progress: StepProgress | None = None
) -> Drawn | StorageError:
    """The tables of one file; the error where it cannot be reached, but not where nothing can be written."""
    from flashsim_prod.physics.chain.registry import MODELS, find_model
    from flashsim_prod.physics.event_range import EventRange
    from flashsim_prod.physics.training.drawn import NoEventsError
    from flashsim_prod.physics.training.tables import extract_file

    chosen = portion.taught([find_model(name) for name in models] or MODELS)
    impossible: dict[str, str] = {}
    events = 0
    try:
        for events, total in extract_file(
            portion.url,
            chosen,
            tables,
            impossible=None if models else impossible,
            n_events=portion.events,
            part=EventRange.parse(portion.part, portion.weight),
            era=portion.era,
            mixed=portion.mixed,
        ):
            if progress is not None:
                progress(Path(portion.url).name, events, total)
    except NoEventsError:
        # of a record nobody can leave a file out
        return Drawn(0, is_empty=True)
    except NoSpaceError:
        raise
    except StorageError as error:
        return error
    return Drawn(events, impossible)


def is_drawn(portion: Portion, tables: Path) -> bool:
    """Whether tables of all models that the file can teach are there."""
    from flashsim_prod.physics.chain.registry import MODELS
    from flashsim_prod.physics.event_range import EventRange
    from flashsim_prod.physics.training import drawn

    part, models = EventRange.parse(portion.part, portion.weight), portion.taught(MODELS)
    none = drawn.known_impossible(tables, portion.url, models, portion.events, part)
    return all(
        one.name in none or drawn.is_drawn(tables, portion.url, one, portion.events, part, portion.era)
        for one in models
    )


def words_of(portion: Portion, work: Path) -> tuple[str, ...]:
    """What ``train extract`` is told of a file."""
    first = () if portion.events is None else ("--first", str(portion.events))
    part = () if portion.part is None else ("--events", portion.part)
    weight = () if portion.weight == 1 else ("--weight", repr(portion.weight))
    era = ("--era", portion.era) if portion.era else ()
    mixed = ("--mixed",) if portion.mixed else ()
    without = tuple(word for odd in portion.without for word in ("--without", odd))
    url = portion.url if "://" in portion.url else str(Path(portion.url).absolute())
    return ("extract", url, "--work", str(work), *first, *part, *weight, *era, *mixed, *without)


def check_portions(portions: Sequence[Portion], models: Sequence[ObjectModel], tables: Path) -> None:
    """Errors of what can be told before any file is opened, as of `extract_tables`."""
    refuse_same_names(portions)
    for portion in portions:
        _refuse_no_choice(portion, models, tables)


def refuse_same_names(portions: Sequence[Portion]) -> None:
    """`RequestError` if two files have the same name, by which their tables are called."""
    twice = [name for name, times in Counter(Path(one.url).stem for one in portions).items() if times > 1]
    if twice:
        raise RequestError(f"two files are called {twice[0]}, and so would be their tables; rename one")


def _refuse_no_choice(portion: Portion, models: Sequence[ObjectModel], tables: Path) -> None:
    """Errors where nothing can be meant by what of a file is chosen, or a table of it is there nonetheless.

    Raises
    ------
    RequestError
        If the part or the weight are none, or a pattern fits no model, or all of them.
    ConfigError
        If the era is not known.
    InputError
        If there is a table of a model that the file is not to teach.
    """
    from flashsim_prod.physics.eras import find_era
    from flashsim_prod.physics.event_range import EventRange
    from flashsim_prod.physics.training.drawn import table_path

    EventRange.parse(portion.part, portion.weight)
    if portion.era:
        find_era(portion.era)
    if portion.part is not None and portion.events is not None:
        raise RequestError("--first and --events both say which events: choose one")
    for pattern in portion.without:
        if not any(fnmatchcase(model.name, pattern) for model in models):
            near = nearest(pattern, [one.name for one in models])
            raise RequestError(f"--without {pattern}: no object model is called so{near}")
    taught = portion.taught(models)
    if not taught:
        raise RequestError(f"--without {' '.join(portion.without)} leaves no object model")
    for model in models:
        path = table_path(tables, portion.url, model)
        if model not in taught and path.exists():
            raise InputError(f"{path} is there already, and would teach {model.name}; remove it")
