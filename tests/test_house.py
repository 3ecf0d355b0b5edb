"""The rules of the house that a machine can check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "flashsim_prod"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: modules over the limit, each with its reason
LONG_FOR_A_REASON: dict[str, str] = {}

HEAVY = (
    "htcondor2",
    "classad2",
    "rucio",
    "requests",
    "dbs",
    "torch",
    "uproot",
    "awkward",
    "numpy",
    "pythia8mc",
    "fastjet",
    "scipy",
    "jinja2",
)


def test_layers():
    command = [Path(sys.executable).with_name("lint-imports")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_is_too_long(module):
    name = str(module.relative_to(PACKAGE))
    lines = len(module.read_text().splitlines())
    assert lines <= 400 or name in LONG_FOR_A_REASON


def _modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("command", ["--help", "request --help", "status", "cards", "sites"])
def test_quick_commands_load_nothing_heavy(command, tmp_path):
    code = (
        "import contextlib, io, os\n"
        f"os.environ['FLASHSIM_PROD_HOME'] = {str(tmp_path)!r}\n"
        "from flashsim_prod.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main({command.split()!r})"
    )
    assert not _modules_after(code).intersection(HEAVY)


@pytest.mark.parametrize(
    ("wing", "heavy"),
    [("grid", ("torch", "uproot", "awkward", "numpy")), ("core", ("torch", "uproot", "awkward"))],
)
def test_wings_without_physics_load_no_physics(wing, heavy):
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] == wing and path.name != "__init__.py"
    ]
    assert names
    loaded = _modules_after("\n".join(f"import {name}" for name in names))
    assert not loaded.intersection(heavy)


def test_the_map_in_the_readme_names_every_part():
    readme = (ROOT / "README.md").read_text()
    parts = {path.parent.relative_to(PACKAGE) for path in MODULES} - {Path()}
    missing = [str(part) for part in parts if f"{part.name}/" not in readme]
    assert not missing
