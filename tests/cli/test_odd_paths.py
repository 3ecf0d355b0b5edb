"""Paths that are no files, names that are no UTF-8, locales that know ASCII only."""

from __future__ import annotations

import ast
import html
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.errors import InputError, RequestError, ValidationError
from flashsim_prod.production.home import Home

#: Python's own ways around an ASCII locale are switched off
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """One path of each kind that is no file."""
    paths = {kind: tmp_path / f"{kind}.root" for kind in ("pipe", "folder", "socket")}
    os.mkfifo(paths["pipe"])
    paths["folder"].mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(paths["socket"]))
        paths["device"] = tmp_path / "device.root"
        paths["device"].symlink_to("/dev/zero")
        yield paths


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device"])
@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (("request", "ttbar", "--events", "10", "--dry-run", "--yes", "--input"), (), InputError.exit_code),
        (("validate", "check"), (), ValidationError.exit_code),
        (("energy-bench", "show"), (), InputError.exit_code),
        (("worker", "simulate"), ("--job", "0"), RequestError.exit_code),
    ],
    ids=["input", "validate", "measurement", "request file"],
)
def test_what_is_no_file_is_refused_at_once(
    cli, odd: dict[str, Path], kind: str, before: tuple[str, ...], after: tuple[str, ...], code: int
) -> None:
    ended = cli(*before, str(odd[kind]), *after)
    assert ended.code == code
    assert f"is a {kind}" in ended.complaint


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_no_archive(cli, odd: dict[str, Path], kind: str) -> None:
    ended = cli("bundle", "import", str(odd[kind]))
    assert ended.code != 0
    assert f"it is a {kind}, no file" in ended.complaint


def _run(*arguments: str | bytes, home: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "flashsim_prod.cli", *arguments],
        env={**os.environ, "FLASHSIM_PROD_HOME": str(home), "COLUMNS": "120", **environment},
        capture_output=True,
        check=False,
    )


def test_a_name_that_is_no_utf_8_is_one_line(tmp_path: Path) -> None:
    done = _run("request", "ttbar", "--input", b"/data/\xff.root", "--events", "10", home=tmp_path / "home")
    assert done.returncode == RequestError.exit_code
    assert done.stderr == b"error: '/data/\\udcff.root' is no UTF-8; rename that file or folder\n"
    assert not (tmp_path / "home").exists()


def test_a_state_folder_whose_name_is_no_utf_8_is_one_line(tmp_path: Path) -> None:
    done = _run("status", home=tmp_path / os.fsdecode(b"\xff"))
    assert done.returncode == RequestError.exit_code
    assert done.stderr.startswith(b"error: the state folder")


def test_names_of_other_bytes_are_printed_as_they_are() -> None:
    code = "from flashsim_prod.cli.main import _print_whatever_comes as p; p(); print('\\udcff \\u00b1')"
    for environment, expected in ((ASCII, b"\xff \\xb1\n"), ({"PYTHONUTF8": "1"}, b"\xff \xc2\xb1\n")):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, check=True
        )
        assert done.stdout == expected


@pytest.mark.parametrize(
    "command",
    [
        ("request", "ttbar", "--events", "20", "--name", "small", "--dry-run"),
        ("status",),
        ("cards",),
        ("bundle", "show"),
        ("bundle", "export", "--output", "OUT.tar"),
        ("--help",),
    ],
    ids=" ".join,
)
def test_commands_pass_in_an_ascii_locale(tmp_path: Path, command: tuple[str, ...]) -> None:
    words = [str(tmp_path / word) if word == "OUT.tar" else word for word in command]
    done = _run(*words, home=tmp_path / "home", **ASCII)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_the_line_that_opens_a_file_is_python_whatever_the_path(
    cli, home: Home, fake_physics: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odd = tmp_path / "o'brien's \"best\""
    monkeypatch.setenv("FLASHSIM_PROD_HOME", str(odd))
    ended = cli("request", "ttbar", "--events", "20", "--name", "small", "--yes")
    assert ended.code == 0, ended.err
    (line,) = [line for line in ended.out.splitlines() if line.startswith("Open it")]
    assert Path(ast.literal_eval(line.removeprefix("Open it").strip().removeprefix("f = "))).is_file()
    page = Path(cli("report", "small").out.strip())
    code = html.unescape(page.read_text(encoding="utf-8").split("<pre>f = ")[1].split("\n")[0])
    assert Path(ast.literal_eval(code)).is_file()
