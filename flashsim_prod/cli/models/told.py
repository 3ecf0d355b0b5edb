"""Lines that several commands for models say."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from flashsim_prod.cli.show import counted


def lost_rows(model: str, objects: int, sources: int, why: str) -> str:
    """What a model does not learn from, in a line."""
    return f"{model}: {counted(objects, 'object')} and {counted(sources, 'source')} left out, {why}"


def warn(lines: Iterable[str]) -> None:
    """What a user should know before going on, a line each, on standard error."""
    for line in lines:
        typer.echo(f"warning: {line}", err=True)
