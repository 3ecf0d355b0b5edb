"""``train compare`` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.validation.models.kinds import split
from tests.untaught import MODEL

Cli = Callable[..., Any]


def test_kinds_are_compared_and_what_is_there_is_kept(cli: Cli, work: Path) -> None:
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
    again = cli("train", "compare", MODEL, "--kinds", "gan", *options, "--seed", "2", "--json").json
    assert again["standings"] != [gan]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((MODEL, "--kinds", "flow,gone"), "no kind 'gone'; there are flow, spline, gan, bibae, cloud"),
        ((MODEL, "--kinds", ","), "name at least one of flow"),
        ((MODEL, "--minutes", "0"), "give a time above 0"),
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
