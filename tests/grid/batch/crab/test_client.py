"""The client's words, and clear lines where there is none or it fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.errors import ConfigError, FlashSimError, StateError, StorageError
from flashsim_prod.grid.batch.crab.client import CrabClient, NeverResubmittedError, NoStatusError, job_ranges


@given(jobs=st.sets(st.integers(1, 10_000), min_size=1))
def test_job_numbers_are_told_in_ranges(jobs: set[int]) -> None:
    told = job_ranges(jobs)
    parts = [part.split("-") for part in told.split(",")]
    assert [n for part in parts for n in range(int(part[0]), int(part[-1]) + 1)] == sorted(jobs)
    assert all(int(after[0]) > int(before[-1]) + 1 for before, after in pairwise(parts))


@pytest.mark.parametrize(
    ("script", "kind", "line"),
    [
        (None, ConfigError, "there is no 'crab' on this machine; set it up: source /cvmfs/cms.cern.ch"),
        (
            "printf 'a\\n\\033[91mError\\033[0m: no proxy\\nLog file is x\\n'; exit 3",
            StorageError,
            r"exit code 3: Error: no proxy \(all of it: .*crab_client\.log\)",
        ),
        ("echo nothing of use", StorageError, "it gave no name of a task: nothing of use"),
    ],
)
def test_a_client_that_does_not_do_it_is_told_of_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    kind: type[FlashSimError],
    line: str,
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if script:
        (tmp_path / "crab").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "crab").chmod(0o755)
    with pytest.raises(kind, match=line):
        CrabClient(tmp_path).submit("task_000/crabConfig.py")


def test_the_client_gets_its_words_as_a_list_and_runs_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_in = tmp_path / "told"
    (tmp_path / "crab").write_text(f'#!/bin/sh\n{{ printf "%s\\n" "$@"; pwd; }} > {told_in}\n')
    (tmp_path / "crab").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    folder = tmp_path / "a folder"
    folder.mkdir()
    CrabClient(folder).resubmit("projects/a b", [3, 1, 2, 7], memory_mb=4000, walltime_min=2750)
    told = told_in.read_text().splitlines()
    assert told == [
        *("resubmit", "-d", "projects/a b", "--jobids", "1-3,7"),
        *("--maxmemory", "4000", "--maxjobruntime", "2750", str(folder)),
    ]


SERVER_SAYS = (
    "The server answered with an error.\nServer answered with: Execution error\nReason is: {}\nError Id: 1\n"
)


@pytest.mark.parametrize(
    ("said", "reason", "kind"),
    [
        (
            SERVER_SAYS.format("You cannot resubmit jobs if the task is in status KILLED."),
            "You cannot resubmit jobs if the task is in status KILLED.",
            NeverResubmittedError,
        ),
        # it passes by itself
        (
            SERVER_SAYS.format("You cannot resubmit jobs if the task is in status NEW."),
            "You cannot resubmit jobs if the task is in status NEW.",
            StorageError,
        ),
        (
            "Resubmit request sent to the server.\n"
            "Server responded with: 'Resubmission of the task is not possible since less than 7 days"
            "are left before the task is removed from theschedulers.\nA task expires 30 days after'\n"
            "Command resubmit failed\n",
            "Server responded with: 'Resubmission of the task is not possible since less than 7 days"
            "are left before the task is removed from theschedulers. A task expires 30 days after'",
            NeverResubmittedError,
        ),
        (
            "Not possible to resubmit the following jobs:\n['2']\nOnly jobs in status failed can be\n",
            "Not possible to resubmit the following jobs: ['2'] Only jobs in status failed can be",
            StorageError,
        ),
        (
            "Task name:\tx\nhttps://there/status_cache.pkl not found or corrupted\nCommand status failed\n",
            "https://there/status_cache.pkl not found or corrupted",
            NoStatusError,
        ),
        (
            "\x1b[91mError\x1b[0m: Status information is unavailable\nERROR: TypeError: 'NoneType'\n"
            "\n Look for more details in crab.log file x\n",
            "Error: Status information is unavailable",
            StorageError,
        ),
    ],
    ids=["killed", "busy", "old", "not failed", "no cache", "no status"],
)
def test_the_cause_is_told_wherever_it_stands_and_all_of_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, reason: str, kind: type[StorageError]
) -> None:
    (tmp_path / "said").write_text(said + "Log file is /there/crab.log\n")
    (tmp_path / "crab").write_text(f"#!/bin/sh\ncat {tmp_path}/said; exit 200\n")
    (tmp_path / "crab").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(StorageError) as raised:
        CrabClient(tmp_path).resubmit("project", [2])
    assert type(raised.value) is kind
    log = tmp_path / "crab_client.log"
    assert (
        str(raised.value) == f"crab resubmit -d project --jobids: exit code 200: {reason} (all of it: {log})"
    )
    assert said in log.read_text()


def _client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> CrabClient:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "crab").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "crab").chmod(0o755)
    return CrabClient(tmp_path)


def test_a_shell_without_a_release_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client ends with exit code 0 then, whatever it was to do."""
    said = r"Error: \$CMSSW_VERSION is not defined. Make sure you do cmsenv first. Exiting..."
    client = _client(tmp_path, monkeypatch, f'echo; echo "{said}"')
    calls: list[Callable[[], object]] = [
        client.version,
        lambda: client.kill("project"),
        lambda: client.resubmit("project", [1]),
        lambda: client.check_write("T2_IT_Pisa", "/store/user/jdoe"),
        lambda: client.listed("name"),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match=r"Make sure you do cmsenv first.*source /cvmfs/cms\.cern\.ch"):
            call()


