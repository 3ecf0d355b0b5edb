"""Names, versions, folders and ledger rows of new requests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.request import Request
from flashsim_prod.core.states import JobState
from flashsim_prod.errors import RequestError, StorageError
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import VARIABLE, Home, open_home
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.order.plan import Order, Plan

Placed = Callable[..., Plan]


def test_a_placed_request_is_in_folder_and_ledger(home: Home, placed: Placed) -> None:
    request = placed(events=1000, events_per_job=100).request
    folder = home.folder(request.name)
    assert load_request(folder.request) == request
    with Ledger(home.ledger) as ledger:
        row = ledger.request(request.name)
        assert (row.dataset, row.digest, row.events) == (request.dataset, request.digest(), 1000)
        assert [job.state for job in ledger.jobs(request.name)] == [JobState.PLANNED] * (10 + request.n_merge)


def test_names_are_counted_up_per_card(placed: Placed) -> None:
    assert [placed().request.name for _ in range(3)] == ["toy-001", "toy-002", "toy-003"]
    assert placed("toy-017").request.name == "toy-017"
    assert placed().request.name == "toy-018"
    assert placed("toy-x").request.name == "toy-x"
    assert placed(dry_run=True).request.name == "toy-019"


def test_versions_are_never_shared(placed: Placed) -> None:
    """Not with requests, not with dry runs, not with other datasets."""
    versions = [placed(dry_run=dry).request.dataset.version for dry in (False, True, True, False)]
    assert versions == [1, 2, 3, 4]
    assert placed(oversample=20).request.dataset.version == 1


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_name_that_exists_is_refused(placed: Placed, dry_run: bool) -> None:
    placed("mine", dry_run=dry_run)
    with pytest.raises(RequestError, match=r"a request 'mine' exists already; choose another --name"):
        placed("mine")


def test_a_name_taken_after_the_preview_is_refused_or_moved_on(
    home: Home, placed: Placed, make_order: Callable[..., Order]
) -> None:
    order = make_order()
    plan = preview(home, order, None)
    placed("toy-001")
    moved = place(home, order, plan, bundle_title="", named=False, dry_run=False)
    assert (moved.request.name, moved.request.dataset.version) == ("toy-002", 2)
    with pytest.raises(RequestError, match="exists already"):
        place(home, order, plan, bundle_title="", named=True, dry_run=False)


def test_nothing_half_remains_when_the_folder_cannot_be_written(
    home: Home, placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("flashsim_prod.files.os.replace", full)
        with pytest.raises(StorageError, match="No space left on device"):
            placed("mine")
    assert list(home.requests.iterdir()) == []
    with Ledger(home.ledger) as ledger:
        assert ledger.requests() == []
    placed("mine")


def test_requests_placed_at_once_get_their_own_names_and_versions(
    home: Home, make_order: Callable[..., Order]
) -> None:
    order = make_order()

    def one(_: int) -> Request:
        plan = preview(home, order, None)
        return place(home, order, plan, bundle_title="", named=False, dry_run=False).request

    with ThreadPoolExecutor(4) as pool:
        requests = list(pool.map(one, range(8)))
    assert len({request.name for request in requests}) == 8
    assert {request.dataset.version for request in requests} == set(range(1, 9))


def test_the_folder_tells_a_person_all(home: Home, placed: Placed) -> None:
    plan = placed(events=1001, events_per_job=100)
    folder = home.folder(plan.request.name).path
    readme = (folder / "README.md").read_text()
    for text in (
        str(plan.request.dataset),
        "1,010 = 101 gen events x 10 folds",
        "seed | 1234",
        "Note: 1001 is no multiple of 10",
        "./worker.sh simulate 0     # to 10",
        "flashsim-prod retry toy-001",
        "toy models",
    ):
        assert text in readme
    assert "\n\n\n" not in readme


def test_the_worker_script_runs_the_worker_with_this_home(home: Home, placed: Placed) -> None:
    script = home.folder(placed().request.name).path / "worker.sh"
    assert os.access(script, os.X_OK)
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    ended = subprocess.run(
        [script, "simulate", "99"], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: no simulate job 99: the request has 1, counted from 0\n"


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "home"))
    with pytest.raises(
        StorageError, match=r"the state folder .*file/home cannot be written: Not a directory"
    ):
        open_home()


def test_the_home_is_in_the_users_own_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_home().path == tmp_path / "flashsim-prod"
