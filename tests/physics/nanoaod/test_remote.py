"""Files behind HTTP, from a small server of the test's own: what each failure is called."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import uproot

from flashsim_prod.errors import FlashSimError, InputError, StorageError
from flashsim_prod.physics.nanoaod import remote
from flashsim_prod.physics.nanoaod.reader import NanoFile, reading

PEERS = Path(__file__).parents[2] / "peers"


@dataclass
class Behaviour:
    """What the server does: change it between two requests."""

    contents: bytes
    url: str = ""
    status: int = 206
    #: how many requests are answered well before `status` is given
    patience: int = 0
    pause: threading.Event | None = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Behaviour]:
    """A server of one file of 20,000 events, which are read in several portions."""
    path = tmp_path / "events.root"
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree("Events", {"event": "uint64"})
        for part in range(20):
            tree.extend({"event": np.arange(part * 1000, part * 1000 + 1000, dtype=np.uint64)})
    behaviour = Behaviour(path.read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            if behaviour.pause is not None:
                behaviour.pause.wait(10)
            behaviour.patience -= 1
            status = 206 if behaviour.patience >= 0 else behaviour.status
            body, asked = behaviour.contents, re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if status >= 400:
                self.send_error(status)
                return
            if status == 206 and asked:
                body = body[int(asked[1]) : int(asked[2]) + 1]
            self.send_response(status if asked else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        behaviour.url = f"http://127.0.0.1:{httpd.server_port}/events.root"
        yield behaviour
        if behaviour.pause is not None:
            behaviour.pause.set()
        httpd.shutdown()


def failure_of(url: str) -> FlashSimError:
    """What comes of opening `url`."""
    with pytest.raises(FlashSimError) as caught, NanoFile(url):
        pass
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(url)
    return caught.value


def test_a_file_is_read_in_parts(server: Behaviour) -> None:
    with NanoFile(server.url) as file:
        assert file.n_entries == 20_000
        assert file.read(["event"], 15_000, 15_003).scalars["event"].tolist() == [15_000, 15_001, 15_002]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (404, InputError, r"does not exist \(HTTP 404 Not Found\); check the URL"),
        (410, InputError, r"does not exist \(HTTP 410 Gone\)"),
        (403, InputError, r"may not be read \(HTTP 403 Forbidden\); download it first"),
        (400, InputError, "its server says HTTP 400 Bad Request"),
        (429, StorageError, "HTTP 429 Too Many Requests; try again later"),
        (500, StorageError, "its server says HTTP 500"),
        (503, StorageError, "HTTP 503 Service Unavailable; try again later, or download it first"),
        (599, StorageError, "its server says HTTP 599"),
    ],
)
def test_what_a_server_says(server: Behaviour, status: int, kind: type[FlashSimError], words: str) -> None:
    server.status = status
    found = failure_of(server.url)
    assert type(found) is kind
    assert re.search(words, str(found)), found


def test_a_server_that_fails_later(server: Behaviour) -> None:
    with NanoFile(server.url) as file:
        file.read(["event"], 0, 1)
        server.status = 503
        with pytest.raises(StorageError, match="HTTP 503 Service Unavailable; try again later"):
            file.read(["event"], 15_000, 15_001)
    server.patience = 1
    assert "HTTP 503" in str(failure_of(server.url)), "between its first answer and the file's head"


def test_a_server_that_knows_no_parts(server: Behaviour) -> None:
    server.status = 200
    found = failure_of(server.url)
    assert type(found) is InputError
    assert "gives whole files only, no parts of them; download it first and give the local file" in str(found)


def test_a_page_in_place_of_the_file(server: Behaviour) -> None:
    server.contents = b"<html>Please sign in</html>"
    assert "is no ROOT file, but begins with b'<htm'" in str(failure_of(server.url))
    server.contents = b""
    assert "is no ROOT file" in str(failure_of(server.url))


def test_a_server_that_does_not_answer(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ANSWER_S", 0.3)
    server.pause = threading.Event()
    found = failure_of(server.url)
    assert type(found) is StorageError
    assert "its server does not answer in time" in str(found)


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{once.getsockname()[1]}/events.root"
    found = failure_of(url)
    assert type(found) is StorageError
    assert "Connect call failed" in str(found)
    found = failure_of("http://nowhere.invalid/events.root")
    assert type(found) is StorageError
    assert "there is no host nowhere.invalid for this machine" in str(found)
    assert type(failure_of("http://:x/events.root")) is InputError


def test_a_file_that_an_xrootd_server_does_not_have() -> None:
    url = "root://host//store/mc/x.root"
    with pytest.raises(InputError, match="does not exist; check the path"), reading(url, "is damaged"):
        raise OSError("[ERROR] Server responded with an error: [3011] Unable to open; no such file")
    with pytest.raises(StorageError, match="cannot be read"), reading(url, "is damaged"):
        raise OSError("[FATAL] Connection error")


def test_a_certificate_that_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PEERS))
    from certificates import Authority

    context = Authority(tmp_path).server()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        threading.Thread(target=serve, daemon=True).start()
        found = failure_of(f"https://127.0.0.1:{listening.getsockname()[1]}/events.root")
    assert type(found) is StorageError
    assert "no trusted connection (" in str(found)
    assert "set SSL_CERT_FILE to the certificates of its authority, or download it first" in str(found)
