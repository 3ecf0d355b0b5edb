"""A real Slurm cluster on this machine, for tests: ``cluster.py unpack|up|down|env``.

Debian's packages are unpacked below a cache folder, never installed: slurmctld, two slurmd that show this
machine as the nodes node-a and node-b, munge, and for sacct slurmdbd with a MariaDB of its own. All run as
the user who starts them, root or not, and listen on the loopback only.

Needs a Debian host with apt-get, dpkg-deb and gcc.

FLASHSIM_SLURM_CACHE     where the programs are unpacked (default: ~/.cache/flashsim-prod/slurm)
FLASHSIM_SLURM_DIR       all state of the running cluster (default: /tmp/flashsim-slurm-<uid>; a short path,
                         since Unix sockets lie in it)
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = (
    *("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "munge"),
    *("slurmdbd", "slurm-wlm-mysql-plugin", "mariadb-server-core"),
    *(
        "libmariadb3",
        "libmunge2",
        "libhwloc15",
        "liblua5.1-0",
        "liblz4-1",
        "libnuma1",
        "libaio1",
        "liburing2",
    ),
)
USER_PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr")
NODES = ("node-a", "node-b")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
#: who has a uid of its own, as far as the cluster's own daemons are concerned
CLUSTER = "tests"
PATIENCE_S = 60.0


def cache() -> Path:
    """Where the programs are."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "flashsim-prod" / "slurm"
    return Path(os.environ.get("FLASHSIM_SLURM_CACHE", default))


def state() -> Path:
    """Where the running cluster keeps all it writes."""
    return Path(os.environ.get("FLASHSIM_SLURM_DIR", f"/tmp/flashsim-slurm-{os.getuid()}"))


def programs() -> Path:
    """Folder of ``sbatch`` and the like, which know this cluster."""
    return state() / "bin"


def is_unpacked() -> bool:
    """Whether the programs are there."""
    return (cache() / "complete").is_file()


def unpack() -> None:
    """Fetch and unpack the programs, unless they are there."""
    if is_unpacked():
        return
    shutil.rmtree(cache(), ignore_errors=True)
    packages = cache() / "packages"
    packages.mkdir(parents=True)
    # as its own user apt-get may not write here; as the caller it may
    me = ["-o", f"APT::Sandbox::User={pwd.getpwuid(os.getuid()).pw_name}", "-o", "Acquire::Retries=3"]
    _run(["apt-get", "--quiet", *me, "download", *PACKAGES], cwd=packages)
    for file in packages.glob("*.deb"):
        _run(["dpkg-deb", "--extract", file, cache()])
    shutil.rmtree(packages)
    for part in ("share/doc", "share/man", "share/locale"):
        shutil.rmtree(cache() / "usr" / part, ignore_errors=True)
    _run(
        [
            "gcc",
            "-shared",
            "-fPIC",
            "-o",
            cache() / "loopback_only.so",
            HERE.parent / "loopback_only.c",
            "-ldl",
        ]
    )
    for path in (cache() / "usr/sbin").glob("*-wlm"):
        # daemons do as their names say, also the libraries in them
        path.rename(path.with_name(path.name.removesuffix("-wlm")))
    (cache() / "complete").touch()


def up(*, accounting: bool = True) -> None:
    """Start the cluster and wait until it would run a job."""
    unpack()
    if _pid("slurmctld") is not None:
        return
    write_config(accounting=accounting)
    start("munged")
    _wait_for("munge", lambda: (state() / "munge.socket").exists())
    if accounting:
        _start_accounting()
    start("slurmctld")
    for node in NODES:
        start(node)
    _wait_for("nodes", is_ready)


def down() -> None:
    """Stop the cluster and remove what it wrote."""
    for name in (*NODES, "slurmctld", "slurmdbd", "mariadbd", "munged"):
        stop(name)
    shutil.rmtree(state(), ignore_errors=True)


