"""A stand-in of CRAB: its client, its server and a node, in one program and one folder.

It was written after the documented behaviour of CRAB's client, its splitter and its job wrapper, and has
never met the real ones. CMS's own code (WMCore) loads the configuration, splits the task and reads the job
reports.

``crab_sim.py COMMAND ...`` is what ``crab COMMAND ...`` would be. ``CRAB_SIM`` names its folder,
``CRAB_SIM_STORE`` the one that stands for the storage site. Each ``crab status`` runs one waiting job, as a
node would: in an empty folder, the sandbox unpacked, the environment of a CMSSW release around it.

In its folder, a file ``trouble/<task>.<job>``, as in ``000.1``, holds what goes wrong with the next run of a
job: ``memory``, ``lost`` (the output does not arrive), ``sandbox`` (it arrives broken). A file ``down`` makes
the server unreachable; with ``slow`` no job runs; ``mute`` makes the next client that submits die before it
has told so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

USER = "jdoe"
#: parameters that the client knows, of those sections that are used; others are errors
KNOWN = {
    "General": {"requestName", "workArea", "transferOutputs", "transferLogs"},
    "JobType": {
        *("pluginName", "psetName", "scriptExe", "scriptArgs", "inputFiles", "outputFiles"),
        *("numCores", "maxMemoryMB", "maxJobRuntimeMin"),
    },
    "Data": {
        *("splitting", "unitsPerJob", "totalUnits", "lumisPerFile", "publication"),
        *("outLFNDirBase", "outputPrimaryDataset", "outputDatasetTag"),
    },
    "Site": {"storageSite", "whitelist", "blacklist", "requireAccelerator", "acceleratorParams"},
    "User": {"voGroup", "voRole"},
}
GPU_PARAMETERS = {
    "GPUMemoryMB": int,
    "GPUMinimumCapability": str,
    "GPUMaximumCapability": str,
    "GPURuntime": str,
}


class Refused(Exception):
    """What the real client ends with in one line."""


def state_folder() -> Path:
    folder = Path(os.environ["CRAB_SIM"])
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    (folder / "trouble").mkdir(exist_ok=True)
    return folder


# ---- tasks on the server


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state_folder() / "tasks" / f"{name}.json").read_text())
    return found


def save(task: dict[str, Any]) -> None:
    (state_folder() / "tasks" / f"{task['name']}.json").write_text(json.dumps(task))


def task_of(project: str) -> dict[str, Any]:
    cache = Path(project) / ".requestcache"
    if not cache.is_file():
        raise Refused(f"Cannot find .requestcache file inside the working directory {project}")
    return load(cache.read_text())


# ---- submit


def load_config(path: str) -> Any:
    from WMCore.Configuration import loadConfigurationFile

    return loadConfigurationFile(str(Path(path)))


def check_config(config: Any) -> None:
    """What CRAB's client and server refuse."""
    for name in config.listSections_():
        if name not in KNOWN:
            raise Refused(f"Invalid CRAB configuration: Section {name} is not a valid section.")
        for parameter in getattr(config, name).listSections_() + list(getattr(config, name).dictionary_()):
            if parameter not in KNOWN[name]:
                raise Refused(f"Invalid CRAB configuration: Parameter {name}.{parameter} is not known.")
    general, job, data, site = config.General, config.JobType, config.Data, config.Site
    if not re.fullmatch(r"[a-zA-Z0-9\-_]{1,100}", general.requestName):
        raise Refused("Invalid CRAB configuration: Parameter General.requestName")
    if (job.pluginName, data.splitting) != ("PrivateMC", "EventBased"):
        raise Refused("MC generation job type only supports event-based splitting")
    if not isinstance(data.totalUnits, int) or data.totalUnits <= 0:
        raise Refused("Invalid CRAB configuration: Parameter Data.totalUnits")
    if -(-data.totalUnits // data.unitsPerJob) > 10_000:
        raise Refused("The maximum number of jobs in each task is 10000")
    if not 1 <= data.lumisPerFile <= 1000:
        raise Refused("Invalid CRAB configuration: Parameter Data.lumisPerFile")
    if job.numCores not in (1, 2, 4, 8) or job.maxMemoryMB > max(3000, 2500 * job.numCores):
        raise Refused("Task requests more than is allowed: cores or memory")
    if job.maxJobRuntimeMin > 2750:
        raise Refused("Task requests more than 2750 minutes of runtime")
    if not all(re.fullmatch(r"[a-zA-Z0-9\-_.]+=[a-zA-Z0-9\-_./]+", word) for word in job.scriptArgs):
        raise Refused("Invalid CRAB configuration: Parameter JobType.scriptArgs")
    if not re.fullmatch(r"T[0-3]_[A-Z]{2}(_[A-Za-z0-9]+)+", site.storageSite):
        raise Refused("Invalid CRAB configuration: Parameter Site.storageSite")
    for name, value in getattr(site, "acceleratorParams", {}).items():
        if name not in GPU_PARAMETERS or type(value) is not GPU_PARAMETERS[name]:
            raise Refused(f"Invalid CRAB configuration: acceleratorParams {name}={value!r}")
    if not re.match(rf"/store/(user/(rucio/)?{USER}|group/)", data.outLFNDirBase):
        raise Refused(
            "The parameter Data.outLFNDirBase must start with /store/user/<username> or /store/group"
        )


def pset_output(path: str, config: Any) -> str:
    """The file that CRAB collects: of the one output module on an end path; FWCore is a stand-in."""
    cms = ModuleType("FWCore.ParameterSet.Config")
    made: dict[str, Any] = {}

    class Process:
        def __init__(self, name: str) -> None:
            made["process"] = self

    def record(kind: str) -> Any:
        return lambda *words, **named: SimpleNamespace(kind=kind, words=words, **named)

    cms.Process = Process  # type: ignore[attr-defined]
    for kind in ("Source", "OutputModule", "EndPath"):
        setattr(cms, kind, record(kind))
    cms.untracked = SimpleNamespace(  # type: ignore[attr-defined]
        PSet=record("PSet"), int32=lambda value: value, uint32=lambda value: value, string=lambda value: value
    )
    for name in ("FWCore", "FWCore.ParameterSet"):
        sys.modules[name] = ModuleType(name)
    sys.modules["FWCore.ParameterSet.Config"] = cms
    sys.modules["FWCore.ParameterSet"].Config = cms  # type: ignore[attr-defined]
    exec(compile(Path(path).read_text(encoding="utf-8"), path, "exec"), {})
    process = made["process"]
    if process.source.words != ("EmptySource",):
        raise Refused("MC generation does not use an input source")
    if process.options.numberOfThreads != config.JobType.numCores:
        raise Refused("numCores and process.options.numberOfThreads differ")
    (module,) = [
        one for end in vars(process).values() if end.__dict__.get("kind") == "EndPath" for one in end.words
    ]
    if module.words != ("PoolOutputModule",):
        raise Refused("no output module on an end path")
    return str(module.fileName)


def split(units: int, per_job: int, lumis: int) -> list[dict[str, int]]:
    """CRAB's own splitting of a generation task."""
    from WMCore.DataStructs.File import File
    from WMCore.DataStructs.Fileset import Fileset
    from WMCore.DataStructs.Run import Run
    from WMCore.DataStructs.Subscription import Subscription
    from WMCore.DataStructs.Workflow import Workflow
    from WMCore.JobSplitting.SplitterFactory import SplitterFactory

    file = File("MCFakeFile", size=1000, events=units)
    file.setLocation("T2_IT_Pisa")
    file.addRun(Run(1, *range(1, 11)))
    file["first_event"], file["last_event"] = 1, units
    fileset = Fileset(name="MCFakeFileSet")
    fileset.addFile(file)
    task = Subscription(
        fileset=fileset, workflow=Workflow(name="task"), split_algo="EventBased", type="Production"
    )
    groups = SplitterFactory()(subscription=task)(
        algorithm="EventBased", events_per_job=per_job, events_per_lumi=-(-per_job // lumis)
    )
    masks = [job["mask"] for group in groups for job in group.jobs]
    return [
        {key: mask[key] for key in ("FirstEvent", "LastEvent", "FirstLumi", "LastLumi")} for mask in masks
    ]


def submit(words: list[str]) -> None:
    path = words[words.index("-c") + 1]
    config = load_config(path)
    check_config(config)
    general, job, data = config.General, config.JobType, config.Data
    project = Path(general.workArea) / f"crab_{general.requestName}"
    if project.exists():
        raise Refused(
            f"Working area {project} already exists. Please change the requestName in the config file"
        )
    output = pset_output(job.psetName, config)
    name = f"{time.strftime('%y%m%d_%H%M%S', time.gmtime())}:{USER}_crab_{general.requestName}"
    sandbox = state_folder() / "tasks" / f"{name}.tgz"
    with tarfile.open(sandbox, "w:gz") as archive:
        for file in (job.scriptExe, *job.inputFiles):
            archive.add(file, arcname=Path(file).name)
    if sandbox.stat().st_size > 120 * 2**20:
        raise Refused("The input sandbox is larger than the maximum size of 120 MB")
    stamp = name.split(":")[0]
    masks = split(data.totalUnits, data.unitsPerJob, data.lumisPerFile)
    project.mkdir(parents=True)
    save(
        {
            "name": name,
            "request": general.requestName,
            "server": "SUBMITTED",
            "script": Path(job.scriptExe).name,
            "args": job.scriptArgs,
            "outputs": [output, *job.outputFiles],
            "lfn": f"{data.outLFNDirBase}/{data.outputPrimaryDataset}/{data.outputDatasetTag}/{stamp}",
            "memory": job.maxMemoryMB,
            "jobs": {
                str(n): {
                    "State": "idle",
                    "Retries": 0,
                    "SubmitTimes": [time.time()],
                    "StartTimes": [],
                    "mask": mask,
                }
                for n, mask in enumerate(masks, start=1)
            },
        }
    )
    if (state_folder() / "mute").exists():
        (state_folder() / "mute").unlink()
        os._exit(1)
    (project / ".requestcache").write_text(name)
    (project / "crab.log").write_text(f"INFO 2026-09-21 22:15:36.000 UTC: \t Task name: {name}\n")
    print(f"Will use CRAB configuration file {path}")
    print("Sending the request to the server at cmsweb.cern.ch")
    print("\x1b[92mSuccess\x1b[0m: Your task has been delivered to the prod CRAB3 server.")
    print(f"Task name: {name}\nProject dir: {project}")


# ---- a node


def run_job(task: dict[str, Any], number: str) -> None:
    """One job, as CRAB's wrapper runs it."""
    job = task["jobs"][number]
    job["StartTimes"].append(time.time())
    job["SiteHistory"] = ["T2_XX_Sim"]
    trouble = state_folder() / "trouble" / f"{task['request'][-3:]}.{number}"
    what = trouble.read_text().strip() if trouble.exists() else ""
    trouble.unlink(missing_ok=True)
    if what == "memory":
        fail(job, 50660, "Not retrying job due to excessive memory use (job automatically killed)")
        return
    with tempfile.TemporaryDirectory(prefix="crab-node-") as folder:
        node = Path(folder)
        with tarfile.open(state_folder() / "tasks" / f"{task['name']}.tgz") as archive:
            archive.extractall(node, filter="data")
        if what == "sandbox":
            (node / "flashsim_prod.tar.gz").write_bytes(b"not an archive")
        code = run_script(task, number, node)
        finish(task, number, node, code, lost=what == "lost")


def run_script(task: dict[str, Any], number: str, node: Path) -> int:
    # what a CMSSW release has around a job would break any other Python
    around = {
        "PYTHONPATH": "/nowhere/cmssw/python",
        "PYTHONHOME": "/nowhere",
        "LD_LIBRARY_PATH": "/nowhere/lib",
    }
    log = state_folder() / f"job_out.{task['request']}.{number}"
    with log.open("ab") as stream:
        done = subprocess.run(
            [str(node / task["script"]), number, *task["args"]],
            cwd=node,
            env={"PATH": "/usr/bin:/bin", "HOME": str(node), **around},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            check=False,
        )
    return done.returncode


def finish(task: dict[str, Any], number: str, node: Path, code: int, *, lost: bool) -> None:
    """Read the job's report and bring its outputs into storage."""
    from WMCore.FwkJobReport.Report import Report

    job = task["jobs"][number]
    try:
        report = Report("cmsRun")
        report.parse(str(node / "FrameworkJobReport.xml"), "cmsRun")
    except Exception:  # noqa: BLE001 - the wrapper does not care what is wrong with it
        fail(job, 50115, "BadFWJRXML")
        return
    told = report.getExitCode() or code
    if told:
        errors = report.__to_json__(None)["steps"]["cmsRun"]["errors"]
        text = "".join(f"{one['type']}\n{one['details']}\n" for one in errors)
        fail(job, told, f"Error while running CMSSW:\n{text}")
        return
    judge(report, job["mask"], node)
    for name in task["outputs"]:
        if not (node / name).is_file():
            fail(job, 60302, f"Output file {name} not found")
            return
        stem, suffix = name.rsplit(".", 1)
        target = f"{task['lfn']}/{int(number) // 1000:04d}/{stem}_{number}.{suffix}"
        if not lost:
            place = Path(os.environ["CRAB_SIM_STORE"] + target)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(node / name, place)
    job["State"] = "finished"


def judge(report: Any, mask: dict[str, int], node: Path) -> None:
    """What the job says it made is what CRAB thinks that it is to make."""
    (file,) = report.getAllFilesFromStep("cmsRun")
    (run,) = file["runs"]
    lumis = sorted(run.eventsPerLumi)
    assert file["events"] == mask["LastEvent"] - mask["FirstEvent"] + 1 == sum(run.eventsPerLumi.values())
    assert len(lumis) == mask["LastLumi"] - mask["FirstLumi"] + 1
    assert (node / file["pfn"]).is_file()


def fail(job: dict[str, Any], code: int, text: str) -> None:
    job.update({"State": "failed", "Error": [code, text, {}]})


# ---- the other commands


def status(words: list[str]) -> None:
    project = words[words.index("-d") + 1]
    task = task_of(project)
    waiting = [number for number, job in task["jobs"].items() if job["State"] == "idle"]
    if waiting and task["server"] == "SUBMITTED" and not (state_folder() / "slow").exists():
        run_job(task, waiting[0])
        save(task)
    states = {job["State"] for job in task["jobs"].values()}
    scheduler = (
        "SUBMITTED"
        if "idle" in states
        else "COMPLETED"
        if states == {"finished"}
        else "\x1b[91mFAILED\x1b[0m"
    )
    print(f"CRAB project directory:\t\t{project}\nTask name:\t\t\t{task['name']}")
    print("Grid scheduler - Task Worker:\tcrab3@sim - crab-sim-tw01")
    print(f"Status on the CRAB server:\t{task['server']}\nStatus on the scheduler:\t{scheduler}\n")
    if "--json" in words:
        print(json.dumps(task["jobs"]))
    print(f"Log file is {project}/crab.log")


def resubmit(words: list[str]) -> None:
    task = task_of(words[words.index("-d") + 1])
    for part in words[words.index("--jobids") + 1].split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            job = task["jobs"][str(number)]
            if job["State"] == "finished" and "--force" not in words:
                raise Refused(f"job {number} is finished; use --force")
            job.update({"State": "idle", "Retries": job["Retries"] + 1})
            job["SubmitTimes"].append(time.time())
            job.pop("Error", None)
    if "--maxmemory" in words:
        task["memory"] = int(words[words.index("--maxmemory") + 1])
    task["server"] = "SUBMITTED"
    save(task)
    print("Resubmit request sent to the server.")


def kill(words: list[str]) -> None:
    task = task_of(words[words.index("-d") + 1])
    for job in task["jobs"].values():
        if job["State"] == "idle":
            job["State"] = "killed"
    task["server"] = "KILLED"
    save(task)
    print("Kill request successfully sent")


def tasks(words: list[str]) -> None:
    for path in sorted((state_folder() / "tasks").glob("*.json")):
        print(f"{path.stem}                 SUBMITTED")


def remake(words: list[str]) -> None:
    name = next(word.removeprefix("--task=") for word in words if word.startswith("--task="))
    project = Path(f"crab_{load(name)['request']}")
    project.mkdir()
    (project / ".requestcache").write_text(name)
    (project / "crab.log").write_text(f"INFO 2026-09-21 22:15:36.000 UTC: \t Task name: {name}\n")
    print(f"Remaking {project}")


def checkwrite(words: list[str]) -> None:
    print("Success: Able to write in /store/user/jdoe on site T2_IT_Pisa")


def main(words: list[str]) -> int:
    commands = {one.__name__: one for one in (submit, status, resubmit, kill, tasks, remake, checkwrite)}
    try:
        if (state_folder() / "down").exists():
            raise Refused("Error contacting the server: 503 Service Unavailable")
        commands[words[0]](words[1:])
    except Refused as error:
        print(f"\x1b[91mError\x1b[0m: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
