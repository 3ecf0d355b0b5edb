"""From LHE files to a dataset: the same events however they are split, their weights in every fold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pylhe
import pytest
import uproot
from typer.testing import CliRunner

from flashsim_prod.cli.main import app
from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.production.drive.in_memory import simulate_in_memory
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import preview

WriteLhe = Callable[..., Path]


@pytest.fixture
def quick(tmp_path: Path) -> str:
    """Settings of a shower that starts in no time."""
    path = tmp_path / "quick.cmnd"
    path.write_text("! no underlying event\nPartonLevel:MPI = off\n", encoding="utf-8")
    return str(path)


def _order(*files: Path, **options: Any) -> Any:
    options = {"oversample": 2, "seed": 9, "device": "cpu", **options}
    return make_order(Typed(inputs=tuple(map(str, files)), **options))[0]


@pytest.mark.slow
def test_jobs_make_the_events_that_one_alone_makes(home: Home, write_lhe: WriteLhe, quick: str) -> None:
    files = write_lhe("a.lhe.gz", 1), write_lhe("b.lhe", 2)
    found = []
    for per_job in (6, 4):
        request = preview(home, _order(*files, shower=quick, events_per_job=str(per_job)), None).request
        assert request.n_simulate == -(-6 // per_job)
        found.append(simulate_in_memory(request))
    one, two = found
    assert one.fields == two.fields
    # sections are numbered by jobs; all else is of the events alone
    for name in set(one.fields) - {"luminosityBlock"}:
        assert ak.array_equal(one[name], two[name], equal_nan=True), name


@pytest.mark.slow
def test_a_dataset_has_the_weights_of_its_files(home: Home, write_lhe: WriteLhe, quick: str) -> None:
    path = write_lhe("z.lhe.gz", 3)
    options = ["--shower", quick, "--oversample", "3", "--events-per-job", "6", "--seed", "2"]
    done = CliRunner().invoke(app, ["request", "--input", str(path), *options])
    assert done.exit_code == 0, done.output
    (file,) = (home.path / "store").rglob("NANOAODSIM/**/*.root")
    assert "/z_13TeV_FlashSim-pythia8/" in str(file)
    with uproot.open(file) as opened:
        events, runs = opened["Events"].arrays(), opened["Runs"].arrays()
        titles = {branch.name: branch.title for branch in opened["Events"].branches}
    judged: list[Any] = list(pylhe.LHEFile.fromfile(str(path)).events)
    nominal = np.repeat([one.eventinfo.weight for one in judged], 3)
    assert events.genWeight.tolist() == nominal.tolist()
    assert events.LHEWeight_originalXWGTUP.tolist() == nominal.tolist()
    varied = np.repeat([[one.weights[key] for key in ("2001", "2002")] for one in judged], 3, axis=0)
    np.testing.assert_allclose(ak.to_numpy(events.LHEPdfWeight) * nominal[:, None], varied, rtol=1e-6)
    assert titles["LHEPdfWeight"].endswith("[1] is id 2002 (PDF set = 303600 member 1)")
    assert "[0] is id 1003" in titles["LHEScaleWeight"]
    # as readers of NanoAOD sum what they merge
    assert runs.genEventSumw.to_numpy().sum() == pytest.approx(nominal.sum())
    sums = (ak.to_numpy(runs.LHEPdfSumw) * runs.genEventSumw.to_numpy()[:, None]).sum(axis=0)
    np.testing.assert_allclose(sums, varied.sum(axis=0), rtol=1e-6)


def test_the_plan_says_what_becomes_of_the_files(home: Home, write_lhe: WriteLhe, quick: str) -> None:
    path = write_lhe("unweighted_events.lhe", 4)
    plan = preview(home, _order(path, shower=quick, card="dyjets"), None)
    assert plan.request.card.energies[0].cross_section_pb == 2000
    assert plan.request.card.settings == ("PartonLevel:MPI = off",)
    assert plan.request.dataset.primary == "DYJets_13TeV_FlashSim-pythia8" or "DY" in str(
        plan.request.dataset
    )
    again = type(plan.request).from_yaml(plan.request.to_yaml(), "it")
    assert (again.digest(), again.source) == (plan.request.digest(), plan.request.source)


def test_what_every_job_would_fail_at_is_refused(home: Home, write_lhe: WriteLhe) -> None:
    good = write_lhe("z.lhe", 2)
    with pytest.raises(InputError, match="not of the kind"):
        _order(good, good.with_name("a.root"))
    with pytest.raises(InputError, match="made for MLM merging"):
        _order(write_lhe("m.lhe", 2, head=" 1 = ickkw\n"))
    with pytest.raises(RequestError, match="--shower is for LHE files"):
        make_order(Typed(card="ttbar", events="10", shower="ttbar"))
    with pytest.raises(RequestError, match=r"no\.cmnd cannot be read"):
        _order(good, shower="no.cmnd")
    assert not list(home.path.rglob("request.yaml"))


def test_a_glob_of_the_shell_needs_no_card(home: Home, write_lhe: WriteLhe, quick: str) -> None:
    names = [str(write_lhe(name, 2)) for name in ("a.lhe", "b.lhe", "c.lhe")]
    done = CliRunner().invoke(app, ["request", "--input", *names, "--shower", quick, "--dry-run"])
    assert done.exit_code == 0, done.output
    (file,) = home.path.rglob("request.yaml")
    assert all(name in file.read_text(encoding="utf-8") for name in names)


def test_two_names_of_one_file_are_refused(write_lhe: WriteLhe) -> None:
    path = write_lhe("a.lhe", 2)
    link = path.with_name("b.lhe")
    link.symlink_to(path)
    with warnings.catch_warnings(), pytest.raises(InputError, match="named twice"):
        _order(path, link)


def test_a_card_of_another_process_is_refused(home: Home, write_lhe: WriteLhe, quick: str) -> None:
    path = write_lhe("z.lhe", 4)
    for card, told in (
        ("wjets", "have Z bosons"),
        ("ttbar", "makes top quarks"),
        ("photon_jets", "have Z bosons"),
    ):
        with pytest.raises(InputError, match=told):
            _order(path, card=card, shower=quick)
    # a boson that is not written is told by its leptons
    bare = write_lhe("bare.lhe", 4, how="none", change=lambda text: text.replace("\n23 2 1 2", "\n21 2 1 2"))
    with pytest.raises(InputError, match="have Z bosons"):
        _order(bare, card="wjets", shower=quick)
    with pytest.raises(InputError, match="of 7 TeV, card dyjets"):
        _order(write_lhe("seven.lhe", 4, energies=(3500.0, 3500.0)), card="dyjets", shower=quick)
