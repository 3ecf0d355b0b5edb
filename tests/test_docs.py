"""The documentation: short where it has to be, complete, and true of the command line and the files."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "flashsim_prod"
WRITTEN = sorted(DOCS.rglob("*.md"))
PAGES = [ROOT / "README.md", *WRITTEN, *sorted((PACKAGE / "bundles").rglob("*.md"))]
#: what a page may name a file below
BASES = (
    ROOT,
    PACKAGE,
    PACKAGE / "physics",
    PACKAGE / "physics" / "chain" / "objects",
    PACKAGE / "production",
)

_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")


def _generated() -> Any:
    spec = importlib.util.spec_from_file_location("docs_pages", DOCS / ".pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = _generated()
COMMANDS = dict(GENERATED.commands())


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8000


def test_every_command_and_option_is_in_the_command_reference() -> None:
    reference = GENERATED.command_reference()
    assert len(COMMANDS) > 30
    for path, command in COMMANDS.items():
        words = " ".join(("flashsim-prod", *path))
        section = re.split(r"^#+ ", reference.split(f" {words}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
        assert command.help.split(":")[0].split("(")[0].split()[0] in section
        for parameter in command.params:
            if parameter.param_type_name == "option" and not getattr(parameter, "hidden", False):
                assert all(option in section for option in parameter.opts), (words, parameter.opts)


@pytest.mark.parametrize("name", [path[0] for path in COMMANDS if len(path) == 1])
def test_every_command_is_in_the_list_for_beginners(name: str) -> None:
    page = (DOCS / "first-dataset.md").read_text(encoding="utf-8")
    listed = page.split("## All commands")[1].split("## Errors")[0]
    assert re.search(rf"`{name}[ `]", listed)


def _lines(page: Path) -> Iterator[str]:
    """Command lines in code blocks and code spans of a page."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            # of several commands in a line, each
            yield from re.split(r"&&|\|\||[{};]", line) if "&&" in line else [line]
    yield from (line.strip() for line in text.splitlines() if line.startswith("    flashsim-prod "))
    without = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from _SPAN.findall(without)


def _typed(page: Path) -> list[list[str]]:
    """The words after ``flashsim-prod`` of each command line of a page."""
    found = []
    for line in _lines(page):
        called = re.match(r"^\s*(?:[A-Z_]+=\S+ +)?(?:\$ )?(?:\.venv/bin/)?flashsim-prod +(.+)$", line)
        if called:
            # remarks stand behind a number sign, or behind several spaces
            command = re.split(r"\s[#>]\s|\s{3,}", called[1])[0]
            found.append([word for word in shlex.split(command) if word != "..."])
    return found


TYPED = [
    pytest.param(words, id=f"{_name(page)}: {' '.join(words)}"[:110])
    for page in PAGES
    for words in _typed(page)
]


def test_command_lines_are_found() -> None:
    assert len(TYPED) > 40


def _parse(words: list[str]) -> None:
    """Fails if there is no such command, or it has no such option; values are not looked at."""
    path: tuple[str, ...] = ()
    while words and (*path, words[0]) in COMMANDS:
        path, words = (*path, words[0]), words[1:]
    if _inner(COMMANDS[path]) and words and not words[0].startswith("-"):
        # a group that takes an argument itself stands for one of its commands
        path = (*path, {("validate",): "dataset", ("campaign",): "run"}[path])
    command = COMMANDS[path]
    _, left, _ = command.make_parser(GENERATED.context(path, command)).parse_args(list(words))
    assert not left


def _inner(command: Any) -> dict[str, Any]:
    return getattr(command, "commands", {})


@pytest.mark.parametrize("words", TYPED)
def test_command_lines_parse(words: list[str]) -> None:
    _parse(words)


@pytest.mark.parametrize("line", ["requst ttbar", "request ttbar --evnts 5", "status a b c", "bundle shw x"])
def test_wrong_command_lines_do_not_parse(line: str) -> None:
    with pytest.raises((KeyError, AssertionError, typer.TyperException)):
        _parse(line.split())


def _targets(page: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from (target for target in _LINK.findall(text) if not re.match(r"[a-z]+:", target))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    written = {DOCS / place for place in GENERATED.written_pages()}
    for target in _targets(page):
        place, _, anchor = target.partition("#")
        found = (page.parent / place).resolve() if place else page
        assert found.exists() or found in written, target
        if anchor and found.suffix == ".md" and found not in written:
            assert anchor in _anchors(found), target


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def _named(page: Path) -> Iterator[str]:
    """Files and folders that a page names in code spans, and in the first column of README's map."""
    for span in _SPAN.findall(page.read_text(encoding="utf-8")):
        if re.fullmatch(r"(?:[\w.\-]+/)+(?:[\w\-]+\.(?:py|txt|yaml|md|j2))?|[\w\-]+\.py", span):
            yield span


#: names that stand for what a reader writes, or for what is below the state folder
_EXAMPLES = re.compile(
    r"NAME|^(engine|section)\.py$|^(bundles|cards|sites|store|batch|requests)/$|my_|^training/"
)


@pytest.mark.parametrize("page", WRITTEN, ids=_name)
def test_files_that_pages_name_are_there(page: Path) -> None:
    missing = [
        name
        for name in _named(page)
        if not _EXAMPLES.search(name) and not any((base / name).exists() for base in _bases(page))
    ]
    assert not missing


def _bases(page: Path) -> tuple[Path, ...]:
    # a table of a page may go on in the folder of the file named before
    return (*BASES, *(PACKAGE / "physics" / part for part in ("generator", "validation")), page.parent)


def test_the_site_is_built_without_a_warning(lacking: Callable[[str], None], tmp_path: Path) -> None:
    if importlib.util.find_spec("material") is None or importlib.util.find_spec("mkdocstrings") is None:
        lacking("MkDocs (pip install '.[docs]')")
    program = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"https?://[^\"']*(?:fonts|cdn|unpkg)", (tmp_path / "index.html").read_text())
