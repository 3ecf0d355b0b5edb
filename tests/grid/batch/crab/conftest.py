"""A site that hands its jobs to CRAB, requests for it, and CMS's own code as their judge."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flashsim_prod.cli.main import main
from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.choices import Device
from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.request import BundleRef, Registration, Request, Split
from flashsim_prod.core.site import Rates, Resources, Site, StorageRules
from flashsim_prod.grid.batch.crab.section import CrabRules, CrabSoftware
from flashsim_prod.production.drive import detached
from flashsim_prod.production.home import Home

SITE = Site(
    name="crab_there",
    title="a Tier-2 by CRAB",
    engine="crab",
    slots=100,
    device=Device.CPU,
    resources=Resources(memory_mb=2500, walltime_min=600, target_walltime_min=300),
    rates=Rates(generator_hz=50, flashsim_hz=200),
    storage=StorageRules(rse="T2_IT_Pisa", prefix="{home}", user_lfn="/store/user/{user}/flashsim"),
    crab=CrabRules(
        storage_site="T2_IT_Pisa", software=CrabSoftware(python="/cvmfs/cms.example.org/venv/bin/python")
    ),
)


def _request(
    *,
    gen_events: int = 100,
    oversample: int = 10,
    per_job: int = 30,
    per_lumi: int = 10,
    per_task: int = 10_000,
    scope: str = "user.jdoe",
    site: Site = SITE,
    **changes: Any,
) -> Request:
    rules = site.rules.model_copy(update={"jobs_per_task": per_task})
    return Request(
        **{
            "name": "toy-001",
            "dataset": DatasetName(primary="Toy_13TeV", era="FlashSim", string="RefDet_x10", version=1),
            "card": ProcessCard(
                name="toy",
                title="a toy",
                primary="Toy_{energy}",
                energies=(Energy(tev=13, pileup="flat"),),
                settings=("Top:all = on",),
            ),
            "energy_tev": 13,
            "gen_events": gen_events,
            "oversample": oversample,
            "seed": 1234,
            "bundle": BundleRef(path="reference", digest="0" * 64),
            "device": Device.CPU,
            "split": Split(
                gen_events_per_job=per_job,
                gen_events_per_lumi=per_lumi,
                jobs_per_merge=2,
                files_per_block=2,
            ),
            "site": site.model_copy(update={"rules": rules}),
            "catalog": "local",
            "registration": Registration(scope=scope),
            "software_version": "0.1.0",
            "created": datetime(2025, 1, 1, tzinfo=UTC),
            **changes,
        }
    )


@pytest.fixture(scope="session")
def crab_request() -> Callable[..., Request]:
    """A function that makes a request for a CRAB site from what matters to a test."""
    return _request


@pytest.fixture
def crab_sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wmcore: Callable[[str], ModuleType]) -> Path:
    """A stand-in of CRAB on the path; its folder."""
    for needed in (
        "WMCore.Configuration",
        "WMCore.JobSplitting.SplitterFactory",
        "WMCore.FwkJobReport.Report",
    ):
        wmcore(needed)
    program = Path(__file__).parents[3] / "peers" / "crab_sim.py"
    client = tmp_path / "bin" / "crab"
    _executable(client, f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
    monkeypatch.setenv("PATH", f"{client.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CRAB_SIM", str(tmp_path / "crab_sim"))
    monkeypatch.setenv("CRAB_SIM_STORE", str(tmp_path / "se"))
    (tmp_path / "crab_sim" / "trouble").mkdir(parents=True)
    return tmp_path / "crab_sim"


@pytest.fixture
def real_site(tmp_path: Path) -> Site:
    """The site of the stand-in: nodes have this very Python."""
    return _site(tmp_path, sys.executable)


@pytest.fixture
def quick_site(tmp_path: Path) -> Site:
    """The site of the stand-in: the real worker around physics that takes milliseconds.

    Its jobs meet the trouble that files in ``trouble`` hold; see `fake_physics`.
    """
    tests = Path(__file__).parents[3]
    (tmp_path / "trouble").mkdir()
    python = tmp_path / "bin" / "quick-python"
    _executable(
        python,
        f"#!{sys.executable}\nimport os, sys\nos.environ['FAKE_TROUBLE'] = {str(tmp_path / 'trouble')!r}\n"
        f"sys.path.append({str(tests)!r})\n"
        "import fake_physics\nfake_physics.install_jobs()\n"
        "from flashsim_prod.cli.main import main\nsys.argv = ['flashsim-prod', *sys.argv[3:]]\nmain()\n",
    )
    return _site(tmp_path, str(python))


def _site(tmp_path: Path, python: str) -> Site:
    rules = SITE.rules.model_copy(update={"jobs_per_task": 2, "software": CrabSoftware(python=python)})
    storage = SITE.storage.model_copy(update={"prefix": str(tmp_path / "se")})
    return SITE.model_copy(update={"rules": rules, "storage": storage})


def _executable(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@dataclass(frozen=True)
class Ended:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]
#: 60 events in jobs of 20
_SMALL = ("--events", "60", "--oversample", "10", "--events-per-job", "20")


@pytest.fixture
def cli(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A function that runs a command line as the installed program does."""
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(detached, "LOOK_INTERVAL_S", 0.0)

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def order(cli: Cli, quick_site: Site, crab_sim: Path, fake_physics: Any, tmp_path: Path) -> Cli:
    """A function that places a small request at the stand-in, with quick physics."""
    site = tmp_path / "my_crab.yaml"
    site.write_text(quick_site.to_yaml())

    def run(*more: str) -> Ended:
        words = ("request", "ttbar", *_SMALL, "--site", str(site), "--scope", "user.jdoe", "--seed", "7")
        return cli(*words, "--name", "toy", *more)

    return run


@pytest.fixture(scope="session")
def event_digests() -> Callable[[Path], dict[str, str]]:
    """A function that makes a digest of each branch of a file's 60 events, in their order."""
    import awkward as ak
    import numpy as np
    import uproot

    def digest(array: Any) -> str:
        if array.ndim == 1:
            return hashlib.sha256(np.asarray(array).tobytes()).hexdigest()
        counts, values = np.asarray(ak.num(array)), np.asarray(ak.flatten(array))
        return hashlib.sha256(counts.tobytes() + values.tobytes()).hexdigest()

    def digests(path: Path) -> dict[str, str]:
        with uproot.open(path) as file:
            tree = file["Events"]
            arrays = {name: tree[name].array() for name in tree.keys()}  # noqa: SIM118 - no mapping
        assert all(len(array) == 60 for array in arrays.values())
        return {name: digest(array) for name, array in arrays.items()}

    return digests
