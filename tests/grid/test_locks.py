"""One driver per request, and none left over from the dead."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from flashsim_prod.errors import LockedError, StorageError
from flashsim_prod.grid.locks import is_driven, request_lock

HOLD = """
import sys, time
from pathlib import Path
from flashsim_prod.grid.locks import request_lock
with request_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_driver_is_told_who_holds_the_request(tmp_path: Path, start_python) -> None:
    assert not is_driven(tmp_path)
    holder = start_python(HOLD, tmp_path)
    assert holder.stdout.readline() == "held\n"
    assert is_driven(tmp_path)
    with pytest.raises(LockedError, match=f"process {holder.pid} on .* request {tmp_path.name}"):  # noqa: SIM117
        with request_lock(tmp_path):
            pytest.fail("two drivers at once")

    holder.kill()
    holder.wait()
    assert not is_driven(tmp_path)
    with request_lock(tmp_path):
        assert is_driven(tmp_path)
    assert not is_driven(tmp_path)


def test_holder_unknown(tmp_path: Path, start_python) -> None:
    holder = start_python(HOLD, tmp_path)
    assert holder.stdout.readline() == "held\n"
    (tmp_path / "driver.json").unlink()
    with pytest.raises(LockedError, match="another command is at work"), request_lock(tmp_path):
        pytest.fail("two drivers at once")


def test_a_look_never_keeps_a_driver_out(tmp_path: Path) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            is_driven(tmp_path)

    with request_lock(tmp_path):
        pass
    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(30):
            with request_lock(tmp_path):
                pass
    finally:
        stop.set()
        looker.join()


def test_lock_is_released_by_errors(tmp_path: Path) -> None:
    with pytest.raises(KeyError), request_lock(tmp_path):
        raise KeyError
    with request_lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / "driver.json").read_text()


def test_folder_that_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="locking"), request_lock(tmp_path / "file" / "request"):
        pytest.fail("locked what is no folder")
