"""Technical checks of a whole dataset: each file by itself, and that the files fit each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.errors import EventsError, InputError, StorageError
from flashsim_prod.grid.catalog.base import FileEntry
from flashsim_prod.grid.storage.checksums import file_checksums
from flashsim_prod.production.dataset.files import DatasetFiles

if TYPE_CHECKING:
    from flashsim_prod.physics.nanoaod.checks import FileSummary


@dataclass(frozen=True)
class CheckedFile:
    """One file.

    Attributes
    ----------
    events, gen_events : int
        0 for a file that could not be read to its end.
    problem : str or None
        The first thing that is wrong: file, event and branch.
    """

    url: str
    events: int
    gen_events: int
    problem: str | None


@dataclass(frozen=True)
class CheckedDataset:
    """All files, and what is wrong of all of them together."""

    name: str
    files: tuple[CheckedFile, ...]
    problems: tuple[str, ...]

    @property
    def all_problems(self) -> list[str]:
        """Everything that was found."""
        return [*(file.problem for file in self.files if file.problem), *self.problems]


def error_of(checked: CheckedDataset) -> EventsError | None:
    """The error that tells the first problem; None if there is none."""
    problems = checked.all_problems
    if not problems:
        return None
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return EventsError(problems[0] + more)


def check_dataset(
    found: DatasetFiles, progress: Callable[[str, int, int], None] = lambda stage, done, total: None
) -> CheckedDataset:
    """Check all files; what is wrong with one does not keep the others from being checked.

    Each file: checksums and size as the catalogue has them, unique events, complete folds, finite and legal
    values, links that point to objects and answer each other, order, sums in Runs. All together: no event and
    no generator event in two files, and as many as the request asked for.
    """
    checked: list[CheckedFile] = []
    summaries: list[tuple[str, FileSummary]] = []
    entries = found.entries or (None,) * len(found.urls)
    for number, (url, entry) in enumerate(zip(found.urls, entries, strict=True)):
        progress("checking", number, len(found.urls))
        try:
            summary = _check(url, entry, found)
        except (EventsError, StorageError) as error:
            checked.append(CheckedFile(url, 0, 0, str(error)))
        else:
            checked.append(CheckedFile(url, summary.events, summary.gen_events, None))
            summaries.append((url, summary))
    progress("checking", len(found.urls), len(found.urls))
    problems = list(_overlaps(summaries))
    if len(summaries) == len(found.urls):
        problems += _totals(found, [summary for _, summary in summaries])
    return CheckedDataset(found.name, tuple(checked), tuple(problems))


def _check(url: str, entry: FileEntry | None, found: DatasetFiles) -> FileSummary:
    from flashsim_prod.physics.analysis.parquet import as_root

    # what is elsewhere would have to be read twice; `verify` asks its storage
    if entry is not None and "://" not in url:
        sums = file_checksums(Path(url))
        if (sums.bytes, sums.adler32) != (entry.bytes, entry.adler32):
            raise EventsError(
                f"{url} has {sums.bytes} bytes and adler32 {sums.adler32}, "
                f"the catalogue says {entry.bytes} and {entry.adler32}"
            )
    try:
        with as_root(url) as path:
            return _check_root(path, url, entry, found)
    except InputError as error:
        raise EventsError(str(error)) from error


def _check_root(path: str, url: str, entry: FileEntry | None, found: DatasetFiles) -> FileSummary:
    from flashsim_prod.physics.analysis.schemas import schema_in, schema_of
    from flashsim_prod.physics.nanoaod.checks import check_file

    return check_file(
        path,
        schema=schema_of(found.requests[0]) if len(found.requests) == 1 else schema_in(path),
        events=None if entry is None else entry.events,
        lumis=None if entry is None else entry.lumis or None,
        name=None if path == url else url,
        may_be_empty=any(one.is_thinned for one in found.requests),
    )


def _overlaps(summaries: Iterable[tuple[str, FileSummary]]) -> Iterator[str]:
    """Files whose ranges of events, or of generator events, run into each other."""
    for what, first, last in (
        ("event", "first_event", "last_event"),
        ("FlashSim_genEvent", "first_gen_event", "last_gen_event"),
    ):
        ranges = sorted(
            (getattr(one, first), getattr(one, last), url) for url, one in summaries if one.events
        )
        for (_, end, before), (start, _, after) in pairwise(ranges):
            if start <= end:
                yield f"{after} begins at {what} {start}, but {before} goes on until {end}"


def _totals(found: DatasetFiles, summaries: list[FileSummary]) -> Iterator[str]:
    if not found.requests:
        return
    expected = tuple(sum(getattr(one, name) for one in found.requests) for name in ("events", "gen_events"))
    held = (sum(one.events for one in summaries), sum(one.gen_events for one in summaries))
    if any(one.is_thinned for one in found.requests):
        yield from _too_many(found, held, expected)
    elif held != expected:
        asked = "request" if len(found.requests) == 1 else "requests"
        yield (
            f"{found.name} holds {held[0]} events of {held[1]} generator events, "
            f"the {asked} asked for {expected[0]} of {expected[1]}"
        )


def _too_many(found: DatasetFiles, held: tuple[int, ...], tried: tuple[int, ...]) -> Iterator[str]:
    """Events may have left in the shower, but only with all of their folds, and none can have come."""
    folds = {one.oversample for one in found.requests}
    is_selected = any(one.analysis is not None for one in found.requests)
    is_whole = is_selected or len(folds) > 1 or held[0] == held[1] * min(folds)
    if held[1] > tried[1] or not is_whole:
        yield (
            f"{found.name} holds {held[0]} events of {held[1]} generator events, {tried[1]} were tried, "
            f"each {' or '.join(map(str, sorted(folds)))} times"
        )
