"""How quick the ledger is: python tests/benchmarks/ledger_rate.py [jobs ...]."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.report import JobReport, LumiRange, OutputFile
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.ledger.ledger import Ledger

DATASET = DatasetName.parse("/TT_13TeV/FlashSim-RefDet_x10-v1/NANOAODSIM")
DIGEST = "0" * 64


@contextmanager
def timed(what: str, number: int = 1) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    rate = f"  ({number / seconds:,.0f} /s)" if number > 1 else ""
    print(f"  {what:<42} {seconds * 1000:10.1f} ms{rate}")


def report(index: int) -> JobReport:
    now = datetime.now(UTC)
    output = OutputFile(
        lfn=f"/store/unmerged/{index}.root",
        pfn=f"/disk/store/unmerged/{index}.root",
        bytes=1000,
        events=1000,
        adler32="0" * 8,
        sha256="0" * 64,
        lumis=(LumiRange(run=1, first=index + 1, last=index + 1),),
    )
    return JobReport(
        request="bench",
        request_digest=DIGEST,
        stage=Stage.SIMULATE,
        index=index,
        exit_code=0,
        started=now - timedelta(minutes=1),
        ended=now,
        host="host",
        device="cpu",
        software_version="0",
        gen_events=100,
        events=1000,
        timings_s={"startup": 2.0, "generate": 10.0},
        output=output,
    )


def attempt(ledger: Ledger, index: int) -> None:
    """One attempt in three fails."""
    row = ledger.start_attempt(
        "bench", Stage.SIMULATE, index, log=lambda n: Path(f"/logs/{index}.{n}.log"), host="host"
    )
    job = ("bench", Stage.SIMULATE, index, row.number)
    if index % 3 == 0:
        ledger.finish_attempt(*job, JobState.FAILED, exit_code=20, error=f"reading /store/{index}: I/O error")
    else:
        ledger.finish_attempt(*job, JobState.DONE, exit_code=0, report=report(index))


def measure(ledger: Ledger, jobs: int) -> None:
    with timed("create request and jobs"):
        ledger.create_request(
            "bench",
            DATASET,
            Path("/requests/bench"),
            card="ttbar",
            site="local",
            catalog="local",
            seed=1,
            gen_events=jobs * 100,
            oversample=10,
            n_simulate=jobs,
            n_merge=-(-jobs // 10),
            write=lambda _: DIGEST,
        )
    with timed("all jobs PLANNED -> SUBMITTING"):
        ledger.transition(
            "bench", Stage.SIMULATE, range(jobs), JobState.SUBMITTING, expect={JobState.PLANNED}
        )
    with timed("start and finish every job once", 2 * jobs):
        for index in range(jobs):
            attempt(ledger, index)
    with timed("status: counts and failures"):
        ledger.counts("bench")
        ledger.failures("bench")
    with timed("status: totals and retries"):
        ledger.totals("bench")
        ledger.retries("bench")
    with timed("measured rates"):
        ledger.recent_rates("local", "ttbar")
    with timed("read all jobs", jobs):
        ledger.jobs("bench")
    with timed("read all files", jobs):
        list(ledger.files("bench", Stage.SIMULATE))
    with timed("all FAILED -> PLANNED"):
        ledger.move_all("bench", {JobState.FAILED}, JobState.PLANNED)


def main() -> None:
    for jobs in [int(word) for word in sys.argv[1:]] or [10_000, 100_000]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ledger.sqlite"
            print(f"{jobs:,} jobs")
            with timed("open a new ledger"):
                ledger = Ledger(path)
            with ledger:
                measure(ledger, jobs)
            print(f"  file of {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
