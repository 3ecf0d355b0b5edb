"""A DBS writer on loopback: takes block dumps, and refuses what the real one refuses.

Coded from the table of rejections of CMS's server (dbs2go): HTTP 400 and a list of one object with
``exception`` and ``error.code``. As the real one it does not see wrong sums or a block of another dataset.
"""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_LFN = re.compile(r"/store/(mc|user|group|data)/[a-zA-Z0-9_\-./]+\.root")
_CONFIGURATION = ("release_version", "pset_hash", "app_name", "output_module_label", "global_tag")
_TYPES = {
    "file_size": int,
    "event_count": int,
    "check_sum": str,
    "adler32": str,
    "logical_file_name": str,
}


class Refusal(Exception):
    """What the server says no to."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class DbsWriterPeer(ThreadingHTTPServer):
    """The server; `blocks` are those that it took, `troubles` HTTP codes that it answers with first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.blocks: dict[str, dict[str, Any]] = {}
        self.troubles: list[int] = []
        self.lose_answers = 0

    @property
    def url(self) -> str:
        """What clients are told."""
        return f"http://127.0.0.1:{self.server_address[1]}/dbs/test/DBSWriter"

    def insert(self, dump: dict[str, Any]) -> None:
        """Take a block; `Refusal` if the real server would not."""
        block = dump["block"]
        if block["block_name"] in self.blocks:
            raise Refusal(200, f"block {block['block_name']} already exists")
        if not block.get("origin_site_name"):
            raise Refusal(400, "missing origin site name")
        for one in (*dump["dataset_conf_list"], *dump["file_conf_list"]):
            if any(not one.get(key) for key in _CONFIGURATION):
                raise Refusal(317, "missing output configuration")
        if type(dump["processing_era"]["processing_version"]) is not int:
            raise Refusal(122, "processing_version is no number")
        known = {file["logical_file_name"] for other in self.blocks.values() for file in other["files"]}
        for file in dump["files"]:
            _check_file(file, known)
        self.blocks[block["block_name"]] = dump


def _check_file(file: dict[str, Any], known: set[str]) -> None:
    for key, kind in _TYPES.items():
        if key in file and type(file[key]) is not kind:
            raise Refusal(122, f"{key} is no {kind.__name__}")
    lfn = file["logical_file_name"]
    if not _LFN.fullmatch(lfn) or lfn in known:
        raise Refusal(310, f"bad or known LFN {lfn}")
    if not file["file_size"] or not file.get("adler32") or not file.get("check_sum"):
        raise Refusal(310, f"{lfn}: no size or checksums")
    for lumi in file["file_lumi_list"]:
        if not lumi["run_num"] or not lumi["lumi_section_num"]:
            raise Refusal(311, f"{lfn}: run or lumi 0")


class _Call(BaseHTTPRequestHandler):
    server: DbsWriterPeer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._trouble() or not self.path.endswith("/bulkblocks"):
            return
        try:
            self.server.insert(json.loads(body))
        except Refusal as refusal:
            said = {"exception": 400, "message": str(refusal), "error": {"code": refusal.code}}
            self._answer(400, [said])
            return
        if self.server.lose_answers:
            self.server.lose_answers -= 1
            self._answer(502, None)
            return
        self._answer(200, [])

    def do_GET(self) -> None:
        if self._trouble():
            return
        url = urlsplit(self.path)
        block = self.server.blocks.get(parse_qs(url.query)["block_name"][0], {"files": []})
        self._answer(200, block["files"])

    def _trouble(self) -> bool:
        if not self.server.troubles:
            return False
        self._answer(self.server.troubles.pop(0), None)
        return True

    def _answer(self, status: int, contents: Any) -> None:
        body = b"" if contents is None else json.dumps(contents).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if contents is None else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
