"""What differs from one data-taking period to the next."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.errors import ConfigError
from flashsim_prod.physics.definitions.jets_muons import pileup_id
from flashsim_prod.physics.eras import ERAS, find_era
from flashsim_prod.physics.generator.pileup import find_profile

DISC = np.array([-0.96, -0.9, 0.5, 0.99])
PT, ETA = np.full(4, 15.0), np.full(4, 1.0)


@pytest.mark.parametrize(
    ("era", "bits"),
    [
        ("UL18", [0, 4, 6, 7]),
        ("UL17", [0, 4, 6, 7]),
        # as NanoAODv9 has them in 2016: the loosest is bit 1
        ("UL16preVFP", [0, 1, 3, 7]),
        ("UL16postVFP", [0, 1, 3, 7]),
    ],
)
def test_pileup_identification_of_each_era(era: str, bits: list[int]) -> None:
    assert pileup_id(DISC, PT, ETA, era).tolist() == bits


@pytest.mark.parametrize("era", ERAS)
def test_each_era_has_its_pileup_and_its_beam_spot(era: str) -> None:
    find_profile(era.replace("UL", "Run2_20"))


def test_other_eras_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown era 'UL16'; did you mean"):
        find_era("UL16")
    with pytest.raises(ConfigError, match="unknown era '2022'"):
        pileup_id(DISC, PT, ETA, "2022")
