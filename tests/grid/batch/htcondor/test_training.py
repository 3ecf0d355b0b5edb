"""Training on the pool: a job for each file and each model, and the bundle after them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from safetensors.numpy import load_file

from flashsim_prod import resources
from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training.table import era_of_table
from flashsim_prod.production.models.samples import generate_sample, reconstruct_sample

from .conftest import TESTS, RunningPool


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


#: of the stand-in of CERN's portal
CAMPAIGN = "RunIISummer20UL16NanoAODv9-106X_mcRun2_asymptotic_v17-v1"
COCKTAIL = f"""
name: mine
title: two processes of a stand-in
era: UL16postVFP
tag: MineUL16
events: 1040
base: reference
processes:
  - {{name: tt, fraction: 0.5, record: 1}}
  - {{name: dy, fraction: 0.5, dataset: /DY/{CAMPAIGN}/NANOAODSIM}}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files of events enough for a few models, which do not say what made them."""
    folder, made = tmp_path_factory.mktemp("files"), []
    for seed, name in enumerate(("one", "two"), 1):
        gen, full = folder / f"gen_{name}.root", folder / f"full_{name}.root"
        generate_sample("ttbar", gen, events=130, energy_tev=None, seed=seed, progress=quiet)
        reconstruct_sample([str(gen)], full, folds=4, seed=seed, progress=quiet)
        made.append(folder / f"{name}.root")
        with NanoFile(str(full)) as file, NanoWriter(made[-1], schema=Schema.default(), provenance={}) as new:
            known = sorted(file.branches & Schema.default().branches.keys())
            new.write(file.read(known, 0, file.n_entries))
    return made


def quiet(*_: object) -> None:
    pass


@pytest.fixture
def real_site(tmp_path: Path) -> Path:
    """The generic site, whose nodes run this interpreter and this package."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexport PYTHONPATH={TESTS.parent}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    told = yaml.safe_load((resources.site_configs_dir() / "htcondor.yaml").read_text())
    told["resources"]["memory_mb"] = 1000
    told["htcondor"] |= {"disk_mb": 10, "software": {"python": str(python)}}
    path = tmp_path / "real.yaml"
    path.write_text(yaml.safe_dump(told))
    return path


def extract(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flashsim_prod.cli", "train", "extract", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def said_by_jobs(work: Path) -> str:
    return "".join(path.read_text() for path in sorted((work / "batch").glob("*.err")))


def tables_below(folder: Path) -> dict[Path, bytes]:
    """All numbers of the tables."""
    found = {path.relative_to(folder): load_file(path) for path in folder.glob("tables/*/*.safetensors")}
    return {
        path: b"".join(tensors[name].tobytes() for name in sorted(tensors)) for path, tensors in found.items()
    }


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in of CERN's portal, which serves files by HTTP as well."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "peers"))
    import opendata_portal

    with opendata_portal.serve() as standin:
        yield standin


@pytest.mark.slow
def test_tables_of_each_file_are_a_job(
    pool: RunningPool, real_site: Path, files: list[Path], portal: Any, tmp_path: Path
) -> None:
    at_site = ("--work", tmp_path / "work", "--site", real_site, "--era", "UL17")
    portal.add(1, f"/TT/{CAMPAIGN}/NANOAODSIM", files[1:])
    by_http = f"{portal.url}/eos/opendata/cms/mc/1"
    done = extract(files[0], f"{by_http}/two.root", *at_site, "--first", "40", "--wait")
    assert done.returncode == 0, done.stderr + said_by_jobs(tmp_path / "work")
    assert "tables of 2 files were there already" in done.stdout
    assert extract(*files, "--work", tmp_path / "here", "--first", "40", "--era", "UL17").returncode == 0
    assert tables_below(tmp_path / "work") == tables_below(tmp_path / "here") != {}
    assert era_of_table(tmp_path / "work" / "tables" / "met" / "one.safetensors") == "UL17"
    # what is there is not handed over
    again = extract(files[0], f"{by_http}/two.root", *at_site, "--first", "40", "--json")
    assert json.loads(again.stdout)["batch_id"] is None
    # of one that is none, the reason stands with the jobs
    (tmp_path / "bad.root").write_text("no file")
    bad = extract(tmp_path / "bad.root", f"{by_http}/gone.root", *at_site, "--wait")
    assert bad.returncode == 17
    batch = tmp_path / "work" / "batch"
    assert f"not all tables were drawn; see {batch}/draw1.err of {tmp_path}/bad.root and of 1" in bad.stderr
    assert "bad.root is no ROOT file" in (batch / "draw1.err").read_text()
    assert "gone.root does not exist (HTTP 404 Not Found)" in (batch / "draw2.err").read_text()


@pytest.mark.slow
def test_a_cocktail_of_records_becomes_a_tagged_bundle_on_the_pool(
    pool: RunningPool,
    real_site: Path,
    files: list[Path],
    xrootd_server: tuple[str, Path],
    lacking: Callable[[str], None],
    portal: Any,
    tmp_path: Path,
) -> None:
    if find_spec("fsspec_xrootd") is None:
        lacking("fsspec-xrootd (pip install 'flashsim-prod[opendata]')")
    url, folder = xrootd_server
    (tmp_path / "mine.yaml").write_text(COCKTAIL)
    work = tmp_path / "work"
    words = ("--cocktail", str(tmp_path / "mine.yaml"), "--quick", "--steps", "100")
    for recid, name, path in ((1, "TT", files[0]), (2, "DY", files[1])):
        place = folder / f"eos/opendata/cms/mc/{recid}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        portal.add(recid, f"/{name}/{CAMPAIGN}/NANOAODSIM", [path], root=url)
    done = train(real_site, work, *words, "--server", portal.url, "--protocol", "xrootd", "--wait")
    assert done.returncode == 0, done.stderr + said_by_jobs(work)
    n_models = len(MODELS)
    assert f"Submitted: tables of 2 files, {n_models} fits and a bundle at htcondor" in done.stdout
    assert f"{work}/bundle: tag MineUL16" in done.stdout
    manifest = json.loads((work / "bundle" / "manifest.json").read_text())
    own = {path.parent.name for path in (work / "fits").glob("*/entry.json")}
    assert {"jet_from_genjet", "met"} <= own
    assert manifest["title"] == f"two processes of a stand-in; {n_models - len(own)} models of reference"
    assert (manifest["name"], manifest["tag"], manifest["era"]) == ("mine", "MineUL16", "UL16postVFP")
    assert manifest["models"]["met"]["fit"]["era"] == "UL16postVFP"
    assert manifest["models"]["muon_duplicate"]["fit"]["era"] == "UL18"
    assert manifest["training_sample"][:3] == [
        "cocktail mine, era UL16postVFP",
        "tt: 520 events of record 1",
        f"dy: 520 events of /DY/{CAMPAIGN}/NANOAODSIM",
    ]
    assert json.loads((work / "fits" / "met" / "energy.json").read_text())["seconds"] > 0
