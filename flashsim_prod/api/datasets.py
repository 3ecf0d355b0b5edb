"""Events of datasets, wherever their files are, or nowhere: simulated when they are asked for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from operator import index
from os import fspath
from typing import TYPE_CHECKING

from flashsim_prod.errors import RequestError

if TYPE_CHECKING:
    import awkward as ak
    from dask_awkward.lib.core import Array as DaskArray

    from flashsim_prod.production.again.subject import Subject


def events(
    name: str,
    files: int | str | Iterable[int] | None = None,
    branches: str | Sequence[str] | None = None,
    *,
    step: int | None = None,
) -> Iterator[ak.Array]:
    """The events of a dataset, simulated here and now, chunk by chunk; nothing is read or written.

    They are those that its files hold, or would hold, branch by branch and bit by bit: of a dataset that is
    only registered (``flashsim-prod request ... --virtual``), of one whose files are elsewhere or lost.
    Networks round otherwise on a GPU than on a CPU: where its jobs ran on the other kind of device, a warning
    says so.

    Parameters
    ----------
    name : str
        A request, its dataset, or the folder of the request.
    files : int, str, or iterable of int, optional
        Numbers of the dataset's files, counted from 0: ``3``, ``"0-4"``, ``range(3)``; all by default.
    branches : str or sequence of str, optional
        Names of branches, in which ``*`` stands for anything; all by default. Only the models run that these
        need.
    step : int, optional
        Output events at a time; by default as many as the request's site has in memory.

    Returns
    -------
    iterator of ak.Array
        ``ak.concatenate(list(events(...)))`` has them all.

    Raises
    ------
    FlashSimError
        `RequestError` if there is no such request, file or branch; `StateError` if this is other software
        than the request's, which may draw other numbers; `BundleError` if its bundle has changed;
        `InputError` if its input cannot be read.

    Examples
    --------
    >>> for chunk in events("ttbar-001", files=range(3), branches=["Jet_pt", "MET_*"]):
    ...     ht.fill(ak.sum(chunk.Jet_pt, axis=1))
    """
    from flashsim_prod.production.again.events import chunks, other_device, wanted_branches, with_step

    subject, jobs, patterns = _asked(name, files, branches)
    found = subject.request
    if step is not None and (not isinstance(step, int) or step < 1):
        raise RequestError(f"step: {step!r} is no number of events")
    # looked at now, not when the first chunk is asked for
    wanted = wanted_branches(found, patterns)
    remark = other_device(subject.folder, found, jobs)
    if remark:
        warnings.warn(remark, stacklevel=2)
    return chunks(with_step(found, step), jobs, wanted)


def dask_events(
    name: str,
    files: int | str | Iterable[int] | None = None,
    branches: str | Sequence[str] | None = None,
) -> DaskArray:
    """The events of a dataset as an array of dask, a partition for each of its simulate jobs.

    A partition is simulated by the worker that needs it, with the models only that the analysis needs:
    dask-awkward finds out which branches those are. Workers need this software, and the bundle and the input
    files of the request under the same paths; files of the dataset are neither read nor written.

    Parameters
    ----------
    name, files, branches
        As of `events`.

    Returns
    -------
    dask_awkward.Array

    Raises
    ------
    FlashSimError
        As by `events`; `ConfigError` if dask-awkward is not installed: ``pip install 'flashsim-prod[dask]'``.
    """
    from flashsim_prod.production.again.lazy import lazy_events

    subject, jobs, patterns = _asked(name, files, branches)
    return lazy_events(subject.request, jobs, patterns)


def _asked(
    name: str, files: int | str | Iterable[int] | None, branches: str | Sequence[str] | None
) -> tuple[Subject, list[int], list[str] | None]:
    """The request, its simulate jobs, and the patterns that are meant."""
    from flashsim_prod.production.again.events import jobs_of
    from flashsim_prod.production.again.subject import chosen_files, find_subject
    from flashsim_prod.production.home import home_to_read
    from flashsim_prod.software import check_same_software

    subject = find_subject(home_to_read(), fspath(name))
    found = subject.request
    check_same_software(found)
    if files is None:
        words = []
    elif isinstance(files, str):
        words = [files]
    else:
        try:
            words = [str(index(one)) for one in (files if isinstance(files, Iterable) else [files])]
        except TypeError:
            raise RequestError(f"files: {files!r} are no numbers of files") from None
        if not words:
            raise RequestError("files: none are named; leave it out for all of them")
    patterns = [branches] if isinstance(branches, str) else branches
    if patterns is not None and not patterns:
        raise RequestError("branches: none are named; leave it out for all of them")
    return subject, jobs_of(found, chosen_files(found, words)), None if patterns is None else list(patterns)
