"""Training on the pool: a job for each model, and the bundle after them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from flashsim_prod import resources
from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.physics.training.fit import LEAST_OBJECTS
from flashsim_prod.physics.training.tables import Table, table_path

from .conftest import RunningPool

#: stands for the command line of a node: what a fit leaves, without fitting
FAKE_FIT = """\
import pathlib, sys, time
words = sys.argv[1:]
if words[:1] == ["-c"]:
    sys.exit(0)
model = words[words.index("fit") + 1]
work = pathlib.Path(words[words.index("--work") + 1])
folder = work / "fits" / model
while not (work / "go").exists():
    time.sleep(0.2)
if model == "met" and not (folder / "once").exists():
    folder.mkdir(parents=True)
    (folder / "once").touch()
    sys.exit(22)
folder.mkdir(parents=True, exist_ok=True)
(folder / "words").write_text(" ".join(words))
(folder / "entry.json").write_text("{}")
"""


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


def make_tables(work: Path) -> None:
    """As many objects of each model as a fit needs at least."""
    n = LEAST_OBJECTS
    for model in MODELS:
        path = table_path(work / "tables", "full.root", model)
        path.parent.mkdir(parents=True)
        conditions = np.zeros((n, len(model.conditions)), dtype=np.float32)
        Table(conditions, np.ones(n, dtype=np.int64), np.arange(n), {}).save(path)


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    """The generic site, whose nodes only pretend to fit."""
    (tmp_path / "fit.py").write_text(FAKE_FIT)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/fit.py "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
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
    pool: RunningPool, site_file: Path, tmp_path: Path
) -> None:
    work = tmp_path / "training"
    make_tables(work)
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
