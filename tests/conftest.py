"""A state folder of its own for each test, and physics that takes milliseconds."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

from flashsim_prod.production.home import VARIABLE, Home, open_home

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell that does not control jobs starts background jobs so; what the tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes says more about the machine than about the code
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty state folder, which all commands of the test use."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "home"))
    return open_home()


@pytest.fixture
def fake_physics(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Physics that takes milliseconds, in this process and in its workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import fake_physics

    originals = [
        (fake_physics.simulate, "simulate"),
        (fake_physics.simulate, "bound_bundle"),
        (fake_physics.merge, "merge"),
        (fake_physics.local_run, "worker_command"),
    ]
    for module, name in originals:
        # remembered by monkeypatch, which puts them back
        monkeypatch.setattr(module, name, getattr(module, name))
    fake_physics.install()
    yield fake_physics
    sys.modules.pop("fake_physics", None)


@pytest.fixture(scope="session")
def lacking() -> Callable[[str], None]:
    """Skips for want of something, or fails where everything has to be there."""
    return _lacking


def _lacking(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI has to have it")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def xrootd_server(lacking: Callable[[str], None]) -> Iterator[tuple[str, Path]]:
    """URL and folder of a real XRootD server that only this machine can reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent / "peers"))
        import xrootd_server
    if not xrootd_server.is_here():
        lacking("XRootD or gcc (apt-get install xrootd-server xrootd-client gcc)")
    with xrootd_server.serve() as served:
        yield served


class Page(HTMLParser):
    """Elements not closed, links, and the words of a page, which must be without scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def page_reader() -> type[Page]:
    """A parser of HTML pages."""
    return Page


@pytest.fixture
def too_wide(tmp_path: Path) -> Callable[[Path], list[str]]:
    """A function that gives the parts of a page that a window of 1200 pixels has no room for."""
    sys.path.insert(0, str(Path(__file__).parent / "peers"))
    from browser import browser, too_wide

    if browser() is None:
        pytest.skip("no browser to look at pages with (apt-get install chromium)")
    return lambda page: too_wide(page, tmp_path)
