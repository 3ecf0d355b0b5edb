"""A campaign on the pool, from file to analysis: killed, lost, extended, edited, and looked at meanwhile."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from flashsim_prod import api, resources
from flashsim_prod.core.report import JobReport
from flashsim_prod.core.states import RequestState, Stage
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.again.recover import Ways, recover
from flashsim_prod.production.again.subject import chosen_files, find_subject
from flashsim_prod.production.again.virtual import register_virtual
from flashsim_prod.production.campaigns import run as running
from flashsim_prod.production.campaigns.plan import CampaignPlan, plan_campaign
from flashsim_prod.production.campaigns.run import run_campaign
from flashsim_prod.production.campaigns.status import campaign_status
from flashsim_prod.production.campaigns.store import read_campaign
from flashsim_prod.production.dataset.verify import verify
from flashsim_prod.production.home import Home
from flashsim_prod.production.live.server import listening, make_server
from flashsim_prod.production.order.extend import Extending, extension_order
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import place, preview
from tests.batch_systems import TESTS, finished

from .conftest import RunningPool

FIVE = ("ttbar", "dyjets", "wjets", "vbf_hmumu", "zh_bb")
AT_ONCE = 3
EVENTS, FOLDS, SEED = 40, 2, 11


@pytest.fixture
def page(home: Home) -> Iterator[str]:
    """Where the live page is."""
    with listening(0) as listener:
        server = make_server(home)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=20)


def _told(page: str, path: str = "/status.json") -> str:
    with urllib.request.urlopen(page + path, timeout=30) as answer:
        return str(answer.read().decode())


def _site_file(folder: Path) -> Path:
    told = yaml.safe_load((resources.site_configs_dir() / "htcondor.yaml").read_text())
    told |= {"name": "pool", "slots": 4, "merge": {"target_file_mb": 0.05}}
    told["resources"]["memory_mb"] = 1500
    told["htcondor"] |= {
        "disk_mb": 10,
        "software": {
            "python": "{python}",
            "setup": [f"export PYTHONPATH={TESTS.parent} OMP_NUM_THREADS=1"],
        },
    }
    path = folder / "pool.yaml"
    path.write_text(yaml.safe_dump(told))
    return path


def _file(folder: Path, **events: int) -> Path:
    """The campaign's file; of some cards with another number of events."""
    path = folder / "five.yaml"
    said = {
        "name": "five",
        "defaults": {"oversample": FOLDS, "events_per_job": 40, "sites": "./pool.yaml", "seed": SEED},
        "at_once": {"pool": AT_ONCE},
        "requests": [
            {"cards": card, "events": events.get(card, EVENTS), "priority": -number}
            for number, card in enumerate(FIVE)
        ],
    }
    path.write_text(yaml.safe_dump(said))
    return path


def _plan(home: Home, path: Path) -> CampaignPlan:
    return plan_campaign(home, read_campaign(path), str(path))


def _of(home: Home, card: str) -> str:
    """The request that the campaign has made of a card."""
    return next(one for one in home.names() if one.startswith(f"five.{card}-") and "_ext" not in one)


def _submitted(home: Home) -> list[str]:
    """Requests that the pool has, or had."""
    if not home.ledger.exists():
        return []
    with Ledger(home.ledger) as ledger:
        last = {row.name: ledger.submissions.last(row.name) for row in ledger.requests()}
    # before it has a name there, it was only meant to be handed over
    return [name for name, row in last.items() if row is not None and row.batch_id]


def _attempts(home: Home) -> list[int]:
    """Of all jobs."""
    with Ledger(home.ledger) as ledger:
        return [job.attempts for name in home.names() for stage in Stage for job in ledger.jobs(name, stage)]


def _most_at_once(home: Home) -> int:
    """Jobs that ran at a time at most, those of all requests, by their reports."""
    steps: list[tuple[Any, int]] = []
    for path in home.requests.glob("*/reports/*.json"):
        report = JobReport.model_validate_json(path.read_bytes())
        steps += [(report.started, 1), (report.ended, -1)]
    return int(max(np.cumsum([step for _, step in sorted(steps)])))


def _file_of(home: Home, name: str) -> Path:
    with Ledger(home.ledger) as ledger:
        (row,) = ledger.files(name, Stage.MERGE)
    return Path(row.output.pfn)


