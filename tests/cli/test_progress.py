"""What is shown while work goes on, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest

from flashsim_prod.cli import progress
from flashsim_prod.cli.progress import shown_steps
from flashsim_prod.cli.requests.display import shown_progress
from flashsim_prod.cli.terminal import Terminal
from flashsim_prod.core.states import Stage
from flashsim_prod.production.drive.local_run import Tally

Shown = Callable[[], list[str]]


@pytest.fixture(params=[False, True], ids=["lines", "bars"])
def on_terminal(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def shown(on_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Lines that were printed, without colours, cursor movements and times."""
    written = io.StringIO()
    screen = Terminal(file=written, force_terminal=on_terminal, width=120, color_system=None)
    monkeypatch.setattr(progress, "console", lambda **_: screen)

    def lines() -> list[str]:
        text = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", written.getvalue()).replace("\r", "\n")
        return [re.sub(r"^\S*T\S*Z ", "", line).rstrip() for line in text.splitlines() if line.strip()]

    return lines


def _tally(events: int, done: int, running: int = 0) -> Tally:
    return Tally(
        events=events,
        events_expected=2000,
        done={Stage.SIMULATE: done, Stage.MERGE: 0},
        expected={Stage.SIMULATE: 2, Stage.MERGE: 1},
        running=running,
        failed=0,
        retried=0,
    )


def test_a_driven_request(shown: Shown, on_terminal: bool) -> None:
    with shown_progress() as display:
        display.tally(_tally(10, 0, running=2))
        display.tally(_tally(20, 0, running=2))
        display.tally(_tally(1000, 1, running=1))
        display.remark("disk is slow [really]")
        display.registered(0, 2)
        display.registered(2, 2)
    if not on_terminal:
        assert shown() == [
            "10 of 2,000 events simulated, 0 of 1 files merged; 0/3 jobs, 2 running",
            "1,000 of 2,000 events simulated, 0 of 1 files merged; 1/3 jobs, 1 running",
            "disk is slow [really]",
            "2 of 2 files registered",
        ]
        return
    assert "disk is slow [really]" in shown()
    simulate, merge, register = shown()[-3:]
    assert re.search(r"^simulate .* 1000/2000 events .* 1/3 jobs, 1 running$", simulate)
    assert re.search(r"^merge .* 0/1 +files ", merge)
    assert re.search(r"^register .* 2/2 +files ", register)


def test_steps_of_tasks(shown: Shown, on_terminal: bool) -> None:
    with shown_steps() as show:
        for done in (1, 2, 3):
            show("fit met", done, 3, "loss 0.5")
            show("fit jet", done, None, "")
    if not on_terminal:
        assert shown() == ["fit met: 1 of 3 loss 0.5", "fit jet: 1", "fit met: 3 of 3 loss 0.5"]
        return
    met, jet = shown()[-2:]
    assert re.search(r"^fit met .* 3/3 .* loss 0.5$", met)
    assert re.search(r"^fit jet .* 3/\? ", jet)
