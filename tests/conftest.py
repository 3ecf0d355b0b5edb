"""A state folder of its own for each test, and physics that takes milliseconds."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest

from flashsim_prod.production.home import VARIABLE, Home, open_home
from flashsim_prod.threads import thread_environment

# nothing loaded so far counts the cores; several processes run tests at the same time
for _name, _number in thread_environment(1).items():
    os.environ.setdefault(_name, _number)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell that does not control jobs starts background jobs so; what the tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes says more about the machine than about the code
_PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
# the same examples in every run: what fails, fails because of a change; the other profile looks further
hypothesis.settings.register_profile("same", _PATIENT, derandomize=True)
hypothesis.settings.register_profile("search", _PATIENT, max_examples=1000)
hypothesis.settings.load_profile("same")


#: folders whose tests share a server that takes seconds to start and then waits more than it computes
SERVED = ("grid/batch/htcondor", "grid/batch/slurm", "production/dataset")
#: those of them whose server has one port or folder
ONE_PROCESS_EACH = SERVED[1:]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test that may be skipped for want of something.

    It is one whose fixtures can call `lacking`, so that ``-m peers`` runs what a bare machine skips.
    """
    if "lacking" in getattr(item, "fixturenames", ()):
        item.add_marker("peers")


def _scope(nodeid: str) -> str:
    """What one process runs: a file, as its fixtures are made once for all its tests; some folders, too."""
    file = nodeid.split("::", 1)[0]
    return next((name for name in ONE_PROCESS_EACH if f"tests/{name}/" in file), file)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several processes begin with what takes longest: begun last, it would leave the others idle.

    The files with tests that wait for peers are noted for `.ci/run`, which then reads these alone.
    """
    if not hasattr(config, "workerinput"):
        return
    cache = getattr(config, "cache", None)
    if cache is not None and not config.option.markexpr:
        waiting = {item.nodeid.split("::", 1)[0] for item in items if item.get_closest_marker("peers")}
        cache.set("flashsim_prod/peers", sorted(waiting))
    slow, tests = Counter[str](), Counter[str]()
    for item in items:
        scope = _scope(item.nodeid)
        slow[scope] += item.get_closest_marker("slow") is not None
        tests[scope] += 1

    def order(item: pytest.Item) -> tuple[bool, int, int]:
        scope = _scope(item.nodeid)
        served = any(name in scope for name in SERVED)
        return not served, 0 if served else -slow[scope], -tests[scope]

    items.sort(key=order)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole scopes, in the order that `pytest_collection_modifyitems` gives."""
    from xdist.scheduler import LoadScopeScheduling

    class ByScope(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _scope(nodeid)

    config.option.loadscopereorder = False
    return ByScope(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many processes as there are cores for them; each takes up to 1.5 GB."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8)


def _cpu_s(call: Callable[[], object]) -> float:
    """CPU time of this process for a call [s]: neither the disk nor the neighbours are in it."""
    began_s = time.process_time()
    call()
    return time.process_time() - began_s


@pytest.fixture
def effort() -> Callable[[Callable[[], object]], float]:
    """A function that measures a call in seconds of CPU of a common machine.

    A fixed piece of work, 0.05 s there, is done before and after it: on a slower machine, or on a core that
    is shared, both take longer.
    """

    def yardstick() -> object:
        return sum(len(f"{number:x}") for number in range(300_000))

    def measure(call: Callable[[], object]) -> float:
        before_s = min(_cpu_s(yardstick) for _ in range(3))
        taken_s = _cpu_s(call)
        after_s = min(_cpu_s(yardstick) for _ in range(3))
        return taken_s * 0.05 / min(before_s, after_s)

    return measure


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
        *((import_module(name), "worker_command") for name in fake_physics.STARTERS),
    ]
    for module, name in originals:
        # remembered by monkeypatch, which puts them back
        monkeypatch.setattr(module, name, getattr(module, name))
    fake_physics.install()
    yield fake_physics
    sys.modules.pop("fake_physics", None)


@pytest.fixture(scope="session")
def hepmc() -> ModuleType:
    """Makes events and files of HepMC: the module `hepmc_files`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        return import_module("hepmc_files")


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What tests of training at a site share: the module `fits`."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return import_module("fits")


@pytest.fixture
def write_lhe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a small LHE file; arguments as of `lhe_files.write_lhe` after the folder."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from lhe_files import write_lhe as write

    return partial(write, tmp_path)


@pytest.fixture(scope="session")
def lacking() -> Callable[[str], None]:
    """Skips for want of something, or fails where everything has to be there."""
    return _lacking


def _lacking(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI has to have it")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def root_python(lacking: Callable[[str], None]) -> str:
    """An interpreter that can import ROOT; without one a test is skipped, but fails where CI is set."""
    named = os.environ.get("FLASHSIM_PROD_ROOT_PYTHON")
    if named:
        return named
    if find_spec("ROOT") is None:
        lacking("ROOT (the extra 'root', or an interpreter in FLASHSIM_PROD_ROOT_PYTHON)")
    return sys.executable


@pytest.fixture(scope="session")
def wmcore(lacking: Callable[[str], None]) -> Callable[[str], ModuleType]:
    """A function that imports a module of CMS's WMCore: the judge of what is handed to CRAB and DBS."""

    def load(name: str) -> ModuleType:
        if find_spec("WMCore") is None:
            lacking("WMCore (pip install --no-deps wmcore future)")
        return import_module(name)

    return load


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


@pytest.fixture
def page_in_browser(tmp_path: Path, lacking: Callable[[str], None]) -> Callable[[str], Any]:
    """A context of a page that is open in a browser: evaluates JavaScript in it."""
    sys.path.insert(0, str(Path(__file__).parent / "peers"))
    from browser import browser, opened

    if browser() is None:
        lacking("a browser to look at pages with (apt-get install chromium)")
    return lambda url: opened(url, tmp_path)
