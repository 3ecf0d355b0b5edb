"""How long it takes to plan 100M events and to enter their jobs: python tests/benchmarks/plan_rate.py."""

from __future__ import annotations

import os
import sys
import tempfile
import time

from flashsim_prod.core.request import BundleRef
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import VARIABLE, open_home
from flashsim_prod.production.order.library import find_card, find_site
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.order.plan import Order

LIMIT_S = 3.0


def main() -> None:
    """Plan, write the folder and the ledger's rows; print both times."""
    per_job = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    order = Order(
        card=find_card("ttbar"),
        site=find_site("local"),
        oversample=10,
        seed=1,
        bundle=BundleRef(path="reference", digest="0" * 64),
        bundle_tag="RefDet",
        events=100_000_000,
        events_per_job=per_job,
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = folder
        home = open_home()
        start = time.perf_counter()
        plan = preview(home, order, None)
        planned = time.perf_counter()
        placed = place(home, order, plan, bundle_title="", named=False, dry_run=False)
        end = time.perf_counter()
        with Ledger(home.ledger) as ledger:
            jobs = len(ledger.jobs(placed.request.name))
    verdict = "ok" if end - start < LIMIT_S else "TOO SLOW"
    print(
        f"{plan.request.events:,} events in {plan.request.n_simulate:,} + {plan.request.n_merge:,} jobs "
        f"({jobs:,} rows): planned in {planned - start:.2f} s, written in {end - planned:.2f} s "
        f"(limit {LIMIT_S} s)  {verdict}"
    )


if __name__ == "__main__":
    main()
