"""The command line, run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.cli.main import main
from flashsim_prod.production.home import Home


@dataclass(frozen=True)
class Ended:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line that an error is told in."""
        lines = self.err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        assert lines[-1] == errors[0], self.err
        assert "Traceback" not in self.err
        return errors[0].removeprefix("error: ")


Cli = Callable[..., Ended]


@pytest.fixture
def cli(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A function that runs a command line as the installed program does."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def training_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sixty top quark pairs, their reconstruction ten times over, and all training tables."""
    folder = tmp_path_factory.mktemp("sample")
    gen, full, work = (str(folder / name) for name in ("gen.root", "full.root", "work"))
    for arguments in (
        ("generate", "ttbar", gen, "--events", "60"),
        ("reference", gen, "--output", full, "--folds", "10"),
        ("extract", full, "--work", work),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["train", *arguments])
        assert not ended.value.code
    return folder
