"""What is said of files that lack what models need."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashsim_prod.cli.models.extracted import note_what_is_lacking
from flashsim_prod.production.models.samples import Extracted, LackingIn


def _without(model: str, why: str, file: str = "a.root") -> LackingIn:
    return LackingIn(file, "v12", model, (), (), False, f"{model} cannot be extracted: {why}")


def _noted(capsys: pytest.CaptureFixture[str], *lacking: LackingIn, **more: object) -> list[str]:
    note_what_is_lacking(Extracted(Path("tables"), {}, 1000, 0, (), (), lacking, **more))  # type: ignore[arg-type]
    return capsys.readouterr().err.splitlines()


def test_models_without_a_table_for_the_same_reason_are_told_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    no_vertex, no_taus = "the events have no GenVtx_z", "the events have no GenVisTau"
    less = LackingIn("a.root", "v12", "met", ("ChsMET_pt",), ("ChsMET_x",), True, "")
    found = _noted(
        capsys,
        _without("jet_from_genjet", no_vertex),
        less,
        _without("tau_from_jet", no_taus),
        _without("muon_from_jet", no_vertex),
        _without("muon_from_jet", no_vertex, "b.root"),
    )
    assert found == [
        "note: a.root (NanoAOD v12): no table of jet_from_genjet, muon_from_jet: the events have no GenVtx_z",
        "note: a.root (NanoAOD v12): no table of tau_from_jet: the events have no GenVisTau",
        "note: b.root (NanoAOD v12): no table of muon_from_jet: the events have no GenVtx_z",
        "note: a.root (NanoAOD v12): met: has no ChsMET_pt, so the table lacks ChsMET_x",
    ]


def test_files_of_no_era_are_told_with_the_one_that_they_count_as(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = _noted(capsys, without_era=("a.root", "b.root"), counted_as="Run3_2022")
    assert line == (
        "note: a.root: nothing tells its era (nor that of 1 others), so models of it count as of Run3_2022; "
        "if it is of another one, say --era"
    )
