"""The live page: what it shows, what it refuses, that it follows, and how it ends."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.states import JobState, Stage
from flashsim_prod.errors import RequestError
from flashsim_prod.files import json_text
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.production.home import Home
from flashsim_prod.production.live.logs import SHOWN_BYTES, end_of
from flashsim_prod.production.live.server import listening, make_server, serve
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.production.views.status import all_lines, all_standings, detail

Placed = Callable[..., Plan]
SMALL = {"events": 80, "events_per_job": 20, "per_merge": 2}
#: what passes with time
AGES = re.compile(r'"age_s": [0-9.e-]+')


class Answer:
    """Status, headers and text of an answer."""

    def __init__(self, port: int, path: str, host: str | None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        self.status, self.headers = answer.status, answer.headers
        self.text = answer.read().decode()
        connection.close()


class Site:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"

    def get(self, path: str, host: str | None = None) -> Answer:
        return Answer(self.port, path, host)

    def stream(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        return connection.getresponse()


@pytest.fixture
def site(home: Home) -> Iterator[Site]:
    with listening(0) as listener:
        server = make_server(home)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield Site(listener.getsockname()[1])
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


def _fail(home: Home, name: str, index: int, error: str, log: Path) -> None:
    with Ledger(home.ledger) as ledger:
        ledger.transition(name, Stage.SIMULATE, [index], JobState.SUBMITTING)
        row = ledger.start_attempt(name, Stage.SIMULATE, index, log=lambda number: log, host="h")
        ledger.finish_attempt(
            name, Stage.SIMULATE, index, row.number, JobState.FAILED, exit_code=10, error=error
        )


def _failed(home: Home, name: str, index: int, error: str, said: str = "all of it\n") -> Path:
    log = home.folder(name).log(Stage.SIMULATE, index, 1)
    log.parent.mkdir(exist_ok=True)
    log.write_text(said)
    _fail(home, name, index, error, log)
    return log


def _without_ages(text: str) -> Any:
    return json.loads(AGES.sub('"age_s": 0', text))


def test_without_requests_it_says_how_to_make_one(site: Site) -> None:
    answer = site.get("/")
    assert answer.status == 200
    assert "flashsim-prod request ttbar" in answer.text
    assert site.get("/status.json").text == "[]\n"
    assert 'flashsim_prod_requests{state="DONE"} 0.0' in site.get("/metrics").text


def test_the_numbers_are_those_of_status(home: Home, placed: Placed, site: Site) -> None:
    name = placed(**SMALL).request.name
    placed("dry", dry_run=True, **SMALL)
    _failed(home, name, 1, "no branch")
    lines = json_text([asdict(line) for line in all_lines(home)])
    assert _without_ages(site.get("/status.json").text) == _without_ages(lines)
    for one in (name, "dry"):
        found = json_text(asdict(detail(home, one)))
        assert _without_ages(site.get(f"/requests/{one}/status.json").text) == _without_ages(found)
    first, second = all_standings(home)
    assert (first.line.name, second.line.name) == (name, "dry")
    whole = detail(home, name)
    assert (first.stages, first.speeds, first.failures) == (whole.stages, whole.speeds, whole.failures)
    assert second.stages == detail(home, "dry").stages


def test_pages_are_whole_escaped_and_fetch_nothing_from_elsewhere(
    home: Home, placed: Placed, site: Site
) -> None:
    name = placed(**SMALL).request.name
    _failed(home, name, 1, "<script>alert(1)</script> & more")
    for path in ("/", f"/requests/{name}"):
        answer = site.get(path)
        assert "&lt;script&gt;alert" in answer.text
        assert re.findall(r"<script[^>]*>", answer.text) == ['<script src="/live.js">']
        assert not re.search(r'(?:src|href)="(?:https?:)?//', answer.text)
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "prefers-color-scheme: dark" in answer.text


def test_a_log_is_a_click_away(home: Home, placed: Placed, site: Site) -> None:
    name = placed(**SMALL).request.name
    _failed(home, name, 1, "no branch", "first\nlast <b>\n")
    for path in ("/", f"/requests/{name}"):
        (link,) = re.findall(r'href="(/requests/[^"]*/logs/[^"]*)"', site.get(path).text)
        answer = site.get(link)
        assert (answer.status, answer.text) == (200, "first\nlast <b>\n")
        assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "path",
    [
        "request.yaml",
        "../request.yaml",
        "logs/../request.yaml",
        "%2e%2e/%2e%2e/ledger.sqlite",
        "..%2f..%2fledger.sqlite",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "logs/other.log",
        "logs/simulate_000002.1.log",
        "logs/simulate_000003.1.log",
    ],
)
def test_nothing_but_logs_of_its_failures_is_served(
    path: str, home: Home, placed: Placed, site: Site, tmp_path: Path
) -> None:
    name = placed(**SMALL).request.name
    log = _failed(home, name, 1, "no branch")
    log.with_name("other.log").write_text("secret")
    # the ledger names these: a link out of the folder, and a log elsewhere
    (tmp_path / "secret").write_text("secret")
    out = home.folder(name).log(Stage.SIMULATE, 2, 1)
    out.symlink_to(tmp_path / "secret")
    _fail(home, name, 2, "another cause", out)
    _fail(home, name, 3, "a third cause", tmp_path / "secret")
    answer = site.get(f"/requests/{name}/logs/{path}")
    assert answer.status == 404
    assert "secret" not in answer.text
    assert "sqlite" not in answer.text.partition("log '")[0]


def test_a_log_that_is_gone_and_requests_that_are_not_there(home: Home, placed: Placed, site: Site) -> None:
    name = placed(**SMALL).request.name
    log = _failed(home, name, 1, "no branch")
    log.unlink()
    answer = site.get(f"/requests/{name}/logs/logs/{log.name}")
    assert (answer.status, "is not there" in answer.text) == (404, True)
    for path in ("/requests/toy-00", "/requests/toy-00/live", "/requests/toy-00/status.json"):
        answer = site.get(path)
        assert answer.status == 404
        assert "toy-001" in answer.text
    assert site.get("/requests/..%2f..").status == 404


def test_of_a_long_log_the_end_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"".join(b"line %09d\n" % number for number in range(100_000)))
    shown = end_of(log)
    assert len(shown) < SHOWN_BYTES + 300
    first, second, *_, last, end = shown.split(b"\n")
    assert b"bytes are left out" in first
    assert str(log).encode() in first
    assert re.fullmatch(rb"line \d{9}", second)
    assert (last, end) == (b"line 000099999", b"")


def test_only_names_of_this_machine_are_answered(site: Site) -> None:
    for host in (f"localhost:{site.port}", f"127.0.0.1:{site.port}", f"[::1]:{site.port}", "LOCALHOST"):
        assert site.get("/status.json", host).status == 200, host
    for host in (f"evil.example:{site.port}", "localhost.evil.example", "192.0.2.1", "0.0.0.0", "a b"):
        for path in ("/", "/status.json", "/live", "/metrics"):
            answer = site.get(path, host)
            assert answer.status == 400, host
            assert "requests" not in answer.text


def test_damage_is_told_in_a_line_and_does_not_end_it(home: Home, placed: Placed, site: Site) -> None:
    name = placed(dry_run=True, **SMALL).request.name
    path = home.folder(name).request
    whole = path.read_text()
    path.write_text("nonsense: [")
    answer = site.get(f"/requests/{name}")
    assert (answer.status, len(answer.text.splitlines())) == (503, 1)
    assert str(path) in answer.text
    path.write_text(whole)
    assert site.get(f"/requests/{name}").status == 200
    home.ledger.rename(home.path / "away")
    home.ledger.write_text("nonsense")
    answer = site.get("/")
    assert (answer.status, len(answer.text.splitlines())) == (503, 1)
    assert str(home.ledger) in answer.text
    assert site.stream("/live").readline() == b"event: trouble\n"
    (home.path / "away").replace(home.ledger)
    assert site.get("/").status == 200


def test_one_that_is_spoiled_is_told_and_the_others_are_shown(home: Home, placed: Placed, site: Site) -> None:
    kept, bad = (placed(dry_run=True, **SMALL).request.name for _ in range(2))
    home.folder(bad).request.write_text("nonsense: [")
    page = site.get("/").text
    assert f'href="/requests/{kept}"' in page
    assert f'href="/requests/{bad}"' not in page
    assert f"request {bad} is not shown: {home.folder(bad).request}" in page
    assert [one["name"] for one in json.loads(site.get("/status.json").text)] == [kept]
    assert f"request {bad} is not shown" in _next_look(site.stream("/live"))


def _next_look(stream: http.client.HTTPResponse) -> str:
    """The next event of a stream; remarks are passed over."""
    lines: list[str] = []
    while True:
        line = stream.readline().decode().rstrip("\n")
        if not line and lines and lines[0] == "event: look":
            return "\n".join(one.removeprefix("data: ") for one in lines[1:])
        lines = [*lines, line] if line and not line.startswith(":") else []


def test_changes_come_by_themselves(home: Home, placed: Placed, site: Site) -> None:
    name = placed(**SMALL).request.name
    streams = [site.stream("/live"), site.stream(f"/requests/{name}/live")]
    for stream in streams:
        assert "no branch" not in _next_look(stream)
    _failed(home, name, 1, "no branch")
    for stream in streams:
        while "no branch" not in _next_look(stream):
            pass


def test_who_drives_is_seen(home: Home, placed: Placed, site: Site) -> None:
    name = placed(**SMALL).request.name
    with request_lock(home.folder(name).path):
        assert "RUNNING" in site.get("/").text


def test_it_follows_in_a_browser(
    home: Home, placed: Placed, site: Site, page_in_browser: Callable[..., Any]
) -> None:
    name = placed(**SMALL).request.name
    with page_in_browser(site.url) as page:

        def wait_for(expression: str) -> None:
            until = time.monotonic() + 60
            while page(expression) is not True:
                assert time.monotonic() < until, page("document.body.innerText")
                time.sleep(0.3)

        wait_for('document.querySelector("#contact.live") !== null')
        assert page('document.querySelector("main").innerText.includes("no branch")') is False
        _failed(home, name, 1, "no branch")
        wait_for('document.querySelector("main").innerText.includes("no branch")')
        assert page("document.documentElement.scrollWidth <= innerWidth") is True


def test_a_port_that_is_taken(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RequestError, match=f"port {port} of 127.0.0.1: is taken.*--port N"):
            serve(home, port, told=lambda url, number: pytest.fail("it was not free"))


@pytest.mark.parametrize("library", ["starlette", "uvicorn"])
def test_without_its_libraries_it_says_how_to_get_them(
    library: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == library or name.endswith("live.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"pip install 'flashsim-prod\[serve\]'"):
        serve(home, 0, told=lambda url, number: pytest.fail("it cannot be"))


def test_ctrl_c_ends_it_cleanly_while_somebody_watches(home: Home) -> None:
    command = [sys.executable, "-m", "flashsim_prod.cli", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        told = "".join(process.stdout.readline() for _ in range(4))
        stream = Site(json.loads(told)["port"]).stream("/live")
        assert stream.readline() == b"event: look\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""


def test_the_command_itself_loads_no_server() -> None:
    code = "import sys, flashsim_prod.cli.requests.serve; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"starlette", "uvicorn", "prometheus_client"} & set(done.stdout.split())


def test_a_campaign_has_addresses_of_its_own(site: Site, seen: Any) -> None:
    assert "all of &lt;summer&gt;" in site.get("/campaigns/summer").text
    assert json.loads(site.get("/campaigns/summer/status.json").text)["events"] == 40
    for path in ("/campaigns/sumer", "/campaigns/sumer/live", "/campaigns/sumer/status.json"):
        refused = site.get(path)
        assert (refused.status, "did you mean 'summer'" in refused.text) == (404, True)
    stream = site.stream("/campaigns/summer/live")
    assert stream.readline() == b"event: look\n"
    stream.close()
