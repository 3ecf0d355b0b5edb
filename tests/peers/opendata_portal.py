"""A stand-in of the CERN Open Data portal on the loopback: what cernopendata-client 1.0.2 asks.

``/record/N`` says whether there is a record, ``/api/records/N`` gives it, ``/api/records?q=title:"..."``
finds it by its title; files are below ``/eos/``, in parts. Written from the
client's source, not from the portal.
"""

from __future__ import annotations

import json
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_ROOT = "root://eospublic.cern.ch/"


@dataclass
class Standin:
    """What it serves: change it between two requests."""

    url: str = ""
    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    #: all requests are answered so, if it is not 0
    status: int = 0
    #: requests for parts of files that are answered before connections are dropped
    patience: int = 10**9
    asked: list[str] = field(default_factory=list)

    def add(
        self, recid: int, dataset: str, paths: list[Path], *, indexed: bool = True, root: str = _ROOT
    ) -> None:
        """A record of files; `root` is the server that it names for them."""
        listed = []
        for path in paths:
            contents, place = path.read_bytes(), f"/eos/opendata/cms/mc/{recid}/{path.name}"
            self.files[place] = contents
            checksum = f"adler32:{zlib.adler32(contents):08x}"
            listed.append(
                {"uri": f"{root}{place}", "size": len(contents), "checksum": checksum, "key": path.name}
            )
        index = [{"key": f"{recid}_index.json", "size": 9, "checksum": "adler32:00000000", "files": listed}]
        self.records[recid] = {
            "recid": str(recid),
            "title": dataset,
            "distribution": {"formats": [dataset.rpartition("/")[2].lower()], "number_files": len(paths)},
            **({"files": [], "_file_indices": index} if indexed else {"files": listed}),
        }


@contextmanager
def serve() -> Iterator[Standin]:
    """A portal without records."""
    standin = Standin()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            standin.asked.append(self.path)
            if standin.status:
                self._send(standin.status, b"{}", with_body)
                return
            place = urlsplit(self.path)
            path = unquote(place.path).replace("//", "/")
            if path.startswith("/eos/"):
                self._part(path, with_body)
            elif found := re.fullmatch(r"/(api/records|record)/(\d+)", path):
                record = standin.records.get(int(found[2]))
                body = {"id": found[2], "metadata": record}
                self._send(200 if record else 404, json.dumps(body).encode(), with_body)
            elif path == "/api/records":
                title = parse_qs(place.query)["q"][0].removeprefix("title:").strip('"')
                hits = [{"id": recid} for recid, one in standin.records.items() if title in one["title"]]
                body = {"hits": {"total": len(hits), "hits": hits[:1]}}
                self._send(200, json.dumps(body).encode(), with_body)
            else:
                self._send(404, b"", with_body)

        def _part(self, path: str, with_body: bool) -> None:
            contents = standin.files.get(path)
            if contents is None:
                self._send(404, b"", with_body)
                return
            asked = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if asked:
                standin.patience -= 1
                if standin.patience < 0:
                    self.close_connection = True
                    return
                contents = contents[int(asked[1]) : int(asked[2]) + 1]
            self._send(206 if asked else 200, contents, with_body)

        def _send(self, status: int, body: bytes, with_body: bool) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        standin.url = f"http://127.0.0.1:{httpd.server_port}"
        yield standin
        httpd.shutdown()
