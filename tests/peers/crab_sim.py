"""A stand-in of CRAB: its client, its server and a node, in one program and one folder.

It says and refuses what CRABClient at 0cdaf517 (May 2026, releases v3.25* to v3.260206) and CRABServer at
419cd950 (August 2026) say and refuse, read from their sources: words, exit codes and the order of lines are
theirs. CMS's own code (WMCore) loads the configuration, splits the task and reads the job reports.

``crab_sim.py COMMAND ...`` is what ``crab COMMAND ...`` would be. ``CRAB_SIM`` names its folder,
``CRAB_SIM_STORE`` the one that stands for the storage site. Each ``crab status`` runs one waiting job, as a
node would: in an empty folder, the sandbox unpacked, the environment of a CMSSW release around it.

In its folder, a file ``trouble/<task>.<job>``, as in ``000.1``, holds what goes wrong with the next run of a
job: ``memory``, ``lost`` (the output does not arrive), ``sandbox`` (it arrives broken), ``cooloff``, ``held``
or ``unsubmitted`` (seen so once, before it runs). Other files there: ``down`` makes the server unreachable;
with ``slow`` no job runs; ``mute`` makes the next client that submits die before it has told so; ``refuse``
holds the state in which the next task ends at once (SUBMITREFUSED, SUBMITFAILED); ``age.<task>`` holds a
task's age in days; ``cacheless.<task>`` takes away the file of its jobs' states; ``readonly`` holds the
beginning of folders where nobody may write; ``last_year`` makes the scheduler speak as it did then;
``server.<task>`` holds the state in which the server keeps a task; ``no_release`` is a shell without cmsenv.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
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


#: a task's life, the days before its end when nothing is run again, and how long its files are kept [days]
LIFETIME, DRAIN, KEPT = 30, 7, 40
#: exit codes of the client's exceptions, as a shell sees them
CONFIGURATION, NO_CACHE, SERVER, COMMAND_FAILED = 3008 & 255, 3005 & 255, 3016 & 255, 1
RED, GREEN, NORMAL = "\x1b[91m", "\x1b[92m", "\x1b[0m"


class Refused(Exception):
    """What the real client prints when it ends with an exit code."""

    def __init__(self, said: str, code: int = CONFIGURATION) -> None:
        super().__init__(said)
        self.code = code


def server_error(detail: str, reason: str) -> Refused:
    """What the client prints of an error that the server answers with."""
    return Refused(
        f"The server answered with an error.\nServer answered with: {detail}\nReason is: {reason}\n"
        "Error Id: 1f0c5b2e9a0d4c6f8e7b",
        SERVER,
    )


def state_folder() -> Path:
    folder = Path(os.environ["CRAB_SIM"])
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    (folder / "trouble").mkdir(exist_ok=True)
    return folder


# ---- tasks on the server


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state_folder() / "tasks" / f"{name}.json").read_text())
    kept = state_folder() / f"server.{short(found)}"
    return {**found, "server": kept.read_text().strip()} if kept.exists() else found


def save(task: dict[str, Any]) -> None:
    (state_folder() / "tasks" / f"{task['name']}.json").write_text(json.dumps(task))


def task_of(project: str) -> dict[str, Any]:
    cache = Path(project) / ".requestcache"
    if not cache.is_file():
        raise Refused(f"Cannot find .requestcache file in CRAB project directory {project}", NO_CACHE)
    return load(pickle.loads(cache.read_bytes())["RequestName"])


def write_cache(project: Path, name: str) -> None:
    about = {"voGroup": "", "Server": "cmsweb.cern.ch", "instance": "prod", "RequestName": name, "Port": ""}
    (project / ".requestcache").write_bytes(pickle.dumps(about, protocol=0))


def short(task: dict[str, Any]) -> str:
    """The number that ends a task's name."""
    return str(task["request"])[-3:]


def age_of(task: dict[str, Any]) -> float:
    aged = state_folder() / f"age.{short(task)}"
    return float(aged.read_text()) if aged.exists() else (time.time() - task["submitted"]) / 86400


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
    if not may_stage_out(data.outLFNDirBase):
        raise server_error(
            "Invalid input parameter",
            "The parameter Data.outLFNDirBase must start with either '/store/user/<username>/' or "
            "'/store/group/<groupname>/'",
        )


