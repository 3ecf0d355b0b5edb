"""Generator events and an interpreter with ROOT, once for all tests that need them."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest

from flashsim_prod import resources
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.physics.events import Events


@pytest.fixture(scope="session")
def gen() -> Events:
    """Sixty top quark pairs."""
    from flashsim_prod.physics.generator.pythia import PythiaSource

    path = resources.jobs_dir() / "ttbar.yaml"
    card = ProcessCard.from_yaml(path.read_text(), path.name)
    source = PythiaSource(card, 13.0, n_events=60, seed=11, pileup_seed=12)
    return next(iter(source.chunks(60)))


@pytest.fixture(scope="session")
def root_python() -> str:
    """An interpreter that can import ROOT; without one a test is skipped, but fails where CI is set."""
    named = os.environ.get("FLASHSIM_PROD_ROOT_PYTHON")
    if named:
        return named
    if importlib.util.find_spec("ROOT") is not None:
        return sys.executable
    reason = "no ROOT: install the extra 'root', or set FLASHSIM_PROD_ROOT_PYTHON"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
