"""What students are taught by where there are no tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.files import write_whole
from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
from flashsim_prod.physics.training.distilling.sources import Sources
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tuning import folder as tuning
from flashsim_prod.production.models.changing.distilling import DistilDisplay, DistilOptions
from flashsim_prod.production.models.changing.lessons import Lessons


def test_what_another_bundle_was_asked_for_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[str] = []

    def gathered(lessons: Lessons, folder: Path) -> None:
        run.append(lessons._teachers.digest)
        n = 300
        sources = Sources(np.zeros((n, 2), np.float32), np.arange(n), np.zeros(n, dtype=bool))
        folder.mkdir(parents=True)
        sources.save(folder / "met.safetensors")
        write_whole(folder / "all", lessons._terms + "\n")

    monkeypatch.setattr(Lessons, "_gather", gathered)
    bundle = load_bundle(find_bundle("reference"))
    other = replace(bundle, digest="0" * 64)
    few = DistilOptions(objects=1000)
    for teachers, options in ((bundle, few), (bundle, few), (other, few), (other, DistilOptions(events=7))):
        assert len(Lessons(teachers, None, tmp_path, options, DistilDisplay()).of("met")) == 300
    assert run == [bundle.digest, other.digest, other.digest]


def test_weights_of_tables_that_students_do_not_know_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(find_bundle("reference"))
    n = 300
    table = Table(np.zeros((n, 2), np.float32), np.ones(n, np.int64), np.arange(n), {})
    for weight, told in ((None, ()), (np.full(n, 0.5), ("met: tables with a weight, which only fits",))):
        weighted = replace(table, weight=weight)
        monkeypatch.setattr(tuning, "table_for", lambda *_, found=weighted: found)
        lessons = Lessons(bundle, tmp_path, tmp_path, DistilOptions(), DistilDisplay())
        lessons.of("met")
        assert len(lessons.weights) == len(told)
        assert all(part in line for part, line in zip(told, lessons.weights, strict=True))
