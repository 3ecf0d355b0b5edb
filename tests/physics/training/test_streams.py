"""Files that are streamed: few branches, servers that drop, and what was done before."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod import patience
from flashsim_prod.errors import ConfigError, InputError, StorageError
from flashsim_prod.physics.chain.registry import MODELS, find_model
from flashsim_prod.physics.era_of_file import era_of_file
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training import stream, tables
from flashsim_prod.physics.training.drawn import table_path
from flashsim_prod.physics.training.needed import needed_branches
from flashsim_prod.physics.training.stream import Stream
from flashsim_prod.physics.training.table import Table, drawn_from, era_of_table
from flashsim_prod.physics.training.tables import extract, extract_file

MUONS = find_model("muon_from_genmuon")
MET = find_model("met")
FAT = find_model("fatjet_from_genjet")


@pytest.fixture(scope="module")
def reconstructed(gen, reconstruct) -> Events:
    return reconstruct(gen, 2, seed=3)


@pytest.fixture(scope="module")
def nano(reconstructed: Events, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nano") / "events.root"
    with NanoWriter(path, schema=Schema.load("v9"), provenance={}) as writer:
        half = reconstructed.n // 2
        writer.write(reconstructed.slice(0, half))
        writer.write(reconstructed.slice(half, reconstructed.n))
    return path


@dataclass
class Server:
    """Serves one file in parts; drops the connection after so many answers, for so many times."""

    url: str = ""
    contents: bytes = b""
    answers: int = 0
    drops: list[int] = field(default_factory=list)


@pytest.fixture
def server(nano: Path) -> Iterator[Server]:
    behaviour = Server(contents=nano.read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_GET(self) -> None:
            first, last = map(int, re.findall(r"\d+", self.headers.get("Range", "bytes=0-3")))
            self._answer(behaviour.contents[first : last + 1])

        def _answer(self, body: bytes) -> None:
            behaviour.answers += 1
            if behaviour.answers in behaviour.drops:
                self.close_connection = True
                return
            self.send_response(206 if body else 200)
            self.send_header("Content-Length", str(len(body) or len(behaviour.contents)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        behaviour.url = f"http://127.0.0.1:{httpd.server_port}/events.root"
        yield behaviour
        httpd.shutdown()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)


def same(one: Path, other: Path) -> bool:
    first, second = Table.load(one), Table.load(other)
    assert first.targets.keys() == second.targets.keys()
    return np.array_equal(first.conditions, second.conditions) and all(
        np.array_equal(first.targets[name], second.targets[name]) for name in first.targets
    )


def test_few_branches_give_the_tables_of_all(nano, tmp_path, monkeypatch):
    wanted = [MUONS, find_model("tau_from_jet"), MET]
    list(extract_file(str(nano), wanted, tmp_path / "all"))
    monkeypatch.setattr(tables, "WHOLE_EVENTS", 10)
    read: list[int] = []
    before = NanoFile.read

    def counting(self: NanoFile, names: list[str], start: int, stop: int) -> Events:
        read.append(len(names))
        return before(self, names, start, stop)

    monkeypatch.setattr(NanoFile, "read", counting)
    list(extract_file(str(nano), wanted, tmp_path / "few"))
    assert len(read) == 2, "a look, and all that was written together"
    assert read[1] < 0.5 * read[0]
    for model in wanted:
        assert same(
            table_path(tmp_path / "all", "events", model), table_path(tmp_path / "few", "events", model)
        )


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([], [(0, 60), (60, 120)]),
        ([0, 30, 60, 120], [(0, 60), (60, 120)]),
        ([0, 10, 20, 50, 70, 120], [(0, 50), (50, 120)]),
        ([0, 115, 120], [(0, 60), (60, 115), (115, 120)]),
    ],
)
def test_what_is_stored_together_is_read_together(nano, monkeypatch, edges, expected):
    monkeypatch.setattr(stream, "_LEAST_EVENTS", 40)
    monkeypatch.setattr(stream, "_MOST_EVENTS", 60 if len(edges) < 5 else 100)
    with Stream(str(nano)) as opened:
        monkeypatch.setattr(opened.file, "edges", lambda names: edges)
        assert list(opened.portions(["event"])) == expected


def test_what_models_look_at_is_found(reconstructed):
    found = needed_branches(reconstructed, [MET], extract)
    assert found is not None
    assert {"MET_pt", "GenMET_pt", "GenMET_phi"} <= set(found)
    assert not any(name.startswith(("SV_", "Photon_")) for name in found)
    everything = needed_branches(reconstructed, MODELS, extract)
    assert everything is not None
    assert set(found) < set(everything)


def test_a_branch_that_is_needed_only_later_is_read_all_the_same(nano, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "WHOLE_EVENTS", 10)
    # as if the first events had not told
    few = [name for name in needed_of(nano, MUONS) if name not in ("Muon_dxy", "GenJet_pt")]
    monkeypatch.setattr(tables, "needed_branches", lambda *_: few)
    list(extract_file(str(nano), [MUONS], tmp_path / "few"))
    monkeypatch.setattr(tables, "needed_branches", lambda *_: None)
    list(extract_file(str(nano), [MUONS], tmp_path / "all"))
    assert same(table_path(tmp_path / "all", "events", MUONS), table_path(tmp_path / "few", "events", MUONS))


def needed_of(nano: Path, *models) -> list[str]:
    with Stream(str(nano)) as opened:
        events = opened.read(tables.readable(opened.file), 0, 100)
    return needed_branches(events, models, extract) or []


def test_a_server_that_drops_now_and_then_is_survived(server, nano, tmp_path):
    list(extract_file(str(nano), [MUONS], tmp_path / "local"))
    server.drops = [2, 4]
    list(extract_file(server.url, [MUONS], tmp_path / "http"))
    assert server.answers > 4
    local, remote = (table_path(tmp_path / one, "events", MUONS) for one in ("local", "http"))
    assert same(local, remote)


def test_a_server_that_is_gone_is_told_and_nothing_is_half_written(server, tmp_path):
    server.drops = list(range(3, 1000))
    with pytest.raises(StorageError, match=r"given up after 6 tries, say it again to go on") as caught:
        list(extract_file(server.url, [MUONS], tmp_path))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.safetensors"))
    server.drops = []
    assert list(extract_file(server.url, [MUONS], tmp_path))
    # what is done is not even looked for
    answers = server.answers
    assert list(extract_file(server.url, [MUONS], tmp_path)) == []
    assert server.answers == answers


def test_the_first_events_only(nano, tmp_path, reconstructed):
    assert list(extract_file(str(nano), [MET], tmp_path, n_events=7)) == [(7, 7)]
    path = table_path(tmp_path, "events", MET)
    assert len(Table.load(path, MET).number) == 7
    assert list(extract_file(str(nano), [MET], tmp_path, n_events=7)) == []
    # more are asked for
    list(extract_file(str(nano), [MET], tmp_path))
    assert len(Table.load(path, MET).number) == reconstructed.n
    origin = drawn_from(path)
    assert origin is not None
    assert (origin.events, origin.of, origin.url) == (reconstructed.n, reconstructed.n, str(nano))
    assert list(extract_file(str(nano), [MET], tmp_path, n_events=10**9)) == []


def test_another_file_of_the_same_name_is_no_file_that_is_done(nano, reconstructed, tmp_path):
    list(extract_file(str(nano), [MET], tmp_path))
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "events.root"
    with NanoWriter(other, schema=Schema.load("v9"), provenance={}) as writer:
        writer.write(reconstructed.slice(0, 10))
    with pytest.raises(InputError, match=r"events\.safetensors is of another file, .*events\.root, than"):
        list(extract_file(str(other), [MET], tmp_path))
    # the very file at another place is
    copy = tmp_path / "copy" / "events.root"
    copy.parent.mkdir()
    copy.write_bytes(nano.read_bytes())
    assert list(extract_file(str(copy), [MET], tmp_path)) == []


def test_a_model_without_a_table_is_not_looked_for_again(reconstructed, tmp_path):
    path = tmp_path / "poor.root"
    with NanoWriter(path, schema=Schema.load("v9"), provenance={}) as writer:
        collections = {name: one for name, one in reconstructed.collections.items() if name != "FatJet"}
        writer.write(Events(reconstructed.n, dict(reconstructed.scalars), collections))
    told: dict[str, str] = {}
    assert list(extract_file(str(path), [MET, FAT], tmp_path, impossible=told))
    again: dict[str, str] = {}
    assert list(extract_file(str(path), [MET, FAT], tmp_path, impossible=again)) == []
    assert told.keys() == again.keys() == {FAT.name}
    noted = json.loads((tmp_path / FAT.name / "poor.none.json").read_text())
    assert noted["why"] == told[FAT.name]


def test_the_era_of_a_file_is_remembered_and_not_mixed(reconstructed: Events, tmp_path: Path) -> None:
    def drawn(path: Path, era: str = "") -> str:
        list(extract_file(str(path), [MET], tmp_path / "tables", era=era))
        return era_of_table(table_path(tmp_path / "tables", str(path), MET))

    folder = tmp_path / "RunIISummer20UL16NanoAODv9"
    folder.mkdir()
    told, silent, later = folder / "told.root", tmp_path / "silent.root", tmp_path / "later.root"
    other = tmp_path / "RunIIAutumn18NanoAODv7"
    other.mkdir()
    for path in (told, silent, later, other / "other.root"):
        with NanoWriter(path, schema=Schema.load("v9"), provenance={"name": path.name}) as writer:
            writer.write(reconstructed)
    assert drawn(silent) == ""
    # said later, it is drawn again
    assert drawn(silent, "UL16postVFP") == "UL16postVFP"
    assert drawn(told) == "UL16postVFP"
    with pytest.raises(InputError, match=r"told.root is of UL16postVFP, not of UL18; leave it out"):
        drawn(told, "UL18")
    with pytest.raises(
        InputError, match=r"later.root is of UL18, and .* is of UL16postVFP; extract each era"
    ):
        drawn(later, "UL18")
    with pytest.raises(ConfigError, match="unknown era 'UL15'"):
        drawn(later, "UL15")
    with pytest.raises(InputError, match=r"other.root: the era of campaign RunIIAutumn18 is not known"):
        drawn(other / "other.root")
    assert drawn(other / "other.root", "UL16postVFP") == "UL16postVFP"


def test_conditions_among_the_parameters_tell_the_era() -> None:
    samples = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not samples:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
    with NanoFile(str(Path(samples) / "ttbar_ul18_v9_pfnano.root")) as file:
        assert era_of_file(file) == "UL18"
