"""The events of one job that a gridpack makes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from flashsim_prod.core.report import Accepted
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.gridpack import GridpackEvents
from flashsim_prod.core.splitting import SimulateJob, event_pileup_seed, event_seed
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.gridpack.pack import find_gridpack, run, unpack
from flashsim_prod.physics.generator.lhe.branches import branches_of_hard_process
from flashsim_prod.physics.generator.lhe.file import count_events
from flashsim_prod.physics.generator.lhe.shower import LheSource
from flashsim_prod.physics.generator.lhe.survey import survey


class GridpackSource:
    """Events of `job`: the gridpack is run when the first of them is wanted.

    Parameters
    ----------
    source : GridpackEvents
    request : Request
    job : SimulateJob
    locate : callable
        Where the job finds the tarball.

    Raises
    ------
    InputError
        Later: if the tarball is another one than when the request was made, or makes something else.
    NodeError
        Later: if its script fails.
    """

    def __init__(
        self, source: GridpackEvents, request: Request, job: SimulateJob, locate: Callable[[str], str]
    ) -> None:
        self._source, self._request, self._job = source, request, job
        self._url = locate(source.url)
        self._folder = tempfile.TemporaryDirectory(prefix="gridpack_")
        self._hard: LheSource | None = None

    @property
    def accepted(self) -> Accepted:
        """What was tried so far, and what merging has left of it."""
        return Accepted() if self._hard is None else self._hard.accepted

    def chunks(self, size: int) -> Iterator[Events]:
        """All events, at most `size` at a time; their contents do not depend on `size`."""
        yield from self._made().chunks(size)

    def specimen(self) -> Events:
        """An event with all branches."""
        return self._made().specimen()

    def _made(self) -> LheSource:
        if self._hard is None:
            self._hard = self._showered(self._run())
        return self._hard

    def _run(self) -> Path:
        folder, job = Path(self._folder.name), self._job
        pack = find_gridpack(self._url, folder)
        if pack.sha256 != self._source.sha256:
            raise InputError(
                f"gridpack {self._source.url} is not the one that the request was made with: sha256 "
                f"{pack.sha256[:12]}, not {self._source.sha256[:12]}; put that back, or make a new request"
            )
        inside = folder / "run"
        inside.mkdir()
        unpack(pack, inside)
        cpus = self._request.site.resources.cpus
        path = run(pack, inside, job.gen_events, job.generator_seed, cpus)
        made = count_events(str(path))
        if made < job.gen_events:
            raise InputError(
                f"gridpack {self._source.url} made {made} events with seed {job.generator_seed}, "
                f"{job.gen_events} were asked for"
            )
        if branches_of_hard_process(survey(str(path))) != self._source.carried:
            raise InputError(f"gridpack {self._source.url} made other weights than when the request was made")
        return path

    def _showered(self, path: Path) -> LheSource:
        request, job = self._request, self._job
        return LheSource(
            request.card,
            [(str(path), job.gen_events)],
            first=0,
            n_events=job.gen_events,
            number_of_first=job.gen_first,
            pileup=request.pileup,
            init_seed=job.generator_seed,
            event_seed=partial(event_seed, request.seed),
            pileup_seed=partial(event_pileup_seed, request.seed),
        )
