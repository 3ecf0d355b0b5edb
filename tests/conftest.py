"""A state folder of its own for each test, and physics that takes milliseconds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from flashsim_prod.production.home import VARIABLE, Home, open_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty state folder, which all commands of the test use."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "home"))
    return open_home()


@pytest.fixture
def fake_physics(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Physics that takes milliseconds, in this process and in its workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import fake_physics

    originals = [
        (fake_physics.simulate, "simulate"),
        (fake_physics.simulate, "bound_bundle"),
        (fake_physics.merge, "merge"),
        (fake_physics.local_run, "worker_command"),
    ]
    for module, name in originals:
        # remembered by monkeypatch, which puts them back
        monkeypatch.setattr(module, name, getattr(module, name))
    fake_physics.install()
    yield fake_physics
    sys.modules.pop("fake_physics", None)
