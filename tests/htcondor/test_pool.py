"""Requests on a real pool: from the order to the dataset, whatever fails on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flashsim_prod.core.site import Site
from flashsim_prod.core.states import RequestState, Stage
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.detached import follow, hand_over
from flashsim_prod.production.drive import Outcome, drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.local_run import Display

from .conftest import RunningPool, local_copy, remove_requests

Placed = Callable[..., str]
MakeSite = Callable[..., Site]


def finished(home: Home, name: str) -> Outcome:
    """Hand a request over and follow it to its end."""
    hand_over(home, name)
    return follow(home, name, Display())


def stored(home: Home) -> dict[str, bytes]:
    """All files below the store."""
    files = sorted((home.path / "store").rglob("*.root"))
    return {str(path.relative_to(home.path)): path.read_bytes() for path in files}


def states(home: Home, name: str, stage: Stage = Stage.SIMULATE) -> list[str]:
    with Ledger(home.ledger) as ledger:
        return [job.state.value for job in ledger.jobs(name, stage)]


def attempts(home: Home, name: str) -> list[int]:
    with Ledger(home.ledger) as ledger:
        return [job.attempts for job in ledger.jobs(name, Stage.SIMULATE)]


@pytest.fixture
def same_as_local(home: Home, placed: Placed, fake_physics: Any) -> Callable[[Site, int], None]:
    """A function that compares the dataset just made with that of the local site, byte for byte."""

    def compare(site: Site, jobs: int) -> None:
        made = stored(home)
        remove_requests(home)
        assert drive(home, placed(local_copy(site), jobs)).state is RequestState.DONE
        assert stored(home) == made

    return compare


@pytest.mark.parametrize("files", ["shared", "transfer"])
def test_a_request_becomes_a_registered_dataset(
    pool: RunningPool, home: Home, placed: Placed, site: MakeSite, same_as_local: Any, files: str
) -> None:
    where = site(files=files)
    name = placed(where, 4)
    outcome = finished(home, name)
    assert outcome.state is RequestState.DONE
    assert [file.pfn for file in outcome.files] == [str(home.path) + file.lfn for file in outcome.files]
    with LocalCatalog(home.catalog) as catalog:
        container = catalog.container(str(outcome.request.dataset))
        assert (container.files, container.events, container.open_blocks) == (2, 40, 0)
    assert len(stored(home)) == 2, "the unmerged files are gone"
    same_as_local(where, 4)