@pytest.mark.parametrize(
    "said",
    [
        "Problems creating proxy.",
        "Problems delegating My-proxy. Error",
        "It seems your proxy has not been delegated to myproxy. Please check the logfile",
        "YOUR USER CERTIFICATE IS EXPIRED (OR WILL EXPIRE IN LESS THEN 1 DAYS).",
    ],
)
def test_without_a_proxy_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    client = _client(tmp_path, monkeypatch, f'echo "{said}"; exit 194')
    with pytest.raises(StorageError, match=r"make a new one: voms-proxy-init -voms cms"):
        client.kill("project")


def test_what_cannot_be_understood_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = _client(tmp_path, monkeypatch, "echo first; printf 'caf\\351\\n'; echo last")
    told: list[Callable[[], object]] = [lambda: client.submit("config"), lambda: client.status("project")]
    for number, call in enumerate(told, 1):
        with pytest.raises(StorageError, match=r"last \(all of it: .*crab_client\.log\)"):
            call()
        assert (tmp_path / "crab_client.log").read_text().count("first\ncaf\ufffd\nlast") == number


def test_what_a_client_said_that_does_not_come_back_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flashsim_prod.grid.batch.crab.client._PATIENCE_S", 0.5)
    client = _client(tmp_path, monkeypatch, "echo asking for a pass phrase; exec sleep 5")
    with pytest.raises(StorageError, match=r"no answer after 0\.5 s; try again later"):
        client.submit("config")
    assert "asking for a pass phrase" in (tmp_path / "crab_client.log").read_text()


def test_nothing_is_submitted_while_a_client_that_was_left_behind_submits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it delivers is in no list yet; the command that started it was killed."""
    left = tmp_path / "left"
    client = _client(
        tmp_path,
        monkeypatch,
        f"mkfifo {left}; (cat {left}) </dev/null >/dev/null 2>&1 &\nsleep 0.1; exit 1",
    )
    with pytest.raises(StorageError):
        client.submit("config")
    again = CrabClient(tmp_path)
    with pytest.raises(StateError, match="a 'crab submit' still runs in"):
        again.submit("config")
    with pytest.raises(StateError, match="a 'crab submit' still runs in"):
        again.listed("name")
    left.write_text("over")
    (tmp_path / "crab").write_text("#!/bin/sh\necho 'No tasks found from 2026-10-30 until 2026-11-29'\n")
    for _ in range(50):
        try:
            assert again.listed("name") is None
            break
        except StateError:
            time.sleep(0.1)
    assert again.listed("name") is None


def test_tasks_are_asked_for_since_the_request_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _client(tmp_path, monkeypatch, 'echo "No tasks found from x until y"; echo "$@" > told')
    CrabClient(tmp_path, since=datetime.now(UTC) - timedelta(days=50)).listed("name")
    assert (tmp_path / "told").read_text() == "tasks --days 51\n"


def test_tasks_of_an_earlier_request_of_the_same_name_are_not_taken_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that was thrown away and made anew has the same contents, and so the same names of tasks."""
    listed = "260921_221536:jdoe_crab_toy_0a1b2c3d_007"
    client = _client(tmp_path, monkeypatch, f'printf "List of tasks from x until y\\n{listed}\\n"')
    assert client.listed("toy_0a1b2c3d_007") == listed
    for clock, found in (("22:20:00+00:00", True), ("22:30:00+00:00", False), ("00:20:00+02:00", True)):
        day = "2026-09-22" if clock.endswith("02:00") else "2026-09-21"
        client = CrabClient(tmp_path, since=datetime.fromisoformat(f"{day}T{clock}"))
        assert client.listed("toy_0a1b2c3d_007") == (listed if found else None), clock
        assert client.listed_below("toy_0a1b2c3d") == ({7: listed} if found else {}), clock
