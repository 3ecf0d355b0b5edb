"""A real Slurm cluster for the whole session, with two nodes, simulated GPUs and accounting.

Without its programs these tests are skipped on a user's machine; where ``CI`` is set they are fetched, and
the tests fail if that cannot be done.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.engines import LocalRules
from flashsim_prod.core.request import BundleRef
from flashsim_prod.core.site import MergeRules, Rates, Resources, Site, StorageRules
from flashsim_prod.core.states import RequestState
from flashsim_prod.grid.batch.slurm.section import FailureRules, SlurmRules, Software
from flashsim_prod.production.context import Outcome
from flashsim_prod.production.drive import detached
from flashsim_prod.production.drive.detached import follow, hand_over
from flashsim_prod.production.drive.local_run import Display
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.order.plan import Order
from flashsim_prod.production.views import status

#: no request of these tests takes as long
PATIENCE_S = 180.0
TESTS = Path(__file__).parents[3]
CLUSTER = TESTS / "peers" / "slurm" / "cluster.py"


@dataclass(frozen=True)
class RunningCluster:
    """The cluster of the session; called with a program of Slurm and its words, it gives what that prints."""

    module: Any

    def __call__(self, program: str, *words: str) -> str:
        command = [self.module.programs() / program, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def wait(self, what: Callable[[], Any], patience_s: float = 60) -> Any:
        """What `what` gives, as soon as it is something."""
        deadline = time.monotonic() + patience_s
        while not (found := what()):
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.3)
        return found


def _module() -> Any:
    spec = spec_from_file_location("slurm_cluster", CLUSTER)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def _cluster(lacking: Callable[[str], None]) -> Iterator[RunningCluster]:
    module = _module()
    if not module.is_unpacked() and not os.environ.get("CI"):
        lacking(f"Slurm in {module.cache()} (tests/peers/slurm/cluster.py unpack)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLASHSIM_SLURM_DIR", f"/tmp/flashsim-slurm-{os.getpid()}")
        try:
            module.up()
            yield RunningCluster(module)
        finally:
            module.down()


@pytest.fixture
def cluster(_cluster: RunningCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningCluster]:
    """The cluster, whose programs are found first; what the test leaves in the queue is removed."""
    monkeypatch.setattr(detached, "LOOK_INTERVAL_S", 0.5)
    monkeypatch.setenv("PATH", str(_cluster.module.programs()), prepend=os.pathsep)
    yield _cluster
    subprocess.run(
        [_cluster.module.programs() / "scancel", f"--user={os.getuid()}"], capture_output=True, check=False
    )


@pytest.fixture
def cluster_without_accounts(
    _cluster: RunningCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningCluster]:
    """Another cluster, which keeps no accounts."""
    monkeypatch.setattr(detached, "LOOK_INTERVAL_S", 0.5)
    monkeypatch.setenv("FLASHSIM_SLURM_DIR", f"/tmp/flashsim-slurm-{os.getpid()}-b")
    try:
        _cluster.module.up(accounting=False)
        monkeypatch.setenv("PATH", str(_cluster.module.programs()), prepend=os.pathsep)
        yield _cluster
    finally:
        _cluster.module.down()


CARD = ProcessCard(
    name="toy",
    title="a toy process",
    primary="Toy_{energy}",
    energies=(Energy(tev=13, pileup="Run2_2018"),),
    settings=("Top:all = on",),
)


@pytest.fixture
def trouble(tmp_path: Path) -> Path:
    """The folder that tells the fake physics what is to go wrong."""
    folder = tmp_path / "trouble"
    folder.mkdir()
    return folder


@pytest.fixture
def fake_python(tmp_path: Path, trouble: Path) -> Path:
    """An interpreter that runs the fake physics in place of the package's worker."""
    import sys

    path = tmp_path / "python"
    path.write_text(
        "#!/bin/sh\n"
        f"export PYTHONPATH={TESTS.parent} FAKE_TROUBLE={trouble}\n"
        f'[ "$1" != -m ] || {{ shift 2; exec {sys.executable} {TESTS}/fake_physics.py "$@"; }}\n'
        # an import takes a second that many tests would wait for
        f'case $2 in "import flashsim_prod") [ ! -e {trouble}/no-software ]; exit;; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def site(fake_python: Path) -> Callable[..., Site]:
    """A function that makes a site of the cluster, with fake physics; `rules` are those of Slurm."""

    def make(
        resources: dict[str, Any] | None = None, failures: dict[str, Any] | None = None, **rules: Any
    ) -> Site:
        asked = {"memory_mb": 500, "walltime_min": 60, "target_walltime_min": 20, **(resources or {})}
        own = {"software": Software(python=str(fake_python)), "failures": FailureRules(**(failures or {}))}
        return Site(
            name="cluster",
            title="the cluster of the tests",
            engine="slurm",
            slots=8,
            device=rules.pop("device", "cpu"),
            resources=Resources(**asked),
            rates=Rates(generator_hz=50, flashsim_hz=200, startup_s=5, bytes_per_event=100),
            storage=StorageRules(rse="LOCAL", prefix="{home}"),
            merge=MergeRules(files_per_block=2),
            slurm=SlurmRules(**{**own, **rules}),
        )

    return make


@pytest.fixture
def placed(home: Home, fake_physics: Any) -> Callable[..., str]:
    """A function that places a request of `jobs` simulate jobs of 10 events; its name."""

    def do(site: Site, jobs: int, *, per_merge: int = 2, where: Home = home) -> str:
        size_mb = per_merge * 10 * site.rates.bytes_per_event / 1e6
        order = Order(
            card=CARD,
            site=site.model_copy(update={"merge": MergeRules(target_file_mb=size_mb, files_per_block=2)}),
            oversample=5,
            seed=1234,
            bundle=BundleRef(path="reference", digest="0" * 64),
            bundle_tag="RefDet",
            events=10 * jobs,
            events_per_job=10,
            device=site.device,
        )
        plan = preview(where, order, None)
        return place(where, order, plan, bundle_title="toy", named=False, dry_run=False).request.name

    return do


def local_copy(site: Site) -> Site:
    """The same site with its jobs as processes of this machine."""
    return site.model_copy(update={"engine": "local", "slots": 2, "rules": LocalRules()})


def remove_requests(home: Home) -> None:
    """Forget all requests and files."""
    shutil.rmtree(home.path)
    home.requests.mkdir(parents=True)


def finished(home: Home, name: str) -> Outcome:
    """Hand a request over and follow it to its end."""
    hand_over(home, name)
    deadline = time.monotonic() + PATIENCE_S
    outcome = follow(home, name, Display(), stop=lambda: time.monotonic() > deadline)
    assert outcome.state is not RequestState.RUNNING, status.detail(home, name)
    return outcome
