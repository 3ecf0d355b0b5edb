"""Jobs on simulated GPUs, two of which fail at first, against the dataset that the local site makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
import yaml

from flashsim_prod import resources
from flashsim_prod.core.report import JobReport
from flashsim_prod.core.states import RequestState, Stage
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.drive.detached import follow, hand_over
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.drive.local_run import Display
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.worker import run_job
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import place, preview
from tests.batch_systems import TESTS, remove_requests

from .conftest import RunningPool

#: three times as many as the pool has GPUs
JOBS = 12
#: fails once with a code that is worth a retry; takes more memory than it asked for, once
TRANSIENT, HUNGRY = 7, 11
#: three files in two blocks
MERGE = {"target_file_mb": 0.02, "files_per_block": 2}


def site_file(tmp_path: Path) -> Path:
    """A copy of the generic site file for the pool of the tests, with faults."""
    told = yaml.safe_load((resources.site_configs_dir() / "htcondor.yaml").read_text())
    takes = '"$python" -c "x = b\'x\' * (1500 << 20); import time; time.sleep(60)"'
    told["name"] = "gpus"
    # a build of torch for GPUs takes 700 MB for itself
    told["resources"]["memory_mb"] = 1000
    told["merge"] = MERGE
    told["htcondor"] |= {
        "disk_mb": 10,
        # the devices do not exist: they are asked for and assigned, and the networks run on the CPU
        "gpus": {"count": 1, "memory_mb": 20_000, "minimum_capability": 7.0},
        "failures": {"memory_factor": 2.0, "avoid_node_min": 0},
        "software": {
            "python": "{python}",
            "setup": [
                f"export PYTHONPATH={TESTS.parent}",
                f"once() {{ mkdir {tmp_path}/$1 2>/dev/null; }}",
                f'[ "$stage$job" != simulate{TRANSIENT} ] || ! once transient || exit 20',
                f'[ "$stage$job" != simulate{HUNGRY} ] || ! once memory || {takes}',
            ],
        },
    }
    path = tmp_path / "gpus.yaml"
    path.write_text(yaml.safe_dump(told))
    return path


def order(home: Home, site: str) -> str:
    """Place the request at a site; its name."""
    made, bundle = make_order(
        Typed(card="ttbar", events=str(4 * JOBS), oversample="2", events_per_job="4", seed=99, site=site)
    )
    # the split is that of the pool's site wherever it runs
    rates = made.site.rates.model_copy(update={"bytes_per_event": 1200})
    merge = made.site.merge.model_copy(update=MERGE)
    made = made.model_copy(update={"site": made.site.model_copy(update={"rates": rates, "merge": merge})})
    plan = preview(home, made, None)
    assert plan.request.n_simulate == JOBS
    return place(home, made, plan, bundle_title=bundle.title, named=False, dry_run=False).request.name


def dataset(home: Home, name: str) -> tuple[str, dict[str, dict[str, np.ndarray[Any, Any]]]]:
    """The name of the registered dataset, and of each of its files all columns."""
    with Ledger(home.ledger) as ledger, LocalCatalog(home.catalog) as catalog:
        container = str(ledger.request(name).dataset)
        assert catalog.container(container).events == 4 * JOBS
        files = [row.output for row in ledger.files(name, Stage.MERGE)]
    assert len(files) == 3
    return container, {file.lfn: columns(file.pfn) for file in files}


def columns(path: str) -> dict[str, np.ndarray[Any, Any]]:
    with uproot.open(path) as file:
        return {
            name: np.concatenate([np.atleast_1d(one) for one in values]) if values.dtype == object else values
            for name, values in file["Events"].arrays(library="np").items()
        }


@pytest.mark.slow
def test_gpu_jobs_make_the_dataset_of_the_local_site(pool: RunningPool, home: Home, tmp_path: Path) -> None:
    name = order(home, str(site_file(tmp_path)))
    hand_over(home, name)
    outcome = follow(home, name, Display())
    assert outcome.state is RequestState.DONE, outcome.failures
    with Ledger(home.ledger) as ledger:
        tried = {job.index: job.attempts for job in ledger.jobs(name, Stage.SIMULATE)}
    assert {index for index, number in tried.items() if number > 1} == {TRANSIENT, HUNGRY}
    reports = [
        JobReport.model_validate_json(path.read_bytes())
        for path in home.folder(name).reports.glob("simulate_*.json")
    ]
    assert len(reports) == JOBS
    assert all(report.gpus[0].startswith("GPU-") for report in reports), "each had a device assigned"
    on_the_pool = dataset(home, name)

    remove_requests(home)
    name = order(home, "local")
    for index in range(JOBS):
        # in this process, for torch to be loaded once; the local site finds these jobs done and goes on
        run_job(Stage.SIMULATE, home.folder(name).request, index)
    assert drive(home, name).state is RequestState.DONE
    here = dataset(home, name)
    assert here[0] == on_the_pool[0]
    assert list(here[1]) == list(on_the_pool[1])
    for lfn, values in here[1].items():
        assert list(values) == list(on_the_pool[1][lfn])
        for branch, value in values.items():
            np.testing.assert_array_equal(value, on_the_pool[1][lfn][branch], err_msg=f"{lfn} {branch}")
