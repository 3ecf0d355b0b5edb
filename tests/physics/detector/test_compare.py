"""The table of quantiles beside quantiles."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.detector.compare import LEVELS, quantile_table
from flashsim_prod.physics.events import Collection, Events


def _events(values: np.ndarray, flags: np.ndarray, met: np.ndarray) -> Events:
    counts = np.full(len(met), len(values) // len(met))
    return Events(len(met), {"MET_pt": met}, {"Jet": Collection(counts, {"qgl": values, "puId": flags})})


@pytest.fixture
def sample() -> Events:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(4000) < 0.25, -1.0, rng.random(4000)).astype(np.float32)
    return _events(
        values, rng.choice([0, 4, 6, 7], 4000).astype(np.int32), rng.random(1000).astype(np.float32)
    )


def test_quantiles_spikes_and_values_are_those_of_the_sample(sample: Events) -> None:
    table = quantile_table(sample, sample)
    assert [row.name for row in table.rows] == ["MET_pt", "nJet", "Jet_puId", "Jet_qgl"]
    qgl = table["Jet_qgl"].produced
    assert qgl.n == 4000
    assert qgl.quantiles == pytest.approx(np.quantile(sample["Jet"]["qgl"].astype(float), LEVELS))
    assert qgl.shares == {-1.0: pytest.approx((sample["Jet"]["qgl"] == -1).mean())}
    assert set(table["Jet_puId"].produced.shares) == {0.0, 4.0, 6.0, 7.0}


def test_equal_samples_have_no_distance_and_shifted_ones_have(sample: Events) -> None:
    assert all(row.distance == 0 for row in quantile_table(sample, sample).rows)
    shifted = sample.with_scalars({"MET_pt": sample.scalars["MET_pt"] + 0.5})
    table = quantile_table(shifted, sample).worst_first()
    assert table.rows[0].name == "MET_pt"
    assert table.rows[0].distance == pytest.approx(0.5, abs=0.05)


def test_what_only_one_sample_has_is_left_out(sample: Events) -> None:
    more = sample.with_scalars({"PV_z": sample.scalars["MET_pt"]})
    assert "PV_z" not in [row.name for row in quantile_table(more, sample).rows]
    only = quantile_table(sample, sample, collections=["Jet"])
    assert "MET_pt" not in [row.name for row in only.rows]


def test_an_empty_sample_is_shown_as_such(sample: Events) -> None:
    nothing = sample.with_collections({"Jet": sample["Jet"].select(np.zeros(4000, bool))})
    row = quantile_table(nothing, sample)["Jet_qgl"]
    assert row.produced.n == 0
    assert row.distance == 1.0
    assert "Jet_qgl" in str(quantile_table(nothing, sample))


def test_the_text_names_each_attribute_once_with_both_samples(sample: Events) -> None:
    lines = str(quantile_table(sample, sample, collections=["Jet"])).splitlines()
    assert len(lines) == 6
    assert sum("produced" in line for line in lines) == 3
    assert sum(line.startswith("Jet_qgl") for line in lines) == 1
