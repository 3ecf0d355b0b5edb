"""Geometry and fit of secondary vertices: consistent with themselves and with real files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.physics.definitions.vertices import (
    Flight,
    displacement_of,
    fit_columns,
    flight_of,
    position_columns,
)
from flashsim_prod.physics.events import Events

_ANGLE = st.floats(-3.1, 3.1)


@given(st.floats(-2.5, 2.5), _ANGLE, st.floats(0.01, 50.0), st.floats(0.001, 3.0), _ANGLE)
def test_flight_survives_its_displacement(
    eta: float, phi: float, length: float, angle: float, azimuth: float
) -> None:
    eta_, phi_ = np.array([eta]), np.array([phi])
    flight = Flight(np.array([length]), np.array([angle]), np.array([azimuth]))
    back = flight_of(eta_, phi_, displacement_of(eta_, phi_, flight))
    assert back.length == pytest.approx([length])
    assert back.angle == pytest.approx([angle], rel=1e-6, abs=1e-7)
    assert np.cos(back.azimuth - azimuth) == pytest.approx([1.0], abs=1e-6)


def test_straight_flight_goes_along_the_momentum() -> None:
    x, y, z = displacement_of(
        np.array([0.0]), np.array([np.pi / 2]), Flight(np.array([2.0]), np.zeros(1), np.zeros(1))
    )
    assert (x[0], y[0], z[0]) == pytest.approx((0.0, 2.0, 0.0), abs=1e-12)


@given(st.floats(0.0, 40.0), st.integers(2, 12))
def test_fit_is_that_of_its_tracks(chi2: float, tracks: int) -> None:
    fit = fit_columns(np.array([chi2]), np.array([tracks]))
    assert -3.0 < fit["ndof"][0] < 2 * tracks - 3
    assert fit["chi2"][0] * fit["ndof"][0] == pytest.approx(chi2, abs=0.1)


@pytest.fixture(scope="module", params=["dyjets_ul17_v8like", "ttbar_opendata2015_v9"])
def real(request: pytest.FixtureRequest) -> Events:
    folder = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not folder:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
    from flashsim_prod.physics.nanoaod.reader import NanoFile

    with NanoFile(str(Path(folder) / f"{request.param}.root")) as file:
        names = sorted(one for one in file.branches if one.startswith(("SV_", "PV_")))
        return file.read(names, 0, file.n_entries)


def test_real_positions_follow_from_flight(real: Events) -> None:
    vertices = real["SV"]
    primary = tuple(real.scalars[f"PV_{axis}"].astype(float)[vertices.event_index] for axis in "xyz")
    eta, phi = vertices["eta"].astype(float), vertices["phi"].astype(float)
    x, y, z = (vertices[axis] - start for axis, start in zip("xyz", primary, strict=True))
    made = position_columns(eta, phi, flight_of(eta, phi, (x, y, z)), primary)
    for name in ("x", "y", "z", "dlen", "dxy"):
        np.testing.assert_allclose(made[name], vertices[name], rtol=3e-3, atol=1e-3)
    np.testing.assert_allclose(made["pAngle"], vertices["pAngle"], atol=3e-3)


def test_real_two_track_fits_follow_from_their_chi2(real: Events) -> None:
    vertices = real["SV"]
    good = (vertices["ntracks"] == 2) & (vertices["ndof"] > 0.5)
    chi2 = (vertices["chi2"] * vertices["ndof"]).astype(float)[good]
    made = fit_columns(chi2, vertices["ntracks"].astype(np.int64)[good])
    np.testing.assert_allclose(made["ndof"], vertices["ndof"][good], atol=0.05)
