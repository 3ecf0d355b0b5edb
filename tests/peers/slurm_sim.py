"""A stand-in of Slurm: ``sbatch``, ``squeue`` and ``scancel`` of a cluster whose only node is this machine.

Its state is the folder ``$SLURM_SIM``: a folder for each job, named by its number, with the file ``code``
once it has ended. Jobs run at once, after those that they depend on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

STATE = Path(os.environ["SLURM_SIM"])
#: what a job may last that hangs [s]
LIMIT_S = 120


def sbatch(words: list[str]) -> None:
    """Take a job and print its number."""
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--"))
    argv = [word for word in words if not word.startswith("--")]
    number = 1
    while True:
        folder = STATE / str(number)
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
        number += 1
    before = options.get("dependency", "").removeprefix("afterok:").split(":")
    told = {"name": options["job-name"], "argv": argv, "log": options["output"], "before": before}
    (folder / "job.json").write_text(json.dumps(told), encoding="utf-8")
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    runner = subprocess.Popen(
        [sys.executable, __file__, "run", str(number)], start_new_session=True, **silent
    )
    (folder / "pid").write_text(str(runner.pid), encoding="utf-8")
    print(number)


def run(number: str) -> None:
    """Run a job when those before it have ended well; else it never starts."""
    told = json.loads((STATE / number / "job.json").read_text(encoding="utf-8"))
    before = [STATE / one / "code" for one in told["before"] if one]
    ends = time.monotonic() + LIMIT_S
    while not all(path.exists() for path in before) and time.monotonic() < ends:
        time.sleep(0.05)
    code = "cancelled"
    if all(path.read_text(encoding="utf-8") == "0" for path in before):
        (STATE / number / "running").touch()
        with open(told["log"], "wb") as log:
            code = str(
                subprocess.run(told["argv"], stdout=log, stderr=log, timeout=LIMIT_S, check=False).returncode
            )
    _end(number, code)


def squeue(words: list[str]) -> None:
    """Print the jobs that have not ended."""
    for folder in sorted(STATE.glob("[0-9]*"), key=lambda path: int(path.name)):
        if not (folder / "code").exists():
            state = "RUNNING" if (folder / "running").exists() else "PENDING"
            name = json.loads((folder / "job.json").read_text(encoding="utf-8"))["name"]
            print(f"{folder.name}|{state}|{name}")


def scancel(numbers: list[str]) -> None:
    """End jobs."""
    for number in numbers:
        with suppress(ProcessLookupError):
            os.killpg(int((STATE / number / "pid").read_text(encoding="utf-8")), signal.SIGKILL)
        _end(number, "cancelled")


def _end(number: str, code: str) -> None:
    part = STATE / number / "code.part"
    part.write_text(code, encoding="utf-8")
    part.replace(part.with_name("code"))


if __name__ == "__main__":
    program, *rest = sys.argv[1:]
    {"sbatch": sbatch, "squeue": squeue, "scancel": scancel, "run": lambda words: run(words[0])}[program](
        rest
    )
