"""The page about a request says what is known of it, and nothing that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flashsim_prod.core.sources.base import CarriedBranch, InputFile
from flashsim_prod.core.sources.nano import Contents, InputSums, NanoFiles
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import RequestError
from flashsim_prod.files import write_whole
from flashsim_prod.production.dataset.validate import VALIDATION_FOLDER
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.run import read_report
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.production.views.report import make_request_report, write_request_report

Placed = Callable[..., Plan]
Read = Callable[[str], tuple[str, list[str]]]
SMALL = {"events": 80, "events_per_job": 20, "per_merge": 2}


@pytest.fixture
def read(home: Home, page_reader: Callable[[], Any]) -> Read:
    """A function that writes the page of a request; its text and links."""

    def do(name: str) -> tuple[str, list[str]]:
        parsed = page_reader()
        parsed.feed(write_request_report(home, make_request_report(home, name)).read_text())
        assert not parsed.open
        return " ".join("".join(parsed.words).split()), parsed.links

    return do


@pytest.fixture
def done(home: Home, placed: Placed, fake_physics: ModuleType) -> Plan:
    plan = placed(**SMALL)
    drive(home, plan.request.name)
    return plan


def test_a_finished_request(home: Home, done: Plan, read: Read):
    request = done.request
    text, links = read(request.name)
    assert all(link.startswith(("data:", "#")) for link in links)
    for word in (
        str(request.dataset),
        "80 = 8 generator events x 10 folds",
        str(request.seed),
        request.bundle.digest,
        request.digest(),
        "a toy process",
        "this machine",
        "arXiv:2402.13684",
        "OversampledHist",
        "Failures and retries None.",
        "no node that its jobs ran on has a power meter",
        "Not compared with anything yet",
        "complete, all files passed the technical checks; fidelity: not looked at",
    ):
        assert word in text, word
    report = make_request_report(home, request.name)
    assert report.events == 80
    assert [file.lfn for file in report.files] == [
        read_report(home.folder(request.name).report(Stage.MERGE, index)).output.lfn
        for index in range(request.n_merge)
    ]
    assert all(file.adler32 in text for file in report.files)
    shares = [step.share for step in report.steps if step.stage is Stage.SIMULATE]
    assert sum(shares) == pytest.approx(1)


def test_energy_and_fidelity_where_they_are_known(home: Home, done: Plan, read: Read):
    folder = home.folder(done.request.name)
    path = folder.report(Stage.SIMULATE, 0)
    measured = read_report(path).model_copy(update={"energy_j": 3.6e6, "energy_from": "rapl"})
    write_whole(path, measured.model_dump_json())
    figures = {
        "light": "amber",
        "reference": "reference detector",
        "groups": [{"name": "Jet", "light": "amber"}],
        "told": {"auc": {"value": 0.701, "error": 0.012}},
    }
    write_whole(folder.path / VALIDATION_FOLDER / "validation.json", json.dumps(figures))
    report = make_request_report(home, done.request.name)
    assert report.energy.kwh == pytest.approx(1)
    assert report.energy.kwh_per_event == pytest.approx(1 / 20)
    assert (report.energy.measured_jobs, report.energy.jobs) == (1, 6)
    text, links = read(done.request.name)
    assert "1 kWh, 5.00e-02 kWh per event (without merging), from the meters of 1 of 6 jobs (rapl)" in text
    assert "Compared with reference detector: Jet" in text
    assert "fidelity: amber (Jet)" in text
    assert "tells whole events apart with an AUC of 0.701 ± 0.012" in text
    assert "../validation/index.html" in links


def test_energy_per_event_where_every_job_was_measured_and_where_only_merges_were(
    home: Home, done: Plan, read: Read
):
    folder = home.folder(done.request.name)

    def measure(stage: Stage, joules: float | None) -> None:
        for index in range({Stage.SIMULATE: 4, Stage.MERGE: 2}[stage]):
            path = folder.report(stage, index)
            known = {"energy_j": joules, "energy_from": joules and "rapl"}
            write_whole(path, read_report(path).model_copy(update=known).model_dump_json())

    measure(Stage.SIMULATE, 3.6e6)
    measure(Stage.MERGE, 1.8e6)
    text, _ = read(done.request.name)
    assert "5 kWh, 6.25e-02 kWh per event, from the meters of 6 of 6 jobs (rapl)" in text
    measure(Stage.SIMULATE, None)
    text, _ = read(done.request.name)
    assert "1 kWh, from the meters of 2 of 6 jobs (rapl)" in text


def test_why_meters_that_are_there_gave_no_energy(home: Home, done: Plan, read: Read):
    path = home.folder(done.request.name).report(Stage.SIMULATE, 0)
    why = "the energy counter of package-0 stood still for 9 s, which would be 0 W"
    without = {"energy_j": None, "energy_from": None, "energy_void": why}
    write_whole(path, read_report(path).model_copy(update=without).model_dump_json())
    assert make_request_report(home, done.request.name).energy is None
    text, _ = read(done.request.name)
    assert "what the meters of its nodes say makes no sense" in text
    assert f"Why jobs are not in it: {why}." in text
    assert "has a power meter" not in text


def test_a_request_that_was_never_run(home: Home, placed: Placed, read: Read):
    plan = placed(dry_run=True, **SMALL)
    text, _ = read(plan.request.name)
    assert "No file is finished yet" in text
    assert "The request is PLANNED, 0 % of its jobs are done" in text
    with pytest.raises(RequestError, match="no request"):
        make_request_report(home, "other")


def test_what_becomes_of_input_is_on_the_page_and_in_the_folder(home: Home, placed: Placed, read: Read):
    told = Contents(carried="all weights", dropped="GenProton_px", drawn="GenVtx_z", normalisation="of Runs")
    file = InputFile(url="/a.root", entries=100)
    sums = (InputSums(count=4000, sumw=9.5, sumw2=20.0),)
    carried = (CarriedBranch(name="LHEPdfWeight", type="float32", title="", collection="LHEPdfWeight"),)
    source = NanoFiles(files=(file,), told=told, sums=sums, carried=carried, run_vectors=("LHEPdfSumw",))
    plan = placed(dry_run=True, source=source, **SMALL)
    text, _ = read(plan.request.name)
    folder = home.folder(plan.request.name)
    for label, line in told.model_dump().items():
        assert f"{label}{line}" in text, label
        assert f"| {label} | {line} |" in (folder.path / "README.md").read_text()
    written = load_request(folder.request)
    assert written.source == source
    assert written.digest() == plan.request.digest()


def test_the_page_fits_a_window_of_1200_pixels(
    home: Home, done: Plan, tmp_path: Path, too_wide: Callable[[Path], list[str]]
):
    report = make_request_report(home, done.request.name)
    deep = f"/eos/{'a-long-folder-name/' * 12}x.root"
    files = tuple(file.model_copy(update={"pfn": deep, "lfn": deep}) for file in report.files)
    page = write_request_report(home, replace(report, files=files), tmp_path / "page")
    assert too_wide(page) == []
