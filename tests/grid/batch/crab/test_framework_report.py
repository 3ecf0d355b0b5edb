"""CMS's own report class reads ours and gives back events, runs and luminosity sections, or the error."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim_prod.core.report import JobReport, LumiRange, OutputFile
from flashsim_prod.core.request import InputFile, Request
from flashsim_prod.core.splitting import lumi_events, simulate_job
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import FlashSimError, all_errors
from flashsim_prod.grid.batch.crab.framework_report import cms_exit_code, framework_report
from flashsim_prod.grid.batch.crab.tasks import OUTPUT

Make = Callable[..., Request]
Load = Callable[[str], ModuleType]


def _ended(request: Request, index: int, *, exit_code: int = 0, error: str | None = None) -> JobReport:
    job = simulate_job(request, index)
    output = OutputFile(
        lfn=job.lfn,
        pfn=f"/scratch/{OUTPUT}",
        bytes=1000,
        events=job.events,
        adler32="0" * 8,
        sha256="0" * 64,
        lumis=(LumiRange(run=1, first=job.first_lumi, last=job.first_lumi + job.n_lumis - 1),),
    )
    return JobReport(
        request=request.name,
        request_digest=request.digest(),
        stage=Stage.SIMULATE,
        index=index,
        exit_code=exit_code,
        error=error,
        started=request.created,
        ended=request.created + timedelta(seconds=1234.5),
        host="node",
        device="cpu",
        software_version="0.1.0",
        events=job.events,
        peak_rss_mb=456.7,
        output=None if exit_code else output,
    )


def _read(wmcore: Load, path: Path) -> Any:
    """What CRAB's wrapper makes of the XML: its jobReport.json."""
    report = wmcore("WMCore.FwkJobReport.Report").Report("cmsRun")
    report.parse(str(path), "cmsRun")
    return report


@settings(max_examples=30)
@given(
    shape=st.fixed_dictionaries(
        {
            "gen_events": st.integers(1, 400),
            "oversample": st.integers(1, 100),
            "per_job": st.integers(1, 60),
            "per_lumi": st.integers(1, 60),
        }
    ),
    where=st.floats(0, 1, exclude_max=True),
)
def test_success_gives_back_events_runs_and_lumis(
    crab_request: Make,
    wmcore: Load,
    tmp_path_factory: pytest.TempPathFactory,
    shape: dict[str, int],
    where: float,
) -> None:
    request = crab_request(**shape)
    job = simulate_job(request, int(where * request.n_simulate))
    path = tmp_path_factory.mktemp("job") / "FrameworkJobReport.xml"
    path.write_text(framework_report(request, _ended(request, job.index), OUTPUT), encoding="ascii")
    found = _read(wmcore, path)
    assert found.getExitCode() == 0
    (file,) = found.getAllFilesFromStep("cmsRun")
    assert (file["events"], file["pfn"], file["module_label"]) == (job.events, OUTPUT, "out")
    (run,) = file["runs"]
    assert run.run == 1
    assert run.eventsPerLumi == {
        lumi: lumi_events(request, lumi) for lumi in range(job.first_lumi, job.first_lumi + job.n_lumis)
    }


def test_every_field_that_crab_wants_is_there(crab_request: Make, tmp_path: Path, wmcore: Load) -> None:
    request = crab_request()
    text = framework_report(request, _ended(request, 1), OUTPUT)
    root = ElementTree.fromstring(text)
    assert root.tag == "FrameworkJobReport"
    file = root.find("File")
    assert file is not None
    assert [child.tag for child in file] == [
        "LFN",
        "PFN",
        "Catalog",
        "ModuleLabel",
        "GUID",
        "Branches",
        "OutputModuleClass",
        "TotalEvents",
        "BranchHash",
        "DataType",
        "Runs",
        "Inputs",
    ]
    assert file.findtext("OutputModuleClass") == "PoolOutputModule"
    assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", file.findtext("GUID") or "")
    # without it CRAB opens the file with edmProvDump, which fails on a flat one
    assert re.fullmatch("[0-9a-f]{32}", root.findtext("Process/ParameterSetID") or "")
    path = tmp_path / "FrameworkJobReport.xml"
    path.write_text(text)
    step = _read(wmcore, path).__to_json__(None)["steps"]["cmsRun"]
    assert step["output"]["out"][0]["output_module_class"] == "PoolOutputModule"
    assert float(step["performance"]["memory"]["PeakValueRss"]) == 456.7
    assert float(step["performance"]["cpu"]["TotalJobTime"]) == 1234.5


def test_inputs_are_those_that_the_job_reads(crab_request: Make, tmp_path: Path, wmcore: Load) -> None:
    inputs = tuple(InputFile(url=f"root://there//store/{n}.root", entries=40) for n in range(3))
    request = crab_request(inputs=inputs, gen_events=100, per_job=30)
    expected = {0: [0], 1: [0, 1], 2: [1, 2], 3: [2]}
    for index, files in expected.items():
        path = tmp_path / f"{index}.xml"
        path.write_text(framework_report(request, _ended(request, index), OUTPUT))
        (file,) = _read(wmcore, path).getAllFilesFromStep("cmsRun")
        assert file["input"] == [inputs[n].url for n in files]


@pytest.mark.parametrize("kind", [one for one in all_errors() if one is not FlashSimError])
def test_failure_tells_the_code_and_the_line(
    crab_request: Make, tmp_path: Path, wmcore: Load, kind: type[FlashSimError]
) -> None:
    request = crab_request()
    report = _ended(request, 0, exit_code=kind.exit_code, error="über the <edge> & \x1b[31mgone")
    path = tmp_path / "FrameworkJobReport.xml"
    path.write_text(framework_report(request, report, OUTPUT), encoding="ascii")
    found = _read(wmcore, path)
    assert found.getAllFilesFromStep("cmsRun") == []
    assert found.getExitCode() == cms_exit_code(kind.exit_code)
    (error,) = found.__to_json__(None)["steps"]["cmsRun"]["errors"]
    assert "über the <edge> & ?[31mgone" in error["details"]
    assert f"exit code {kind.exit_code}:" in error["details"]


def test_crab_retries_what_is_worth_a_retry(wmcore: Load) -> None:
    # of these CRAB's server says "recoverable"; of other codes that a job reports it says "fatal"
    recoverable = {8020, 8021, 8028, 10034, 50115, 50513, 60307, 60311, 60403}
    known = wmcore("WMCore.WMExceptions").WM_JOB_ERROR_CODES
    for kind in all_errors():
        code = cms_exit_code(kind.exit_code)
        assert code in known
        assert (code in recoverable) == kind.retryable
