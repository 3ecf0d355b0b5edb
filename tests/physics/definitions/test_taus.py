"""What follows from other attributes of a tau: in any numbers, and in real files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.physics.definitions.taus import (
    ROUNDED_SHARE,
    WORKING_POINTS,
    decay_code,
    decay_of_code,
    deep_tau_bits,
    raw_isolation,
    tau_flags,
)
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")


@pytest.mark.parametrize("against", WORKING_POINTS)
def test_bits_count_the_working_points_from_the_loosest(against: str) -> None:
    cuts = WORKING_POINTS[against]
    between = np.array(
        [0.0, *(np.nextafter(np.float32(cut), 1, dtype=np.float32) for cut in cuts)], np.float32
    )
    assert deep_tau_bits(between, against).tolist() == [2**passed - 1 for passed in range(len(cuts) + 1)]
    assert set(deep_tau_bits(between, against).tolist()) == set(
        V9.branch(f"Tau_idDeepTau2017v2p1VS{against}").legal or ()
    )


@given(st.sampled_from([1, 2, 5, 6, 10, 11]), st.floats(0.29, 2.0), st.floats(0.0, 1.0))
def test_decay_mode_and_mass_survive_their_code(mode: int, mass: float, lead: float) -> None:
    found, back, _ = decay_of_code(decay_code(np.array([mode]), np.array([mass]), np.array([lead])))
    assert found.tolist() == [mode]
    assert back == pytest.approx([mass], rel=1e-3)


def test_a_single_track_has_the_mass_of_the_pion_and_all_of_the_pt() -> None:
    shares = np.array([1.0, ROUNDED_SHARE])
    mode, mass, lead = decay_of_code(decay_code(np.zeros(2, int), np.full(2, 0.1395), shares))
    assert mode.tolist() == [0, 0]
    assert mass == pytest.approx([0.13957] * 2)
    assert lead.tolist() == shares.tolist()


@given(st.floats(-1.0, 8.0))
def test_any_code_is_a_legal_decay(code: float) -> None:
    mode, mass, _ = decay_of_code(np.array([code]))
    assert int(mode[0]) in (V9.branch("Tau_decayMode").legal or ())
    assert 0.13 < mass[0] < 5.0


@pytest.mark.parametrize("name", ["dyjets_ul17_v8like", "dyjets_v6like"])
def test_real_taus_follow_the_same_rules(name: str) -> None:
    folder = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not folder:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
    from flashsim_prod.physics.nanoaod.reader import NanoFile

    with NanoFile(str(Path(folder) / f"{name}.root")) as file:
        taus = file.read(sorted(one for one in file.branches if one.startswith("Tau_")), 0, file.n_entries)[
            "Tau"
        ]
    assert taus.n_objects > 20
    flags = tau_flags(taus.columns)
    for against in WORKING_POINTS:
        column = f"idDeepTau2017v2p1VS{against}"
        assert np.array_equal(flags[column], taus[column])
    parts = [taus[one].astype(float) for one in ("chargedIso", "neutralIso", "puCorr")]
    np.testing.assert_allclose(raw_isolation(*parts), taus["rawIso"], rtol=2e-3, atol=2e-3)