def may_stage_out(lfn: str) -> bool:
    """The server's rule for folders of outputs."""
    parts = lfn.split("/")
    if lfn.startswith("/store/user/rucio/"):
        return parts[4] == USER
    if lfn.startswith("/store/user/"):
        return parts[3] == USER
    return lfn.startswith(("/store/group/", "/store/local/")) and parts[3] != ""


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
            "submitted": time.time(),
            "server": refused() or "SUBMITTED",
            "command": "SUBMIT",
            "script": Path(job.scriptExe).name,
            "args": job.scriptArgs,
            "outputs": [output, *job.outputFiles],
            "lfn": f"{data.outLFNDirBase}/{data.outputPrimaryDataset}/{data.outputDatasetTag}/{stamp}",
            "memory": job.maxMemoryMB,
            "jobs": {
                str(n): {
                    "State": first_state(general.requestName, n),
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
    write_cache(project, name)
    (project / "crab.log").write_text(f"INFO 2026-09-21 22:15:36.000 UTC: \t Task name: {name}\n")
    print(f"Will use CRAB configuration file {path}")
    print("Sending the request to the server at cmsweb.cern.ch")
    print("\x1b[92mSuccess\x1b[0m: Your task has been delivered to the prod CRAB3 server.")
    print(f"Task name: {name}\nProject dir: {project}")
    print(f"Please use ' crab status -d {project} ' to check how the submission process proceeds.")


def first_state(request: str, number: int) -> str:
    """What a job is seen as first."""
    trouble = state_folder() / "trouble" / f"{request[-3:]}.{number}"
    what = trouble.read_text().strip() if trouble.exists() else ""
    if what not in ("cooloff", "held", "unsubmitted"):
        return "idle"
    trouble.unlink()
    return what


def refused() -> str:
    """The state in which the task that is submitted now ends at once, if it does."""
    path = state_folder() / "refuse"
    if not path.exists():
        return ""
    state = path.read_text().strip()
    path.unlink()
    return state


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


def print_task(task: dict[str, Any], project: str) -> None:
    """What the server's database has of a task."""
    state, name = task["server"], task["name"]
    shown = f"{RED}{state}{NORMAL}" if "FAILED" in state else state
    print(f"CRAB project directory:\t\t{project}\nTask name:\t\t\t{name}")
    print("Grid scheduler - Task Worker:\tcrab3@vocms0199.cern.ch - crab-prod-tw01")
    print(
        f"Status on the CRAB server:\t{shown}"
        + (f" on command {task['command']}" if state in ("NEW", "HOLDING", "QUEUED") else "")
    )
    page = f"https://cmsweb.cern.ch/crabserver/ui/task/{name.replace(':', '%3A')}"
    print(f"{GREEN}Task URL to use for HELP:\t{page}{NORMAL}")
    # of a task that was refused, only its page tells why
    if "FAILED" in state:
        print(f"{RED}Failure message from server{NORMAL}:\tThe CRAB server backend was not able to submit it")


def scheduler_word(task: dict[str, Any]) -> str:
    states = {job["State"] for job in task["jobs"].values()}
    if states == {"finished"}:
        return "COMPLETED"
    if task.get("killed") or not states & {"idle", "cooloff", "held", "unsubmitted"}:
        return "FAILED"
    return "SUBMITTED" if (state_folder() / "last_year").exists() else "RUNNING"


def status(words: list[str]) -> None:
    project = words[words.index("-d") + 1]
    task = task_of(project)
    print_task(task, project)
    if task["server"] in ("SUBMITREFUSED", "SUBMITFAILED"):
        return
    if age_of(task) > KEPT:
        print(f"Task was submitted {age_of(task):.0f} days ago.")
        print(f"Files are purged from Grid scheduler after {KEPT} days. No further information is available")
        return
    if (state_folder() / f"cacheless.{short(task)}").exists():
        cache = "https://cmsweb.cern.ch/scheddmon/0199/cms1234/status_cache.pkl"
        raise Refused(f"{cache} not found or corrupted\nCommand status failed", COMMAND_FAILED)
    step(task)
    print(f"Status on the scheduler:\t{scheduler_word(task)}\n")
    if task.get("lfn", "").startswith("/store/user/rucio/"):
        rule = hashlib.md5(task["name"].encode()).hexdigest()
        print(f"\nTransfer container's rule:\thttps://cms-rucio-webui.cern.ch/rule?rule_id={rule}")
    print("No publication information (publication has been disabled in the CRAB configuration file)")
    if "--json" in words:
        print(
            json.dumps({n: {k: v for k, v in job.items() if k != "mask"} for n, job in task["jobs"].items()})
        )
    if task["server"] not in ("NEW", "SUBMITTED", "KILLED"):
        return
    task["server"] = {"KILL": "KILLED"}.get(task["command"], "SUBMITTED")
    save(task)


def step(task: dict[str, Any]) -> None:
    """What has happened since the last look: at most one job ran, others came a step further."""
    if task["server"] == "NEW" or task["server"] == "KILLED" or (state_folder() / "slow").exists():
        return
    waiting = [number for number, job in task["jobs"].items() if job["State"] == "idle"]
    for job in task["jobs"].values():
        if job["State"] in ("cooloff", "held", "unsubmitted"):
            job["seen"] = job.get("seen", 0) + 1
            job["State"] = job["State"] if job["seen"] == 1 else "idle"
    if waiting:
        run_job(task, waiting[0])


def resubmit(words: list[str]) -> None:
    known = {"-d", "--jobids", "--maxmemory", "--maxjobruntime", "--sitewhitelist", "--siteblacklist"}
    for word in words:
        if word.startswith("--") and word not in known:
            raise Refused(f"Usage: crab resubmit [options]\n\ncrab: error: no such option: {word}", 2)
    task = task_of(words[words.index("-d") + 1])
    if age_of(task) > KEPT or (state_folder() / f"cacheless.{short(task)}").exists():
        raise Refused(
            f"{RED}Error{NORMAL}: Status information is unavailable, will not proceed with the resubmission. "
            "Try again a few minutes later if the task has just been submitted.\n"
            "ERROR: TypeError: 'NoneType' object is not subscriptable\n"
            "\n Look for more details in crab.log file crab.log",
            COMMAND_FAILED,
        )
    numbers: list[str] = []
    for part in words[words.index("--jobids") + 1].split(","):
        first, _, last = part.partition("-")
        numbers += map(str, range(int(first), int(last or first) + 1))
    wrong = [n for n in numbers if task["jobs"].get(n, {}).get("State") != "failed"]
    if wrong:
        raise Refused(
            f"Not possible to resubmit the following jobs:\n{wrong}\n"
            "Only jobs in status failed can be resubmitted. "
        )
    print("Sending resubmit request to the server.")
    check_lifetime(task)
    if task["server"] not in ("SUBMITTED", "KILLFAILED", "RESUBMITFAILED", "FAILED"):
        raise server_error(
            "Execution error", f"You cannot resubmit jobs if the task is in status {task['server']}."
        )
    for number in numbers:
        job = task["jobs"][number]
        job.update({"State": "idle", "Retries": job["Retries"] + 1})
        job["SubmitTimes"].append(time.time())
        job.pop("Error", None)
    if "--maxmemory" in words:
        task["memory"] = int(words[words.index("--maxmemory") + 1])
    task.update({"server": "NEW", "command": "RESUBMIT"})
    save(task)
    print("Resubmit request sent to the server.")


def check_lifetime(task: dict[str, Any]) -> None:
    if age_of(task) <= LIFETIME - DRAIN:
        return
    raise Refused(
        "Resubmit request sent to the server.\n"
        f"Server responded with: 'Resubmission of the task is not possible since less than {DRAIN} days"
        "are left before the task is removed from theschedulers.\n"
        f"A task expires {LIFETIME:.1f} days after its submission\n"
        "You can submit a 'recovery task' if you need to execute again the failed jobs\n"
        "See https://twiki.cern.ch/twiki/bin/view/CMSPublic/CRAB3FAQ for more information about "
        "recovery tasks'\n"
        "Command resubmit failed",
        COMMAND_FAILED,
    )


def kill(words: list[str]) -> None:
    task = task_of(words[words.index("-d") + 1])
    if task["server"] not in ("SUBMITTED", "KILLFAILED", "RESUBMITFAILED", "FAILED", "KILLED"):
        raise server_error("Invalid input parameter", "Invalid request")
    for job in task["jobs"].values():
        # those that are not in the queue stay what they were
        if job["State"] in ("idle", "held"):
            job["State"] = "killed"
    task.update({"server": "NEW", "command": "KILL", "killed": True})
    save(task)
    print("Kill request successfully sent")


def tasks(words: list[str]) -> None:
    print("\nList of tasks from 2026-08-22 until 2026-09-21")
    print("Beware that STATUS here does not include information from grid jobs")
    print("=" * 80 + "\nNAME\t\t\t\t\t\t\t\tSTATUS\n" + "=" * 80)
    for path in sorted((state_folder() / "tasks").glob("*.json"), reverse=True):
        print(f"{path.stem}\n\t\t\t\t\t\t\t\t{load(path.stem)['server']}\n" + "-" * 80)


def remake(words: list[str]) -> None:
    name = next(word.removeprefix("--task=") for word in words if word.startswith("--task="))
    project = Path(f"crab_{load(name)['request']}")
    for folder in (project, project / "results", project / "inputs"):
        folder.mkdir()
    print(f"Remaking {project} folder.\nRemaking .requestcache file.")
    write_cache(project, name)
    print(f"{GREEN}Success{NORMAL}: Finished remaking project directory {project}")


def checkusername(words: list[str]) -> None:
    print(f"Username is: {USER}")


def checkwrite(words: list[str]) -> None:
    told = dict(word.removeprefix("--").split("=", 1) for word in words)
    site, lfn = told["site"], told.get("lfn", f"/store/user/{USER}")
    print(f"Validating LFN {lfn}...")
    if not may_stage_out(lfn):
        raise Refused(
            f"Refusing to check write permission in {lfn}, because this is not an allowed LFN for stageout.\n"
            "The LFN must start with either '/store/user/<username>/' or '/store/group/<groupname>/'\n"
            f"LFN {lfn} is not valid.\nCommand checkwrite failed",
            COMMAND_FAILED,
        )
    print(f"LFN {lfn} is valid.")
    barred = state_folder() / "readonly"
    is_barred = barred.exists() and lfn.startswith(barred.read_text().strip())
    if lfn.startswith(("/store/user/rucio/", "/store/group/rucio/")):
        quota = "FYI this is your Rucio quota situation (rounded to GBytes = 10^9 Bytes)\n   Site  Quota"
        if is_barred:
            raise Refused(
                f"You do not have any Rucio quota at site {site}\n{quota}\nCommand checkwrite failed",
                COMMAND_FAILED,
            )
        print(f"you have 900 GB available as Rucio quota at site {site}")
        print(f"You can use this site for Rucio-based ASO\n{quota}")
        return
    print("\nCheckwrite Result:")
    if is_barred:
        raise Refused(
            f"{RED}Error{NORMAL}: Unable to write in {lfn} on site {site}\n"
            "       You may want to contact the site administrators sending them the 'crab checkwrite' "
            "output as printed above.\nNote: You cannot write to a site if you did not ask permission.\n"
            "Command checkwrite failed",
            COMMAND_FAILED,
        )
    print(f"{GREEN}Success{NORMAL}: Able to write in {lfn} on site {site}")


def main(words: list[str]) -> int:
    if words == ["--version"] and not (state_folder() / "no_release").exists():
        print("CRAB client v3.260206")
        return 0
    if (state_folder() / "no_release").exists():
        print("\nError: $CMSSW_VERSION is not defined. Make sure you do cmsenv first. Exiting...")
        return 0
    known = (submit, status, resubmit, kill, tasks, remake, checkwrite, checkusername)
    commands = {one.__name__: one for one in known}
    code = 0
    try:
        if (state_folder() / "down").exists():
            raise Refused("Error contacting the server: 503 Service Unavailable", SERVER)
        commands[words[0]](words[1:])
    except Refused as error:
        print(error)
        code = error.code
    if words[0] != "checkusername" and code != 2:
        print("Log file is crab.log")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
