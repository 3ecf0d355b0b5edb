"""What is told of bins: which have enough events, and which are off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flashsim_prod.physics.analysis import closure, pictures

N, EDGES = 20_000, np.array([0.0, 1.0, 2.0, 3.0])


def compared(truth: Any, model: Any) -> closure.Bins:
    """Bins of values of the same generator events; the model's are of every draw."""
    rows = np.arange(len(truth))
    held_out: Any = SimpleNamespace(gen=rows, weight=np.ones(len(truth)))
    draws = np.tile(rows, closure._DRAWS)[: len(model)]
    return closure._compared("x", "x", EDGES, truth, model, closure._Sides(held_out, rows, draws))


def test_a_model_that_is_right_closes() -> None:
    rng = np.random.default_rng(1)
    found = compared(rng.uniform(0, 3, N), rng.uniform(0, 3, N * closure._DRAWS))
    assert found.enough.all()
    assert not found.off.any()
    assert found.ratio == pytest.approx(1, abs=0.05)


def test_a_model_that_draws_nothing_is_off_and_has_no_correlations() -> None:
    rng = np.random.default_rng(1)
    truth, none = rng.uniform(0, 3, 600), np.zeros(0)
    assert compared(truth, none).off.all()
    two = {"x": truth, "y": truth}
    assert closure._correlations(two, {"x": none, "y": none}, ["x", "y"]) == (0.0, ("x", "x"))


def test_titles_that_are_no_formulas_are_drawn_as_they_are(lacking: Callable[[str], None]) -> None:
    if not pictures.can_draw():
        lacking("matplotlib")
    assert pictures.is_math(r"missing $p_T$ [GeV]")
    odd = r"a $\frac{1}$ b"
    assert not pictures.is_math(odd)
    rng = np.random.default_rng(1)
    found = compared(rng.uniform(0, 3, 300), rng.uniform(0, 3, 300 * closure._DRAWS))
    assert pictures._drawn(replace(found, title=odd)).startswith(b"\x89PNG")


def test_few_events_tell_nothing() -> None:
    rng = np.random.default_rng(1)
    found = compared(rng.uniform(0, 3, 300), rng.uniform(0, 3, 300 * closure._DRAWS))
    assert not found.enough.any()
    assert found.worst is None


def test_what_is_far_off_is_told_however_large_it_makes_errors() -> None:
    rng = np.random.default_rng(1)
    truth, model = rng.uniform(0, 3, 600), rng.uniform(0, 1, 600 * closure._DRAWS)
    found = compared(truth, model)
    assert found.error[0] > closure.ENOUGH
    assert found.off.tolist() == [True, True, True]
    # even where the truth has nothing
    found = compared(truth[truth < 2], rng.uniform(0, 3, int((truth < 2).sum()) * closure._DRAWS))
    assert (found.truth[2], found.off[2]) == (0, True)
    assert found.worst == 2
