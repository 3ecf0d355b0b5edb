"""The foreground engine, with real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from flashsim_prod.core.states import Stage
from flashsim_prod.errors import NodeError, StateError
from flashsim_prod.grid.batch.attempt import progress_of
from flashsim_prod.grid.batch.base import Command, Node, NodeKey, Observer
from flashsim_prod.grid.batch.local import LocalBatch, RunSummary


def sim(index: int) -> Node:
    return Node(NodeKey(Stage.SIMULATE, index))


def merge(index: int, *parents: int) -> Node:
    return Node(NodeKey(Stage.MERGE, index), tuple(sim(one).key for one in parents))


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


class Scripts:
    """A payload of shell scripts, one for all nodes unless one of its own is given."""

    def __init__(self, folder: Path, default: str = "true", **scripts: str) -> None:
        self.folder = folder
        self.default = default
        self.scripts = scripts
        self.walltime_s: float | None = None

    def log(self, node: Node) -> Path:
        return self.folder / "logs" / f"{node.key.stage}{node.key.index}.log"

    def command(self, node: Node, attempt: int) -> Command:
        script = self.scripts.get(f"{node.key.stage}{node.key.index}", self.default)
        return Command(
            shell(script),
            self.log(node),
            {"ATTEMPT": str(attempt), "HERE": str(self.folder)},
            self.walltime_s,
        )

    def judge(self, node: Node, attempt: int, exit_code: int) -> int:
        return exit_code


class Record(Observer):
    """Everything that is told, as tuples."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.threads: set[threading.Thread] = set()

    def _tell(self, *what: Any) -> None:
        self.told.append(what)
        self.threads.add(threading.current_thread())

    def started(self, node: Node, attempt: int, pid: int) -> None:
        assert pid > 0
        self._tell("started", str(node.key), attempt)

    def progress(self, node: Node, attempt: int, events: int) -> None:
        self._tell("progress", str(node.key), attempt, events)

    def finished(self, node: Node, attempt: int, exit_code: int, *, retrying: bool) -> None:
        self._tell("finished", str(node.key), attempt, exit_code, retrying)

    def interrupted(self, node: Node, attempt: int) -> None:
        self._tell("interrupted", str(node.key), attempt)

    def blocked(self, node: Node) -> None:
        self._tell("blocked", str(node.key))


def run(nodes: list[Node], payload: Scripts, slots: int = 2, **options: Any) -> tuple[RunSummary, Record]:
    record = Record()
    batch = LocalBatch(slots, first_pause_s=0.01, **options)
    return batch.run(nodes, payload, record), record


def test_children_wait_for_all_their_parents(tmp_path: Path) -> None:
    payload = Scripts(
        tmp_path,
        simulate0="sleep 0.2; touch $HERE/a",
        simulate1="touch $HERE/b",
        merge0="test -e $HERE/a && test -e $HERE/b",
    )
    summary, record = run([merge(0, 0, 1), sim(0), sim(1)], payload)
    assert summary == RunSummary(done=3, failed={}, blocked=())
    assert summary.succeeded
    assert record.told[-2:] == [("started", "merge 0", 1), ("finished", "merge 0", 1, 0, False)]
    assert record.threads == {threading.main_thread()}


def test_only_what_is_worth_it_is_tried_again(tmp_path: Path) -> None:
    payload = Scripts(
        tmp_path,
        simulate0="test $ATTEMPT = 3 || exit 20",  # storage: worth a retry, and the third attempt is fine
        simulate1="exit 12",  # bad events: not worth it
        simulate2="exit 22",  # never gets better
        simulate3="test $ATTEMPT = 2 || kill -9 $$",  # a signal says nothing about the job
    )
    summary, record = run([sim(i) for i in range(4)], payload, max_attempts=3)
    assert summary.done == 2
    assert summary.failed == {sim(1).key: 12, sim(2).key: 22}
    ends = [what for what in record.told if what[0] == "finished"]
    assert [what[2:] for what in ends if what[1] == "simulate 0"] == [
        (1, 20, True),
        (2, 20, True),
        (3, 0, False),
    ]
    assert [what[2:] for what in ends if what[1] == "simulate 1"] == [(1, 12, False)]
    assert [what[2:] for what in ends if what[1] == "simulate 2"] == [
        (1, 22, True),
        (2, 22, True),
        (3, 22, False),
    ]
    assert [what[2:] for what in ends if what[1] == "simulate 3"] == [(1, -9, True), (2, 0, False)]


