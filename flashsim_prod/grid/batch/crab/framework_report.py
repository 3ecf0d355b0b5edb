"""A job's end in the words of CMS's framework: ``FrameworkJobReport.xml``, which CRAB and WMAgent read.

CRAB takes from it whether the job succeeded, the output's events, runs and luminosity sections, and the
identifier of the configuration. It looks for the file under the base name of ``PFN``, computes size and
checksums itself, and gives it its logical name itself, so that ``LFN`` stays empty.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from flashsim_prod.core.report import JobReport
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.core.splitting import SimulateJob, lumi_events, simulate_job
from flashsim_prod.errors import FlashSimError, NodeError, StorageError, all_errors

#: label of the output module in the task's PSet
MODULE_LABEL = "out"

#: exit codes of CMS. The last two make CRAB try again, the file's at another site
OTHER_EXCEPTION, FILE_READ_ERROR, NO_SOFTWARE = 8001, 8021, 10034

#: characters that cannot be in XML, not even escaped
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def cms_exit_code(exit_code: int) -> int:
    """The exit code of CMS that stands for one of ours, so that CRAB retries what is worth a retry."""
    if exit_code == NodeError.exit_code:
        return NO_SOFTWARE
    return FILE_READ_ERROR if exit_code >= StorageError.exit_code else OTHER_EXCEPTION


def framework_report(request: Request, report: JobReport, pfn: str) -> str:
    """The XML of a simulate job that has ended, well or not; ASCII only.

    Parameters
    ----------
    request : Request
    report : JobReport
        Of one of its simulate jobs.
    pfn : str
        The output in the job's folder, if there is one.
    """
    root = Element("FrameworkJobReport")
    if report.output is not None:
        root.append(_file(request, report, pfn))
    if report.exit_code:
        attributes = {
            "ExitStatus": str(cms_exit_code(report.exit_code)),
            "Type": _error_name(report.exit_code),
        }
        text = f"exit code {report.exit_code}: {report.error}"
        SubElement(root, "FrameworkError", attributes).text = _NO_XML.sub("?", text)
    process = SubElement(root, "Process")
    SubElement(process, "ParameterSetID").text = configuration_id(request)
    root.append(_performance(report))
    indent(root)
    return f"{tostring(root, encoding='us-ascii', xml_declaration=False).decode('ascii')}\n"


def configuration_id(request: Request) -> str:
    """32 hexadecimal digits that stand for all that decides the dataset's contents."""
    return request.digest()[:32]


def file_guid(request: Request, index: int) -> uuid.UUID:
    """The identifier of the output of a simulate job, the same at every attempt."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{request.dataset}?{request.digest()}&simulate={index}")


def _file(request: Request, report: JobReport, pfn: str) -> Element:
    job = simulate_job(request, report.index)
    file = Element("File")
    texts = {
        "LFN": "",
        "PFN": pfn,
        "Catalog": "",
        "ModuleLabel": MODULE_LABEL,
        "GUID": str(file_guid(request, report.index)).upper(),
        "Branches": "",
        # what CRAB publishes; a flat file is not opened, because the report has a ParameterSetID
        "OutputModuleClass": "PoolOutputModule",
        "TotalEvents": str(report.output.events if report.output else 0),
        # equal for files with equal branches: those of one request
        "BranchHash": request.digest()[32:],
        "DataType": "MC",
    }
    for tag, text in texts.items():
        SubElement(file, tag).text = text
    file.append(_runs(request, report))
    inputs = SubElement(file, "Inputs")
    for one in inputs_of(request, job):
        element = SubElement(inputs, "Input")
        SubElement(element, "LFN").text = one.url
        SubElement(element, "PFN").text = one.url
    return file


def _runs(request: Request, report: JobReport) -> Element:
    lumis = report.output.lumis if report.output else ()
    runs = Element("Runs")
    for run in sorted({lumi.run for lumi in lumis}):
        element = SubElement(runs, "Run", {"ID": str(run)})
        for number in sorted(
            n for lumi in lumis if lumi.run == run for n in range(lumi.first, lumi.last + 1)
        ):
            counted = report.events_by_lumi
            events = str(lumi_events(request, number) if counted is None else counted[number])
            SubElement(element, "LumiSection", {"ID": str(number), "NEvents": events})
    return runs


def inputs_of(request: Request, job: SimulateJob) -> Iterator[InputFile]:
    """The input files that a job reads from, none if its events are generated."""
    return request.source.files_of(job.gen_first, job.gen_events)


def _performance(report: JobReport) -> Element:
    """CRAB compares these with what the task asked for."""
    performance = Element("PerformanceReport")
    seconds = (report.ended - report.started).total_seconds()
    for metric, name, value in (
        ("Timing", "TotalJobTime", seconds),
        ("ApplicationMemory", "PeakValueRss", report.peak_rss_mb),
    ):
        summary = SubElement(performance, "PerformanceSummary", {"Metric": metric})
        SubElement(summary, "Metric", {"Name": name, "Value": f"{value:.1f}"})
    return performance


def _error_name(exit_code: int) -> str:
    # of two classes with one code, the one nearer to the root owns it
    names = {error.exit_code: error.__name__ for error in reversed(all_errors())}
    return names.get(exit_code, FlashSimError.__name__)
