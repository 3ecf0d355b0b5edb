"""A real XRootD server of Debian's: copies are whole, checked at both ends, and never overwrite."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flashsim_prod.core.site import StorageRules
from flashsim_prod.errors import ConfigError, NoSpaceError, StorageError
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


@pytest.fixture
def full_folder(xrootd_server: tuple[str, Path], storage: XRootDStorage, tiny_disk: Path) -> Iterator[str]:
    """A folder of the server, on a disk of 1 MB; a name of a file in it."""
    folder = xrootd_server[1] / "store/full"
    folder.mkdir(parents=True)
    for path in (folder.parent, folder, tiny_disk):
        path.chmod(0o777)
    subprocess.run(["mount", "--bind", tiny_disk, folder], check=True)
    yield "/store/full/a.root"
    subprocess.run(["umount", folder], check=True)


def xrdcp_that_cuts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an ``xrdcp`` first on PATH that leaves out the end of what it uploads, and ends with 0."""
    script = folder / "xrdcp"
    script.write_text(f"""#!/bin/sh
while [ $# -gt 2 ]; do shift; done
head -c 1000 "$1" > {folder}/cut
exec {shutil.which("xrdcp")} --silent --nopbar --force --path {folder}/cut "$2"
""")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_full_disk_here_is_called_one(
    storage: XRootDStorage, source: Path, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put(source, LFN, file_checksums(source))
    with pytest.raises(NoSpaceError, match=r"1\.0 MB are free, it has 3\.0 MB; free some space"):
        storage.fetch(LFN, tiny_disk / "copy")
    # it may run full while the file comes: xrdcp ends with 0 all the same
    plenty = namedtuple("plenty", "free")(10**9)
    monkeypatch.setattr("flashsim_prod.grid.storage.xrootd.shutil.disk_usage", lambda _: plenty)
    with pytest.raises(NoSpaceError, match="No space left on device; free some space"):
        storage.fetch(LFN, tiny_disk / "copy")
    assert list(tiny_disk.iterdir()) == []


def test_a_full_disk_at_the_server_is_called_one(
    storage: XRootDStorage, source: Path, full_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = file_checksums(source)
    with pytest.raises(NoSpaceError, match="no space left on device"):
        storage.put(source, full_folder, sums)
    assert storage.stat(full_folder) is None
    # a server may run full without saying so, as one that answers before it has written
    xrdcp_that_cuts(tmp_path, monkeypatch)
    with pytest.raises(NoSpaceError, match=r"the server is full \(1000 of 3000000 bytes arrived"):
        storage.put(source, full_folder, sums)


def test_a_copy_that_came_short_says_so(
    storage: XRootDStorage, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xrdcp_that_cuts(tmp_path, monkeypatch)
    with pytest.raises(StorageError, match="T2_IT_Pisa: 1000 of 3000000 bytes arrived") as caught:
        storage.put(source, LFN, file_checksums(source))
    assert not isinstance(caught.value, NoSpaceError)


def test_a_failure_to_clear_up_does_not_hide_the_first_one(
    storage: XRootDStorage, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = XRootDStorage._ask

    def breaks(self: XRootDStorage, *words: str, missing_is_fine: bool = False) -> str | None:
        if words[0] == "rm":
            raise StorageError("the server is gone")
        return original(self, *words, missing_is_fine=missing_is_fine)

    def is_full(*_: object) -> None:
        raise NoSpaceError("full")

    monkeypatch.setattr(XRootDStorage, "_ask", breaks)
    monkeypatch.setattr(XRootDStorage, "_copy", is_full)
    with pytest.raises(NoSpaceError, match="full"):
        storage.put(source, LFN, file_checksums(source))


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
