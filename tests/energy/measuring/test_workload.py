"""Copies of real programs: how events are counted, how failures are told, that nothing is left behind."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from flashsim_prod.energy.measuring.counting import LogCounter, compiled
from flashsim_prod.energy.measuring.foreign import ForeignLoad
from flashsim_prod.energy.measuring.workload import Program, Run, command_launch
from flashsim_prod.energy.record import Configuration, Mode
from flashsim_prod.errors import MeasurementError, RequestError


def program(command: str, tmp_path: Path, **changes: object) -> Program:
    """Two copies of a shell command."""
    configuration = Configuration(label="FullSim", mode=Mode.FULLSIM, copies=2, threads=3)
    return Program(configuration, command_launch(command, 3), tmp_path / "runs", **changes)  # type: ignore[arg-type]


def ended(run: Run) -> Run:
    """The run, at its end."""
    start_s = time.monotonic()
    while not run.is_over(time.monotonic() - start_s):
        time.sleep(0.02)
    return run


def test_events_are_counted_from_cmssw_s_log(tmp_path: Path) -> None:
    lines = "".join(rf"Begin processing the {number} record. Run 1\n" for number in ("1st", "2nd", "3rd"))
    run = ended(program(f"sh -c 'printf \"{lines}\"; sleep 0.1'", tmp_path).start(0.0, 1.0))
    assert [copy.events for copy in run.counts()] == [3, 3]


def test_lines_are_counted_where_the_log_gives_no_number(tmp_path: Path) -> None:
    run = ended(
        program(
            "sh -c 'for i in 1 2 3 4; do echo event done; done'", tmp_path, patterns=(compiled("^event"),)
        ).start(0, 1)
    )
    assert [copy.events for copy in run.counts()] == [4, 4]


def test_events_are_counted_from_output_files(tmp_path: Path) -> None:
    made = program("sh -c 'echo {copy} > {folder}/n'", tmp_path)
    made.count_output = lambda copy, folder, started: 10 + int((folder / "n").read_text())
    run = ended(made.start(0.0, 1.0))
    assert [copy.events for copy in run.counts()] == [10, 11]


def test_marks_tell_when(tmp_path: Path) -> None:
    log = tmp_path / "log"
    counter = LogCounter(log, (re.compile(r'"events": (?P<events>\d+)'),))
    log.write_text('{"events": 10, "of": 20}\n{"eve')
    counter.follow(1.0)
    with log.open("a") as file:
        file.write('nts": 20, "of": 20}\n')
    counter.follow(2.0)
    counter.follow(3.0)
    assert [(mark.t_s, mark.events) for mark in counter.count().marks] == [(1.0, 10), (2.0, 20)]


def test_a_command_that_fails_is_quoted(tmp_path: Path) -> None:
    run = ended(program("sh -c 'echo ok; echo no such geometry >&2; exit 8'", tmp_path).start(0.0, 1.0))
    with pytest.raises(MeasurementError, match=r"FullSim: copy 0 ended with code 8: no such geometry"):
        run.counts()


def test_a_run_goes_on_until_its_time_is_over_and_every_copy_has_told_of_it(tmp_path: Path) -> None:
    made = program("sleep 300", tmp_path)
    run = made.start_until(10.0)
    logs = [tmp_path / "runs" / "run001" / f"copy{copy}" / "log.txt" for copy in range(2)]

    def tell(copy: int, events: int) -> None:
        with logs[copy].open("a") as file:
            file.write(f'{{"events": {events}, "of": 1000}}\n')

    try:
        for t_s, marks, over in (
            (5.0, {0: 10, 1: 10}, False),
            (9.9, {0: 900}, False),
            (10.0, {}, False),
            (11.0, {0: 950}, False),
            (12.0, {1: 30}, True),
        ):
            for copy, events in marks.items():
                tell(copy, events)
            assert run.is_over(t_s) is over, t_s
    finally:
        run.stop()
    # being stopped is no failure, and what was told of is what was made
    assert [copy.events for copy in run.counts()] == [950, 30]


def test_the_copy_that_failed_is_named_and_not_one_that_was_stopped_for_it(tmp_path: Path) -> None:
    run = ended(program("sh -c 'test {copy} = 0 && sleep 300; echo gone; exit 3'", tmp_path).start(0.0, 1.0))
    run.stop()
    with pytest.raises(MeasurementError, match="copy 1 ended with code 3: gone"):
        run.counts()


def test_a_command_that_counts_nothing(tmp_path: Path) -> None:
    run = ended(program("true", tmp_path).start(0.0, 1.0))
    with pytest.raises(MeasurementError, match="no event was counted"):
        run.counts()


@pytest.mark.parametrize(
    ("command", "line"), [("no-such-program x", "cannot be started"), ("sh -c 'x", "cannot be read")]
)
def test_a_command_that_is_none(command: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=line):
        program(command, tmp_path).start(0.0, 1.0)


def test_a_pattern_that_is_none() -> None:
    with pytest.raises(RequestError, match="regular expression"):
        compiled("(")


def test_stopping_leaves_no_process_behind(tmp_path: Path) -> None:
    run = program("sh -c 'sleep 300 & wait'", tmp_path).start(0.0, 1.0)
    children = psutil.Process().children(recursive=True)
    assert children
    run.stop()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def test_own_children_are_not_foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine on which nothing runs but these tests."""

    def busy_machine() -> SimpleNamespace:
        own = [psutil.Process(), *psutil.Process().children(recursive=True)]
        return SimpleNamespace(user=sum(sum(one.cpu_times()[:4]) for one in own))

    monkeypatch.setattr(psutil, "cpu_times", busy_machine)
    burn = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.6: pass\nprint(\"event\")'"
    made = program(burn, tmp_path, patterns=(compiled("event"),))
    made.configuration = made.configuration.model_copy(update={"copies": 1})
    watch = ForeignLoad()
    start_s = time.monotonic()
    watch.restart(0.0)
    own_before = psutil.Process().cpu_times()
    run: Run = ended(made.start(0.0, 1.0))
    elapsed_s = time.monotonic() - start_s
    foreign_s = watch.cores(elapsed_s) * elapsed_s
    own_after = psutil.Process().cpu_times()
    burnt_s = sum(own_after[2:4]) - sum(own_before[2:4])  # the children's user and system time
    assert run.counts()[0].events == 1
    assert burnt_s > 0.3
    # both are not read at the very same time
    assert foreign_s < 0.1
