"""How long ``status`` takes with many jobs in the ledger: python tests/benchmarks/status_rate.py [jobs]."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flashsim_prod.core.request import BundleRef
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import VARIABLE, Home, open_home
from flashsim_prod.production.order.library import find_card, find_site
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.order.plan import Order

LIMIT_S = 1.0


def fill(home: Home, jobs: int) -> str:
    """A request of so many jobs, a tenth of them failed for one of three reasons, a tenth running."""
    order = Order(
        card=find_card("ttbar"),
        site=find_site("local"),
        oversample=10,
        seed=1,
        bundle=BundleRef(path="reference", digest="0" * 64),
        bundle_tag="RefDet",
        events=1000 * jobs,
        events_per_job=1000,
    )
    plan = place(home, order, preview(home, order, None), bundle_title="", named=False, dry_run=False)
    name = plan.request.name
    with Ledger(home.ledger) as ledger:
        ledger.transition(name, Stage.SIMULATE, range(jobs // 5), JobState.SUBMITTING)
        for index in range(jobs // 5):
            row = ledger.start_attempt(
                name, Stage.SIMULATE, index, log=lambda number: Path(f"/logs/{number}"), host="here"
            )
            if index % 2:
                ledger.finish_attempt(
                    name,
                    Stage.SIMULATE,
                    index,
                    row.number,
                    JobState.FAILED,
                    exit_code=20 + index % 3,
                    error=f"reading /data/{index}.root failed",
                )
    return name


def main() -> None:
    """Print the time of the overview and of the detail, interpreter included."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = folder
        name = fill(open_home(), jobs)
        for arguments in (["status"], ["status", name], ["status", name, "--json"]):
            times = []
            for _ in range(5):
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "flashsim_prod.cli", *arguments],
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                times.append(time.perf_counter() - start)
            verdict = "ok" if sorted(times)[2] < LIMIT_S else "TOO SLOW"
            print(f"{' '.join(arguments):28} {jobs:,} jobs: median {sorted(times)[2]:.2f} s  {verdict}")


if __name__ == "__main__":
    main()
