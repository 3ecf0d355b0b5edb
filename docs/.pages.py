"""Pages that the code itself writes: MkDocs calls the functions named ``on_...`` while it builds.

The command reference comes from the command line's own definitions, the Python reference from the modules
that are there; neither can fall behind.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "flashsim_prod"
COMMANDS = "reference/commands.md"
#: pages of the site that stand elsewhere
TAKEN_IN = {
    "reference/bundle-format.md": PACKAGE / "bundles" / "FORMAT.md",
    "reference/model-card.md": PACKAGE / "bundles" / "reference" / "README.md",
    "reference/model-card-run3.md": PACKAGE / "bundles" / "reference_run3" / "README.md",
    "reference/changelog.md": ROOT / "CHANGELOG.md",
}
PROGRAM = "flashsim-prod"


# ---- the command line


def program() -> Any:
    """The command line as a tree of commands."""
    import typer.main

    from flashsim_prod.cli.main import app

    return typer.main.get_command(app)


def commands(command: Any | None = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands with the words that call them, those with commands of their own included."""
    command = command or program()
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


def context(path: tuple[str, ...], command: Any) -> Any:
    """A context to ask `command` about its options in, without running anything."""
    return command.context_class(command, info_name=" ".join((PROGRAM, *path)))


def command_reference() -> str:
    """The page of all commands, arguments and options."""
    parts = [
        "# Commands",
        "All commands, as `--help` of each explains them. Every command has `--json`; "
        "[errors](../first-dataset.md#errors-and-exit-codes) are one line and an exit code.",
    ]
    for path, command in commands():
        parts += _command(path, command)
    return "\n\n".join(parts) + "\n"


def _command(path: tuple[str, ...], command: Any) -> Iterator[str]:
    asked = context(path, command)
    words = " ".join((PROGRAM, *path))
    yield f"{'#' * min(2 + max(len(path) - 1, 0), 4)} {words}"
    if command.help:
        yield _plain(command.help)
    yield f"```\n{words} {' '.join(command.collect_usage_pieces(asked))}\n```"
    parameters = [(one, one.get_help_record(asked)) for one in command.get_params(asked)]
    for title, kind in (("Argument", "argument"), ("Option", "option")):
        rows = [record for one, record in parameters if record and one.param_type_name == kind]
        if rows:
            yield _table((title, ""), [(f"`{_cell(name)}`", _cell(_plain(text))) for name, text in rows])


def _plain(text: str) -> str:
    """`text` of a help message as Markdown that says the same."""
    return (
        " ".join(text.replace("\b", "").split()).replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"| {first} | {second} |" for first, second in (head, ("---", "---"), *rows))


# ---- the Python reference


def packages() -> list[tuple[str, list[str]]]:
    """Every package with those of its modules that have something public, in the order of the tree."""
    found = []
    for folder in (PACKAGE, *sorted(path for path in PACKAGE.rglob("*") if (path / "__init__.py").is_file())):
        modules = [_dotted(path) for path in sorted(folder.glob("*.py")) if _is_public(path)]
        if modules:
            found.append((_dotted(folder), modules))
    return found


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _is_public(path: Path) -> bool:
    if path.name.startswith("_"):
        return False
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = (node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef))
    return any(not node.name.startswith("_") for node in defined)


def python_reference() -> dict[str, tuple[str, str]]:
    """Title and text of each page of the Python reference, by its place in the site."""
    pages = {}
    for package, modules in packages():
        title = package.removeprefix("flashsim_prod.").replace(".", "/")
        text = "\n\n".join((f"# {title}", *(f"::: {module}" for module in modules))) + "\n"
        pages[f"reference/python/{title.replace('/', '-')}.md"] = (title, text)
    return pages


def written_pages() -> dict[str, str]:
    """Text of every page that is not in the folder, by its place in the site."""
    taken_in = {place: path.read_text(encoding="utf-8") for place, path in TAKEN_IN.items()}
    python = {place: text for place, (_, text) in python_reference().items()}
    return {COMMANDS: command_reference()} | taken_in | python


# ---- what MkDocs calls


def on_config(config: Any) -> Any:
    """The pages of the Python reference stand at the end of the last part of the navigation."""
    reference = config.nav[-1]["Reference"]
    reference.append({"Python": [{title: place} for place, (title, _) in python_reference().items()]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the written pages to those that stand in the folder."""
    from mkdocs.structure.files import File

    for place, text in written_pages().items():
        files.append(File.generated(config, place, content=text))
    return files
