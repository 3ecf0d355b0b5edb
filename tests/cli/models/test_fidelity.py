"""The fidelity report on the terminal."""

from __future__ import annotations

import pytest

from flashsim_prod.cli.models.fidelity import print_fidelity
from flashsim_prod.production.models.fidelity import (
    EventVerdict,
    Fidelity,
    ModelVerdict,
    NumberFigures,
    PropertyFigures,
    Ratio,
)

PROPERTIES = PropertyFigures(1234, 0.0123, 0.567, 0.501, "qgl", "green")
FOUND = Fidelity(
    bundle="mine",
    compared_with="reference detector",
    notes=("a.root is named in the bundle's training sample",),
    models=(
        ModelVerdict("jet", "amber", PROPERTIES, NumberFigures(1.75, "pileup_nPU", "amber"), ()),
        ModelVerdict("tau", "green", None, None, ("left out: objects 3, sources 1; not finite: x (4)",)),
    ),
    whole=(EventVerdict("HT", "green", 600, Ratio(1.001, 0.004), None),),
    told=(),
    groups={},
    groups_before={},
    begun_as="",
    curves=3,
    curves_above=1,
    above_by_chance=0.4,
    limit=1.5,
)


def test_figures_and_all_notes_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    print_fidelity(FOUND)
    lines = capsys.readouterr().out.splitlines()
    rows = [" ".join(line.split()) for line in lines]
    assert rows[0] == "mine compared with reference detector"
    assert "note: a.root is named in the bundle's training sample" in rows
    # what one model could not be compared on is as much to be known as what concerns all
    assert "note: tau: left out: objects 3, sources 1; not finite: x (4)" in rows
    assert "jet 1,234 0.012 0.567 0.501 qgl 1.75 pileup" in rows
    assert "tau - - - - - -" in rows
    assert "HT 600 1.001±0.004 -" in rows
    assert "1 of 3 curves of numbers are above 1.5; chance alone would put 0.4 there" in rows
