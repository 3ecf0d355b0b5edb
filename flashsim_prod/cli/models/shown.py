"""Fits as they are shown while they go on."""

from __future__ import annotations

import typer

from flashsim_prod.cli.models.told import lost_rows
from flashsim_prod.cli.progress import Show
from flashsim_prod.cli.show import counted
from flashsim_prod.production.models.fitting import FitDisplay, Fitted, Submitted


class FitsShown(FitDisplay):
    """Steps as they are shown everywhere; a line for what has ended, unless it goes to a program."""

    def __init__(self, show: Show, is_quiet: bool) -> None:
        self._show, self._is_quiet = show, is_quiet

    def step(self, task: str, done: int, total: int, loss: float | None = None) -> None:
        self._show(task, done, total, "" if loss is None else f"loss {loss:.4f}")

    def fitted(self, fit: Fitted) -> None:
        if not self._is_quiet:
            losses = ", ".join(f"{network} {loss:.4f}" for network, loss in fit.held_out_loss.items())
            typer.echo(f"{fit.model}: {fit.objects:,} objects, held-out loss {losses}, {fit.seconds:.0f} s")
        lost = fit.left_out
        if lost:
            typer.echo(f"note: {lost_rows(fit.model, lost.objects, lost.sources, lost.told())}", err=True)

    def remark(self, line: str) -> None:
        typer.echo(line, err=True)

    def submitted(self, found: Submitted) -> None:
        if self._is_quiet:
            return
        how = "Submitted" if found.is_new else "At work already"
        files = f"tables of {counted(found.files, 'file')}, " if found.files else ""
        fits = (
            f"{files}{len(found.models)} fits and a bundle at {found.site}, {found.engine} {found.batch_id}"
        )
        typer.echo(f"{how}: {fits}")
        typer.echo(f"See       {found.folder}; again with --wait to follow")
