"""The tables of one object model, and a bundle of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.untaught import MODEL, untaught_bundle


@pytest.fixture
def work(training_sample: Path, tmp_path: Path) -> Path:
    """A work folder with the tables of one object model."""
    shutil.copytree(training_sample / "work" / "tables" / MODEL, tmp_path / "work" / "tables" / MODEL)
    return tmp_path / "work"


@pytest.fixture
def base(work: Path, tmp_path: Path) -> str:
    """A bundle of that model, which has learned nothing but how attributes are distributed."""
    return untaught_bundle(work, tmp_path)