def test_pauses_double_up_to_a_minute() -> None:
    batch = LocalBatch(1, first_pause_s=2.0)
    assert [batch.pause_s(attempt) for attempt in (1, 2, 3, 10)] == [2.0, 4.0, 8.0, 60.0]


def test_failure_blocks_descendants_and_nobody_else(tmp_path: Path) -> None:
    after = Node(NodeKey(Stage.MERGE, 9), (NodeKey(Stage.MERGE, 0),))
    nodes = [sim(0), sim(1), merge(0, 0, 1), after, sim(2), merge(1, 2)]
    summary, record = run(nodes, Scripts(tmp_path, simulate1="exit 12"))
    assert summary.done == 3
    assert summary.failed == {sim(1).key: 12}
    assert summary.blocked == (merge(0).key, after.key)
    assert not summary.succeeded
    assert record.told[-2:] == [("blocked", "merge 0"), ("blocked", "merge 9")]


def test_the_judge_has_the_last_word(tmp_path: Path) -> None:
    class Strict(Scripts):
        def judge(self, node: Node, attempt: int, exit_code: int) -> int:
            return 20 if attempt == 1 else 12

    summary, _ = run([sim(0), merge(0, 0)], Strict(tmp_path))
    assert summary.failed == {sim(0).key: 12}
    assert summary.blocked == (merge(0).key,)


def test_progress_lines_and_the_log(tmp_path: Path) -> None:
    payload = Scripts(
        tmp_path,
        """echo '{"events": 200}'; echo words; echo '{"events": 400}'; echo '{"x": 1}'; echo bad >&2""",
    )
    _, record = run([sim(0)], payload)
    assert [what for what in record.told if what[0] == "progress"] == [
        ("progress", "simulate 0", 1, 200),
        ("progress", "simulate 0", 1, 400),
    ]
    assert sorted(payload.log(sim(0)).read_text().splitlines()) == ["bad", "words", '{"x": 1}']


@pytest.mark.parametrize(
    ("line", "events"),
    [
        (b'{"events": 7}\n', 7),
        (b'{"events": 7, "stage": "write"}\n', 7),
        (b'{"events": "7"}\n', None),
        (b'{"events": true}\n', None),
        (b'{"events": 7\n', None),
        (b"\xff\xfe\n", None),
        (b"{\xff}\n", None),
        (b"[7]\n", None),
        (b"", None),
    ],
)
def test_lines_of_progress(line: bytes, events: int | None) -> None:
    assert progress_of(line) == events


def test_workers_use_one_thread_and_their_own_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    payload = Scripts(
        tmp_path, "echo $OMP_NUM_THREADS $MKL_NUM_THREADS $FLASHSIM_PROD_DIE_WITH_PARENT $ATTEMPT"
    )
    run([sim(0)], payload)
    assert payload.log(sim(0)).read_text() == "1 1 1 1\n"


def test_never_more_processes_than_slots(tmp_path: Path) -> None:
    class Count(Record):
        running = most = 0

        def started(self, node: Node, attempt: int, pid: int) -> None:
            self.running += 1
            self.most = max(self.most, self.running)

        def finished(self, node: Node, attempt: int, exit_code: int, *, retrying: bool) -> None:
            self.running -= 1

    count = Count()
    LocalBatch(3).run([sim(i) for i in range(12)], Scripts(tmp_path, "sleep 0.05"), count)
    assert count.most == 3


def test_command_that_cannot_be_started(tmp_path: Path) -> None:
    class Missing(Scripts):
        def command(self, node: Node, attempt: int) -> Command:
            return Command(("/no/such/program",), self.log(node))

    payload = Missing(tmp_path)
    summary, _ = run([sim(0)], payload, max_attempts=2)
    assert summary.failed == {sim(0).key: NodeError.exit_code}
    assert payload.log(sim(0)).read_text().count("/no/such/program cannot be started") == 2


