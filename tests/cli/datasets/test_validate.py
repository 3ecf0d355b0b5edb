"""``validate`` and ``report`` as commands: what they print, write and end with."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.cli.datasets.validate_tables import print_validation
from flashsim_prod.errors import EventsError, FidelityError, InputError, MeasurementError, RequestError
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.validation.dataset.figures import DatasetFidelity
from flashsim_prod.physics.validation.dataset.page import Validation
from flashsim_prod.physics.validation.dataset.samples import Sample

_SOURCE = Path(__file__).parents[2] / "production" / "dataset" / "test_checks.py"
_SPEC = importlib.util.spec_from_file_location("dataset_checks_events", _SOURCE)
_EVENTS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_EVENTS)


@pytest.fixture
def file(tmp_path) -> str:
    return str(_EVENTS.write(tmp_path / "a.root", 0, 60))


def test_check(cli, file, tmp_path):
    ended = cli("validate", "check", file)
    assert ended.code == 0
    assert "all checks passed" in ended.out
    bad = str(_EVENTS.write(tmp_path / "bad.root", 60, met=float("inf")))
    ended = cli("validate", "check", file, bad, "--json")
    assert ended.code == EventsError.exit_code
    assert not ended.json["ok"]
    assert [one["problem"] is None for one in ended.json["files"]] == [True, False]
    assert ended.complaint == f"{bad}, event 1:1:127 (entry 6): MET_pt = inf is not finite"


def test_a_file_that_does_not_exist_is_no_bad_file(cli, file):
    ended = cli("validate", "check", file, "nowhere.root")
    assert ended.code == InputError.exit_code
    assert ended.complaint == "nowhere.root does not exist; check the path"


def test_histogram(cli, file, tmp_path):
    ended = cli(
        "validate", "histogram", file, "-o", "MET_pt", "--bins", "2,0,40", "--root", str(tmp_path / "h.root")
    )
    assert ended.code == 0
    assert "120 entries" in ended.out
    assert (tmp_path / "h.root").is_file()
    ended = cli("validate", "histogram", file, "-o", "MET_pt", "--bins", "2,0,40", "--json")
    (found,) = ended.json
    # sixty generator events whose folds are all in one bin
    assert found["values"] == [0, 0, 60, 0]
    assert found["errors"][2] == pytest.approx(60**0.5)
    assert found["naive_errors"][2] == pytest.approx(30**0.5)
    assert found["gain"][1] == pytest.approx(1)
    ended = cli("validate", "histogram", file, "-o", "MET_px")
    assert ended.code == RequestError.exit_code
    assert "did you mean" in ended.complaint


def _of_jets(*names: str) -> Sample:
    columns = {name: np.ones(3, np.float32) for name in names}
    events = Events(3, {"genWeight": np.ones(3)}, {"Jet": Collection(np.ones(3, np.int64), columns)})
    return Sample("", (), events, np.arange(3), np.ones(3), Schema.default())


def test_what_just_one_of_two_has_is_told_on_the_terminal(capsys):
    found = DatasetFidelity((), (), ("Jet_area", "Jet_mass", *(f"Muon_x{i}" for i in range(7))))
    made = Validation("d", _of_jets("area"), _of_jets("mass"), False, found, True, (), {})
    print_validation(made)
    out = capsys.readouterr().out
    assert "not compared, only in the dataset: Jet_area" in out
    assert "not compared, only in the reference: Jet (1), Muon (7)" in out
    assert made.summary()["only_in_one"]["dataset"] == ["Jet_area"]


def test_a_dataset_needs_a_reference(cli, file):
    ended = cli("validate", file)
    assert ended.code == RequestError.exit_code
    assert "--reference FILES" in ended.complaint


def test_a_dataset_against_a_reference(cli, file, tmp_path):
    ended = cli("validate", file, "--reference", file, "--output", str(tmp_path / "v"), "--json")
    assert ended.code == 0
    assert ended.json["light"] == "green"
    assert (tmp_path / "v" / "index.html").is_file()
    bad = str(_EVENTS.write(tmp_path / "bad.root", 60, 60, met=float("inf")))
    ended = cli("validate", bad, "--reference", file, "--output", str(tmp_path / "w"))
    assert ended.code == FidelityError.exit_code
    assert "MET_pt = inf" in ended.complaint
    assert "technical check" in ended.out
    few = str(_EVENTS.write(tmp_path / "few.root", 0, 10))
    ended = cli("validate", few, "--reference", few, "--output", str(tmp_path / "x"), "--no-figures")
    assert ended.code == MeasurementError.exit_code
    assert "nothing could be judged, 20 events of it and 20 of the reference are too few" in ended.complaint
    assert "note: nothing could be judged" in ended.out


def test_unknown_things_are_named(cli, file):
    assert "no request 'histgram'" in cli("validate", "histgram", "--reference", file).complaint
    assert "no analysis 'zh'; did you mean 'zh_llbb'?" in cli("validate", "analyses", "zh").complaint
    assert "no card 'ttbr'" in cli("validate", "proof", "ttbr").complaint
    assert "no request 'nothing'" in cli("report", "nothing").complaint
