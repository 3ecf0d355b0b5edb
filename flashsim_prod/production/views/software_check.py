"""Whether the software that a site file names can run a job, as far as this machine can tell."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flashsim_prod import __version__
from flashsim_prod.core.engines import NodeSoftware
from flashsim_prod.core.site import Site
from flashsim_prod.grid.batch.base import Finding
from flashsim_prod.software import code_digest, software_told

#: how long an interpreter may take to tell, from a cold file system [s]
PATIENCE_S = 300
#: what a simulate job imports
_PACKAGES = ("torch", "pythia8mc", "fastjet", "uproot", "awkward", "numpy", "scipy", "safetensors", "numba")
_PROBE = """
import importlib, json, sys
def version_of(name):
    try:
        return str(getattr(importlib.import_module(name), "__version__", "?")), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
def code():
    try:
        from flashsim_prod.software import code_digest
        return code_digest()
    except Exception:
        return None
print("FOUND " + json.dumps({"python": sys.version.split()[0], "prefix": sys.prefix, "code": code(),
    "packages": {name: version_of(name) for name in sys.argv[1:]}}))
"""


def check_software(site: Site) -> Iterator[Finding]:
    """What is there of a site's software: the place, the interpreter in it, the package, its imports."""
    software = site.rules.node_software()
    with TemporaryDirectory(prefix="flashsim-software-") as folder:
        place = _place(software)
        yield place
        if not place.is_fine:
            return
        command, trouble = _command(software, Path(folder))
        found, trouble = (
            ({}, trouble)
            if trouble
            else _ask(command, software.setup, Path(folder), inherits=not site.rules.goes_on_alone)
        )
        if trouble:
            yield Finding("python", False, trouble)
            return
        yield Finding("python", True, f"{found['python']} in {found['prefix']}")
        packages = found["packages"]
        version, why = packages.pop("flashsim_prod")
        yield _package(software, version, why, found.get("code"))
        lacking = [f"{name} ({why})" for name, (version, why) in packages.items() if version is None]
        told = ", ".join(f"{name} {version}" for name, (version, _) in packages.items())
        yield Finding("imports", not lacking, f"it lacks {', '.join(lacking)}" if lacking else told)


def _place(software: NodeSoftware) -> Finding:
    """Whether what the site file names is there."""
    kind = "image" if software.image else "archive" if software.archive else "interpreter"
    path = software.image or software.archive or _here(software.python)
    if "://" in path:
        return Finding(kind, True, f"{path}, which is opened now")
    if kind == "interpreter":
        found = shutil.which(path)
        return Finding(kind, found is not None, found or f"{path} is no program, seen from this machine")
    if os.path.exists(path):
        return Finding(kind, True, path)
    mend = "flashsim-prod software --help prints recipes; enter the path of yours in a copy of the site file"
    return Finding(kind, False, f"there is no {path}, seen from this machine; {mend}")


def _command(software: NodeSoftware, folder: Path) -> tuple[list[str], str]:
    """What runs the site's interpreter here, or why that cannot be done."""
    if software.image:
        runner = shutil.which(software.runner)
        if runner is None:
            return [], f"no {software.runner} on this machine, so the image cannot be opened here"
        # nothing of this machine that a node lacks
        return [runner, "exec", "--cleanenv", "--no-home", "--pwd", "/", software.image, software.python], ""
    if software.archive:
        try:
            with tarfile.open(software.archive) as archive:
                archive.extractall(folder, filter="tar")
        except (OSError, tarfile.TarError) as error:
            return [], f"{software.archive} cannot be unpacked: {error}"
        return [str(folder / software.python)], ""
    return [_here(software.python)], ""


def _ask(
    command: list[str], setup: tuple[str, ...], folder: Path, *, inherits: bool
) -> tuple[dict[str, Any], str]:
    """What the interpreter says, or why it does not."""
    names = [*_PACKAGES, "flashsim_prod"]
    words = shlex.join([*command, "-c", _PROBE, *names])
    script = "\n".join([*setup, f"exec {words}"])
    # batch systems hand none of these on; processes of this machine inherit them
    kept = {key: value for key, value in os.environ.items() if inherits or not key.startswith("PYTHON")}
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=folder,
            env=kept,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}, f"{command[-1]} had no answer in {PATIENCE_S} s"
    for line in done.stdout.splitlines():
        if line.startswith("FOUND "):
            return json.loads(line.removeprefix("FOUND ")), ""
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return {}, f"{command[-1]} does not run: {said[-1] if said else f'exit code {done.returncode}'}"


def _package(software: NodeSoftware, version: str | None, why: str | None, code: str | None) -> Finding:
    if software.brings_package:
        return Finding("package", True, f"flashsim-prod {__version__} travels with the jobs")
    if version is None:
        return Finding("package", False, f"it has no flashsim-prod ({why}): pip install it there")
    if version != __version__:
        said = (
            f"flashsim-prod {version}, but requests are made by {__version__} here: install the same version"
        )
        return Finding("package", False, said)
    told = software_told(version, code)
    if code != code_digest():
        said = f"{told}, but requests are made by code {code_digest()} here: install the same commit"
        return Finding("package", False, said)
    return Finding("package", True, told)


def _here(python: str) -> str:
    return python.replace("{python}", sys.executable)
