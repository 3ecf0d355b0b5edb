"""A BMC where ipmitool finds it; programs that only CI must have."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))

from bmc_sim import Bmc, serve_dummy


@pytest.fixture(scope="session")
def need(lacking: Callable[[str], None]) -> Callable[[str], None]:
    """Skip without a program that only CI must have."""

    def check(program: str) -> None:
        if shutil.which(program) is None:
            lacking(program)

    return check


@pytest.fixture
def served(
    need: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Bmc], None]:
    """A function that puts a BMC where ``ipmitool -I dummy`` finds it."""
    need("ipmitool")

    def serve(bmc: Bmc) -> None:
        path = tmp_path / "bmc.sock"
        serve_dummy(path, bmc)
        monkeypatch.setenv("IPMI_DUMMY_SOCK", str(path))

    return serve
