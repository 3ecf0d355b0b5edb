"""Tables drawn from a real XRootD server, over a line that drops."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.production.models.samples import generate_sample, reconstruct_sample

pytestmark = pytest.mark.slow

#: XRootD's client would wait for a server for minutes before it gives up
IMPATIENT = {
    "XRD_CONNECTIONRETRY": "1",
    "XRD_CONNECTIONWINDOW": "1",
    "XRD_REQUESTTIMEOUT": "5",
    "XRD_STREAMTIMEOUT": "2",
    "XRD_STREAMERRORWINDOW": "0",
}


def quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def files(xrootd_server: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files below the server's folder."""
    folder = tmp_path_factory.mktemp("files")
    gen, made = folder / "gen.root", []
    generate_sample("ttbar", gen, events=20, energy_tev=None, seed=1, progress=quiet)
    place = xrootd_server[1] / "store" / "mc"
    place.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("one", "two"), 1):
        reconstruct_sample([str(gen)], folder / f"{name}.root", folds=2, seed=seed, progress=quiet)
        made.append(Path(shutil.copy(folder / f"{name}.root", place)))
    return made


@pytest.fixture
def line(
    xrootd_server: tuple[str, Path], lacking: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The way to the server."""
    if find_spec("fsspec_xrootd") is None:
        lacking("fsspec-xrootd (pip install 'flashsim-prod[opendata]')")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "peers"))
    from dropping_line import serve

    with serve(int(xrootd_server[0].rstrip("/").rpartition(":")[2])) as line:
        yield line


def extract(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flashsim_prod.cli", "train", "extract", *map(str, words)]
    env = {**os.environ, **IMPATIENT}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def tables_below(folder: Path) -> dict[Path, bytes]:
    """All numbers of the tables, without the notes on where they are from."""
    from safetensors.numpy import load_file

    found = {}
    for path in folder.glob("tables/*/*.safetensors"):
        tensors = load_file(path)
        found[path.relative_to(folder)] = b"".join(tensors[name].tobytes() for name in sorted(tensors))
    return found


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_line_that_drops_is_survived(line: Any, files: list[Path], tmp_path: Path, jobs: int) -> None:
    here = extract(*files, "--work", tmp_path / "here", "--jobs", jobs)
    assert here.returncode == 0, here.stderr
    # in the midst of what is read
    line.drops_after = [200_000, 300_000]
    urls = [f"root://127.0.0.1:{line.port}//store/mc/{path.name}" for path in files]
    there = extract(*urls, "--work", tmp_path / "there", "--jobs", jobs)
    assert there.returncode == 0, there.stderr
    assert line.dropped == 2
    assert "80 events in" in there.stdout
    assert tables_below(tmp_path / "there") == tables_below(tmp_path / "here") != {}


def test_a_server_that_is_gone_is_told_and_the_same_command_goes_on(
    line: Any, files: list[Path], tmp_path: Path
) -> None:
    url = f"root://127.0.0.1:{line.port}//store/mc/"
    words = (f"{url}one.root", "--work", tmp_path, "--model", "met")
    line.is_cut = True
    gone = extract(*words)
    assert gone.returncode == 20, gone.stderr
    assert "given up after 6 tries, say it again to go on" in gone.stderr
    assert "Traceback" not in gone.stderr
    assert not list(tmp_path.rglob("*.safetensors"))
    line.is_cut = False
    assert extract(*words).returncode == 0
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    # what is not there is not waited for
    nothing = extract(f"{url}three.root", "--work", tmp_path)
    assert nothing.returncode == 10, nothing.stderr
    assert "three.root does not exist" in nothing.stderr
