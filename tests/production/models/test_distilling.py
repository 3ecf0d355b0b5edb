"""What students are taught by where there are no tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
from flashsim_prod.physics.training.distilling.sources import Sources
from flashsim_prod.production.models.changing import distilling
from flashsim_prod.production.models.changing.distilling import DistilDisplay, DistilOptions, _Lessons


def test_what_another_bundle_was_asked_for_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[str] = []

    def gathered(lessons: _Lessons, folder: Path) -> None:
        run.append(lessons._teachers.digest)
        n = 300
        sources = Sources(np.zeros((n, 2), np.float32), np.arange(n), np.zeros(n, dtype=bool))
        folder.mkdir(parents=True)
        sources.save(folder / "met.safetensors")
        distilling.write_whole(folder / "all", lessons._terms + "\n")

    monkeypatch.setattr(_Lessons, "_gather", gathered)
    bundle = load_bundle(find_bundle("reference"))
    other = replace(bundle, digest="0" * 64)
    few = DistilOptions(objects=1000)
    for teachers, options in ((bundle, few), (bundle, few), (other, few), (other, DistilOptions(events=7))):
        assert len(_Lessons(teachers, None, tmp_path, options, DistilDisplay()).of("met")) == 300
    assert run == [bundle.digest, other.digest, other.digest]
