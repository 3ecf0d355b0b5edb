"""What works on this machine: what a plain request needs here, and what sites, catalogues and meters need."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from flashsim_prod import resources
from flashsim_prod.core.choices import Device
from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.errors import FlashSimError
from flashsim_prod.production.order.library import find_site

#: whether it is fine, and what is there, or why it is not and how to mend that
Told = tuple[bool, str]

#: what a request on this machine fails without
_NEEDED = ("python", "torch", "home", "storage", "disk")
#: where a machine that has a BMC shows it
_BMCS = ("/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0")
#: what a simulate job imports
_PACKAGES = ("pythia8mc", "fastjet", "uproot", "awkward", "numpy", "scipy", "safetensors")
#: below this much free space the disk counts as full [B]
_LEAST_FREE = 1_000_000_000
#: how long a server, or a program that asks a device, is waited for [s]
ANSWER_S = 2
#: a child that does not even come to ask is given up after this long [s]
_CHILD_S = 15
_ASKS = "from flashsim_prod.production.views.doctor import tell_rucio; tell_rucio()"


@dataclass(frozen=True)
class Look:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
        Its name.
    is_fine : bool
    detail : str
        What is there, or why it is not and how to mend that.
    is_needed : bool
        Whether a request on this machine fails without it.
    """

    what: str
    is_fine: bool
    detail: str
    is_needed: bool


def examine() -> list[Look]:
    """Look at everything; nothing is written, and no server is waited for longer than `ANSWER_S`."""
    asked = _ask_rucio()
    looks: dict[str, Callable[[], Told]] = {
        "python": _python,
        "torch": _torch,
        "home": _home,
        "storage": _storage,
        "disk": _disk,
        "root": _root,
        "htcondor": _htcondor,
        "rucio": partial(_told_by, asked),
        "crab": _crab,
        "slurm": _slurm,
        "xrootd": _xrootd,
        "nvidia-smi": _nvidia,
        "ipmitool": _ipmi,
    }
    return [_look(what, look) for what, look in looks.items()]


def _look(what: str, look: Callable[[], Told]) -> Look:
    try:
        is_fine, detail = look()
    # a broken installation or driver fails in any way, and the rest is to be told all the same
    except Exception as error:  # noqa: BLE001
        is_fine, detail = False, _one_line(error)
    return Look(what, is_fine, detail, what in _NEEDED)


def _python() -> Told:
    version = ".".join(map(str, sys.version_info[:3]))
    lacking = [name for name in _PACKAGES if not _can_be_imported(name)]
    if lacking:
        return False, f"{version} lacks {', '.join(lacking)}: {sys.executable} -m pip install flashsim-prod"
    return True, f"{version}, {sys.executable}"


def _can_be_imported(name: str) -> bool:
    try:
        import_module(name)
    # libraries that do not fit fail otherwise than by not being there
    except (ImportError, OSError):
        return False
    return True


def _torch() -> Told:
    try:
        import torch
    except (ImportError, OSError) as error:
        return False, f"{_one_line(error)}: {sys.executable} -m pip install --force-reinstall torch"
    from flashsim_prod.physics.chain.device import device_name, pick_device

    return True, f"{torch.__version__}, networks run on {device_name(pick_device(Device.AUTO))}"


def _home() -> Told:
    path = resources.home_path()
    problem = _not_writable(path)
    if problem:
        mend = f"set {resources.HOME_VARIABLE} to a folder of your own"
        return False, f"{path} cannot be written: {problem}; {mend}"
    return True, str(path) if path.is_dir() else f"{path}, made by the first request"


def _storage() -> Told:
    from flashsim_prod.grid.storage.opening import open_storage

    try:
        rules = find_site("local").storage
        pfn = open_storage(rules, resources.home_path()).pfn("/store/mc")
    except FlashSimError as error:
        return False, str(error)
    problem = "" if "://" in pfn else _not_writable(Path(pfn))
    if problem:
        return False, f"{pfn} cannot be written: {problem}"
    return True, f"{pfn} at {rules.rse}"