def test_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    summary, _ = run([sim(0)], Scripts(tmp_path), max_attempts=2)
    assert summary.failed == {sim(0).key: 20}


def test_walltime(tmp_path: Path) -> None:
    payload = Scripts(tmp_path, "trap '' TERM; sleep 600 & wait; wait; sleep 600")
    # the shell has to come as far as its trap
    payload.walltime_s = 1.0
    began = time.monotonic()
    summary, _ = run([sim(0)], payload, max_attempts=1, grace_s=0.3)
    assert summary.failed == {sim(0).key: -9}
    assert time.monotonic() - began < 300, "waited for what it should have ended"
    assert "walltime of 1 s" in payload.log(sim(0)).read_text()


def test_children_of_a_killed_worker_are_ended_before_the_next_attempt(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    class Look(Scripts):
        def command(self, node: Node, attempt: int) -> Command:
            if attempt == 2:
                # nothing else will end it while the driver is in here
                assert gone([int(pid.read_text())], seconds=60)
            return super().command(node, attempt)

    began = time.monotonic()
    first = "sleep 600 & echo $! > $HERE/pid; kill -9 $$"
    summary, _ = run([sim(0)], Look(tmp_path, f"if [ $ATTEMPT = 1 ]; then {first}; fi"))
    assert summary.succeeded
    assert time.monotonic() - began < 300, "waited for a grandchild that holds the output open"


def test_stop_is_asked_and_obeyed(tmp_path: Path) -> None:
    record = Record()
    summary = LocalBatch(2, first_pause_s=60).run(
        [sim(0), sim(1), sim(2), merge(0, 0)],
        Scripts(tmp_path, "exec sleep 60", simulate2="exit 20"),
        record,
        stop=lambda: len(record.told) >= 2,
    )
    assert summary == RunSummary(done=0, failed={}, blocked=(), stopped_by=0)
    assert not summary.succeeded
    assert sorted(what[:2] for what in record.told if what[0] == "interrupted") == [
        ("interrupted", "simulate 0"),
        ("interrupted", "simulate 1"),
    ]


@pytest.mark.parametrize("where", ["command", "judge"])
def test_errors_of_the_payload_end_the_processes(tmp_path: Path, where: str) -> None:
    class Broken(Scripts):
        def command(self, node: Node, attempt: int) -> Command:
            if where == "command" and node.key.index == 1:
                raise StateError("the ledger says no")
            return super().command(node, attempt)

        def judge(self, node: Node, attempt: int, exit_code: int) -> int:
            raise StateError("the ledger says no")

    payload = Broken(tmp_path, "echo $$ > $HERE/pid; exec sleep 60", simulate1="sleep 0.3")
    with pytest.raises(StateError, match="the ledger says no"):
        run([sim(0), sim(1)], payload)
    if (tmp_path / "pid").exists():
        assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_hundreds_of_nodes_are_no_burden(
    tmp_path: Path, effort: Callable[[Callable[[], object]], float]
) -> None:
    nodes = [sim(i) for i in range(270)] + [merge(i, *range(i * 9, i * 9 + 9)) for i in range(30)]

    class Trivial(Scripts):
        def command(self, node: Node, attempt: int) -> Command:
            return Command(("/bin/true",), self.log(node))

    began = time.monotonic()
    for _ in nodes:
        subprocess.run(["/bin/true"], check=True)
    alone_s = time.monotonic() - began
    summaries: list[RunSummary] = []
    began = time.monotonic()
    assert effort(lambda: summaries.append(run(nodes, Trivial(tmp_path))[0])) < 5
    # half a second alone, where nothing else runs
    assert time.monotonic() - began < 10 * max(1.0, alone_s / 0.5)
    assert summaries[0].done == 300


# ---- drivers that are stopped or killed

DRIVER = """
import json, sys
from pathlib import Path
from flashsim_prod.core.states import Stage
from flashsim_prod.grid.batch.base import Command, Node, NodeKey, Observer
from flashsim_prod.grid.batch.local import LocalBatch
folder = Path(sys.argv[1])
class Payload:
    def command(self, node, attempt):
        return Command((sys.executable, "-c", sys.argv[2]), folder / f"{node.key.index}.log")
    def judge(self, node, attempt, exit_code):
        return exit_code
class Say(Observer):
    def progress(self, node, attempt, events):
        print(events, flush=True)
    def interrupted(self, node, attempt):
        print("interrupted", node.key.index, flush=True)
summary = LocalBatch(2, grace_s=float(sys.argv[3])).run(
    [Node(NodeKey(Stage.SIMULATE, index)) for index in range(5)], Payload(), Say())
print(json.dumps([summary.done, len(summary.failed), summary.stopped_by]), flush=True)
"""

#: tells its number by way of a progress line
WORKER = """
import json, os, subprocess, sys, time
from flashsim_prod.grid.batch.lifeline import die_with_parent
die_with_parent()
child = subprocess.Popen(["sleep", "600"])
print(json.dumps({"events": child.pid}), flush=True)
print(json.dumps({"events": os.getpid()}), flush=True)
time.sleep(600)
"""

#: says that it was asked to end, and does not
STUBBORN = (
    "import os, signal; signal.signal(signal.SIGTERM, lambda *_: open(os.environ['ASKED'], 'w').close())\n"
    + WORKER
)


def pids_of(driver: Any) -> list[int]:
    """The two workers and their children."""
    return [int(driver.stdout.readline()) for _ in range(4)]


def gone(pids: list[int], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(_runs, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_driver_that_is_asked_to_stop(tmp_path: Path, start_python, signum: signal.Signals) -> None:
    # far longer than a driver waits for workers that obey
    driver = start_python(DRIVER, tmp_path, WORKER, 600)
    pids = pids_of(driver)
    driver.send_signal(signum)
    said = driver.communicate(timeout=120)[0].splitlines()
    assert sorted(said[:2]) == ["interrupted 0", "interrupted 1"]
    assert json.loads(said[2]) == [0, 0, signum]
    assert driver.returncode == 0
    assert gone(pids)


@pytest.mark.parametrize(("grace_s", "signals"), [(0.5, 1), (600, 2)])
def test_stubborn_workers_are_killed(
    tmp_path: Path, start_python, monkeypatch, grace_s: float, signals: int
) -> None:
    asked = tmp_path / "asked"
    monkeypatch.setenv("ASKED", str(asked))
    driver = start_python(DRIVER, tmp_path, STUBBORN, grace_s)
    pids = pids_of(driver)
    for _ in range(signals):
        driver.send_signal(signal.SIGINT)
        # two signals that come while nobody looks are one
        deadline = time.monotonic() + 60
        while not asked.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert json.loads(driver.communicate(timeout=120)[0].splitlines()[2]) == [0, 0, signal.SIGINT]
    assert gone(pids)


def test_workers_die_with_a_driver_that_is_killed(tmp_path: Path, start_python) -> None:
    driver = start_python(DRIVER, tmp_path, WORKER, 10)
    pids = pids_of(driver)
    assert all(map(_runs, pids))
    driver.kill()
    driver.wait()
    assert gone(pids)


def test_worker_outside_of_a_driver_minds_its_own_business(start_python, monkeypatch) -> None:
    monkeypatch.delenv("FLASHSIM_PROD_DIE_WITH_PARENT", raising=False)
    worker = start_python(WORKER.replace("time.sleep(600)", "time.sleep(0.5)\nchild.kill()"))
    worker.stdin.close()
    worker.stdin = None
    worker.communicate(timeout=120)
    assert worker.returncode == 0


def test_threads_other_than_the_main_one_can_run_a_graph(tmp_path: Path) -> None:
    found: list[RunSummary] = []
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: found.append(run([sim(0)], Scripts(tmp_path))[0]))
    thread.start()
    thread.join()
    assert found[0].succeeded
    assert signal.getsignal(signal.SIGINT) is before
