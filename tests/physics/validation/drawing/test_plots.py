"""Figures are drawn on paper that is used again: nothing of one may be seen on the next."""

from __future__ import annotations

import numpy as np
import pytest

from flashsim_prod.physics.validation.drawing import canvas, plots
from flashsim_prod.physics.validation.proof.plots import example, gains, pulls
from flashsim_prod.physics.validation.proof.proof import Proof, Treatment
from flashsim_prod.physics.validation.statistics.clustered import Entries, Rates
from flashsim_prod.physics.validation.statistics.clustered import Test as ShapeTest

_TITLES = ("reference detector", "FlashSim")


def _entries(values) -> Entries:
    values = np.asarray(values, dtype=float)
    return Entries(values, np.arange(len(values)) // 3, np.ones(len(values)))


def _overlay(values, *, discrete=False) -> bytes:
    half = len(values) // 2
    one, other = _entries(values[:half]), _entries(values[half:])
    return plots.overlay_entries(one, other, label="x", titles=_TITLES, discrete=discrete, caption="x")


def _rates() -> bytes:
    found = Rates(
        (1.0, 10.0, 1000.0), (0.4, 0.8), (0.5, 0.7), (0.05, 0.05), (0.05, 0.05), 0.1, ShapeTest(1.0, 2, 0.6)
    )
    return plots.rates(found, label="pt", titles=_TITLES, quantity="efficiency", caption="x")


def _proof() -> Proof:
    treatment = Treatment(1.0, 0.01, 0.5, 0.5)
    bins = [(10.0, 20.0)] * 5
    edges, every, naive = (0.0, 1.0, 2.0), (0.1, -0.2), (0.3, 1.0)
    return Proof("HT", "HT", 6, treatment, treatment, 2.0, edges, *bins, every, naive)


_DRAWINGS = {
    "normal": lambda: _overlay(np.random.default_rng(1).normal(size=900)),
    "steep": lambda: _overlay(np.random.default_rng(2).exponential(size=900) ** 4),
    "categories": lambda: _overlay(np.random.default_rng(3).integers(0, 4, 900), discrete=True),
    "rates": _rates,
    "example": lambda: example(_proof(), caption="x"),
    "pulls": lambda: pulls(_proof(), caption="x"),
    "gains": lambda: gains([_proof()], caption="x"),
}


@pytest.fixture
def fresh(monkeypatch):
    """Paper that nothing was drawn on yet, for each figure."""
    monkeypatch.setattr(canvas, "_paper", canvas._blank)


@pytest.fixture
def on_fresh_paper(fresh) -> dict[str, bytes]:
    return {name: draw() for name, draw in _DRAWINGS.items()}


def test_a_figure_does_not_depend_on_those_before_it(on_fresh_paper, monkeypatch):
    monkeypatch.undo()
    for name in (*_DRAWINGS, *reversed(_DRAWINGS)):
        assert _DRAWINGS[name]() == on_fresh_paper[name], name


@pytest.mark.parametrize("number", range(2, 9))
def test_a_heat_map_of_any_size_is_a_picture(number):
    """Sizes that are no whole numbers of pixels, too."""
    names = [f"attribute{position}" for position in range(number)]
    assert plots.heat_map(np.eye(number) / 10, names, names).startswith(b"\x89PNG")


def test_bins_are_as_many_as_entries_can_fill(monkeypatch):
    seen = []
    monkeypatch.setattr(plots, "_overlay", lambda heights, *_, **__: seen.append(len(heights[0])) or b"")
    rng = np.random.default_rng(4)
    for number in (60, 1000, 100_000):
        _overlay(rng.normal(size=2 * number))
    assert seen == [12, 20, 40]
