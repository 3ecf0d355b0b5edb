"""Work on several cores: in order, as if done in turn, and with nobody left behind when somebody dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flashsim_prod.errors import EventsError, NodeError, exit_code_is_retryable
from flashsim_prod.production.job.cores import can_fork, prepared

pytestmark = pytest.mark.skipif(not can_fork(), reason="sys.platform: processes are forked on Linux only")


def _numbers(n: int) -> Callable[[], Iterator[int]]:
    return lambda: iter(range(n))


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


class Odd(Exception):
    """Cannot be sent."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")
        self.kept = threading.Lock()


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("items", [0, 1, 7])
def test_results_are_in_the_order_of_items(n: int, items: int) -> None:
    def slow_first(number: int) -> tuple[int, int]:
        # the first of each round is done last
        time.sleep(0.02 * (number % n == 0))
        return number, os.getpid()

    found = list(prepared(_numbers(items), slow_first, n))
    assert [number for number, _ in found] == list(range(items))
    assert len({pid for _, pid in found} | {os.getpid()}) == min(n, items) + 1
    assert not _children()


def test_no_more_than_a_few_items_are_under_way(tmp_path: Path) -> None:
    made = tmp_path / "made"

    def many() -> Iterator[bytes]:
        # a byte for each: a number would be read while it is written
        with made.open("ab", buffering=0) as file:
            for _ in range(100):
                file.write(b"x")
                yield bytes(1 << 20)

    results = prepared(many, lambda item: item, 2)
    next(results)
    time.sleep(0.5)
    # of each process: one done, one worked on, one taken in advance, one or two in its pipe or before it
    assert made.stat().st_size <= 14
    results.close()
    assert not _children()


@pytest.mark.parametrize("where", ["feed", "work"])
def test_an_exception_is_raised_when_its_turn_has_come(where: str) -> None:
    def feed() -> Iterator[int]:
        yield from range(3)
        if where == "feed":
            raise EventsError("the fourth is bad")
        yield from range(3, 9)

    def work(number: int) -> int:
        if number == 3:
            raise EventsError("the fourth is bad")
        return number

    found: list[int] = []
    with pytest.raises(EventsError) as told:
        found.extend(prepared(feed, work, 2))
    assert str(told.value) == "the fourth is bad"
    assert found == [0, 1, 2]
    assert any("in work" in note or "in feed" in note for note in told.value.__notes__)
    assert not _children()


def test_an_exception_that_cannot_be_sent_is_told_by_its_name() -> None:
    def work(number: int) -> int:
        raise Odd(number, 2)

    with pytest.raises(RuntimeError) as told:
        list(prepared(_numbers(1), work, 1))
    assert str(told.value) == "Odd: 0 and 2"


@pytest.mark.parametrize("whom", ["one that works", "the one that feeds"])
def test_the_death_of_a_process_is_an_error_that_another_try_can_help(whom: str) -> None:
    def feed() -> Iterator[int]:
        for number in range(1000):
            if whom == "the one that feeds" and number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            yield number

    def work(number: int) -> int:
        if whom == "one that works" and number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return number

    with pytest.raises(NodeError, match=r"^a process of this job was killed \(SIGKILL\); .*$") as told:
        list(prepared(feed, work, 2))
    assert exit_code_is_retryable(told.value.exit_code)
    assert not _children()


#: feeds and works forever; what it starts is told before
ALONE = """
import os, subprocess, sys, time
from flashsim_prod.production.job.cores import prepared

def feed():
    other = subprocess.Popen(["sleep", "1000"])
    for number in range(10**9):
        yield number, other.pid

def work(item):
    time.sleep(0.05)
    return os.getpid(), item[1]

results = prepared(feed, work, 2)
first, second = next(results), next(results)
print(first[0], second[0], first[1], flush=True)
for _ in results:
    pass
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_nobody_is_left_when_the_first_process_dies(signum: int) -> None:
    command = [sys.executable, "-c", ALONE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = process.stdout.readline().split()
    started = [psutil.Process(int(pid)) for pid in told]
    started += psutil.Process(process.pid).children(recursive=True)
    assert len(set(started)) == 4
    process.send_signal(signum)
    assert process.wait(10) == -signum
    process.stdout.close()
    _, alive = psutil.wait_procs(set(started), timeout=20)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


MEASURED = """
from flashsim_prod.production.job.cores import prepared, memory_mb

shared = b"x" * (256 << 20)
before = memory_mb()
results = prepared(lambda: iter(range(1000)), lambda number: len(shared), 2)
next(results)
print(before, memory_mb())
results.close()
"""


def test_memory_that_is_shared_counts_once() -> None:
    # in an interpreter of its own: a long test run's heap is soon written to, and so owned, by each process
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    before, during = map(float, done.stdout.split())
    assert before > 256
    # three processes more, each with all of it in its reach
    assert during - before < 256
