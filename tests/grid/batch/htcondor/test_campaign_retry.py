"""``campaign cancel`` and ``campaign retry``, as typed, of requests that the pool has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flashsim_prod import resources
from flashsim_prod.cli.main import main
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.campaigns import run as running
from flashsim_prod.production.home import Home

from .conftest import RunningPool

CARDS = ("ttbar", "wjets")


@pytest.fixture
def file(tmp_path: Path, fake_python: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A campaign of two requests with two jobs each, at the pool, whose nodes have the fake physics."""
    monkeypatch.setattr(running, "LOOK_INTERVAL_S", 0.5)
    told = yaml.safe_load((resources.site_configs_dir() / "htcondor.yaml").read_text())
    told |= {"name": "pool", "slots": 8}
    told["resources"]["memory_mb"] = 500
    told["htcondor"] |= {"disk_mb": 10, "software": {"python": str(fake_python)}}
    (tmp_path / "pool.yaml").write_text(yaml.safe_dump(told))
    said = {
        "name": "two",
        "defaults": {"events": 80, "oversample": 2, "events_per_job": 40, "sites": "./pool.yaml", "seed": 3},
        "requests": [{"cards": list(CARDS)}],
    }
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(said))
    return path


def _campaign(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    return _command(capsys, "campaign", *words)


def _command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    """Exit code, what was printed as JSON, and the last line of standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), json.loads(out) if out else None, err.strip().rpartition("\n")[2]


def _done(home: Home, capsys: pytest.CaptureFixture[str]) -> int:
    """Jobs that are done, after a look."""
    for name in home.names():
        _command(capsys, "status", name)
    with Ledger(home.ledger) as ledger:
        return sum(len(ledger.jobs(name, states={JobState.DONE})) for name in home.names())


def _attempts(home: Home) -> list[list[int]]:
    """Of the simulate jobs of each request."""
    with Ledger(home.ledger) as ledger:
        return [[job.attempts for job in ledger.jobs(name, Stage.SIMULATE)] for name in sorted(home.names())]


def test_a_campaign_is_cancelled_and_goes_on_by_retry(
    pool: RunningPool,
    home: Home,
    file: Path,
    trouble: Path,
    fake_physics: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (trouble / "simulate_0").write_text("rest")
    code, told, _ = _campaign(capsys, str(file), "--yes")
    assert (code, told["states"]) == (0, {"RUNNING": 2})
    # one job of each is done, the other rests
    pool.wait(lambda: _done(home, capsys) == 2)
    code, told, _ = _campaign(capsys, "cancel", "two")
    assert code == 0
    assert sum(told["cancelled_jobs"].values()) == 4, "the one that rests and the merge, of each"
    assert told["errors"] == {}
    pool.wait(lambda: not pool("condor_q", "-allusers", "-af", "ClusterId").split())
    assert _campaign(capsys, "status", "two")[1]["states"] == {"CANCELLED": 2}

    # what is broken fails, in one line that says how to go on
    (trouble / "simulate_0").write_text("InputError")
    code, told, line = _campaign(capsys, "retry", "two", "--wait", "--yes")
    assert (code, told["states"]) == (17, {"FAILED": 2})
    assert line.endswith("once it is mended: flashsim-prod campaign retry two")
    (trouble / "simulate_0").unlink()
    code, told, _ = _campaign(capsys, "retry", "two", "--wait", "--yes")
    assert (code, told["state"], told["states"]) == (0, "DONE", {"DONE": 2})
    assert told["events_done"] == 160
    # the first was started, was taken back, failed, and was done; the other was done at once
    assert [one[1] for one in _attempts(home)] == [1, 1]
    assert _campaign(capsys, "cancel", "two")[1]["cancelled_jobs"] == {}