@pytest.mark.slow
def test_five_cards_end_in_complete_datasets_whatever_happens(
    pool: RunningPool,
    home: Home,
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacking: Callable[[str], None],
) -> None:
    if not all(find_spec(name) for name in ("dask_awkward", "distributed", "coffea")):
        lacking("dask and coffea (pip install '.[test]')")
    monkeypatch.setattr(running, "LOOK_INTERVAL_S", 1.0)
    _site_file(tmp_path)
    path = _file(tmp_path)

    # a driver that is killed has handed something over, and not all
    driver = subprocess.Popen(
        [sys.executable, "-m", "flashsim_prod.cli", "campaign", str(path), "--wait"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ),
    )  # fmt: skip
    pool.wait(lambda: _submitted(home))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert len(_submitted(home)) < len(FIVE)
    assert _submitted(home)[0] == _of(home, FIVE[0]), "the most urgent one is the first"
    seen = {one["name"]: one["state"] for one in json.loads(_told(page))}
    assert set(seen) == set(home.names())
    assert len(seen) == len(FIVE), "all were placed before the first was handed over"
    assert seen[_of(home, FIVE[-1])] == RequestState.PLANNED
    assert campaign_status(home, "five").state == "RUNNING"

    # the same command goes on, and makes nothing twice
    plan = _plan(home, path)
    assert plan.made == ()
    run_campaign(home, plan, wait=True)
    assert campaign_status(home, "five").state == "DONE"
    assert _attempts(home) == [1] * (2 * len(FIVE))
    assert _most_at_once(home) <= AT_ONCE

    # a lost file is made again, to the byte
    lost = _file_of(home, _of(home, "wjets"))
    whole = lost.read_bytes()
    lost.unlink()
    dataset = str(load_request(home.folder(_of(home, "wjets")).request).dataset)
    assert verify(home, dataset).problems
    subject = find_subject(home, dataset)
    found = recover(subject, chosen_files(subject.request, ()), Ways(slots=1))
    assert [one.proof for one in found.files] == ["bytes"]
    assert lost.read_bytes() == whole

    # more events of one sample by a command, of another by the file
    order, bundle, _ = extension_order(home, _of(home, "dyjets"), Extending(events="20"))
    more = preview(home, order, None)
    grown = place(home, order, more, bundle_title=bundle.title, named=False, dry_run=False).request.name
    assert finished(home, grown).state is RequestState.DONE
    plan = _plan(home, _file(tmp_path, ttbar=EVENTS + 20, dyjets=EVENTS + 20))
    assert [row.action.value for row in plan.rows] == ["extend", *["keep"] * 4]
    run_campaign(home, plan, wait=True)

    status = campaign_status(home, "five")
    assert (status.state, status.events, status.missing) == ("DONE", 5 * EVENTS + 40, ())
    assert len(status.lines) == len(FIVE) + 2
    told = {one["name"]: (one["state"], one["events"]) for one in json.loads(_told(page))}
    assert told == {line.name: ("DONE", line.events) for line in status.lines}
    assert all(f"/requests/{name}" in _told(page, "/") for name in told)
    for name in told:
        verified = verify(home, str(load_request(home.folder(name).request).dataset))
        assert verified.problems == (), name
    _check_analysis(home)


def _check_analysis(home: Home) -> None:
    """An analysis over a dataset that is nowhere gives the histogram of the files of the same seed."""
    example = runpy.run_path(str(TESTS.parent / "docs" / "examples" / "virtual.py"))
    typed = Typed(
        card="ttbar",
        events=str(EVENTS),
        oversample=str(FOLDS),
        events_per_job="40",
        seed=SEED,
        device="cpu",
        virtual=True,
    )
    order, bundle = make_order(typed)
    plan = preview(home, order, "nowhere")
    place(home, order, plan, bundle_title=bundle.title, named=True, dry_run=False)
    register_virtual(home, "nowhere")
    lazy = api.dask_events("nowhere", branches=example["BRANCHES"])
    of_nothing, number = example["analysed"](lazy.compute(scheduler="sync"))
    with uproot.open(_file_of(home, _of(home, "ttbar"))) as file:
        tree = file["Events"]
        names = [name for name in lazy.fields if name in tree]
        of_files, in_files = example["analysed"](ak.Array(tree.arrays(names)))
    assert number == in_files == EVENTS
    assert of_nothing.hist().values().sum() > 0
    np.testing.assert_array_equal(of_nothing.hist().values(), of_files.hist().values())
    np.testing.assert_array_equal(of_nothing.hist().variances(), of_files.hist().variances())
