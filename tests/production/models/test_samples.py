"""Samples to train on: how far they are is told, and what is there is never overwritten."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.physics.drawn_from import DrawnFrom
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.training.table import Table
from flashsim_prod.production.models import samples
from flashsim_prod.production.models.drawing import Drawings, Drawn, Portion
from flashsim_prod.production.models.samples import extract_tables, generate_sample, reconstruct_sample


def test_each_step_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []

    def progress(task: str, done: int, total: int | None) -> None:
        told.append((task, done, total))

    gen, full = tmp_path / "gen.root", tmp_path / "full.root"
    made = generate_sample("ttbar", gen, events=6, energy_tev=None, seed=1, progress=progress)
    assert (made.card, made.output, made.events) == ("ttbar", gen, 6)
    assert told == [("ttbar -> gen.root", 6, 6)]
    told.clear()
    again = reconstruct_sample([str(gen)], full, folds=2, seed=1, progress=progress)
    assert (again.output, again.events) == (full, 12)
    # how many there will be is known at the end only
    assert told == [("full.root", 12, None), ("full.root", 12, 12)]
    told.clear()
    drawn = extract_tables([str(full)], tmp_path, ["met"], progress=progress)
    assert told == [("full.root", 12, 12)]
    assert (drawn.sizes["met"].objects, drawn.kept_files) == (12, 0)
    assert extract_tables([str(full)], tmp_path, ["met"], progress=progress).kept_files == 1


def test_copies_that_are_drawn_at_the_same_time_are_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(portions: Sequence[Portion], models: object, tables: Path, **_: object) -> Drawings:
        (tables / "met").mkdir(parents=True, exist_ok=True)
        table = Table(np.zeros((5, 1), np.float32), np.ones(5, np.int64), np.arange(5), {})
        for one in portions:
            origin = DrawnFrom(one.url, "1", 5, 5, 5, n_bytes=700 if "twin" in one.url else 100)
            table.save(tables / "met" / f"{Path(one.url).stem}.safetensors", source=origin)
        return Drawings({one.url: Drawn(5) for one in portions})

    monkeypatch.setattr(samples, "draw", drawn)
    extract_tables(["a.root", "twin.root"], tmp_path, ["met"], progress=print)
    with pytest.raises(InputError, match=r"are of copies of one file \(twin\.root, b/twins\.root\)"):
        extract_tables(["b/twins.root"], tmp_path, ["met"], progress=print)


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    there = tmp_path / "there.root"
    there.write_text("text")

    def never(*_: object) -> None:
        pytest.fail("nothing is to be made")

    with pytest.raises(RequestError, match="exists"):
        generate_sample("ttbar", there, events=1, energy_tev=None, seed=1, progress=never)
    with pytest.raises(RequestError, match="exists"):
        reconstruct_sample([str(there)], there, folds=1, seed=1, progress=never)
    assert there.read_text() == "text"


def test_constituents_go_with_an_era_whose_files_have_them(tmp_path: Path) -> None:
    def quiet(*_: object) -> None:
        pass

    gen, full = tmp_path / "gen.root", tmp_path / "full.root"
    generate_sample("ttbar", gen, events=2, energy_tev=None, seed=1, progress=quiet)
    with pytest.raises(
        RequestError, match=r"--constituents: NanoAOD v15, as which Run3_2022 is written, has"
    ):
        reconstruct_sample(
            [str(gen)], full, folds=1, seed=1, era="Run3_2022", constituents=True, progress=quiet
        )
    assert not full.exists()
    made = reconstruct_sample(
        [str(gen)], full, folds=1, seed=1, era="UL18", constituents=True, progress=quiet
    )
    assert (made.era, made.nano) == ("UL18", "v9")
    with NanoFile(str(full)) as file:
        assert {"PFCands_pt", "JetPFCands_jetIdx"} <= file.branches


def test_to_draw_tables_loads_no_networks(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from flashsim_prod.production.models import samples; "
        f"samples.extract_tables([], Path({str(tmp_path)!r}), [], progress=print); "
        "print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
