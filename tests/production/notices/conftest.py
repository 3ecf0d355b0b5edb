"""A server that is told, and who asks for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flashsim_prod.core.notices.targets import Notify
from flashsim_prod.production.asked import ask
from flashsim_prod.production.home import Home
from flashsim_prod.production.notices import sending


@dataclass
class Chat:
    """A server of a chat; answers with the next of `answers`, else with 200."""

    url: str = ""
    told: list[dict[str, Any]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def events(self) -> list[str]:
        return [one["event"] for one in self.told]


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(sending, "_AGAIN_AFTER_S", 0.01)
    found = Chat()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = found.answers.pop(0) if found.answers else 200
            found.heads.append(dict(self.headers))
            found.paths.append(self.path)
            if code == 200:
                found.told.append(json.loads(body))
            self.send_response(code)
            if 300 <= code < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            raise AssertionError("nothing is to be got here")

        def log_message(self, format: str, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/hooks/S3CRET"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settled() -> Callable[[], None]:
    """Waits for what is told aside."""

    def wait() -> None:
        for thread in threading.enumerate():
            if thread.name.startswith("notice of"):
                thread.join()

    return wait


@pytest.fixture
def asking(home: Home, chat: Chat) -> Home:
    """The state folder, of whose requests the chat is told."""
    ask(home.path, Notify(to=(chat.url,)))
    return home
