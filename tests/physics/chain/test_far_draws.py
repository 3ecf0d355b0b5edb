"""Draws from the far tails give attributes that a detector could have."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.chain.model import Rows
from flashsim_prod.physics.chain.objects import electron_form, secondary_vertex
from flashsim_prod.physics.definitions.egamma import TRACKER_END

N = 200


def _rows(**columns: float | np.ndarray) -> Rows:
    filled = {name: np.broadcast_to(np.asarray(value, float), N).copy() for name, value in columns.items()}
    return Rows(np.arange(N), np.zeros(N, dtype=np.int64), filled)


def test_secondary_vertices_stay_where_tracks_are() -> None:
    rng = np.random.default_rng(1)
    rows = _rows(eta=rng.uniform(-2.4, 2.4, N), phi=0.0, PV_x=0.0, PV_y=0.0, PV_z=0.0)
    names = [target.name for target in secondary_vertex.MODELS[0].targets]
    drawn = {name: np.ones(N) for name in names} | {
        "distance": rng.uniform(0.0, 6.0, N),
        "bearing": rng.uniform(-np.pi, np.pi, N),
        "tracks": np.full(N, 3 * 32 + 2.0),
    }
    made = secondary_vertex.MODELS[0].assemble(drawn, rows)
    assert np.abs(made["eta"]).max() <= TRACKER_END
    straight = rows["eta"] + drawn["distance"] * np.cos(drawn["bearing"])
    inside = np.abs(straight) < TRACKER_END
    np.testing.assert_allclose(made["eta"][inside], straight[inside])
    assert 0 < inside.sum() < N
    drawn["distance"] = np.full(N, 0.3)
    assert (np.abs(secondary_vertex.MODELS[0].assemble(drawn, rows)["eta"]) < TRACKER_END).all()


def test_electrons_come_from_within_the_tracker() -> None:
    rows = _rows(
        pt=30.0, eta=0.5, phi=0.0, charge=1.0, vertex_z=0.0, vertex_shift=0.0, jet_pt=40.0, jet_raw=38.0
    )
    drawn = {target.name: np.ones(N) for target in electron_form.TARGETS}
    drawn |= {"dxy": np.linspace(-500, 500, N), "dz": np.linspace(-500, 500, N), "dzErr": np.full(N, 3.0)}
    made = electron_form.assemble(drawn, rows)
    radius, length = electron_form.TRACKER
    assert np.abs(made["dxy"]).max() == radius
    assert np.abs(made["dz"]).max() == length
    within = np.abs(drawn["dxy"]) < radius
    np.testing.assert_allclose(made["dxy"][within], drawn["dxy"][within])
    # the impact parameter in space follows from what is stored
    assert made["ip3d"].max() <= np.hypot(radius, length)
