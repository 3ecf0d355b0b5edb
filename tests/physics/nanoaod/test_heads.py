"""The heads of trees are uproot's own, byte for byte, however many branches and baskets there are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod import heads, trees
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")

Make = Callable[..., Events]


def write(path: Path, events: Events) -> bytes:
    with NanoWriter(path, schema=V9, provenance={"card": "ttbar"}) as writer:
        writer.write(events)
    return path.read_bytes()


def test_bytes_are_those_of_uproot(
    make_events: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "EVENTS_PER_BASKET", 5)
    # more baskets than a head has room for, so that it is written again
    events = make_events(300)
    ours = write(tmp_path / "ours.root", events)
    monkeypatch.setattr(trees, "linear_heads", nullcontext)
    monkeypatch.setattr(trees, "_parsed", lambda kind: kind)
    assert write(tmp_path / "uproot.root", events) == ours


def test_a_head_takes_twice_as_long_for_twice_the_branches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    build = heads._cascadetree.Tree._build_out
    monkeypatch.setattr(
        heads._cascadetree.Tree,
        "_build_out",
        lambda self: made.append(len(self._branch_data)) or build(self),
    )
    with uproot.recreate(tmp_path / "wide.root") as file:
        tree = trees.make_tree(file, "Events", {f"b{number}": "int32" for number in range(30)}, {})
        tree.extend({f"b{number}": np.arange(3) for number in range(30)})
    assert made
    assert max(made) == 1


@pytest.mark.parametrize("kind", ["string", "var * {pt: float32, charge: int32, tight: bool}"])
def test_types_are_those_of_the_grammar(kind: str) -> None:
    assert trees._parsed(kind) == ak.types.from_datashape(kind, highlevel=False)
