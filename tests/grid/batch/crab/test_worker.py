"""A worker whose output somebody else brings into storage: the output, its report, and CMS's report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flashsim_prod.core.report import JobReport
from flashsim_prod.core.request import Request
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import InputError
from flashsim_prod.production.job.run import KeptHere
from flashsim_prod.production.job.worker import run_job


@pytest.fixture
def node(tmp_path: Path, crab_request: Callable[..., Request], fake_physics: Any) -> Path:
    """A folder to which the request was sent."""
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "request.yaml").write_text(crab_request().to_yaml())
    return folder


def _run(node: Path) -> JobReport:
    return run_job(
        Stage.SIMULATE,
        node / "request.yaml",
        1,
        work=node,
        report=node / "report.json",
        sandbox=True,
        kept=KeptHere(node / "output.root", node / "FrameworkJobReport.xml"),
    )


def _framework_report(node: Path, wmcore: Callable[[str], ModuleType]) -> Any:
    report = wmcore("WMCore.FwkJobReport.Report").Report("cmsRun")
    report.parse(str(node / "FrameworkJobReport.xml"), "cmsRun")
    return report


def test_the_output_stays_and_both_reports_tell_of_it(
    node: Path, tmp_path: Path, wmcore: Callable[[str], ModuleType]
) -> None:
    report = _run(node)
    assert report.output is not None
    assert report.output.pfn == str(node / "output.root")
    assert report.output.bytes == (node / "output.root").stat().st_size
    assert JobReport.model_validate_json((node / "report.json").read_bytes()) == report
    (file,) = _framework_report(node, wmcore).getAllFilesFromStep("cmsRun")
    assert (file["pfn"], file["events"]) == ("output.root", report.output.events)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node"], "nothing elsewhere"


def test_a_failure_is_in_both_reports(
    node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wmcore: Callable[[str], ModuleType]
) -> None:
    monkeypatch.setenv("FAKE_TROUBLE", str(tmp_path))
    (tmp_path / "simulate_1").write_text("InputError")
    with pytest.raises(InputError, match="trouble in simulate 1"):
        _run(node)
    assert not (node / "output.root").exists()
    assert JobReport.model_validate_json((node / "report.json").read_bytes()).exit_code == 10
    found = _framework_report(node, wmcore)
    assert found.getExitCode() == 8001
    (error,) = found.__to_json__(None)["steps"]["cmsRun"]["errors"]
    assert (error["type"], error["details"]) == ("InputError", "exit code 10: trouble in simulate 1")
