"""A real Slurm cluster for the whole session, with two nodes, simulated GPUs and accounting.

Without its programs these tests are skipped on a user's machine; where ``CI`` is set they are fetched, and
the tests fail if that cannot be done.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.site import MergeRules, Rates, Resources, Site, StorageRules
from flashsim_prod.grid.batch.slurm.section import FailureRules, SlurmRules, Software
from flashsim_prod.production.drive import detached
from tests.batch_systems import TESTS, module_at, waited_for, write_fake_python

CLUSTER = TESTS / "peers" / "slurm" / "cluster.py"


@dataclass(frozen=True)
class RunningCluster:
    """The cluster of the session; called with a program of Slurm and its words, it gives what that prints."""

    module: Any

    def __call__(self, program: str, *words: str) -> str:
        command = [self.module.programs() / program, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    wait = staticmethod(waited_for)

    def wait_till_saved(self) -> None:
        """Till the controller's state is on disk: one that is killed before knows less than the nodes do.

        Slurm then gives numbers of jobs anew that nodes have had, and holds those jobs.
        """
        saved, since = self.module.state() / "ctld" / "job_state", time.time()
        for job in set(self("squeue", "--noheader", "--format=%A").split()):
            # what has changed is to be saved
            self("scontrol", "update", f"JobId={job}", "AdminComment=saved")
        self.wait(lambda: saved.exists() and saved.stat().st_mtime > since)


def _module() -> Any:
    return module_at(CLUSTER, "slurm_cluster")


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


@pytest.fixture
def fake_python(tmp_path: Path, trouble: Path) -> Path:
    """An interpreter that runs the fake physics in place of the package's worker."""
    return write_fake_python(
        tmp_path / "python",
        trouble,
        # an import takes a second that many tests would wait for
        f'case $2 in "import flashsim_prod") [ ! -e {trouble}/no-software ]; exit;; esac',
    )


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
