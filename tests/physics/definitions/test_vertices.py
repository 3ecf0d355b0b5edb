"""OtherPV: as many as NanoAOD keeps, spread along the beam."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.definitions.vertices import BEAM_SPOT_Z, other_vertices


def test_at_most_three_and_none_where_there_is_one_vertex_only() -> None:
    found = np.array([0, 1, 2, 3, 4, 40], np.int32)
    made = other_vertices({"PV_npvs": found}, np.zeros((6, 3)))
    assert made.counts.tolist() == [0, 0, 1, 2, 3, 3]
    assert made["z"] == pytest.approx(BEAM_SPOT_Z[0])


def test_an_event_takes_its_own_numbers() -> None:
    normals = np.arange(6.0).reshape(2, 3)
    made = other_vertices({"PV_npvs": np.array([2, 9])}, normals)
    assert (made["z"] - BEAM_SPOT_Z[0]) / BEAM_SPOT_Z[1] == pytest.approx([0, 3, 4, 5], abs=1e-5)
