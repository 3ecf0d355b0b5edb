"""From HepMC files to a dataset: ordered, told, and refused before anything is written."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from typer.testing import CliRunner

from flashsim_prod.cli.main import app
from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.production.drive.in_memory import simulate_in_memory
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.place import preview


@pytest.fixture
def files(hepmc: ModuleType, tmp_path: Path) -> list[Path]:
    """Four events in the one form, two in the other."""
    info = hepmc.run_info(["Weight", "fsr:murfac=0.5"])
    events = [
        hepmc.by_hand(
            hepmc.muon_pair(25.0 + k),
            k % 4,
            info=info,
            weights=((-2.0) ** k, 0.9 * (-2.0) ** k),
            cross_section=(5.0, 0.1),
        )
        for k in range(6)
    ]
    first = hepmc.write_hepmc(tmp_path / "z_mumu.hepmc.gz", events[:4])
    return [first, hepmc.write_hepmc(tmp_path / "b.hepmc2", events[4:], form="hepmc2")]


def _order(*files: Path, **options: Any) -> Any:
    options = {"oversample": 2, "seed": 9, "device": "cpu", **options}
    return make_order(Typed(inputs=tuple(map(str, files)), **options))[0]


@pytest.mark.slow
def test_one_job_or_many_make_the_same_events(home: Home, files: list[Path]) -> None:
    found = []
    for per_job in (12, 4):
        request = preview(home, _order(*files, events_per_job=str(per_job)), None).request
        assert request.n_simulate == 12 // per_job
        found.append(simulate_in_memory(request))
    for other in found[1:]:
        assert found[0].fields == other.fields
        for name in set(other.fields) - {"luminosityBlock"}:
            assert ak.array_equal(found[0][name], other[name], equal_nan=True), name
    assert found[0].FlashSim_inputEvent.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 0, 0, 1, 1]


@pytest.mark.slow
def test_a_dataset_has_weights_and_name_of_its_files(home: Home, files: list[Path]) -> None:
    done = CliRunner().invoke(app, ["request", "--input", str(files[0]), "--oversample", "3", "--seed", "2"])
    assert done.exit_code == 0, done.output
    (file,) = (home.path / "store").rglob("NANOAODSIM/**/*.root")
    assert "/z-mumu_13TeV_FlashSim-hepmc/" in str(file)
    with uproot.open(file) as opened:
        events, runs = opened["Events"].arrays(), opened["Runs"].arrays()
        titles = {branch.name: branch.title for branch in opened["Events"].branches}
    nominal = np.repeat([1.0, -2.0, 4.0, -8.0], 3)
    assert events.genWeight.tolist() == nominal.tolist()
    np.testing.assert_allclose(ak.to_numpy(events.PSWeight)[:, 0], 0.9, rtol=1e-6)
    assert titles["PSWeight"].endswith("[0] is fsr:murfac=0.5")
    assert runs.genEventSumw.to_numpy().sum() == nominal.sum()


def test_the_plan_says_what_becomes_of_the_files(home: Home, files: list[Path]) -> None:
    plan = preview(home, _order(*files), None)
    assert plan.request.card.energies[0].cross_section_pb == 5.0
    assert plan.request.dataset.primary == "z-mumu_13TeV_FlashSim-hepmc"
    told = dict(plan.request.source.contents())
    assert "1 PSWeight" in told["carried"]
    assert "negative in 3 of 6 events" in told["normalisation"]
    again = type(plan.request).from_yaml(plan.request.to_yaml(), "it")
    assert (again.digest(), again.source) == (plan.request.digest(), plan.request.source)


def test_what_cannot_be_made_is_refused_and_nothing_is_written(
    home: Home, files: list[Path], hepmc: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="--shower is for LHE files"):
        _order(files[0], shower="ttbar")
    with pytest.raises(InputError, match="--energy 14: the input is of 13 TeV"):
        _order(files[0], energy_tev=14.0)
    with pytest.raises(InputError, match="not of the kind"):
        _order(files[0], tmp_path / "a.root")
    lone = [(13, 1, (40.0, 0.0, 0.0), 0.1, ()), (-13, 1, (-40.0, 0.0, 0.0), 0.1, ())]
    nameless = hepmc.write_hepmc(tmp_path / "lone.hepmc", [hepmc.by_hand(lone)])
    with pytest.raises(RequestError, match="say --energy TEV"):
        _order(nameless)
    assert preview(home, _order(nameless, energy_tev=13.6), None).request.energy_tev == 13.6
    files[0].write_bytes(files[0].read_bytes()[:-30])
    done = CliRunner().invoke(app, ["request", "--input", str(files[0]), "--dry-run", "--json"])
    assert isinstance(done.exception, InputError)
    assert (done.exception.exit_code, "is truncated" in str(done.exception)) == (10, True)
    assert not list(home.path.rglob("request.yaml"))
