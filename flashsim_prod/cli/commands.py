"""All commands by name, and how they are loaded: a module of commands when one of its own is called.

The line that stands for a command in ``--help`` and completion is written here once more, so that neither
loads a command. To add a command: its module, and a line in `COMMANDS`.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class Entry:
    """Where a command is found, and the line that stands for it.

    Attributes
    ----------
    module : str
        Below ``flashsim_prod.cli``.
    attribute : str
        A function that is the command, or a `typer.Typer` with commands of its own.
    help : str
        First paragraph of the command's own help.
    """

    module: str
    attribute: str
    help: str

    def load(self, name: str) -> Any:
        """Import the module, and make the command called `name` of what it defines."""
        found = getattr(import_module(f"flashsim_prod.cli.{self.module}"), self.attribute)
        holder = typer.Typer()
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=name)
        else:
            holder.command(name)(found)
        return typer.main.get_group(holder).commands[name]


#: in the order of ``--help``; a command of two words goes before one of the first word alone
COMMANDS = {
    "request": Entry(
        "requests.request",
        "request",
        "Make a dataset: show the plan, run it (or hand it to a batch system), merge, check and register.",
    ),
    "request extend": Entry(
        "requests.extend",
        "extend",
        "Make more events of a sample: a dataset _ext1 that goes on where that of REQUEST ended.",
    ),
    "campaign": Entry(
        "campaigns.campaign",
        "app",
        "Make many requests from one file: campaign FILE.yaml, or one of these.",
    ),
    "plan": Entry(
        "requests.plan",
        "plan",
        "Show what a request would come to, and write nothing; or compare factors of oversampling.",
    ),
    "status": Entry(
        "requests.status",
        "status",
        "Show how requests stand: jobs by state and stage, rates, failures by cause, time left.",
    ),
    "serve": Entry(
        "requests.serve",
        "serve",
        "Show all requests on a page that keeps itself up to date, for browsers on this machine.",
    ),
    "metrics": Entry(
        "requests.serve",
        "metrics",
        "Tell how requests stand in the text format of Prometheus: jobs, events, failures by cause, joules.",
    ),
    "notify": Entry(
        "requests.serve",
        "notify",
        "Say who is told when requests end, fail or idle: of all requests here, or of one.",
    ),
    "retry": Entry(
        "requests.control",
        "retry",
        "Run what is missing of a request: after a failure, a kill, a cancel or a dry run.",
    ),
    "cancel": Entry(
        "requests.control",
        "cancel",
        "Stop a request; what is finished stays, and retry goes on from there.",
    ),
    "register": Entry(
        "datasets.register",
        "register",
        "Register a finished dataset, or take a registration up again; what is there already is compared.",
    ),
    "publish": Entry(
        "datasets.publish",
        "publish",
        "Publish a finished dataset in DBS; blocks that are there already are compared.",
    ),
    "doctor": Entry(
        "requests.doctor", "doctor", "Say what works on this machine, and how to mend what does not."
    ),
    "software": Entry(
        "requests.software",
        "app",
        "Print recipes of the software that nodes need, or check that of a site.",
    ),
    "cards": Entry("requests.library", "cards", "List what can be requested."),
    "sites": Entry(
        "requests.library",
        "sites",
        "List where requests can run, or check one: its batch system, registering and publishing.",
    ),
    "datasets": Entry("datasets.catalog", "datasets", "List the datasets of the catalogue."),
    "files": Entry(
        "datasets.catalog",
        "files",
        "List the files of a dataset: events, bytes, adler32 and where each one is.",
    ),
    "verify": Entry(
        "datasets.catalog",
        "verify",
        "Compare catalogue, ledger and storage of a dataset, reading all checksums anew.",
    ),
    "recover": Entry(
        "datasets.recover",
        "recover",
        "Make the lost files of a dataset again, prove that they are the same, and repair their replicas.",
    ),
    "materialise": Entry(
        "datasets.materialise",
        "materialise",
        "Make files of a virtual dataset, all or some; or files with some of its branches.",
    ),
    "purge": Entry(
        "datasets.purge",
        "purge",
        "Tell what nobody needs any more: unmerged leftovers, half copies, empty folders; --yes removes it.",
    ),
    "bench": Entry(
        "measure.bench",
        "bench",
        "Measure how many events per second this machine makes, and where the time goes.",
    ),
    "report": Entry(
        "requests.report",
        "report",
        "Write a page about a request: what was made, by what, how long it took, how to use and cite it.",
    ),
    "worker": Entry("requests.worker", "app", "Run one job of a request on this machine."),
    "train": Entry("models.train", "app", "Train object models and make bundles of them."),
    "validate": Entry(
        "datasets.validate",
        "app",
        "Show that events and statistics are right: validate DATASET --reference FILES, or one of these.",
    ),
    "energy-bench": Entry("measure.energy", "app", "Measure the electric energy of one simulated event."),
    "bundle": Entry("models.bundle", "app", "Look at model bundles, and bring in one's own."),
}


class LazyGroup(TyperGroup):
    """The commands of `COMMANDS`: listed by their lines, loaded when they are called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Loaded()

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands; loads none."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What stands for a command in lists."""
        entry = COMMANDS.get(cmd_name)
        return entry and TyperCommand(cmd_name, help=entry.help)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Names that begin so, as far as they are one word."""
        return [one for one in super().shell_complete(ctx, incomplete) if " " not in one.value]

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that `args` begin with, itself."""
        if " ".join(args[:2]) in COMMANDS:
            args = [" ".join(args[:2]), *args[2:]]
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and self.commands[str(name)], rest


class _Loaded(MutableMapping[str, Any]):
    """The commands themselves, each imported at its first use."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = COMMANDS[name].load(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)
