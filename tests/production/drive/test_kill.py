"""Killed at any point and taken up again, a request becomes exactly the dataset of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from flashsim_prod.core.states import RequestState
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.production.dataset.verify import verify
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import VARIABLE, Home, open_home
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.order.plan import Order, Plan

Placed = Callable[..., Plan]
FAKE = Path(__file__).parents[2] / "fake_physics.py"
SMALL = {"events": 60, "events_per_job": 20, "per_merge": 2}

POINTS = (
    "output-before-rename",
    "report-before-write",
    "attempt-before-start",
    "attempt-before-end",
    "inputs-before-removal",
    "catalogue-before-block",
    "catalogue-before-close",
    "catalogue-before-rule",
    "ledger-before-registered",
)


def _drive(name: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(FAKE), "drive", name], env={**os.environ, **environment})


def _everything(home: Home, dataset: str) -> tuple[object, ...]:
    """Files with their bytes, and what the catalogue says of them."""
    store = home.path / "store"
    files = {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with LocalCatalog(home.catalog) as catalog:
        one = catalog.container(dataset)
        entries = [
            (entry.lfn, entry.block, entry.bytes, entry.sha256, len(entry.replicas))
            for entry in catalog.files(dataset)
        ]
        return (
            files,
            entries,
            catalog.blocks(dataset),
            catalog.rules(dataset),
            (one.files, one.events, one.open_blocks),
        )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Order], tuple[object, ...]]:
    """What an order becomes in another state folder, where nothing is killed; made once for each."""

    @cache
    def run(order: Order) -> tuple[object, ...]:
        with pytest.MonkeyPatch.context() as elsewhere:
            elsewhere.setenv(VARIABLE, str(tmp_path_factory.mktemp("elsewhere")))
            home = open_home()
            planned = preview(home, order, None)
            plan = place(home, order, planned, bundle_title="", named=False, dry_run=False)
            with _drive(plan.request.name) as driver:
                pass
            assert driver.returncode == 0
            return _everything(home, str(plan.request.dataset))

    return run


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_chosen_point(
    point: str,
    home: Home,
    placed: Placed,
    make_order: Callable[..., Any],
    undisturbed: Callable[[Order], tuple[object, ...]],
    fake_physics: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = undisturbed(make_order(**SMALL))
    trouble = tmp_path / "trouble"
    trouble.mkdir()
    (trouble / point).touch()
    monkeypatch.setenv("FAKE_TROUBLE", str(trouble))
    plan = placed(**SMALL)
    with _drive(plan.request.name) as killed:
        pass
    assert not (trouble / point).exists(), "somebody came there and died"
    if killed.returncode:
        assert killed.returncode == -signal.SIGKILL
        assert drive(home, plan.request.name).state is RequestState.DONE
    assert _everything(home, str(plan.request.dataset)) == expected
    assert verify(home, str(plan.request.dataset)).problems == ()


def _kill_somebody(driver: subprocess.Popen[bytes], rng: random.Random) -> None:
    """The driver, or one of its workers."""
    workers = psutil.Process(driver.pid).children() if driver.poll() is None else []
    victim = rng.choice([driver.pid, *(worker.pid for worker in workers)])
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_points(
    seed: int,
    home: Home,
    placed: Placed,
    make_order: Callable[..., Any],
    undisturbed: Callable[[Order], tuple[object, ...]],
    fake_physics: Any,
) -> None:
    changes = {"events": 120, "events_per_job": 20, "per_merge": 2}
    expected = undisturbed(make_order(**changes))
    plan, rng = placed(**changes), random.Random(seed)
    for _ in range(5):
        with _drive(plan.request.name, FAKE_PAUSE_S="0.2") as driver:
            while driver.poll() is None:
                time.sleep(rng.uniform(0.2, 2.0))
                _kill_somebody(driver, rng)
    assert drive(home, plan.request.name).state is RequestState.DONE
    assert _everything(home, str(plan.request.dataset)) == expected
    assert verify(home, str(plan.request.dataset)).problems == ()
