"""Metrics say what status says, in a form that Prometheus' own parser reads."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import ConfigError
from flashsim_prod.files import write_whole
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.production.views.metrics import exposition, metrics_of
from flashsim_prod.production.views.status import all_standings

Placed = Callable[..., Plan]
Read = Callable[[], dict[tuple[str, ...], float]]
SMALL = {"events": 80, "events_per_job": 20, "per_merge": 2}


@pytest.fixture
def read(home: Home) -> Read:
    """Values by name and labels' values, in the order of the labels' names."""

    def do() -> dict[tuple[str, ...], float]:
        text = exposition(metrics_of(all_standings(home))).decode()
        found: dict[tuple[str, ...], float] = {}
        for family in text_string_to_metric_families(text):
            assert family.documentation
            for one in family.samples:
                key = (one.name, *(one.labels[label] for label in sorted(one.labels)))
                assert key not in found
                found[key] = one.value
        return found

    return do


def _fail(home: Home, name: str, index: int, error: str) -> None:
    with Ledger(home.ledger) as ledger:
        ledger.transition(name, Stage.SIMULATE, [index], JobState.SUBMITTING)
        row = ledger.start_attempt(name, Stage.SIMULATE, index, log=lambda n: Path("/l"), host="h")
        ledger.finish_attempt(
            name, Stage.SIMULATE, index, row.number, JobState.FAILED, exit_code=10, error=error
        )


def test_a_finished_request(home: Home, placed: Placed, fake_physics: ModuleType, read: Read) -> None:
    name = placed(**SMALL).request.name
    drive(home, name)
    found = read()
    assert found["flashsim_prod_requests", "DONE"] == 1
    assert found["flashsim_prod_jobs", name, "here", "simulate", "DONE"] == 4
    assert found["flashsim_prod_jobs", name, "here", "merge", "DONE"] == 2
    assert found["flashsim_prod_jobs", name, "here", "merge", "FAILED"] == 0
    assert found["flashsim_prod_events", name, "here", "merge"] == 80
    assert found["flashsim_prod_expected_events", name, "here"] == 80
    assert found["flashsim_prod_measured_events", name, "here", "simulate"] == 0
    assert not [key for key in found if key[0] == "flashsim_prod_energy_joules"], "none is not zero"


def test_failures_are_counted_by_cause_without_what_varies(home: Home, placed: Placed, read: Read) -> None:
    name = placed(**SMALL).request.name
    _fail(home, name, 0, 'no "branch" 7 in /a/b.root')
    _fail(home, name, 1, 'no "branch" 9 in /a/c.root')
    # beyond what a label holds they are the same
    for index, end in ((2, "x"), (3, "y")):
        _fail(home, name, index, "a \\ long cause " * 30 + end)
    found = {key: value for key, value in read().items() if key[0] == "flashsim_prod_failed_attempts_total"}
    assert len(found) == 2
    assert set(found.values()) == {2}
    causes = {key[1]: key[2:] for key in found}
    assert causes['no "branch" <n> in <path>'] == ("10", name, "here", "simulate")


def test_the_file_is_whole_or_as_it_was(home: Home, tmp_path: Path) -> None:
    text = exposition(metrics_of([]))
    assert text.endswith(b"\n")
    assert write_whole(tmp_path / "x.prom", text).read_bytes() == text


def test_without_its_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"pip install 'flashsim-prod\[serve\]'"):
        exposition([])
