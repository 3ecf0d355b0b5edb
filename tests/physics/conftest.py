"""Generator events, once for all tests that need some."""

from __future__ import annotations

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
