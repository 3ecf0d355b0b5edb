"""Training on the pool: a job for each model, and the bundle after them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from flashsim_prod import resources
from flashsim_prod.physics.chain.registry import MODELS

from .conftest import RunningPool


def train(site: Path, work: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "flashsim_prod.cli",
        "train",
        "all",
        "--site",
        str(site),
        "--work",
        str(work),
    ]
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False, env={**os.environ})


@pytest.fixture
def site_file(tmp_path: Path, fits: ModuleType) -> Path:
    """The generic site, whose nodes only pretend to fit."""
    python = fits.fake_interpreter(tmp_path)
    told = yaml.safe_load((resources.site_configs_dir() / "htcondor.yaml").read_text())
    told["resources"]["memory_mb"] = 500
    told["htcondor"] |= {
        "disk_mb": 10,
        "software": {"python": str(python)},
        "failures": {"avoid_node_min": 0},
    }
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(told))
    return path


def test_every_model_is_a_job_and_the_bundle_comes_after_them(
    pool: RunningPool, site_file: Path, tmp_path: Path, fits: ModuleType
) -> None:
    work = tmp_path / "training"
    fits.make_tables(work)
    done = train(site_file, work, "--quick", "--seed", "7")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Submitted: {len(MODELS)} fits and a bundle at htcondor, htcondor ")
    again = train(site_file, work)
    assert again.stdout.startswith("At work already: ")
    (work / "go").touch()
    last = train(site_file, work, "--wait")
    # what the fits left is no bundle, and the last job says so
    assert last.returncode == 17
    assert "no bundle was made; see" in last.stderr
    for model in MODELS:
        words = (work / "fits" / model.name / "words").read_text()
        assert f"fit {model.name} --work {work}" in words
        assert words.endswith("--device cpu --threads 1 --seed 7 --quick")
    assert "entry.json: no entry of a fit" in (work / "batch" / "bundle.err").read_text()
