"""Generator events behind addresses, of a real XRootD server and one of HTTP: as on a disk; failures told."""

from __future__ import annotations

import gzip
import io
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import uproot

from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.errors import InputError, RequestError, StorageError
from flashsim_prod.physics.generator.gridpack.pack import find_gridpack
from flashsim_prod.physics.generator.hepmc import file as hepmc_file
from flashsim_prod.physics.generator.kinds import find_kind, kind_of_file
from flashsim_prod.physics.generator.lhe import file as lhe_file
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.streams import served as streams
from flashsim_prod.physics.streams.opened import opened
from flashsim_prod.physics.streams.served import served, usual_spelling
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import preview

WriteLhe = Callable[..., Path]
TEXTS: dict[str, Callable[..., Iterator[Any]]] = {
    "lhe": lhe_file.event_texts,
    "hepmc": hepmc_file.event_texts,
}


@pytest.fixture
def at_xrootd(xrootd_server: tuple[str, Path], lacking: Callable[[str], None]) -> Callable[[Path], str]:
    """Puts a copy of a file on the server; its address."""
    if not (find_spec("fsspec_xrootd") and find_spec("XRootD")):
        lacking("XRootD's client (pip install '.[opendata]')")
    root, folder = xrootd_server

    def put(path: Path) -> str:
        target = folder / "store" / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
        return f"{root}/store/{path.name}"

    return put


def _written(name: str, write_lhe: WriteLhe, hepmc: ModuleType, folder: Path) -> Path:
    if ".lhe" in name:
        return write_lhe(name)
    events = [hepmc.by_hand(hepmc.muon_pair(20.0 + number), number) for number in range(17)]
    return Path(hepmc.write_hepmc(folder / name, events))


def _same_as_on_the_disk(path: Path, url: str) -> None:
    kind = kind_of_file(str(path))
    assert kind_of_file(url) is kind
    assert kind.entries(url) == kind.entries(str(path)) == 17
    texts = TEXTS["lhe" if ".lhe" in path.name else "hepmc"]
    for first, number in ((0, 17), (5, 3), (16, 1)):
        assert list(texts(url, first, number)) == list(texts(str(path), first, number))
    source = kind.of([InputFile(url=url, entries=17)])
    assert source.sent == ()
    assert kind.facts(source) == kind.facts(kind.of([InputFile(url=str(path), entries=17)]))


NAMES = ("z.lhe", "z.lhe.gz", "z.hepmc", "z.hepmc3.gz")


