"""Generator particles stand on a coarse grid, and files link objects to any copy of a particle."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.chain.egamma_features import particle_row
from flashsim_prod.physics.detector.truth import unrounded
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.precision import rounded


def test_particles_leave_the_grid_by_less_than_half_a_step() -> None:
    rng = np.random.default_rng(1)
    true = {"pt": rng.exponential(30, 5000), "eta": rng.normal(0, 1.5, 5000), "phi": rng.uniform(-3, 3, 5000)}
    stored = {name: rounded(one.astype(np.float32), 8) for name, one in true.items()}
    found = unrounded(Collection(np.array([5000]), dict(stored)))
    for name, one in stored.items():
        assert np.mean(rounded(found[name].astype(np.float32), 8) == one) > 0.99
        assert len(np.unique(found[name])) > 4900
    # as far from the grid as what was rounded
    off = [np.abs(one - stored["phi"]).mean() for one in (found["phi"], true["phi"])]
    assert 0.9 < off[0] / off[1] < 1.1
    again = unrounded(Collection(np.array([5000]), dict(stored)))
    assert np.array_equal(again["eta"], found["eta"])


def test_objects_of_an_earlier_copy_are_of_the_same_particle() -> None:
    # a W, its electron in the hard process and after radiation, and another electron
    particles = Collection(
        np.array([4]),
        {"pdgId": np.array([24, -11, -11, 11]), "genPartIdxMother": np.array([-1, 0, 1, -1])},
    )
    electrons = Collection(np.array([4]), {"genPartIdx": np.array([1, 2, 3, -1])})
    events = Events(1, {}, {"GenPart": particles})
    assert particle_row(events, electrons, np.array([2, 3])).tolist() == [0, 0, 1, -1]
    assert particle_row(events, electrons, np.array([], np.int64)).tolist() == [-1] * 4
