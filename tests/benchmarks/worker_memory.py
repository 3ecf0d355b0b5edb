"""Peak memory and rates of simulate jobs of several lengths.

Run by hand::

    python tests/benchmarks/worker_memory.py [--events 1000 20000] [--oversample 10] [--card ttbar]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile

from flashsim_prod.core.states import Stage
from flashsim_prod.production.home import VARIABLE, Home, open_home


def run(home: Home, card: str, events: int, oversample: int, bundle: str | None) -> dict[str, float]:
    """The report's figures of one job of so many output events."""
    name = f"job-{events}"
    command = [sys.executable, "-m", "flashsim_prod.cli", "request", card, "--events", str(events)]
    command += ["--oversample", str(oversample), "--events-per-job", str(events), "--name", name, "--yes"]
    command += ["--seed", "1", "--json"] + (["--bundle", bundle] if bundle else [])
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    found = {}
    for stage in Stage:
        report = json.loads(home.folder(name).report(stage, 0).read_text())
        found[f"{stage} RSS MB"] = report["peak_rss_mb"]
        found |= {f"{stage} {step} s": seconds for step, seconds in report["timings_s"].items()}
    return found


def main() -> None:
    """Print a column of figures for each length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--events", type=int, nargs="+", default=[1000, 20_000], help="output events of a job"
    )
    parser.add_argument("--oversample", type=int, default=10)
    parser.add_argument("--card", default="ttbar")
    parser.add_argument("--bundle", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = folder
        home = open_home()
        columns = [
            run(home, options.card, events, options.oversample, options.bundle) for events in options.events
        ]
    print(f"{'events':24}" + "".join(f"{events:>12,}" for events in options.events))
    for figure in columns[0]:
        print(f"{figure:24}" + "".join(f"{column[figure]:>12.2f}" for column in columns))


if __name__ == "__main__":
    main()
