"""The wheel and the source archive: the same bytes each time, and all that a command needs is in them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from flashsim_prod.software import software_here

ROOT = Path(__file__).resolve().parent.parent
#: both archives, by the build backend that pyproject.toml names
_BUILD = "import hatchling.build as b, sys; b.build_sdist(sys.argv[1]); b.build_wheel(sys.argv[1])"


def _checkout(folder: Path) -> Path:
    """A copy of what this checkout holds, without what was made in it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    # in another order than archives are unpacked in
    for name in reversed(listed.stdout.rstrip("\0").split("\0")):
        # what was removed and not yet committed is listed, too
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def _build(source: Path, target: Path) -> None:
    """Build both archives from a folder."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(
        [sys.executable, "-c", _BUILD, str(target)],
        cwd=source,
        env=environment,
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def archives(
    tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]
) -> tuple[Path, Path, Path, Path]:
    """Source archive and wheel from the checkout, and both from that source archive, unpacked elsewhere."""
    if importlib.util.find_spec("hatchling") is None:
        lacking("hatchling (pip install '.[test]')")
    folder = tmp_path_factory.mktemp("package")
    first, second = folder / "first", folder / "second"
    _build(_checkout(folder / "checkout"), first)
    (sdist,) = first.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "elsewhere", filter="data")
    (unpacked,) = (folder / "elsewhere").iterdir()
    # the one file that a source archive has beside the sources
    (unpacked / "PKG-INFO").unlink()
    _build(unpacked, second)
    (wheel,) = first.glob("*.whl")
    return sdist, wheel, second / sdist.name, second / wheel.name


def test_two_builds_have_the_same_bytes(archives: tuple[Path, Path, Path, Path]) -> None:
    sdist, wheel, sdist_again, wheel_again = archives
    assert sdist.read_bytes() == sdist_again.read_bytes()
    assert wheel.read_bytes() == wheel_again.read_bytes()


@pytest.fixture(scope="module")
def installed(archives: tuple[Path, Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel, which finds other packages where these tests have them."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(archives[1])]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    # links to checkouts, which stand there in files of this kind, are not followed from here
    places = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (site / "others.pth").write_text("\n".join(sorted(places)) + "\n")
    return folder


def test_it_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "FLASHSIM_PROD_HOME": str(tmp_path / "home"),
    }

    def run(program: str, *arguments: str) -> str:
        command = [str(installed / "bin" / program), *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("python", "-c", "import flashsim_prod; print(flashsim_prod.__file__)")
    assert Path(where.strip()).is_relative_to(installed)
    told = run("flashsim-prod", "--version")
    assert told == f"{software_here()}\n", "the code has the digits that it has in a checkout"
    cards = {card["name"] for card in json.loads(run("flashsim-prod", "cards", "--json"))}
    assert cards == {path.stem for path in (ROOT / "jobs").glob("*.yaml")}
    ordered = ("request", "ttbar", "--events", "10", "--site", "htcondor", "--dry-run", "--json")
    made = json.loads(run("flashsim-prod", *ordered))
    folder = tmp_path / "home" / "requests" / made["request"]
    assert (made["state"], (folder / "request.yaml").is_file()) == ("PLANNED", True)