@pytest.mark.parametrize("name", NAMES)
def test_files_at_an_xrootd_server_are_as_on_a_disk(
    name: str,
    at_xrootd: Callable[[Path], str],
    write_lhe: WriteLhe,
    hepmc: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # as if they were large: each takes several requests
    monkeypatch.setattr(streams, "_BLOCK", 1000)
    monkeypatch.setattr(streams, "_CHUNK", 300)
    path = _written(name, write_lhe, hepmc, tmp_path)
    url = at_xrootd(path)
    _same_as_on_the_disk(path, url)
    _same_as_on_the_disk(path, url.replace("root://", "xroot://") + "?authz=none")


@pytest.mark.parametrize("name", NAMES)
def test_files_behind_http_are_as_on_a_disk(
    name: str, at_http: Callable[[Path], str], write_lhe: WriteLhe, hepmc: ModuleType, tmp_path: Path
) -> None:
    path = _written(name, write_lhe, hepmc, tmp_path)
    _same_as_on_the_disk(path, at_http(path))
    _same_as_on_the_disk(path, at_http(path).replace("http://", "dav://") + "?token=x")


@pytest.mark.slow
def test_a_job_makes_the_same_events_of_them(
    home: Home, at_xrootd: Callable[[Path], str], write_lhe: WriteLhe, tmp_path: Path
) -> None:
    path, shower = write_lhe("z.lhe.gz", 6), tmp_path / "quick.cmnd"
    shower.write_text("PartonLevel:MPI = off\n", encoding="utf-8")
    found = []
    for url in (str(path), at_xrootd(path)):
        typed = Typed(inputs=(url,), shower=str(shower), events_per_job="3", seed=9, device="cpu")
        request = preview(home, make_order(typed)[0], None).request
        assert request.source.files[0].url == url
        assert request.card.primary == "z_13TeV_FlashSim-pythia8"
        job = simulate_job(request, 1)
        found.append(list(find_kind("lhe").open(request.source, request, job).chunks(100)))
    (one,), (other,) = found
    assert one.n == 3
    for name, column in one.scalars.items():
        np.testing.assert_array_equal(column, other.scalars[name], name)
    np.testing.assert_array_equal(one["GenPart"]["pt"], other["GenPart"]["pt"])


def test_a_root_file_is_read_in_parts(at_xrootd: Callable[[Path], str], tmp_path: Path) -> None:
    path = tmp_path / "events.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"event": "uint64"}).extend({"event": np.arange(1000, dtype=np.uint64)})
    with NanoFile(at_xrootd(path)) as nano:
        assert nano.n_entries == 1000
        assert nano.read(["event"], 990, 992).scalars["event"].tolist() == [990, 991]


def test_a_gridpack_is_fetched_as_it_is(at_xrootd: Callable[[Path], str], tmp_path: Path) -> None:
    path = tmp_path / "pack.tar.xz"
    # gzipped or not, nothing is unpacked on the way
    path.write_bytes(gzip.compress(os.urandom(3_000_000)))
    on_disk = find_gridpack(path.as_uri(), tmp_path)
    assert on_disk.path == path
    folder = tmp_path / "job"
    folder.mkdir()
    fetched = find_gridpack(at_xrootd(path), folder)
    assert fetched.path.parent == folder
    assert (fetched.bytes, fetched.sha256) == (on_disk.bytes, on_disk.sha256)


def test_what_a_server_of_xrootd_refuses(
    at_xrootd: Callable[[Path], str], xrootd_server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = xrootd_server[0]
    at_xrootd(Path(__file__))
    monkeypatch.setattr(streams, "SILENCE_S", 1)
    # how often the client looks whether time is up
    import_module("XRootD.client").EnvPutInt("TimeoutResolution", 1)
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        nobody = f"root://127.0.0.1:{once.getsockname()[1]}//store/z.lhe"
    for url, kind, told in (
        (f"{root}/store/nowhere.lhe", InputError, "does not exist; check the path"),
        (f"{root}/store", InputError, "is a folder; give its files"),
        (f"{root}/elsewhere/z.lhe", InputError, r"may not be read \(.*; is there a valid proxy or token"),
        (nobody, StorageError, "cannot be read: .*; try again later"),
        (
            "root://nowhere.invalid//z.lhe",
            StorageError,
            "there is no host nowhere.invalid for this machine; try",
        ),
        ("root:///store/z.lhe", InputError, "is no URL: it names no server"),
        ("root://host:x//z.lhe", InputError, "is no URL: Port could not be cast"),
    ):
        with pytest.raises(kind, match=told) as caught, served(url):
            pass
        with pytest.raises(kind, match=told):
            NanoFile(url)
        assert str(caught.value).startswith(url)
        assert "\n" not in str(caught.value)


def test_an_address_without_a_server_is_none() -> None:
    for url in ("https:///z.lhe", "http://[::1/z.lhe", "davs://", "http://host:99999/z.hepmc"):
        with pytest.raises(InputError, match="is no URL: "), served(url):
            pass
    with (
        pytest.raises(InputError, match=r"read from disks, and by .*; copy it here"),
        served("ftp://there/z.lhe"),
    ):
        pass


def test_a_server_that_breaks_off_does_not_make_a_file_damaged(
    write_lhe: WriteLhe, hepmc: ModuleType
) -> None:
    whole = write_lhe("z.lhe.gz").read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole[: len(whole) // 2])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("z.lhe.gz", "z.hepmc.gz", "pack.tar"):
            url = f"http://127.0.0.1:{server.server_port}/{name}"
            with (
                pytest.raises(StorageError, match="its server broke off; try again later"),
                opened(url) as file,
            ):
                file.read()
        server.shutdown()


def test_a_file_at_xrootd_that_fails_later_is_not_damaged() -> None:
    class Failing(io.BytesIO):
        size = 2000

        def read(self, *size: Any) -> bytes:
            found = super().read(*size)
            if not found and self.tell() == 1000:
                raise OSError("File did not read properly: [ERROR] Operation expired\n")
            return found

    for length, told in ((1000, "cannot be read: .*Operation expired; try"), (1500, "its server broke off")):
        stream = io.BufferedReader(streams._OfXrootd("root://there//a", Failing(bytes(length))))
        with pytest.raises(StorageError, match=rf"^root://there//a:? {told}"):
            stream.read()


def test_without_the_extra_the_order_says_which_one(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "root", raising=False)
    for name in ("fsspec_xrootd", "fsspec_xrootd.xrootd"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in NAMES:
        url = f"root://there//{name}"
        with pytest.raises(RequestError, match=r"pip install 'flashsim-prod\[opendata\]'") as caught:
            make_order(Typed(inputs=(url,), device="cpu"))
        assert str(caught.value).startswith(url)
        assert caught.value.exit_code == 2
    with pytest.raises(RequestError, match=r"flashsim-prod\[opendata\]"):
        find_gridpack("root://there//z.tar.xz", tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("root://Host//store/a.lhe", "xroot://host:1094//store/./b/../a.lhe", True),
        ("https://host/a.lhe", "davs://host:443//a.lhe", True),
        ("https://host/a.lhe?file=1", "https://host/a.lhe?file=2", False),
        ("root://host//a.lhe", "root://host:1095//a.lhe", False),
        ("root://host//a.lhe", "https://host//a.lhe", False),
        ("http://host:x/a.lhe", "http://host:x/a.lhe", True),
    ],
)
def test_an_address_in_two_spellings_is_one_file(one: str, other: str, are_same: bool) -> None:
    assert (usual_spelling(one) == usual_spelling(other)) is are_same
    if are_same:
        with pytest.raises(InputError, match="named twice as --input"):
            make_order(Typed(inputs=(one, other), device="cpu"))
