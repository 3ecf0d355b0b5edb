"""Bundles of what was fitted: what they say they were trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flashsim_prod.physics.drawn_from import DrawnFrom
from flashsim_prod.physics.training.table import Table
from flashsim_prod.production.models.assembling import _tables_of


def test_parts_of_a_file_that_models_learned_from_are_all_told(tmp_path: Path) -> None:
    table = Table(np.zeros((1, 1), np.float32), np.ones(1, np.int64), np.zeros(1, np.int64), {})
    for model, first in (("a", 0), ("b", 50), ("c", 50)):
        folder = tmp_path / "tables" / model
        folder.mkdir(parents=True)
        table.save(folder / "x.safetensors", source=DrawnFrom("x.root", "1", 50, 100, 1, first))
    assert _tables_of(tmp_path) == ["x, events 0:50", "x, events 50:100"]
