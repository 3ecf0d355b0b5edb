"""The digest of the code that draws: of what it is, and that it is the same wherever the package lies."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import flashsim_prod
from flashsim_prod.core.request import Request
from flashsim_prod.errors import StateError
from flashsim_prod.grid.batch.crab.sandbox import pack_package
from flashsim_prod.software import (
    check_same_code,
    check_same_software,
    code_digest,
    digest_of,
    drawing_files,
    software_here,
)

PACKAGE = Path(flashsim_prod.__file__).parent
#: what is not read here
BUNDLES = shutil.ignore_patterns("__pycache__", "bundles")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package elsewhere."""
    return shutil.copytree(PACKAGE, tmp_path_factory.mktemp("elsewhere") / "flashsim_prod", ignore=BUNDLES)


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    """One that a test may change."""
    return shutil.copytree(original, tmp_path / "flashsim_prod")


def _told_from(place: Path) -> str:
    """What a process says that has the package from a folder, or out of an archive."""
    program = "import flashsim_prod as p; from flashsim_prod.software import code_digest as c; "
    done = subprocess.run(
        [sys.executable, "-B", "-c", program + "print(p.__file__, c())"],
        cwd=place.parent,
        env={**os.environ, "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, digest = done.stdout.split()
    assert Path(where).is_relative_to(place)
    return digest


def test_a_copy_elsewhere_has_the_same(original: Path) -> None:
    assert len(code_digest()) == 12
    assert _told_from(original.parent) == code_digest()


def test_what_travels_with_jobs_has_the_same(tmp_path: Path) -> None:
    pack_package(tmp_path / "sent.tar.gz", "reference")
    shutil.unpack_archive(tmp_path / "sent.tar.gz", tmp_path / "node", filter="data")
    assert _told_from(tmp_path / "node") == code_digest()


def test_a_package_in_a_zip_has_the_same(original: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as packed:
        # in another order than a folder is looked through
        for path in sorted(original.rglob("*"), reverse=True):
            packed.write(path, path.relative_to(original.parent))
    assert _told_from(tmp_path / "package.zip") == code_digest()


@pytest.mark.parametrize(
    "name",
    [
        "physics/chain/chain.py",
        "physics/nanoaod/tables/v9/jets.txt",
        "physics/compiling/cached.py",
        "physics/randoms.py",
        "core/splitting.py",
        "core/sources/pythia.py",
        "production/job/batches.py",
    ],
)
def test_a_byte_of_what_draws_changes_it(copy: Path, name: str) -> None:
    path = copy / name
    path.write_bytes(path.read_bytes() + b"#")
    assert digest_of(copy) != code_digest()


def test_a_new_or_another_name_changes_it(copy: Path) -> None:
    (copy / "physics" / "new_room").mkdir()
    (copy / "physics" / "new_room" / "drawing.py").touch()
    one = digest_of(copy)
    (copy / "physics" / "new_room" / "drawing.py").rename(copy / "physics" / "new_room" / "drawn.py")
    assert len({code_digest(), one, digest_of(copy)}) == 3


@pytest.mark.parametrize(
    "name",
    [
        "__init__.py",
        "physics/training/fit.py",
        "physics/validation/models/report.py",
        "physics/detector/digest.py",
        "physics/detector/retuning/tables/run3.txt",
        "physics/analysis/training.py",
        "production/drive/foreground.py",
        "physics/chain/__pycache__/chain.cpython-311.pyc",
        "physics/chain/.chain.py.swp",
        "physics/chain/chain.py~",
        "physics/chain/.#chain.py",
        "physics/chain/.ipynb_checkpoints/chain.py",
    ],
)
def test_nothing_else_does(copy: Path, name: str) -> None:
    path = copy / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((path.read_bytes() if path.is_file() else b"") + b"#")
    assert digest_of(copy) == code_digest()


def test_another_year_of_the_files_changes_nothing(copy: Path) -> None:
    for path in copy.rglob("*.py"):
        os.utime(path, (0, 0))
        path.chmod(0o600)
    assert digest_of(copy) == code_digest()


def _imported(module: ast.AST) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def test_what_draws_imports_no_physics_that_is_left_out() -> None:
    names = dict(drawing_files(PACKAGE))
    left_out = {
        str(path.relative_to(PACKAGE))
        for path in (PACKAGE / "physics").rglob("*.py")
        if str(path.relative_to(PACKAGE)) not in names and path.name != "__init__.py"
    }
    assert len(names) > 200
    assert {name.split("/")[1] for name in left_out} > {"training", "validation", "detector"}
    for name, content in names.items():
        if name.endswith(".py"):
            used = {
                f"{one.removeprefix('flashsim_prod.').replace('.', '/')}.py"
                for one in _imported(ast.parse(content))
            }
            assert not used & left_out, name


def test_all_that_lies_in_the_rooms_that_count_does() -> None:
    """Tables of another kind of file would be left out without a word."""
    names = {name for name, _ in drawing_files(PACKAGE)}
    rooms = {Path(name).parent for name in names if name.startswith("physics/")}
    lying = {path for room in rooms for path in (PACKAGE / room).iterdir() if path.is_file()}
    assert {path.suffix for path in lying} <= {".py", ".txt"}


def test_a_request_tells_the_code_it_was_placed_with() -> None:
    frozen = Path(__file__).parent / "core" / "frozen" / "pythia.yaml"
    before = Request.from_yaml(frozen.read_text(encoding="utf-8"), "request.yaml")
    assert before.code is None
    check_same_software(before)
    here = before.model_copy(update={"code": code_digest()})
    check_same_software(here)
    other = before.model_copy(update={"code": "0123456789ab"})
    assert before.digest() == here.digest() == other.digest()
    for check in (check_same_code, check_same_software):
        with pytest.raises(StateError) as refused:
            check(other)
        told = str(refused.value)
        assert (
            f"placed with code 0123456789ab of flashsim-prod 0.1.0, {PACKAGE} has code {code_digest()}"
            in told
        )
        assert "check out or install there the commit that it was placed with" in told
        assert "\n" not in told
    check_same_code(here.model_copy(update={"software_version": "9.9"}))
    assert software_here() == f"flashsim-prod 0.1.0 (code {code_digest()})"
