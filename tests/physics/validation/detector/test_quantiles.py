"""Correlations and quantiles of files that have different attributes."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.validation.detector.quantiles import _joined, _source, correlations


def _pair(n: int, correlation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    one = rng.normal(size=n)
    return one, correlation * one + np.sqrt(1 - correlation**2) * rng.normal(size=n)


def test_what_goes_together_is_told_of_those_that_have_both() -> None:
    one, other = _pair(4000, 0.8, 1)
    whole = correlations([one, other])
    assert whole[0, 1] == pytest.approx(0.8, abs=0.03)
    # half of the objects are of a file that does not know the second
    partly = np.where(np.arange(4000) < 2000, other, np.nan)
    assert correlations([one, partly])[0, 1] == pytest.approx(0.8, abs=0.04)
    both = correlations([one[:2000], other[:2000]])
    assert correlations([one, partly])[0, 1] == pytest.approx(both[0, 1])
    never = np.where(np.arange(4000) < 2000, np.nan, one)
    assert correlations([never, partly])[0, 1] == 0


def test_a_score_that_one_file_has_is_moved_by_that_file_alone() -> None:
    pt, score = _pair(300, 0.5, 2)
    real = _joined([{"pt": pt, "score": score + 3.0}, {"pt": pt}])
    made = _joined([{"pt": pt, "score": score}, {"pt": pt}])
    source = _source(real, made, frozenset({"pt"}), turned=True)
    assert source is not None
    assert source.names == ("pt", "score")
    assert (source.before["score"].value[0], source.after["score"].value[0]) == pytest.approx(
        (score.min(), score.min() + 3.0), rel=1e-3
    )
    few = _joined([{"pt": pt[:30], "score": score[:30]}, {"pt": pt}])
    assert _source(few, few, frozenset({"pt"}), turned=True) is None
