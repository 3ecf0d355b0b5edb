"""``train compare`` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.training import tables
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.table import Table, table_digest
from flashsim_prod.physics.validation.models import kinds
from flashsim_prod.physics.validation.models.constituents import summed_up
from flashsim_prod.physics.validation.models.kinds import Notes, on_the_whole, split
from flashsim_prod.physics.validation.statistics.c2st import tell_apart
from tests.untaught import MODEL

Cli = Callable[..., Any]


def test_kinds_are_compared_and_what_is_there_is_kept(
    cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what a step takes is measured, and does not matter here
    monkeypatch.setattr(kinds, "_STEPS_TIMED", 8)
    options = ("--work", str(work), "--minutes", "0.001", "--objects", "300")
    told = cli("train", "compare", MODEL, "--kinds", "flow,gan", *options, "--json")
    assert told.code == 0
    flow, gan = told.json["standings"]
    assert [(one["model"], one["kind"]) for one in (flow, gan)] == [(MODEL, "flow"), (MODEL, "gan")]
    for one in (flow, gan):
        assert one["objects"] >= 300
        assert 0.3 < one["auc"] <= 1
        assert min(one["median_w1"], one["objects_per_s"], one["weight_bytes"], one["steps"]) > 0
    # the same truth on both sides
    assert flow["floor"] == gan["floor"]
    folder = work / "kinds"
    assert (folder / "auc_cost.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((folder / "compared.json").read_text())["standings"] == [flow, gan]
    # nothing of it is made again, and other terms are another comparison
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    told = cli("train", "compare", MODEL, "--kinds", "gan,flow", *options)
    assert (told.code, "AUC" in told.out) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")} == made
    again = cli("train", "compare", MODEL, "--kinds", "flow", *options, "--seed", "2", "--json").json
    assert again["standings"] != [flow]


def test_tables_with_a_weight_are_no_tables_to_compare_by(
    cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tables.load_tables(work / "tables", find_model(MODEL))
    weighted = replace(table, weight=np.full(len(table.number), 2.0))
    monkeypatch.setattr(tables, "load_tables", lambda *_: weighted)
    told = cli("train", "compare", MODEL, "--work", str(work), "--minutes", "0.001")
    assert (told.code, "tables with a weight, which only" in told.complaint) == (10, True)


def test_tables_of_as_many_objects_begin_a_comparison_anew(tmp_path: Path) -> None:
    table = Table(np.zeros((9, 1), np.float32), np.ones(9, np.int64), np.arange(9), {"x": np.arange(9.0)})
    other = replace(table, targets={"x": np.arange(9.0)[::-1]})
    folder, terms = tmp_path / "gan", [{"seed": 1, "tables": table_digest(one)} for one in (table, other)]
    # what was begun by a version that did not look at them is taken up, once
    folder.mkdir()
    (folder / "terms.json").write_text(json.dumps({"terms": {"seed": 1}, "steps": 7, "seconds": 2.0}))
    (folder / "result.json").touch()
    assert [Notes.of(folder, terms[0]).steps for _ in range(2)] == [7, 7]
    assert (folder / "result.json").exists()
    assert Notes.of(folder, terms[1]).steps == 0
    assert not list(folder.iterdir())
    # what an afternoon went into stays beside, and comes back with its terms
    Notes(folder / "terms.json", terms[1], steps=5).write()
    assert Notes.of(folder, terms[0]).steps == 7
    assert (folder / "result.json").exists()
    assert Notes.of(folder, terms[1]).steps == 5
    assert not (folder / "result.json").exists()


def test_members_of_sets_are_told_apart_as_sets() -> None:
    rng = np.random.default_rng(4)
    of_set = np.repeat(np.arange(3000), rng.integers(2, 6, 3000))
    common = rng.normal(size=3000)
    together = np.stack((common[of_set] + rng.normal(size=len(of_set)), rng.normal(size=len(of_set))), 1)
    alone = rng.permutation(together)
    sets, other = on_the_whole(together, of_set), on_the_whole(alone, of_set)
    assert sets.shape == (3000, 8)
    assert sets[:, 0] == pytest.approx(np.bincount(of_set, together[:, 0]) / np.bincount(of_set))
    largest = np.full(3000, -np.inf)
    np.maximum.at(largest, of_set, together[:, 0])
    assert np.array_equal(sets[:, 6], largest)
    group = np.arange(3000)
    # single members are distributed alike, and sets are not
    assert tell_apart(sets, other, (group, group), seed=1, iterations=20).auc.value > 0.6
    one, two = (of_set, of_set)
    assert tell_apart(together, alone, (one, two), seed=1, iterations=20).auc.value < 0.55


def test_what_is_made_right_afterwards_tells_no_sets_apart() -> None:
    rng = np.random.default_rng(4)
    of_set = np.repeat(np.arange(400), rng.integers(1, 9, 400))
    drawn = {"share": rng.exponential(size=len(of_set)), "d0": rng.normal(size=len(of_set))}
    drawn |= {name: rng.normal(size=len(of_set)) for name in ("deta", "dphi")}
    by = rng.uniform(0.5, 2, size=(4, 400))[:, of_set]
    moved = {"share": by[0] * drawn["share"], "d0": drawn["d0"]}
    moved |= {name: by[1] * drawn[name] + by[2 + n] for n, name in enumerate(("deta", "dphi"))}
    found, other = summed_up(drawn, of_set), summed_up(moved, of_set)
    several = np.bincount(of_set)[of_set] > 1
    for name, column in found.items():
        assert other[name][several] == pytest.approx(column[several], abs=1e-8)
    assert np.bincount(of_set, found["share"]) == pytest.approx(np.bincount(of_set))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((MODEL, "--kinds", "flow,gone"), "no kind 'gone'; there are flow, spline, gan, bibae, cloud"),
        ((MODEL, "--kinds", ","), "name at least one of flow"),
        ((MODEL, "--minutes", "0"), "give a time above 0"),
        ((MODEL, "--minutes", "nan"), "--minutes nan: give a time above 0"),
        ((MODEL, "--minutes", "inf"), "--minutes inf: give a time above 0"),
        (("muon_from_genmuo",), "did you mean 'muon_from_genmuon'"),
        (("met",), "no training table of met"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line(
    cli: Cli, work: Path, words: tuple[str, ...], complaint: str
) -> None:
    told = cli("train", "compare", *words, "--work", str(work))
    assert told.code != 0
    assert complaint in told.complaint
    assert not (work / "kinds").exists()


def test_neighbours_are_held_out_together_and_nothing_is_in_both() -> None:
    n = 40_000
    number = np.random.default_rng(1).integers(0, 3, n)
    row = np.repeat(np.arange(n), number)
    table = Table(np.arange(n, dtype=np.float32)[:, None], number, row, {"x": row.astype(float)})
    learned, held_out = split(table, 5000)
    assert 5000 <= len(held_out.row) < 5600
    sources = [set(part.conditions[:, 0].astype(int)) for part in (learned, held_out)]
    assert not sources[0] & sources[1]
    assert len(sources[0] | sources[1]) == n
    for part in (learned, held_out):
        assert np.array_equal(part.conditions[part.row, 0], part.targets["x"])
        assert np.array_equal(np.bincount(part.row, minlength=len(part.number)), part.number)
    # the same for every kind
    assert np.array_equal(split(table, 5000)[1].targets["x"], held_out.targets["x"])
    # a quarter at most
    assert len(split(table, 10**6)[1].row) < 0.27 * len(row)


def test_the_time_of_a_step_is_told_without_looks_at_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def seen(
        model: Any, table: Any, settings: FitSettings, folder: Path, *, kind: str, progress: Any
    ) -> None:
        asked.append(settings.held_out * len(table.row))
        for step in (2, 20):
            progress("flow", step, 20, 1.0)

    monkeypatch.setattr(kinds, "fit_model", seen)
    settings = FitSettings(flow_steps=1)
    for rows in (1000, 1_000_000):
        table = Table(np.zeros((1, 1), np.float32), np.ones(1, np.int64), np.arange(rows), {})
        kinds._seconds_a_step(find_model(MODEL), table, "flow", settings)
    assert asked == pytest.approx([1000 * settings.held_out, 500])
