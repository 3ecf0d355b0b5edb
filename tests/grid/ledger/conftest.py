"""A ledger with a request in it, and reports as workers write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.report import JobReport, LumiRange, OutputFile
from flashsim_prod.core.states import Stage
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import RequestRow

DATASET = DatasetName.parse("/TT_13TeV/FlashSim-RefDet_x10-v1/NANOAODSIM")
DIGEST = "d" * 64
START = datetime(2026, 1, 1, tzinfo=UTC)


def create(ledger: Ledger, name: str = "toy", **changes: Any) -> RequestRow:
    options: dict[str, Any] = {
        "card": "ttbar",
        "site": "local",
        "catalog": "local",
        "seed": 2**63 - 1,
        "gen_events": 100,
        "oversample": 10,
        "n_simulate": 4,
        "n_merge": 2,
        "write": lambda _: DIGEST,
    }
    dataset = changes.pop("dataset", DATASET)
    folder = changes.pop("folder", Path("/requests") / name)
    return ledger.create_request(name, dataset, folder, **options | changes)


def report(stage: Stage, index: int, request: str = "toy", **changes: Any) -> JobReport:
    output = OutputFile(
        lfn=f"/store/unmerged/{request}/{stage}_{index}.root",
        pfn=f"/disk/{request}/{stage}_{index}.root",
        bytes=1000,
        events=250,
        adler32="0a" * 4,
        sha256="0b" * 32,
        lumis=(LumiRange(run=1, first=index + 1, last=index + 1),),
    )
    values: dict[str, Any] = {
        "request": request,
        "request_digest": DIGEST,
        "stage": stage,
        "index": index,
        "exit_code": 0,
        "started": START,
        "ended": START + timedelta(seconds=20),
        "host": "node1",
        "device": "cpu",
        "software_version": "1",
        "gen_events": 25,
        "events": 250,
        "timings_s": {"startup": 2.0, "generate": 8.0, "write": 3.0},
        "peak_rss_mb": 500.0,
        "output": output,
    }
    return JobReport(**values | changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


@pytest.fixture
def new_request() -> Callable[..., RequestRow]:
    """`create`, for tests that cannot import it."""
    return create


@pytest.fixture
def new_report() -> Callable[..., JobReport]:
    """`report`, for tests that cannot import it."""
    return report
