"""A real Rucio server for the whole session, on PostgreSQL, and places for its storage elements.

Without what the server needs these tests are skipped on a user's machine; where ``CI`` is set they fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.request import BundleRef, Registration
from flashsim_prod.core.site import MergeRules, Rates, Resources, Site, StorageRules
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.order.plan import Order

SERVER = Path(__file__).parents[2] / "peers" / "rucio" / "server.sh"
RSE = "T2_IT_Pisa"
TEMP = "T2_IT_Pisa_Temp"


@dataclass(frozen=True)
class Server:
    """A running Rucio server.

    Attributes
    ----------
    config : Path
        The ``rucio.cfg`` of its administrator.
    stores : dict of str to Path
        The folder of each storage element.
    """

    url: str
    config: Path
    folder: Path
    stores: dict[str, Path]

    def rucio(self, *arguments: str) -> str:
        """What the plain command line of Rucio prints."""
        command = [Path(sys.executable).with_name("rucio"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def settle(self) -> None:
        """One pass of the server's daemons."""
        subprocess.run([SERVER, "settle"], check=True, capture_output=True)


def _missing() -> str | None:
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return "PostgreSQL (apt-get install postgresql)"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    venv = Path(os.environ.get("RUCIO_TEST_VENV", cache / "flashsim-prod" / "rucio-server"))
    if not (venv / ".installed").is_file() and not os.environ.get("CI"):
        return f"Rucio's server in {venv} (tests/peers/rucio/server.sh up)"
    return None


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Server]:
    if missing := _missing():
        lacking(missing)
    from rucio.common.config import clean_cached_config

    port = os.environ.setdefault("RUCIO_TEST_PORT", "18080")
    state = Path(os.environ.setdefault("RUCIO_TEST_DIR", f"/tmp/flashsim-rucio-{os.getpid()}"))
    with pytest.MonkeyPatch.context() as patch:
        # the token of an earlier server would be another's; rucio reads the variable when it is imported
        tokens = tmp_path_factory.mktemp("tokens")
        patch.setenv("TMPDIR", str(tokens))
        patch.setattr("rucio.client.baseclient.BaseClient.TOKEN_PATH_PREFIX", f"{tokens}/tokens_")
        config = state / "client" / "etc" / "rucio.cfg"
        try:
            done = subprocess.run([SERVER, "up", "postgres"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            patch.setenv("RUCIO_CONFIG", str(config))
            # nothing here may ever reach the server that the user's own configuration names
            clean_cached_config()
            stores = {rse: tmp_path_factory.mktemp(rse) for rse in (RSE, TEMP)}
            server = Server(f"http://127.0.0.1:{port}", config, state, stores)
            _furnish(server)
            yield server
        finally:
            subprocess.run([SERVER, "down"], capture_output=True, check=False)
            clean_cached_config()


def _furnish(server: Server) -> None:
    """Scopes and storage elements."""
    from rucio.client import Client

    client = Client()
    assert client.host == server.url
    client.add_scope("root", "cms")
    for rse, folder in server.stores.items():
        client.add_rse(rse, deterministic=True, rse_type="DISK")
        client.add_rse_attribute(rse, "lfn2pfn_algorithm", "cmslike")
        everything = {"read": 1, "write": 1, "delete": 1}
        client.add_protocol(
            rse,
            {
                "scheme": "file",
                "hostname": "localhost",
                "port": 0,
                "prefix": f"{folder}/",
                "impl": "rucio.rse.protocols.posix.Default",
                "domains": {"lan": everything, "wan": everything},
            },
        )


@pytest.fixture
def server(_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, with empty storage elements; commands of the test find it, and give up soon."""
    for folder in _server.stores.values():
        shutil.rmtree(folder)
        folder.mkdir()
    monkeypatch.setenv("RUCIO_CONFIG", str(_server.config))
    monkeypatch.setenv("FLASHSIM_PROD_RSE", RSE)
    monkeypatch.setenv("FLASHSIM_PROD_PATIENCE_S", "20")
    return _server


@pytest.fixture
def container() -> str:
    """A container's name that no other test has."""
    return f"/Toy_{uuid.uuid4().hex[:12]}/FlashSim2018-RefDet_x10-v1/NANOAODSIM"


@pytest.fixture
def admin(server: Server) -> Any:
    """Rucio's own client."""
    from rucio.client import Client

    return Client()


def _request(home: Home, primary: str, **changes: Any) -> str:
    """Place a request of 4 simulate jobs and 4 merge jobs in 2 blocks; its name."""
    prefix = changes.pop("prefix", "{home}")
    site = Site(
        name="here",
        title="this machine",
        engine="local",
        slots=2,
        resources=Resources(walltime_min=60, target_walltime_min=20),
        rates=Rates(generator_hz=50, flashsim_hz=200, startup_s=5, bytes_per_event=100),
        storage=StorageRules(rse="LOCAL", prefix=prefix),
        merge=MergeRules(target_file_mb=0.002, files_per_block=2),
    )
    given: dict[str, Any] = {
        "card": ProcessCard(
            name="toy",
            title="a toy process",
            primary=primary,
            energies=(Energy(tev=13, pileup="Run2_2018"),),
            settings=("Top:all = on",),
        ),
        "site": site,
        "oversample": 10,
        "seed": 1234,
        "bundle": BundleRef(path="reference", digest="0" * 64),
        "bundle_tag": "RefDet",
        "events": 80,
        "events_per_job": 20,
        "catalog": "rucio",
        "registration": Registration(rse=RSE),
    }
    order = Order(**{**given, **changes})
    plan = place(home, order, preview(home, order, None), bundle_title="toy", named=False, dry_run=False)
    return plan.request.name


@pytest.fixture
def place_request(home: Home, fake_physics: Any) -> Callable[..., str]:
    """A function that places a request under a primary dataset's name of its own; its name."""
    primary = f"Toy_{uuid.uuid4().hex[:12]}"

    def do(at: Home = home, **changes: Any) -> str:
        return _request(at, **{"primary": primary, **changes})

    return do
