"""Samples made with one seed are independent, and repeatable."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from flashsim_prod import resources
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.training.sample import (
    era_of_inputs,
    write_generator_sample,
    write_reference_sample,
)
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tables import extract_file

V9 = Schema.load("v9")


def _card(name: str) -> ProcessCard:
    path = resources.jobs_dir() / f"{name}.yaml"
    return ProcessCard.from_yaml(path.read_text(), path.name)


def _column(path, name: str) -> np.ndarray:
    with NanoFile(str(path)) as file:
        return file.read([name], 0, file.n_entries).scalars[name]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    for name in ("zh_llbb", "vbf_hmumu"):
        steps = write_generator_sample(
            _card(name), folder / f"{name}.root", energy_tev=13.0, n_events=40, seed=1
        )
        assert list(steps)[-1] == 40
    return folder


def test_processes_with_one_seed_have_their_own_pileup(generated):
    one, other = (_column(generated / f"{name}.root", "Pileup_nTrueInt") for name in ("zh_llbb", "vbf_hmumu"))
    assert not np.array_equal(one, other)


def test_a_reference_sample_is_a_valid_file_and_repeatable(generated, tmp_path):
    source = str(generated / "zh_llbb.root")
    for path in (tmp_path / "a.root", tmp_path / "b.root"):
        assert list(write_reference_sample([source], path, folds=3, seed=5))[-1] == 120
    assert (tmp_path / "a.root").read_bytes() == (tmp_path / "b.root").read_bytes()
    assert check_file(tmp_path / "a.root", events=120, schema=V9).events == 120
    list(write_reference_sample([source], tmp_path / "c.root", folds=3, seed=6))
    assert not np.array_equal(_column(tmp_path / "c.root", "MET_pt"), _column(tmp_path / "a.root", "MET_pt"))


def test_collisions_of_run_3_are_reconstructed_as_in_run_3(generated, tmp_path):
    source, path = tmp_path / "run3.root", tmp_path / "full.root"
    list(write_generator_sample(_card("ttbar"), source, energy_tev=13.6, n_events=30, seed=1))
    years = era_of_inputs([str(source)])
    assert (years.name, years.nano) == ("Run3_2022", "v15")
    assert list(write_reference_sample([str(source)], path, folds=2, seed=5, era=years))[-1] == 60
    assert check_file(path, events=60, schema=Schema.load("v15")).events == 60
    with NanoFile(str(path)) as file:
        assert file.version == "v15"
        assert {"Jet_btagPNetB", "PFMET_pt", "Electron_promptMVA"} <= file.branches
        assert not {"MET_pt", "Jet_btagCSVV2", "Electron_mvaFall17V2Iso"} & file.branches
        assert file.provenance()["detector"][0].endswith("not FullSim, as of 2022)")
    folder = tmp_path / "tables"
    list(extract_file(str(path), [find_model("jet_from_genjet")], folder))
    table = Table.load(next(folder.rglob("*.safetensors")), find_model("jet_from_genjet"))
    assert (table.version, table.absent, table.origin) == ("v15", (), "reference detector")
    assert table.era == "Run3_2022"
    assert "btagUParTAK4B" in table.targets
    with pytest.raises(InputError, match="two detectors"):
        era_of_inputs([str(source), str(generated / "zh_llbb.root")])


def test_samples_of_one_name_seed_and_size_are_not_one_file(generated, tmp_path):
    found = set()
    for name in ("zh_llbb", "vbf_hmumu"):
        source = tmp_path / name / "gen.root"
        source.parent.mkdir()
        shutil.copy(generated / f"{name}.root", source)
        list(write_reference_sample([str(source)], source.with_name("full.root"), folds=1, seed=5))
        with NanoFile(str(source.with_name("full.root"))) as file:
            found.add(file.identifier)
    assert len(found) == 2
    # so that tables of the one are not kept for the other
    full, met = tmp_path / "full.root", find_model("met")
    shutil.copy(tmp_path / "zh_llbb/full.root", full)
    list(extract_file(str(full), [met], tmp_path / "tables"))
    shutil.copy(tmp_path / "vbf_hmumu/full.root", full)
    with pytest.raises(InputError, match="is of another file"):
        list(extract_file(str(full), [met], tmp_path / "tables"))
