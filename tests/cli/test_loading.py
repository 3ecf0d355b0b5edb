"""A command's module is loaded when the command is called, and help and completion say what it would say."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command

from flashsim_prod.cli.commands import COMMANDS
from flashsim_prod.cli.main import app

from .conftest import Cli

#: rooms of command modules
ROOMS = ("requests", "campaigns", "datasets", "models", "measure")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_is_its_own(name: str) -> None:
    listed = get_command(app).get_command(None, name)
    command = get_command(app).commands[name]
    first_paragraph = " ".join(command.help.split("\n\n")[0].split())
    assert (listed.name, listed.help) == (command.name, first_paragraph)
    assert (listed.hidden, listed.deprecated, listed.short_help) == (command.hidden, command.deprecated, None)
    # typer's way to say that none was asked for
    assert not listed.rich_help_panel
    assert not getattr(command.rich_help_panel, "value", command.rich_help_panel)


def _rooms_entered(*arguments: str, **environment: str) -> set[str]:
    """Modules of commands that a command line loads."""
    code = (
        "import contextlib, io, os, sys\n"
        f"os.environ.update({environment!r})\n"
        "from flashsim_prod.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main({list(arguments)!r})\n"
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    below = [name.removeprefix("flashsim_prod.cli.").split(".") for name in done.stdout.split()]
    return {".".join(parts) for parts in below if parts[0] in ROOMS and len(parts) > 1}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--no-such-option"], ["no-such-command"]])
def test_nothing_is_loaded_for_what_is_no_command(arguments: list[str]) -> None:
    assert _rooms_entered(*arguments) == set()


def test_nothing_is_loaded_to_complete_a_command() -> None:
    told = {
        "_FLASHSIM_PROD_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": "flashsim-prod stat",
    }
    assert _rooms_entered(**told) == set()


def test_a_command_loads_its_own_module() -> None:
    entered = _rooms_entered("cards")
    assert "requests.library" in entered
    assert not {"requests.status", "datasets.catalog", "models.train", "measure.bench"} & entered


def test_a_mistyped_command_is_guessed(cli: Cli) -> None:
    assert "'status'" in cli("stauts").complaint
