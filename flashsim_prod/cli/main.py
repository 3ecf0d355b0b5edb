"""``flashsim-prod``: the command line, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from flashsim_prod.cli.commands import LazyGroup
from flashsim_prod.cli.streams import lasting_streams
from flashsim_prod.errors import FlashSimError, RequestError, StorageError
from flashsim_prod.software import software_here

#: the shell's own code for a command that Ctrl-C ended
INTERRUPTED = 130

app = typer.Typer(
    name="flashsim-prod",
    cls=LazyGroup,
    help="Produce CMS FlashSim datasets: generator-level events in, checked and catalogued NANOAOD out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(software_here())
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where errors come from.")] = False,
) -> None:
    """Options that are not of one command; ``main`` takes --debug out, wherever it stands."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and exit with its code; every error is one line on standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _print_whatever_comes()
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    _drop_unusable_sizes()
    with lasting_streams():
        code = _run(arguments, debug)
    sys.exit(code)


def _drop_unusable_sizes() -> None:
    """Sizes of no columns, as serial lines and some containers have them, would let nothing be printed."""
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "1").strip("0"):
            del os.environ[name]


def _run(arguments: list[str], debug: bool) -> int:
    code = _ended(arguments, debug)
    try:
        sys.stdout.flush()
    except StorageError as error:
        return code or _fail(str(error), error.exit_code)
    return code


def _ended(arguments: list[str], debug: bool) -> int:
    try:
        _refuse_other_encodings(arguments)
        code = app(arguments, prog_name="flashsim-prod", standalone_mode=False)
        # typer turns Ctrl-C into this code
        return _fail("interrupted", code) if code == INTERRUPTED else int(code or 0)
    except typer.Abort:
        return _fail("stopped; nothing was started", FlashSimError.exit_code)
    except (typer.TyperException, FlashSimError) as error:
        if debug:
            raise
        return _fail(_message(error), error.exit_code)
    except Exception as error:
        if debug:
            raise
        return _fail(f"{type(error).__name__}: {error}; run again with --debug to see where", 1)


def _refuse_other_encodings(arguments: list[str]) -> None:
    """Requests, catalogues and pages hold UTF-8, so a name of other bytes could not be found again."""
    for argument in arguments:
        try:
            argument.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError(f"{argument!a} is no UTF-8; rename that file or folder") from error


def _print_whatever_comes() -> None:
    """Let no letter that the terminal does not know end a command; bytes of names pass as they are."""
    codecs.register_error("flashsim-prod", _as_it_is)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="flashsim-prod")


def _as_it_is(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    odd = error.object[error.start : error.end]
    try:
        return odd.encode(error.encoding, "surrogateescape"), error.end
    except UnicodeEncodeError:
        return odd.encode("ascii", "backslashreplace"), error.end


def _message(error: FlashSimError | typer.TyperException) -> str:
    return error.format_message() if isinstance(error, typer.TyperException) else str(error)


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    if line:
        print(f"error: {line}", file=sys.stderr)
    return code
