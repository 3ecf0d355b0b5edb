"""A real XRootD server of Debian's: copies are whole, checked at both ends, and never overwrite."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from flashsim_prod.core.site import StorageRules
from flashsim_prod.errors import ConfigError, StorageError
from flashsim_prod.grid.storage.checksums import file_checksums
from flashsim_prod.grid.storage.opening import open_storage, prefix_in
from flashsim_prod.grid.storage.xrootd import XRootDStorage

LFN = "/store/mc/FlashSim/a.root"


@pytest.fixture
def storage(xrootd_server: tuple[str, Path]) -> XRootDStorage:
    url, folder = xrootd_server
    shutil.rmtree(folder / "store", ignore_errors=True)
    return XRootDStorage("T2_IT_Pisa", url)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.root"
    path.write_bytes(os.urandom(3_000_000))
    return path


def test_a_file_goes_in_and_comes_out(storage: XRootDStorage, source: Path, tmp_path: Path) -> None:
    sums = file_checksums(source)
    assert storage.stat(LFN) is None
    pfn = storage.put(source, LFN, sums)
    assert pfn == storage.pfn(LFN)
    assert storage.stat(LFN) == sums.bytes
    assert storage.checksums(LFN) == sums
    assert storage.fetch(LFN, tmp_path / "copy") == sums
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert list(storage.listing("/store/mc")) == [LFN]
    with storage.readable(LFN) as path:
        assert path.read_bytes() == source.read_bytes()
    assert not path.exists()
    storage.delete(LFN)
    storage.delete(LFN)
    assert storage.stat(LFN) is None
    assert list(storage.listing("/store/none")) == []


def test_a_second_put_is_free_and_another_one_refused(storage: XRootDStorage, source: Path) -> None:
    sums = file_checksums(source)
    storage.put(source, LFN, sums)
    storage.put(source, LFN, sums, move=True)
    assert not source.exists()
    source.write_bytes(b"something else")
    with pytest.raises(StorageError, match="other contents under"):
        storage.put(source, LFN, file_checksums(source))
    assert storage.checksums(LFN) == sums
    storage.put(source, LFN, file_checksums(source), overwrite=True)
    assert storage.checksums(LFN) == file_checksums(source)


def test_a_source_that_is_not_what_it_should_be(storage: XRootDStorage, source: Path) -> None:
    sums = file_checksums(source)
    source.write_bytes(source.read_bytes()[:-1])
    with pytest.raises(StorageError, match="altered or damaged"):
        storage.put(source, LFN, sums)
    assert list(storage.listing("/store")) == []


def test_damage_at_the_server_is_seen(
    storage: XRootDStorage, source: Path, xrootd_server: tuple[str, Path]
) -> None:
    sums = file_checksums(source)
    storage.put(source, LFN, sums)
    path = xrootd_server[1] / LFN[1:]
    contents = bytearray(path.read_bytes())
    contents[1000] ^= 1
    path.write_bytes(contents)
    assert storage.checksums(LFN) != sums


def test_a_server_that_is_gone(
    source: Path, monkeypatch: pytest.MonkeyPatch, lacking: Callable[[str], None]
) -> None:
    if shutil.which("xrdfs") is None:
        lacking("xrdfs (apt-get install xrootd-client)")
    monkeypatch.setenv("XRD_CONNECTIONWINDOW", "1")
    monkeypatch.setenv("XRD_CONNECTIONRETRY", "1")
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        port = once.getsockname()[1]
    storage = XRootDStorage("T2_IT_Pisa", f"root://127.0.0.1:{port}/")
    with pytest.raises(StorageError, match="at T2_IT_Pisa: "):
        storage.stat(LFN)


def test_what_a_site_says_of_its_names(tmp_path: Path) -> None:
    path = tmp_path / "storage.json"
    path.write_text(
        json.dumps(
            [
                {
                    "site": "T2_IT_Pisa",
                    "rse": "T2_IT_Pisa",
                    "protocols": [
                        {
                            "protocol": "XRootD",
                            "access": "global-rw",
                            "prefix": "root://stormgf1.pi.infn.it:1094/",
                        },
                        {"protocol": "file", "rules": [{"lfn": "/(.*)", "pfn": "/gpfs/ddn/cms/$1"}]},
                        {"protocol": "pnfs", "rules": [{"lfn": "/+store/(.*)", "pfn": "/pnfs/store/$1"}]},
                        {
                            "protocol": "dcap",
                            "rules": [{"lfn": "/(.*)", "pfn": "dcap://x/$1", "chain": "pnfs"}],
                        },
                        {"protocol": "odd", "rules": [{"lfn": "/store/(.*)", "pfn": "/elsewhere/$1"}]},
                    ],
                }
            ]
        )
    )
    told = {name: prefix_in(path, "T2_IT_Pisa", name) for name in ("XRootD", "file", "dcap")}
    assert told == {
        "XRootD": "root://stormgf1.pi.infn.it:1094",
        "file": "/gpfs/ddn/cms",
        "dcap": "dcap://x/pnfs",
    }
    rules = StorageRules(rse="T2_IT_Pisa", prefix=str(path))
    assert open_storage(rules, tmp_path).pfn(LFN) == f"root://stormgf1.pi.infn.it:1094/{LFN}"
    with pytest.raises(ConfigError, match="no protocol 'webdav' at T2_IT_Pisa"):
        prefix_in(path, "T2_IT_Pisa", "webdav")
    with pytest.raises(ConfigError, match="no protocol 'file' at T2_XX"):
        prefix_in(path, "T2_XX", "file")
    with pytest.raises(ConfigError, match="otherwise than by LFN"):
        prefix_in(path, "T2_IT_Pisa", "odd")
