"""Printing for people and for programs."""

from __future__ import annotations

import sys

from rich import box
from rich.table import Table

from flashsim_prod.cli.terminal import Terminal
from flashsim_prod.core.sizes import counted as counted
from flashsim_prod.files import json_text


def console(*, stderr: bool = False) -> Terminal:
    """A rich console on standard output or standard error; colours only on a terminal."""
    return Terminal(stderr=stderr, highlight=False, soft_wrap=False)


def table(
    *columns: str, right: tuple[str, ...] = (), whole: tuple[str, ...] = (), title: str | None = None
) -> Table:
    """An open table, whose longest words say how narrow it can be (see `flashsim_prod.cli.terminal`).

    `right` are aligned to the right; neither these nor `whole` are wrapped between words.
    """
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
    sys.stdout.write(json_text(value) + "\n")
