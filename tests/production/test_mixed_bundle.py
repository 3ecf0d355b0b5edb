"""Requests with a bundle of models of all kinds, some refined, resampled or weighted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import uproot
from typer.testing import CliRunner

from flashsim_prod.cli.main import app
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.bundle import MANIFEST, load_bundle
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.worker import run_job
from tests.mixed import MODELS, mixed_bundle

REQUEST = ("--events", "60", "--oversample", "5", "--events-per-job", "30", "--seed", "42", "--device", "cpu")


def _said(*words: object) -> Any:
    told = CliRunner().invoke(app, list(map(str, words)))
    assert told.exit_code == 0, told.output
    return told.output


@pytest.fixture
def imported(home: Home, tmp_path: Path) -> Path:
    """The folder of such a bundle, through an archive into the state folder."""
    torch.set_num_threads(1)
    made = mixed_bundle(tmp_path)
    _said("bundle", "export", made.path, "--output", tmp_path / "mixed.tar")
    _said("bundle", "import", tmp_path / "mixed.tar")
    assert "mixed" in _said("bundle", "verify", "mixed")
    shown = _said("bundle", "show", "mixed")
    assert (
        "all are of kind flow, but event_scalars, met (gan); jet_constituents, tau_from_jet (cloud);" in shown
    )
    assert "event_scalars is weighted: FlashSim_weight\n" in shown
    assert "met is refined: 37 attributes, resampled: one of 2 draws\n" in shown
    assert "produces  MET, one for each source\n" in _said("bundle", "show", "mixed", "met")
    found = load_bundle(home.path / "bundles" / "mixed")
    assert found.digest == made.digest
    return found.path


@pytest.mark.slow
def test_neither_chunks_nor_cores_show_whatever_kinds_draw(home: Home, imported: Path) -> None:
    _said("request", "ttbar", *REQUEST, "--bundle", "mixed", "--name", "mine", "--dry-run")
    folder, contents = home.folder("mine"), []
    for chunk, cpus in ((1000, 1), (7, 2)):
        text = re.sub("chunk_events: .*", f"chunk_events: {chunk}", folder.request.read_text())
        folder.request.write_text(re.sub("cpus: .*", f"cpus: {cpus}", text))
        report = run_job(Stage.SIMULATE, folder.request, 1)
        assert report.output is not None
        path = Path(report.output.pfn)
        contents.append(path.read_bytes())
        folder.report(Stage.SIMULATE, 1).unlink()
    assert contents[0] == contents[1]
    with uproot.open(path) as file:
        events = file["Events"].arrays(["FlashSim_weight", "nPFCands", "nJet", "MET_pt"], library="np")
    assert len(np.unique(events["FlashSim_weight"])) > 15
    assert min(events["nPFCands"].sum(), events["nJet"].sum()) > 0
    kinds = {entry.kind for entry in load_bundle(imported).manifest.models.values()}
    assert kinds == {"flow", *(kind for kind, *_ in MODELS.values())}


@pytest.mark.slow
@pytest.mark.parametrize(("model", "what"), [("met", "refiner"), ("event_scalars", "reweighter")])
def test_a_correction_of_another_model_is_refused_before_there_is_a_request(
    home: Home, tmp_path: Path, model: str, what: str
) -> None:
    path = mixed_bundle(tmp_path).path / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["models"][model][what]["of"] = "0" * 64
    path.write_text(json.dumps(manifest))
    told = CliRunner().invoke(app, ["request", "ttbar", *REQUEST, "--bundle", str(path.parent), "--dry-run"])
    assert isinstance(told.exception, BundleError)
    assert f"model {model} of the bundle: its {what} is of another model (0000" in str(told.exception)
    assert home.names() == []
