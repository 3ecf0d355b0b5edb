"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "flashsim_prod"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: modules of commands and what they share
COMMAND_MODULES = [path for path in MODULES if path.is_relative_to(PACKAGE / "cli")]

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


#: rooms that hold one kind of thing in large numbers
WIDE_ROOMS = ("physics/chain", "physics/chain/objects", "physics/detector")


def test_no_room_is_too_full():
    rooms = {path.parent for path in MODULES} - {PACKAGE / room for room in WIDE_ROOMS}
    full = {str(room): len(list(room.glob("[!_]*.py"))) for room in rooms}
    assert not {room: n for room, n in full.items() if n > 14}


def _modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("command", ["--help", "request --help", "status", "cards", "sites"])
def test_quick_commands_load_nothing_heavy(command, tmp_path):
    assert not _modules_after_command(command, tmp_path).intersection(HEAVY)


def _modules_after_command(command: str, home: Path) -> set[str]:
    code = (
        "import contextlib, io, os\n"
        f"os.environ['FLASHSIM_PROD_HOME'] = {str(home)!r}\n"
        "from flashsim_prod.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main({command.split()!r})"
    )
    return _modules_after(code)


@pytest.mark.parametrize(
    "command",
    ["bundle --help", "bundle list", "bundle show", "bundle show met", "train --help", "train fit -h"],
)
def test_looking_at_models_loads_no_networks(command, tmp_path):
    loaded = _modules_after_command(command, tmp_path)
    assert "flashsim_prod.production.models.bundles" in loaded
    assert not loaded.intersection(("torch", "uproot", "awkward", "pythia8mc", "scipy", "rucio", "htcondor2"))


def test_the_python_interface_loads_nothing_heavy():
    assert not _modules_after("import flashsim_prod.api").intersection((*HEAVY, "pydantic", "typer"))


#: command modules are loaded when a command is called; these import within a function nonetheless
IMPORTS_LATER = {
    "cli/completing.py": "every command module loads it, and names are seldom completed",
    "cli/options.py": "options are declared without the models that they end up in",
    "cli/requests/worker.py": "jobs do not drive, and a pool starts thousands of them",
    "cli/requests/request.py": "its help has a limit, and what makes requests takes longer",
}


def _imports_later(module: Path) -> bool:
    functions = [
        node
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    return any(isinstance(inner, ast.Import | ast.ImportFrom) for one in functions for inner in ast.walk(one))


@pytest.mark.parametrize(
    "module",
    [path for path in COMMAND_MODULES if str(path.relative_to(PACKAGE)) not in IMPORTS_LATER],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_commands_are_loaded_lazily_by_one_mechanism(module):
    assert not _imports_later(module)


@pytest.mark.parametrize("name", IMPORTS_LATER)
def test_no_late_import_outlives_its_reason(name):
    assert _imports_later(PACKAGE / name)


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


#: modules that write otherwise than by files.py, each with its reason
WRITES_BY_ITSELF = {
    "files.py": "it is the one that does",
    "physics/analysis/parquet.py": "a copy of what a server has, in a folder that is thrown away",
    "physics/chain/archive.py": "members of an archive, into a folder that is thrown away",
    "physics/generator/gridpack/pack.py": "a fetched tarball and a log, in a folder that is thrown away",
    "physics/nanoaod/merger.py": "the writer of ROOT files takes a stream; its caller gives the final name",
    "physics/nanoaod/stamps.py": "edits a finished file in place, before it has its final name",
    "physics/nanoaod/writer.py": "the writer of ROOT files takes a stream; its caller gives the final name",
    "grid/batch/attempt.py": "a log, which grows",
    "grid/batch/crab/sandbox.py": "a stream into a file that appears",
    "grid/opendata/cache.py": "copies that go on where they were interrupted",
    "grid/storage/xrootd.py": "asks the disk for the rest of a copy that came short, which then fails",
    "cli/streams.py": "/dev/null, in the place of a stream that the shell closed",
    "grid/storage/atomic.py": "copies that other processes must tell from those of dead ones, by a lock",
    "energy/measuring/workload.py": "a log, which grows",
}


def _calls(module: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id, node


def _words(call: ast.Call) -> list[str]:
    values = [*call.args, *(one.value for one in call.keywords if one.arg == "mode")]
    return [one.value for one in values if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def _writes(name: str, call: ast.Call) -> bool:
    if name in ("write_text", "write_bytes", "fsync") or ast.unparse(call.func) in (
        "os.replace",
        "json.dump",
    ):
        return True
    return name == "open" and any(re.fullmatch(r"[rbt]*[wax+][wax+bt]*", word) for word in _words(call))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_appear_whole_by_one_piece_of_code(module):
    name = str(module.relative_to(PACKAGE))
    written = [ast.unparse(call) for called, call in _calls(module) if _writes(called, call)]
    assert not written or name in WRITES_BY_ITSELF


@pytest.mark.parametrize("name", WRITES_BY_ITSELF)
def test_no_exception_outlives_its_reason(name):
    assert any(_writes(called, call) for called, call in _calls(PACKAGE / name))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_text_has_its_encoding_stated(module):
    # ruff sees only what it knows to be a path
    for called, call in _calls(module):
        if called in ("read_text", "write_text") and isinstance(call.func, ast.Attribute):
            assert any(one.arg == "encoding" for one in call.keywords), ast.unparse(call)
