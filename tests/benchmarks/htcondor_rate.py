"""A request of 10,000 jobs on a running HTCondor pool: time to render and submit, time of status, memory.

``eval $(python tests/peers/htcondor/pool.py up); python tests/benchmarks/htcondor_rate.py``
Nothing runs: no machine of the pool fits the jobs. The request is cancelled at the end.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

from flashsim_prod import resources

JOBS = 10_000


def command(*words: str) -> tuple[str, str]:
    """How long a command took, by the clock and by its own computing, and what it printed."""
    started, busy = time.perf_counter(), _busy_s()
    done = subprocess.run(
        [sys.executable, "-m", "flashsim_prod.cli", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return f"{time.perf_counter() - started:.1f} s (CPU {_busy_s() - busy:.1f} s)", done.stdout


def _busy_s() -> float:
    """CPU time of all commands so far [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def dagman_mb() -> float:
    """Memory of the largest DAGMan on this machine [MB]."""
    sizes = [
        one.info["memory_info"].rss
        for one in psutil.process_iter(["name", "memory_info"])
        if one.info["name"] == "condor_dagman"
    ]
    return max(sizes, default=0) / 2**20


def main() -> None:
    # DAGMan may still write there when it is asked to end
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["FLASHSIM_PROD_HOME"] = folder
        site = yaml.safe_load((resources.site_configs_dir() / "htcondor.yaml").read_text())
        site["htcondor"]["requirements"] = "TARGET.Memory < 0"
        path = Path(folder) / "site.yaml"
        path.write_text(yaml.safe_dump(site))
        words = ("--events", "1M", "--oversample", "10", "--events-per-job", "100", "--name", "many")
        took, out = command("request", "ttbar", *words, "--site", str(path), "--json")
        print(f"plan, render and submit {JOBS} jobs: {took} ({json.loads(out)['batch_id']})")
        largest = 0.0
        for pause in (5, 20, 40):
            time.sleep(pause)
            largest = max(largest, dagman_mb())
            took, out = command("status", "many", "--json")
            states = json.loads(out)["stages"][0]["states"]
            print(f"status: {took} {states}; DAGMan {largest:.0f} MB")
        took, _ = command("cancel", "many")
        print(f"cancel: {took}")


if __name__ == "__main__":
    main()
