"""A real HTCondor pool for the whole session, with two nodes and simulated GPUs.

Without its programs these tests are skipped on a user's machine; where ``CI`` is set they are fetched, and
the tests fail if that cannot be done.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.site import MergeRules, Rates, Resources, Site, StorageRules
from flashsim_prod.grid.batch.htcondor import render
from flashsim_prod.grid.batch.htcondor.section import FailureRules, HTCondorRules, Software
from flashsim_prod.production.drive import detached
from tests.batch_systems import TESTS, module_at, waited_for, write_fake_python

POOL = TESTS / "peers" / "htcondor" / "pool.py"


@dataclass(frozen=True)
class RunningPool:
    """The pool of the session.

    Attributes
    ----------
    programs : Path
        Folder of ``condor_q`` and the like.
    folder : Path
        All that the pool keeps.
    """

    programs: Path
    folder: Path

    def __call__(self, program: str, *words: str) -> str:
        """What a program of HTCondor prints."""
        command = [self.programs / program, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def daemon_pid(self, name: str) -> int:
        """The process of a daemon."""
        return int(_pool_module().daemon_pid(name))

    def answers(self) -> bool:
        """Whether the schedd can be asked."""
        asked = subprocess.run([self.programs / "condor_q"], capture_output=True, check=False)
        return asked.returncode == 0

    wait = staticmethod(waited_for)


def _pool_module() -> Any:
    return module_at(POOL, "htcondor_pool")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="session")
def _pool(lacking: Callable[[str], None]) -> Iterator[RunningPool]:
    module = _pool_module()
    if find_spec("htcondor2") is None:
        lacking("htcondor (it is made for Linux only)")
    if not module.is_unpacked() and not os.environ.get("CI"):
        lacking(f"HTCondor in {module.cache()} (tests/peers/htcondor/pool.py unpack)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLASHSIM_CONDOR_DIR", f"/tmp/flashsim-condor-{os.getpid()}")
        patch.setenv("FLASHSIM_CONDOR_PORT", str(_free_port()))
        try:
            done = subprocess.run([sys.executable, POOL, "up"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            patch.setenv("CONDOR_CONFIG", str(module.config()))
            # the bindings read it when they are imported, and other tests may have imported them
            import_module("htcondor2").reload_config()
            yield RunningPool(module.cache() / "usr" / "bin", module.state())
        finally:
            subprocess.run([sys.executable, POOL, "down"], capture_output=True, check=False)


@pytest.fixture
def pool(_pool: RunningPool, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningPool]:
    """The pool; what the test leaves in the queue is removed."""
    monkeypatch.setattr(detached, "LOOK_INTERVAL_S", 0.5)
    monkeypatch.setattr(render, "_STATUS_INTERVAL_S", 1)
    # jobs of the pool find the package as this process does
    monkeypatch.setenv("PYTHONPATH", str(TESTS.parent))
    yield _pool
    # a daemon that is just starting again may refuse: then the next test comes to a queue that is not empty
    subprocess.run([_pool.programs / "condor_rm", "-all"], capture_output=True, check=False)


@pytest.fixture
def fake_python(tmp_path: Path, trouble: Path) -> Path:
    """An interpreter that runs the fake physics in place of the package's worker."""
    return write_fake_python(
        tmp_path / "python",
        trouble,
        f'export FAKE_PAUSE_S="$(cat {trouble}/pause_s 2>/dev/null || echo 0)"',
    )


@pytest.fixture
def site(fake_python: Path) -> Callable[..., Site]:
    """A function that makes a site of the pool, with fake physics; `rules` are those of HTCondor."""

    def make(
        resources: dict[str, Any] | None = None, failures: dict[str, Any] | None = None, **rules: Any
    ) -> Site:
        return Site(
            name="pool",
            title="the pool of the tests",
            engine="htcondor",
            slots=8,
            device=rules.pop("device", "cpu"),
            resources=Resources(
                **{"memory_mb": 500, "walltime_min": 60, "target_walltime_min": 20, **(resources or {})}
            ),
            rates=Rates(generator_hz=50, flashsim_hz=200, startup_s=5, bytes_per_event=100),
            storage=StorageRules(rse="LOCAL", prefix=rules.pop("prefix", "{home}")),
            merge=MergeRules(files_per_block=2),
            htcondor=HTCondorRules(
                **{
                    "disk_mb": 10,
                    "software": Software(python=str(fake_python)),
                    "failures": FailureRules(**{"release_after_s": 1, **(failures or {})}),
                    **rules,
                }
            ),
        )

    return make