def start(name: str) -> None:
    """Start a daemon."""
    with (state() / "log" / f"{name}.out").open("ab") as out:
        started = subprocess.Popen(
            list(map(str, _command(name))),
            env=_environment(LD_PRELOAD=str(cache() / "loopback_only.so")),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    (state() / f"{name}.pid").write_text(str(started.pid))


def stop(name: str, signum: int = signal.SIGTERM) -> None:
    """Stop a daemon, and a node's jobs with it; one that does not run is no error."""
    pid = _pid(name)
    if pid is None:
        return
    os.kill(pid, signum)
    deadline = time.monotonic() + 15
    while _pid(name) is not None and time.monotonic() < deadline:
        # if it is a child of this process, it is waited for
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
    if _pid(name) is not None:
        os.kill(pid, signal.SIGKILL)
    if name in NODES:
        for step in _steps(name):
            with suppress(ProcessLookupError):
                os.kill(step, signal.SIGKILL)


def is_ready() -> bool:
    """Whether both nodes wait for jobs."""
    told = subprocess.run(
        [programs() / "sinfo", "--noheader", "--Node", "--format=%N %T", "--partition=cpu"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return [line.split()[1] for line in told.splitlines()] == ["idle"] * len(NODES)


def is_answering() -> bool:
    """Whether the controller answers."""
    command = [programs() / "squeue", "--noheader"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def write_config(*, accounting: bool) -> None:
    """Folders, keys, and this folder's configuration with what is only known here."""
    for part in ("log", "bin", "ctld", "mysql", *NODES):
        (state() / part).mkdir(parents=True, exist_ok=True)
    state().chmod(0o755)
    key = state() / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    for index in range(2):
        (state() / f"gpu{index}").touch()
    named = ("CTLD_PORT", "DBD_PORT", "MYSQL_PORT", "NODE_A_PORT", "NODE_B_PORT")
    known = {
        "USER": pwd.getpwuid(os.getuid()).pw_name,
        "HOST": socket.gethostname().split(".")[0],
        "STATE": str(state()),
        "PLUGINS": str(cache() / LIBRARIES / "slurm-wlm"),
        **dict(zip(named, map(str, _free_ports(len(named))), strict=True)),
        "ACCOUNTING": "accounting_storage/slurmdbd" if accounting else "accounting_storage/none",
    }
    for name, mode in (
        ("slurm.conf", 0o644),
        ("slurmdbd.conf", 0o600),
        ("gres.conf", 0o644),
        ("my.cnf", 0o644),
    ):
        text = re.sub(r"@(\w+)@", lambda found: known[found[1]], (HERE / name).read_text())
        path = state() / name
        path.write_text(text)
        path.chmod(mode)
    for name in USER_PROGRAMS:
        path = programs() / name
        path.write_text(
            f"#!/bin/sh\nLD_LIBRARY_PATH={_library_path()} SLURM_CONF={state()}/slurm.conf "
            f'exec {cache()}/usr/bin/{name} "$@"\n'
        )
        path.chmod(0o755)


def _command(name: str) -> list[str | Path]:
    sbin = cache() / "usr/sbin"
    if name == "munged":
        key, sock = state() / "munge.key", state() / "munge.socket"
        files = [f"--{kind}-file={state() / f'munge.{kind}'}" for kind in ("pid", "log", "seed")]
        return [sbin / "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={sock}", *files]
    if name == "mariadbd":
        as_root = ["--user=root"] if os.getuid() == 0 else []
        return [
            sbin / "mariadbd",
            f"--defaults-file={state()}/my.cnf",
            f"--lc-messages-dir={cache()}/usr/share/mysql",
            *as_root,
        ]
    if name == "slurmdbd":
        return [sbin / "slurmdbd", "-D"]
    if name == "slurmctld":
        return [sbin / "slurmctld", "-D", "-f", state() / "slurm.conf"]
    return [sbin / "slurmd", "-D", "-f", state() / "slurm.conf", "-N", name, "-d", sbin / "slurmstepd"]


def _start_accounting() -> None:
    start("mariadbd")
    _wait_for("the database", lambda: (state() / "mysql.socket").exists())
    start("slurmdbd")

    def answers() -> bool:
        found = subprocess.run(
            [programs() / "sacctmgr", "-n", "show", "cluster"], capture_output=True, check=False
        )
        return found.returncode == 0

    _wait_for("slurmdbd", answers)
    for what in (
        ("cluster", CLUSTER),
        ("account", "physics"),
        ("user", pwd.getpwuid(os.getuid()).pw_name, "account=physics"),
    ):
        subprocess.run([programs() / "sacctmgr", "-i", "add", *what], capture_output=True, check=False)


def _environment(**more: str) -> dict[str, str]:
    kept = {
        "PATH": f"{cache()}/usr/bin:{cache()}/usr/sbin:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
    }
    return {**kept, "LD_LIBRARY_PATH": _library_path(), "SLURM_CONF": f"{state()}/slurm.conf", **more}


def _library_path() -> str:
    libraries = cache() / LIBRARIES
    return f"{libraries}:{libraries / 'slurm-wlm'}"


def _pid(name: str) -> int | None:
    """The running process of a daemon."""
    try:
        pid = int((state() / f"{name}.pid").read_text())
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        is_ours = str(cache()).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if is_ours and told != "Z" else None


def _steps(node: str) -> Iterator[int]:
    """What outlived a node's slurmd: the processes of its jobs and their overseers."""
    mark = f"SLURMD_NODENAME={node}".encode()
    conf = f"SLURM_CONF={state()}/slurm.conf".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (folder / "environ").read_bytes()
            if mark in told and conf in told:
                yield int(folder.name)


def _wait_for(what: str, is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_there():
        if time.monotonic() > deadline:
            logs = "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in (state() / "log").glob("*"))
            raise SystemExit(f"waited in vain for {what}:\n{logs}")
        time.sleep(0.1)


def _free_ports(number: int) -> list[int]:
    held = [socket.socket() for _ in range(number)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


def _run(command: list[object], cwd: Path | None = None) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr}")
    return done.stdout


def main(words: list[str]) -> int:
    match words:
        case ["unpack"]:
            unpack()
        case ["up"] | ["up", "--no-accounting"]:
            up(accounting=len(words) == 1)
            print(f"export PATH={programs()}:$PATH")
        case ["down"]:
            down()
        case ["env"]:
            print(f"export PATH={programs()}:$PATH")
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
