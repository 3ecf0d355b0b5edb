"""Something between a Rucio client and its server: troubles on demand, and TLS that knows certificates.

With TLS it does what a web server in front of Rucio does: it asks for the client's certificate, checks it
(RFC 3820 proxies, too) and tells Rucio the distinguished name.
"""

from __future__ import annotations

import http.client
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

#: what becomes of one call: an HTTP status, "drop", "late", or "sleep"
Trouble = int | str


class Between(ThreadingHTTPServer):
    """Passes calls on to a server, after the troubles that it was given.

    Attributes
    ----------
    calls : list of str
        Method and path of each call.
    heard : list of str
        Everything that came in headers.
    """

    daemon_threads = True

    def __init__(self, target: str, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = urlsplit(target)
        self.tls = tls
        self.troubles: list[Trouble] = []
        self.calls: list[str] = []
        self.heard: list[str] = []

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        # here, in a thread of its own, so that a slow handshake holds up nobody else
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was refused, or went away."""


class _Passing(BaseHTTPRequestHandler):
    server: Between
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.calls.append(f"{self.command} {self.path}")
        self.server.heard += [f"{name}: {value}" for name, value in self.headers.items()]
        trouble = self.server.troubles.pop(0) if self.server.troubles else None
        if trouble == "drop":
            self.close_connection = True
            return
        if trouble == "sleep":
            time.sleep(1.5)
        if isinstance(trouble, int):
            refused = {401: "CannotAuthenticate"}.get(trouble, "")
            self._answer(trouble, {"ExceptionClass": refused} if refused else {}, b"")
            return
        answer, contents = self._upstream(body)
        if trouble == "late":
            # done by the server, but nobody heard of it
            self.close_connection = True
            return
        skipped = ("transfer-encoding", "connection", "content-length")
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in skipped}
        self._answer(answer.status, kept, contents)

    def _upstream(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        port = self.server.target.port or 80
        upstream = http.client.HTTPConnection(self.server.target.hostname or "", port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        if isinstance(self.connection, ssl.SSLSocket) and (told := self.connection.getpeercert()):
            headers["X-SSL-Client-S-DN"] = _distinguished_name(told)
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        return answer, answer.read()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _pass

    def log_message(self, *_: Any) -> None:
        pass


def _distinguished_name(certificate: Any) -> str:
    """The subject as ``/C=CH/O=Test/CN=Jane Doe``."""
    short = {"countryName": "C", "organizationName": "O", "commonName": "CN"}
    return "".join(f"/{short[key]}={value}" for part in certificate["subject"] for key, value in part)
