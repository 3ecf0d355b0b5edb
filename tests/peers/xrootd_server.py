"""A real XRootD server of Debian's, on the loopback only."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("xrootd", "xrdcp", "xrdfs", "gcc")
_CONFIGURATION = """
all.export /store
all.export /eos
oss.localroot {folder}/data
xrd.port {port}
xrd.allow host localhost
all.adminpath {folder}/admin
all.pidpath {folder}/admin
xrootd.chksum max 2 adler32
"""
#: XRootD cannot be told which address to listen on
_LOOPBACK_ONLY = Path(__file__).parent / "loopback_only.c"


def is_here() -> bool:
    """Whether its programs are installed."""
    return all(map(shutil.which, NEEDED))


@contextmanager
def serve() -> Iterator[tuple[str, Path]]:
    """URL and folder of a server that only this machine can reach."""
    # short, since sockets lie in it, and readable by the server, which will not run as root
    folder, port = Path(tempfile.mkdtemp(prefix="xrd", dir="/tmp")), _free_port()
    for name in ("data", "admin"):
        (folder / name).mkdir()
    (folder / "config").write_text(_CONFIGURATION.format(folder=folder, port=port))
    as_user = ["-R", "xrootd"] if os.getuid() == 0 else []
    if as_user:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "xrootd")
    command = ["xrootd", *as_user, "-I", "v4", "-c", folder / "config", "-l", folder / "log"]
    loopback = folder / "loopback_only.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", loopback, _LOOPBACK_ONLY, "-ldl"], check=True)
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LD_PRELOAD": str(loopback)},
    )
    try:
        _wait_for(port, folder / "log")
        yield f"root://127.0.0.1:{port}/", folder / "data"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder)


def _wait_for(port: int, log: Path) -> None:
    # a busy machine takes long to start it
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8") if log.exists() else "no server")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
