"""A small object model that reads no events, for tests of what learns and draws."""

from __future__ import annotations

import pytest

from flashsim_prod.physics.chain.model import Condition, NetworkSize, ObjectModel, Target


def toy_model(most: int) -> ObjectModel:
    """Draws a number and a flag for two conditions, at `most` so many objects for each source."""
    return ObjectModel(
        name="toy",
        produces="Toy",
        uses=(),
        source=lambda events: pytest.fail("nothing is read here"),
        conditions=(Condition("a"), Condition("b")),
        targets=(Target("x"), Target("flag")),
        match=lambda events, rows: pytest.fail("nothing is read here"),
        most=most,
        size=NetworkSize(width=16, blocks=1, time_frequencies=2, classifier=(8,), knots=4),
    )
