"""Printing for people and for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def console(*, stderr: bool = False) -> Console:
    """A rich console on standard output or standard error; colours only on a terminal."""
    from flashsim_prod.cli.terminal import Terminal

    return Terminal(stderr=stderr, highlight=False, soft_wrap=False)


def table(
    *columns: str, right: tuple[str, ...] = (), whole: tuple[str, ...] = (), title: str | None = None
) -> Table:
    """An open table, whose longest words say how narrow it can be (see `flashsim_prod.cli.terminal`).

    `right` are aligned to the right; neither these nor `whole` are wrapped between words.
    """
    from rich import box
    from rich.table import Table

    made = Table(
        box=box.SIMPLE_HEAD,
        title=title,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column in right + whole,
        )
    return made


def print_json(value: object) -> None:
    """One JSON value on standard output, as `json_text` writes it."""
    from flashsim_prod.files import json_text

    sys.stdout.write(json_text(value) + "\n")


def counted(number: int, thing: str) -> str:
    """``1 file``, ``2 files``, ``1,000 files``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
