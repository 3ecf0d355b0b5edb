"""The real worker on the nodes of the pool: what is sent to it, and the GPU that it was promised."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flashsim_prod import resources
from flashsim_prod.core.states import RequestState, Stage
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import place, preview
from tests.gridpacks import write_gridpack
from tests.mixed import mixed_bundle

from .conftest import TESTS, RunningPool, finished, remove_requests


@pytest.fixture
def order(home: Home, tmp_path: Path) -> Callable[..., str]:
    """A function that places a request at a copy of the generic site; its name."""

    def do(
        site: dict[str, Any], rules: dict[str, Any] | None, *, kill_once: Path | None = None, **typed: Any
    ) -> str:
        told = yaml.safe_load((resources.site_configs_dir() / "htcondor.yaml").read_text())
        told["resources"] |= site.pop("resources", {})
        told |= site
        setup = [f"export PYTHONPATH={TESTS.parent}"]
        if kill_once is not None:
            # the first job that begins, while it is at work
            setup.append(f"mkdir {kill_once} 2>/dev/null && {{ sleep 2; kill -9 $$; }} &")
        told["htcondor"] |= {
            "disk_mb": 50,
            "software": {"python": "{python}", "setup": setup},
            **(rules or {}),
        }
        if rules is None:
            del told["htcondor"]
        path = tmp_path / "site.yaml"
        path.write_text(yaml.safe_dump(told))
        made, bundle = make_order(Typed(**{"card": "ttbar", "seed": 5, "site": str(path), **typed}))
        plan = preview(home, made, None)
        return place(home, made, plan, bundle_title=bundle.title, named=False, dry_run=False).request.name

    return do


@pytest.mark.slow
def test_input_files_and_a_bundle_of_ones_own_are_sent_along(
    pool: RunningPool, home: Home, tmp_path: Path, order: Callable[..., str]
) -> None:
    inputs = []
    for name in ("a", "b"):
        inputs.append(str(tmp_path / f"{name}.root"))
        words = ["train", "generate", "ttbar", inputs[-1], "--events", "4", "--seed", str(ord(name))]
        subprocess.run([sys.executable, "-m", "flashsim_prod.cli", *words], capture_output=True, check=True)
    # of all kinds, with all corrections
    bundle = mixed_bundle(tmp_path).path
    # the last job's events are in the second file alone, but the first one decides which branches there are
    sent = {"inputs": tuple(inputs), "bundle": str(bundle)}
    sent |= {"oversample": "2", "events_per_job": "6"}
    rules = {"files": "transfer", "failures": {"avoid_node_min": 0}}
    name = order({}, rules, kill_once=tmp_path / "killed", **sent)
    outcome = finished(home, name)
    assert outcome.state is RequestState.DONE, outcome.failures
    assert sum(file.events for file in outcome.files) == 16
    with Ledger(home.ledger) as ledger:
        tried = [job.attempts for job in ledger.jobs(name, Stage.SIMULATE)]
    assert sorted(tried) == [1, 1, 2]
    dag = (home.folder(name).batch / "request.dag").read_text()
    assert [dag.count(f"{path}") for path in inputs] == [3, 2]
    assert f"{bundle}" in (home.folder(name).batch / "simulate.sub").read_text()
    # jobs here, by two processes and in other chunks, make the same of it
    made = [Path(file.pfn).read_bytes() for file in outcome.files]
    remove_requests(home)
    resources_here = {"cpus": 2, "chunk_events": 3}
    again = drive(home, order({"engine": "local", "resources": resources_here}, None, **sent))
    assert again.state is RequestState.DONE, again.failures
    assert [Path(file.pfn).read_bytes() for file in again.files] == made


@pytest.mark.slow
def test_a_gridpack_is_sent_along(
    pool: RunningPool, home: Home, tmp_path: Path, order: Callable[..., str]
) -> None:
    pack, card = write_gridpack(tmp_path), tmp_path / "zpack.yaml"
    told = yaml.safe_load((resources.jobs_dir() / "dyjets.yaml").read_text())
    told |= {"name": "zpack", "gridpack": str(pack), "settings": ["PartonLevel:MPI = off"]}
    card.write_text(yaml.safe_dump(told))
    name = order({}, {"files": "transfer"}, card=str(card), events="8", oversample="2", events_per_job="4")
    outcome = finished(home, name)
    assert outcome.state is RequestState.DONE, outcome.failures
    assert sum(file.events for file in outcome.files) == 8
    assert (home.folder(name).batch / "request.dag").read_text().count(str(pack)) == 2


@pytest.mark.slow
def test_no_job_runs_on_a_cpu_where_a_gpu_was_promised(
    pool: RunningPool, home: Home, order: Callable[..., str]
) -> None:
    # the pool assigns devices that do not exist: torch finds none
    name = order(
        {"device": "cuda", "max_attempts": 2},
        {"gpus": {"count": 1}, "failures": {"avoid_node_min": 0}},
        events="4",
        oversample="2",
        events_per_job="4",
    )
    outcome = finished(home, name)
    assert outcome.state is RequestState.FAILED
    (failure,) = outcome.failures
    assert failure.exit_code == 22
    assert failure.error.startswith("a GPU was asked for, but torch finds none here")
    with Ledger(home.ledger) as ledger:
        tried = [job.attempts for job in ledger.jobs(name, Stage.SIMULATE)]
    assert tried == [2], "another node may have one"
