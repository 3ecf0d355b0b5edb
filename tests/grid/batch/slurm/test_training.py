"""Training on the cluster: a task for each model, and the bundle after them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flashsim_prod.core.site import Site
from flashsim_prod.errors import ConfigError, JobsFailedError, RequestError
from flashsim_prod.grid.batch.base import Training, TrainingBatch
from flashsim_prod.grid.batch.opening import open_batch
from flashsim_prod.grid.batch.slurm import client
from flashsim_prod.grid.batch.slurm.section import Software
from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.production.models import training
from flashsim_prod.production.models.fitting import FitDisplay, FitOptions, Fits, fit_all_models

from .conftest import RunningCluster

#: tasks that the cluster takes in an array
MOST = 17


@pytest.fixture
def train(
    tmp_path: Path, site: Callable[..., Site], fits: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Fits]:
    """A function that trains at the cluster, whose nodes only pretend to."""
    monkeypatch.setattr(training, "_INTERVAL_S", 0.3)
    software = Software(python=str(fits.fake_interpreter(tmp_path)))
    work = tmp_path / "a training of 100%"
    fits.make_tables(work)

    def do(*, wait: bool = False, anew: bool = False, **rules: Any) -> Fits:
        path = tmp_path / "site.yaml"
        path.write_text(site(software=software, **rules).to_yaml())
        options = FitOptions(quick=True, seed=7, anew=anew)
        return fit_all_models(work, options, FitDisplay(), site=str(path), wait=wait)

    return do


def test_every_model_is_a_task_and_the_bundle_comes_after_them(
    cluster: RunningCluster, train: Callable[..., Fits], tmp_path: Path
) -> None:
    work = tmp_path / "a training of 100%"
    broken = MODELS[0].name
    (work / "broken").write_text(broken)
    first = train().submitted
    assert first is not None
    assert (first.is_new, len(first.models)) == (True, len(MODELS))
    queued = cluster("squeue", "-h", "-r", "-o", "%F %E", "--sort=i").splitlines()
    arrays = dict(line.split(" ", 1) for line in queued)
    assert len(queued) == len(MODELS) + 1
    assert len(arrays) == -(-len(MODELS) // MOST) + 1
    again = train().submitted
    assert again is not None
    assert (again.is_new, again.batch_id) == (False, first.batch_id)
    assert len(cluster("squeue", "-h", "-r").splitlines()) == len(queued)

    # one fails for good, so there is no bundle; another one was started again
    (work / "go").touch()
    with pytest.raises(JobsFailedError, match=r"no bundle was made; see .*batch/\*\.err"):
        train(wait=True)
    assert "this fit is broken" in (work / "batch" / f"{broken}.err").read_text()
    assert "ended with 22; back into the queue" in (work / "batch" / "met.err").read_text()
    assert sorted(path.parent.name for path in work.glob("fits/*/entry.json")) == sorted(
        model.name for model in MODELS[1:]
    )
    words = (work / "fits" / "met" / "words").read_text()
    assert words.endswith(f"fit met --work {work} --device cpu --threads 1 --seed 7 --quick")

    # the same command goes on with what is missing
    (work / "broken").unlink()
    last = train(wait=True).submitted
    assert last is not None
    assert (last.is_new, last.models, last.is_done) == (True, (broken,), True)
    assert (work / "bundle").is_dir()
    assert not list((work / "batch").glob("slurm.*.err")), "Slurm itself had nothing to say"


def test_what_was_handed_over_in_part_is_taken_back(
    cluster: RunningCluster, train: Callable[..., Fits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, handed = client.Slurm.submit, []

    def dies(*words: Any) -> int:
        handed.append(submit(*words))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client.Slurm, "submit", dies)
        with pytest.raises(KeyboardInterrupt):
            train()
    made = train().submitted
    assert made is not None
    assert made.is_new
    assert made.batch_id not in handed
    numbers = set(cluster("squeue", "-h", "-r", "-o", "%F %t").splitlines())
    assert not [line for line in numbers if line.startswith(f"{handed[0]} ") and not line.endswith("CG")]
    intention = tmp_path / "a training of 100%" / "batch" / "intention.json"
    intention.write_text("{")
    with pytest.raises(Exception, match="nobody knows whether fits are at work"):
        train()


def test_what_slurm_or_the_site_refuses_is_told_before_anything_waits(
    cluster: RunningCluster, train: Callable[..., Fits], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="invalid partition specified: nope"):
        train(partition="nope")
    # the fits were taken, the bundle was not
    with pytest.raises(ConfigError, match="invalid partition specified: nope"):
        train(merge_partition="nope")
    assert not [line for line in cluster("squeue", "-h", "-r", "-o", "%t").splitlines() if line != "CG"]
    (tmp_path / "python").unlink()
    with pytest.raises(ConfigError, match=r"there is no interpreter .*so no job could start"):
        train()


def test_tables_come_before_the_fits_and_the_bundle_after_both(
    cluster: RunningCluster, site: Callable[..., Site], fits: ModuleType, tmp_path: Path
) -> None:
    work = tmp_path / "a training of 100%"
    fits.make_tables(work)
    python = tmp_path / "draws"
    # tables of a file stand for themselves; whatever is fitted is told what was there
    python.write_text(
        "#!/bin/sh\n"
        '[ "$1" = -c ] && exit 0\n'
        'shift 3; case "$1" in\n'
        f'extract) [ "$2" != bad ] || exit 10; echo "$@" >>"{work}/drawn" ;;\n'
        f'fit) cp "{work}/drawn" "{work}/before.$2" ;;\n'
        f'bundle) echo "$@" >"{work}/bundled" ;;\n'
        "esac\n"
    )
    python.chmod(0o755)
    batch = open_batch(site(software=Software(python=str(python))))
    assert isinstance(batch, TrainingBatch)
    words = tuple(("extract", f"file's {number}.root", "--first", "3") for number in range(3))
    training = Training(work, ("met",), (), work / "bundle", words, ("--title", "two words; more"))
    assert batch.train(training)[1]
    while batch.is_training(work):
        time.sleep(0.3)
    assert sorted((work / "before.met").read_text().splitlines()) == [
        f"extract file's {number}.root --first 3" for number in range(3)
    ]
    assert (work / "bundled").read_text().endswith(f"--work {work} --title two words; more\n")
    # what depends on tables that cannot be drawn is not begun
    (work / "before.met").unlink()
    assert batch.train(replace(training, drawings=(("extract", "bad"),)))[1]
    while batch.is_training(work):
        time.sleep(0.3)
    assert not (work / "before.met").exists()
    # tables alone
    (work / "bundled").unlink()
    assert batch.train(replace(training, models=(), output=None))[1]
    while batch.is_training(work):
        time.sleep(0.3)
    assert len((work / "drawn").read_text().splitlines()) == 6
    assert not (work / "bundled").exists()


def test_of_two_at_once_one_hands_over(cluster: RunningCluster, train: Callable[..., Fits]) -> None:
    with ThreadPoolExecutor(2) as both:
        made = [one.result().submitted for one in [both.submit(train), both.submit(train)]]
    found = [one for one in made if one is not None]
    assert sorted(one.is_new for one in found) == [False, True]
    assert len({one.batch_id for one in found}) == 1


def test_what_is_at_work_is_not_begun_anew(
    cluster: RunningCluster, train: Callable[..., Fits], tmp_path: Path
) -> None:
    kept = tmp_path / "a training of 100%" / "fits" / MODELS[1].name / "entry.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    assert train().submitted is not None
    with pytest.raises(
        RequestError, match=r"are at work at cluster; take them back there first, or leave out"
    ):
        train(anew=True)
    cluster("scancel", f"--user={os.getuid()}")
    (kept.parents[2] / "bundle").mkdir()
    with pytest.raises(
        RequestError, match=r"bundle exists; give another folder for the bundle, or remove it"
    ):
        train(anew=True)
    assert kept.exists(), "nothing is removed before all is clear"
