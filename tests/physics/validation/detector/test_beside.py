"""The reference detector beside real files, on small files and on none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flashsim_prod.cli.main import app
from flashsim_prod.physics.validation.detector.sides import Part

SAMPLES = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
needs_samples = pytest.mark.skipif(
    not SAMPLES, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files"
)


def _run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["validate", "detector", *map(str, words)])
    return result.exit_code, f"{result.output} {result.exception or ''}"


def test_tuning_and_judging_share_no_event() -> None:
    halves = [Part(name).of(7).tolist() for name in ("tuning", "judging")]
    assert not set(halves[0]) & set(halves[1])
    assert sorted(halves[0] + halves[1]) == Part("all").of(7).tolist() == list(range(7))


def test_a_part_and_a_table_that_are_none_are_told(tmp_path: Path) -> None:
    odd = tmp_path / "odd.txt"
    odd.write_text("source met\nMET_x | no | curve\n")
    for words, said in (
        (("a.root", "--part", "half"), "--part: 'half' is none of all, tuning, judging"),
        (("a.root", "--table", odd), "is no table of the reference detector"),
        (("a.root", "--table", tmp_path / "none"), "cannot be read"),
        (("a.root", "--write", odd), "exists; give another name"),
        (("a.root", "--write", tmp_path / "no" / "t"), "is no folder"),
    ):
        code, output = _run(*words)
        assert code != 0
        assert said in output, output


@needs_samples
def test_the_moved_detector_is_nearer_to_real_events_than_the_parametric_one() -> None:
    from flashsim_prod.physics.nanoaod.schema import Schema
    from flashsim_prod.physics.validation.detector.rates import rates
    from flashsim_prod.physics.validation.detector.sides import read_sides

    url = str(Path(SAMPLES or "") / "tt2l2nu_ul18_v9.root")
    distance = {}
    for name, table in (("parametric", {}), ("moved", None)):
        sides = read_sides(
            [url], part=Part.JUDGING, seed=5, schema=Schema.default(), progress=lambda *_: None, table=table
        )
        found = {one.name: one for one in rates(sides)}
        for collection in ("Jet", "Muon", "Electron", "Photon", "SV", "Tau"):
            one = found[collection]
            assert one.made.value == pytest.approx(one.real.value, abs=4 * one.real.error), collection
        levels = np.linspace(5, 95, 19)
        for branch in ("Muon_mvaTTH", "Electron_mvaFall17V2noIso", "Photon_hoe", "Jet_qgl", "Tau_dxy"):
            real, made = (np.sort(side.branch(branch)[0].astype(float)) for side in (sides.real, sides.made))
            both = np.concatenate([real, made])
            ranks = [np.percentile(np.searchsorted(np.sort(both), one), levels) for one in (real, made)]
            distance[name, branch] = np.abs(ranks[0] - ranks[1]).mean() / len(both)
    names = {branch for _, branch in distance}
    assert np.mean([distance["moved", one] < distance["parametric", one] for one in names]) >= 0.6
    assert np.mean([distance["moved", one] for one in names]) < 0.05
