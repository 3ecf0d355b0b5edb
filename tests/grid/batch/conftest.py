"""Fake physics on the nodes of a batch system, and requests that are placed there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.site import Site
from flashsim_prod.production.home import Home
from tests.batch_systems import place_toy


@pytest.fixture
def trouble(tmp_path: Path) -> Path:
    """The folder that tells the fake physics what is to go wrong."""
    folder = tmp_path / "trouble"
    folder.mkdir()
    return folder


@pytest.fixture
def placed(home: Home, fake_physics: Any) -> Callable[..., str]:
    """A function that places a request of `jobs` simulate jobs of 10 events; its name."""

    def do(site: Site, jobs: int, *, where: Home = home, **changes: Any) -> str:
        return place_toy(where, site, jobs, **changes).request.name

    return do
