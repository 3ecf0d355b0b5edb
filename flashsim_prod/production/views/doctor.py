"""What works on this machine: what a plain request needs here, and what sites, catalogues and meters need."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from flashsim_prod import resources
from flashsim_prod.core.choices import Device
from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.errors import FlashSimError
from flashsim_prod.production.order.library import find_site

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
    is_needed : bool
        Whether a request on this machine fails without it.
    detail : str
        What is there, or why it is not and how to mend that.
    """

    what: str
    is_fine: bool
    detail: str
    is_needed: bool = False


def examine() -> list[Look]:
    """Look at everything; nothing is written, and no server is waited for longer than `ANSWER_S`."""
    asked = _ask_rucio()
    found = [look() for look in (_python, _torch, _home, _storage, _disk, _root, _htcondor)]
    return [*found, _told_by(asked), *(look() for look in (_crab, _xrootd, _nvidia, _ipmi))]


def _python() -> Look:
    version = ".".join(map(str, sys.version_info[:3]))
    lacking = [name for name in _PACKAGES if find_spec(name) is None]
    if lacking:
        mend = f"{sys.executable} -m pip install flashsim-prod"
        return Look("python", False, f"{version} lacks {', '.join(lacking)}: {mend}", True)
    return Look("python", True, f"{version}, {sys.executable}", True)


def _torch() -> Look:
    try:
        import torch

        from flashsim_prod.physics.chain.device import device_name, pick_device

        device = pick_device(Device.AUTO)
        return Look("torch", True, f"{torch.__version__}, networks run on {device_name(device)}", True)
    # a broken installation, or a driver that does not fit, fails in any way
    except Exception as error:  # noqa: BLE001
        said = _one_line(error)
        return Look("torch", False, f"{said}: {sys.executable} -m pip install torch==2.13.0", True)


def _home() -> Look:
    path = resources.home_path()
    problem = _not_writable(path)
    if problem:
        mend = f"set {resources.HOME_VARIABLE} to a folder of your own"
        return Look("home", False, f"{path} cannot be written: {problem}; {mend}", True)
    return Look("home", True, str(path) if path.is_dir() else f"{path}, made by the first request", True)


def _storage() -> Look:
    from flashsim_prod.grid.storage.opening import open_storage

    try:
        rules = find_site("local").storage
        pfn = open_storage(rules, resources.home_path()).pfn("/store/mc")
    except FlashSimError as error:
        return Look("storage", False, str(error), True)
    problem = "" if "://" in pfn else _not_writable(Path(pfn))
    if problem:
        return Look("storage", False, f"{pfn} cannot be written: {problem}", True)
    return Look("storage", True, f"{pfn} at {rules.rse}", True)


def _disk() -> Look:
    place = _existing(resources.home_path())
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Look("disk", False, f"{place}: {error.strerror}", True)
    said = f"{format_bytes(free)} free at {place}"
    if free < _LEAST_FREE:
        mend = f"free some, or set {resources.HOME_VARIABLE} to a folder on another disk"
        return Look("disk", False, f"{said}: {mend}", True)
    return Look("disk", True, said, True)


def _root() -> Look:
    from flashsim_prod.physics.nanoaod.merger import find_hadd

    hadd = find_hadd()
    if hadd is None:
        return Look("root", False, "no hadd, so uproot merges, slowly: pip install 'flashsim-prod[root]'")
    return Look("root", True, f"{hadd} merges")


def _htcondor() -> Look:
    from flashsim_prod.grid.batch.htcondor.client import Pool

    try:
        Pool()
    except FlashSimError as error:
        return Look("htcondor", False, str(error))
    return Look("htcondor", True, "bindings and configuration are here; flashsim-prod sites check htcondor")


def _crab() -> Look:
    return _program("crab", ("crab",), "source /cvmfs/cms.cern.ch/common/crab-setup.sh")


def _xrootd() -> Look:
    return _program("xrootd", ("xrdcp", "xrdfs"), "install xrootd-client")


def _nvidia() -> Look:
    there = _program("nvidia-smi", ("nvidia-smi",), "it comes with NVIDIA's driver; CPUs do without")
    if not there.is_fine:
        return there
    try:
        told = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Look("nvidia-smi", False, _one_line(error))
    lines = (told.stdout if not told.returncode else told.stdout + told.stderr).splitlines()
    said = "; ".join(line.partition(" (UUID")[0] for line in lines[:8]) or "it says nothing"
    return Look("nvidia-smi", told.returncode == 0 and told.stdout.startswith("GPU"), said)


def _ipmi() -> Look:
    there = _program("ipmitool", ("ipmitool",), "apt-get install ipmitool; only energy-bench needs it")
    devices = [path for path in ("/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0") if os.path.exists(path)]
    if there.is_fine and not devices:
        return Look("ipmitool", False, f"{there.detail}, but this machine shows no BMC (/dev/ipmi0)")
    return there


def _program(what: str, names: tuple[str, ...], mend: str) -> Look:
    paths = {name: shutil.which(name) for name in names}
    lacking = [name for name, path in paths.items() if path is None]
    if lacking:
        return Look(what, False, f"no {' or '.join(lacking)} on PATH: {mend}")
    return Look(what, True, ", ".join(str(path) for path in paths.values()))


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


def _told_by(asked: subprocess.Popen[str]) -> Look:
    try:
        out, _ = asked.communicate(timeout=_CHILD_S)
        is_fine, detail = json.loads(out)
    except subprocess.TimeoutExpired:
        asked.kill()
        asked.communicate()
        return Look("rucio", False, "its server does not answer, or its name is not found in time")
    except ValueError:
        return Look("rucio", False, "its client fails; flashsim-prod sites check local says more")
    return Look("rucio", bool(is_fine), str(detail))


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