def _disk() -> Told:
    place = _existing(resources.home_path())
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return False, f"{place}: {error.strerror}"
    said = f"{format_bytes(free)} free at {place}"
    if free < _LEAST_FREE:
        mend = f"free some, or set {resources.HOME_VARIABLE} to a folder on another disk"
        return False, f"{said}: {mend}"
    return True, said


def _root() -> Told:
    from flashsim_prod.physics.nanoaod.merger import find_hadd

    hadd = find_hadd()
    if hadd is None:
        return False, "no hadd, so uproot merges, slowly: pip install 'flashsim-prod[root]'"
    return True, f"{hadd} merges"


def _htcondor() -> Told:
    from flashsim_prod.grid.batch.htcondor.client import Pool

    try:
        Pool()
    except FlashSimError as error:
        return False, str(error)
    return True, "bindings and configuration are here; flashsim-prod sites check htcondor"


def _crab() -> Told:
    return _program(("crab",), "source /cvmfs/cms.cern.ch/common/crab-setup.sh")


def _slurm() -> Told:
    is_here, detail = _program(("sbatch", "squeue", "scancel"), "log in to a login node of the cluster")
    return is_here, f"{detail}; flashsim-prod sites check slurm" if is_here else detail


def _xrootd() -> Told:
    return _program(("xrdcp", "xrdfs"), "install xrootd-client")


def _nvidia() -> Told:
    is_here, detail = _program(("nvidia-smi",), "it comes with NVIDIA's driver; CPUs do without")
    if not is_here:
        return False, detail
    asked = ["nvidia-smi", "-L"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    lines = (told.stdout or told.stderr).splitlines()
    said = "; ".join(line.partition(" (UUID")[0] for line in lines[:8]) or "it says nothing"
    return told.returncode == 0 and told.stdout.startswith("GPU"), said


def _ipmi() -> Told:
    is_here, detail = _program(("ipmitool",), "apt-get install ipmitool; only energy-bench needs it")
    if is_here and not any(map(os.path.exists, _BMCS)):
        return False, f"{detail}, but this machine shows no BMC ({_BMCS[0]})"
    return is_here, detail


def _program(names: tuple[str, ...], mend: str) -> Told:
    paths = {name: shutil.which(name) for name in names}
    lacking = [name for name, path in paths.items() if path is None]
    if lacking:
        return False, f"no {' or '.join(lacking)} on PATH: {mend}"
    return True, ", ".join(map(str, paths.values()))


# ---- Rucio, whose client may hang in a look-up of names: asked by a process that can be stopped


def tell_rucio() -> None:
    """Print as JSON whether Rucio answers, and who it takes one for."""
    from flashsim_prod.grid.catalog.rucio_calls import RucioCalls

    try:
        with RucioCalls(patience_s=0, answer_s=ANSWER_S) as calls:
            who = calls.who
            told = [True, f"{who['account']} ({who['account_type'].lower()}) at {calls.host}"]
    except FlashSimError as error:
        told = [False, str(error)]
    print(json.dumps(told))


def _ask_rucio() -> subprocess.Popen[str]:
    places = [str(Path(resources.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    return subprocess.Popen(
        [sys.executable, "-c", _ASKS],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _told_by(asked: subprocess.Popen[str]) -> Told:
    try:
        out, _ = asked.communicate(timeout=_CHILD_S)
        is_fine, detail = json.loads(out)
    except subprocess.TimeoutExpired:
        asked.kill()
        asked.communicate()
        return False, "its server does not answer, or its name is not found in time"
    except ValueError:
        return False, "its client fails; flashsim-prod sites check local says more"
    return bool(is_fine), str(detail)


# ---- folders


def _existing(path: Path) -> Path:
    """The nearest folder on the way to `path` that is there."""
    return next((one for one in (path, *path.parents) if os.path.lexists(one)), Path("/"))


def _not_writable(path: Path) -> str:
    """Why nothing can be written into a folder, or where it would be made; empty if it can."""
    try:
        # permissions alone do not tell: the file system may be full or mounted read-only
        with tempfile.TemporaryFile(dir=_existing(path)):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
