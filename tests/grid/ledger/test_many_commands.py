"""Several commands at one ledger, and commands that are killed."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.ledger.rows import RequestRow

NewRequest = Callable[..., RequestRow]

BEGIN = """
import sys
from pathlib import Path
from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import RequestError, StateError
from flashsim_prod.grid.ledger.ledger import Ledger
path = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
"""

CLAIM = """
with Ledger(path) as ledger:
    for index in range(200):
        try:
            ledger.transition("toy", Stage.SIMULATE, [index], JobState.SUBMITTING, expect={JobState.PLANNED})
        except StateError:
            continue
        print(index)
"""

CREATE = """
dataset = DatasetName.parse("/TT/Era-String-v1/NANOAODSIM")
with Ledger(path) as ledger:
    for number in range(10):
        for name in (f"own{sys.argv[2]}_{number}", f"shared_{number}"):
            try:
                row = ledger.create_request(
                    name, dataset, Path("/x"), card="c", site="s", catalog="none", seed=1, gen_events=1,
                    oversample=1, n_simulate=5, n_merge=1, write=lambda name: "0" * 64,
                )
            except RequestError:
                continue
            print(name, row.dataset.version)
"""

WORK = """
import itertools
with Ledger(path) as ledger:
    for turn in itertools.count():
        index = turn % 200
        ledger.move_all("toy", {JobState.FAILED}, JobState.PLANNED)
        if ledger.jobs("toy", Stage.SIMULATE)[index].state is JobState.PLANNED:
            ledger.transition("toy", Stage.SIMULATE, [index], JobState.SUBMITTING)
        if ledger.jobs("toy", Stage.SIMULATE)[index].state is JobState.SUBMITTING:
            ledger.start_attempt("toy", Stage.SIMULATE, index, log=lambda n: Path("x"), host="h")
        for attempt in ledger.open_attempts("toy"):
            ledger.finish_attempt("toy", Stage.SIMULATE, attempt.index, attempt.number, JobState.FAILED,
                                  exit_code=20)
"""


def together(processes: list) -> list[list[str]]:
    """Let the processes go at the same moment; the lines that each has printed."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    outputs = []
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        outputs.append(process.communicate(timeout=60)[0].splitlines())
        assert process.returncode == 0
    return outputs


def test_each_job_is_claimed_once(ledger: Ledger, path: Path, new_request: NewRequest, start_python) -> None:
    new_request(ledger, n_simulate=200)
    claimed = together([start_python(BEGIN + CLAIM, path) for _ in range(2)])
    assert sorted(int(line) for lines in claimed for line in lines) == list(range(200))


def test_each_name_and_each_dataset_is_given_once(path: Path, start_python) -> None:
    # the file does not exist yet, so they also race to make it
    made = together([start_python(BEGIN + CREATE, path, number) for number in range(3)])
    lines = [line.split() for one in made for line in one]
    names = sorted(name for name, _ in lines)
    assert len(names) == 40
    assert len(set(names)) == 40
    assert sorted(int(version) for _, version in lines) == list(range(1, 41))
    with Ledger(path) as ledger:
        assert {row.name: str(row.dataset.version) for row in ledger.requests()} == dict(lines)
        assert all(
            counts == {(Stage.SIMULATE, JobState.PLANNED): 5, (Stage.MERGE, JobState.PLANNED): 1}
            for counts in ledger.all_counts().values()
        )


def test_killed_commands_leave_a_sound_ledger(
    ledger: Ledger, path: Path, new_request: NewRequest, start_python
) -> None:
    new_request(ledger, n_simulate=200)
    pauses = random.Random(7)
    for _ in range(5):
        process = start_python(BEGIN + WORK, path)
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(pauses.uniform(0.05, 0.3))
        assert process.poll() is None, "the program failed by itself"
        process.kill()
        process.wait()

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    running = [job.index for job in ledger.jobs("toy", Stage.SIMULATE, {JobState.RUNNING})]
    assert [attempt.index for attempt in ledger.open_attempts("toy")] == running
    jobs = ledger.jobs("toy", Stage.SIMULATE)
    assert sum(job.attempts for job in jobs) > 5
    for job in jobs:
        assert len(ledger.attempts("toy", Stage.SIMULATE, job.index)) == job.attempts
