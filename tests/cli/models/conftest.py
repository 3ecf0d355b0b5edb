"""The tables of one object model, and a bundle of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flashsim_prod.physics.training.assemble import build_bundle
from tests.untaught import MODEL, fit_nothing


@pytest.fixture
def work(training_sample: Path, tmp_path: Path) -> Path:
    """A work folder with the tables of one object model."""
    shutil.copytree(training_sample / "work" / "tables" / MODEL, tmp_path / "work" / "tables" / MODEL)
    return tmp_path / "work"


@pytest.fixture
def base(work: Path, tmp_path: Path) -> str:
    """A bundle of that model, which has learned nothing but how attributes are distributed."""
    fit_nothing(work, tmp_path / "fit")
    about = {"name": "b", "title": "t", "tag": "T", "training_sample": ("s",)}
    return str(build_bundle({MODEL: tmp_path / "fit"}, tmp_path / "b", **about).path)
