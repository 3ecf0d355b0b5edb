"""A request and its extension are one sample: the events that one request of all of them makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
import uproot
from typer.testing import CliRunner

from flashsim_prod.cli.main import app
from flashsim_prod.physics.oversampling import OversampledHist
from flashsim_prod.production.dataset.checks import check_dataset
from flashsim_prod.production.dataset.files import find_files
from flashsim_prod.production.home import Home

pytestmark = pytest.mark.slow

WriteLhe = Callable[..., Path]
#: whose numbers depend on how a request is split into jobs
BY_JOB = {"luminosityBlock"}


def _call(*arguments: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, (done.output, done.exception)


def _read(home: Home, *names: str) -> tuple[ak.Array, ak.Array]:
    """Events and Runs of the datasets of some requests together."""
    files = find_files(home, names).urls
    trees = [[uproot.open(file)[tree].arrays() for file in files] for tree in ("Events", "Runs")]
    events, runs = (ak.concatenate(parts) for parts in trees)
    return events, runs


def _assert_equal(one: ak.Array, other: ak.Array, but: Sequence[str] = ()) -> None:
    assert one.fields == other.fields
    for name in set(one.fields) - set(but):
        assert ak.array_equal(one[name], other[name], equal_nan=True), name


def _oversampled(events: ak.Array) -> Any:
    filled = OversampledHist(hist.axis.Regular(10, 0, 200, name="pt"))
    filled.fill(events.Jet_pt, gen_event=events.FlashSim_genEvent, weight=events.genWeight)
    return filled.hist()


def test_generated_events_go_on_as_in_one_request(home: Home) -> None:
    shared = ("--events-per-job", "40", "--device", "cpu")
    of_request = ("--oversample", "10", "--seed", "42", *shared)
    _call("request", "ttbar", "--events", "80", *of_request, "--name", "part")
    _call("request", "extend", "part", "--events", "+40", *shared)
    _call("request", "ttbar", "--events", "120", *of_request, "--name", "whole")
    both, runs = _read(home, "part", "part_ext1")
    whole, whole_runs = _read(home, "whole")
    _assert_equal(both, whole)
    assert len(set(zip(both.run, both.luminosityBlock, both.event, strict=True))) == 120
    assert both.FlashSim_genEvent.tolist() == np.repeat(np.arange(12), 10).tolist()
    # norms of both add up, as readers of NanoAOD sum what they merge
    for name in ("genEventCount", "genEventSumw", "genEventSumw2"):
        assert ak.sum(runs[name]) == pytest.approx(ak.sum(whole_runs[name])), name
    assert ak.sum(runs.genEventSumw) == pytest.approx(ak.sum(both.genWeight))
    # the statistics of folds see twelve independent generator events
    together, at_once = _oversampled(both), _oversampled(whole)
    assert (together.values() == at_once.values()).all()
    assert (together.variances() == at_once.variances()).all()
    separate = [_oversampled(_read(home, name)[0]) for name in ("part", "part_ext1")]
    np.testing.assert_allclose(together.variances(), sum(one.variances() for one in separate))
    checked = check_dataset(find_files(home, ["part", "part_ext1"]))
    assert checked.all_problems == []
    assert sum(file.events for file in checked.files) == 120


def test_showered_events_go_on_as_in_one_request(home: Home, write_lhe: WriteLhe, tmp_path: Path) -> None:
    """Hard processes that the first request left, one job or more, give the events of a request of all."""
    quick = tmp_path / "quick.cmnd"
    quick.write_text("PartonLevel:MPI = off\n", encoding="utf-8")
    files = [str(write_lhe("a.lhe.gz", 1)), str(write_lhe("b.lhe", 2))]
    how = ("--shower", str(quick), "--oversample", "2", "--seed", "9", "--device", "cpu")
    _call("request", "--input", *files, "--events", "2", "--name", "part", *how)
    _call("request", "extend", "part", "--events-per-job", "2")
    _call("request", "--input", *files, "--name", "whole", *how)
    both, _ = _read(home, "part", "part_ext1")
    whole, _ = _read(home, "whole")
    assert len(set(zip(both.run, both.luminosityBlock, both.event, strict=True))) == len(whole)
    _assert_equal(both, whole, but=tuple(BY_JOB))
    done = CliRunner().invoke(app, ["request", "extend", "part"])
    assert "events of its input files are used" in str(done.exception)


def test_events_of_files_are_used_once(home: Home) -> None:
    shared = ("--device", "cpu", "--events-per-job", "20")
    _call("request", "ttbar", "--events", "10", "--seed", "3", "--device", "cpu", "--name", "gen")
    (gen,) = find_files(home, ["gen"]).urls
    named = ("--input", gen, "--oversample", "4", "--seed", "4")
    _call("request", *named, "--events", "20", "--name", "part", *shared)
    _call("request", "extend", "part", *shared)
    both, runs = _read(home, "part", "part_ext1")
    given, given_runs = _read(home, "gen")
    assert both.FlashSim_genEvent.tolist() == np.repeat(np.arange(10), 4).tolist()
    _assert_equal(
        both[["GenPart_pt", "genWeight"]], given[["GenPart_pt", "genWeight"]][np.repeat(np.arange(10), 4)]
    )
    assert len(set(both.event.tolist())) == 40
    # the norm is that of the input, whose events are all there now
    assert ak.sum(runs.genEventSumw) / ak.sum(both.genWeight) == pytest.approx(
        ak.sum(given_runs.genEventSumw) / ak.sum(given.genWeight)
    )
