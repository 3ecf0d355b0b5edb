"""Cards as shipped, generated events shared by tests, and events written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.particles import Particles, PythiaParticles
from flashsim_prod.physics.generator.pythia import PythiaSource
from flashsim_prod.resources import jobs_dir

#: one particle by hand: PDG code, Pythia's status code, mother's position, px, py, pz, mass
Row = tuple[int, int, int, float, float, float, float]


@pytest.fixture(scope="session")
def card() -> Callable[[str], ProcessCard]:
    def load(name: str) -> ProcessCard:
        path = jobs_dir() / f"{name}.yaml"
        return ProcessCard.from_yaml(path.read_text(encoding="utf-8"), str(path))

    return load


@pytest.fixture(scope="session")
def ttbar(card: Callable[[str], ProcessCard]) -> Events:
    """150 top-pair events."""
    source = PythiaSource(card("ttbar"), 13.0, n_events=150, seed=11, pileup_seed=12)
    return Events.concatenate(source.chunks(1000))


@pytest.fixture
def by_hand() -> Callable[[Sequence[Row]], Particles]:
    """One event from its particles; entry 0 is the system, as in Pythia's record."""

    def build(rows: Sequence[Row]) -> Particles:
        table = np.array([(90, -11, -1, 0.0, 0.0, 0.0, 0.0), *rows])
        ids, code, mother = (table[:, column].astype(np.int64) for column in range(3))
        px, py, pz, mass = (table[:, column] for column in range(3, 7))
        daughter = np.full(len(table), -1, dtype=np.int64)
        for child in range(len(table) - 1, 0, -1):
            if mother[child] >= 0:
                daughter[mother[child]] = child
        return PythiaParticles(
            counts=np.array([len(table)]),
            pdg_id=ids,
            code=code,
            mother=mother,
            mother2=np.full(len(table), -1, dtype=np.int64),
            daughter=daughter,
            px=px,
            py=py,
            pz=pz,
            energy=np.sqrt(px**2 + py**2 + pz**2 + mass**2),
            mass=mass,
        )

    return build
