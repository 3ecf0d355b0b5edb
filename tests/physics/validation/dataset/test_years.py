"""Samples of different years and versions: what is said, and what is not compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.validation.dataset.page import validate
from flashsim_prod.physics.validation.dataset.years import (
    Years,
    differences,
    of_other_years,
    refuse_other_meaning,
    years_of,
)

N = 400
OLD, NEW = Years("v9", "UL18", True), Years("v15", "Run3_2022", True)


def _write(path: Path, version: str, about: dict[str, str]) -> str:
    """Events with jets and electrons, under the names of a version."""
    rng = np.random.default_rng(3)
    n = N * 2
    jets = {"pt": rng.uniform(20, 100, n).astype(np.float32), "eta": rng.normal(0, 1, n).astype(np.float32)}
    jets |= {"btagPNetB": rng.random(n).astype(np.float32)} if version == "v15" else {}
    electrons = {"pt": jets["pt"], "eta": jets["eta"], "cutBased": rng.integers(0, 5, n).astype(np.uint8)}
    if version == "v9":
        electrons["cutBased"] = electrons["cutBased"].astype(np.int32)
    two = np.full(N, 2)
    made = {"Jet": Collection(two, jets), "Electron": Collection(two, electrons)}
    made = {name: one.sorted_by("pt") for name, one in made.items()}
    scalars = {
        "run": np.ones(N, np.uint32),
        "luminosityBlock": np.ones(N, np.uint32),
        "event": np.arange(1, N + 1, dtype=np.uint64),
        "genWeight": np.ones(N, np.float32),
    }
    told = {"software": "flashsim-prod 0.1.0", "detector": "reference detector", **about}
    with NanoWriter(path, schema=Schema.load(version), provenance=told) as writer:
        writer.write(Events(N, scalars, made))
    return str(path)


@pytest.fixture
def old(tmp_path: Path) -> str:
    return _write(tmp_path / "old.root", "v9", {"era": "UL18"})


@pytest.fixture
def new(tmp_path: Path) -> str:
    return _write(tmp_path / "new.root", "v15", {"nano": "v15", "made_for_nano": "v15", "era": "Run3_2022"})


def test_a_file_says_what_it_is_of(old: str, new: str, tmp_path: Path) -> None:
    by_old_models = _write(tmp_path / "a.root", "v15", {"nano": "v15", "made_for_nano": "v9"})
    found = []
    for path in (old, new, by_old_models):
        with NanoFile(path) as file:
            found.append(years_of(file))
    # without a word of the era it is that of the version that the models were made for
    assert found == [OLD, NEW, Years("v9", "UL18", False)]


def test_years_and_versions_that_differ_are_told() -> None:
    assert list(differences(OLD, OLD, {"Jet"})) == list(differences(NEW, NEW, {"Jet"})) == []
    years, jets, other = differences(NEW, replace(OLD, is_told=False), {"Jet"})
    assert years.startswith(
        "the dataset is of 2022 (Run3_2022), the reference of 2018 (UL18, as all of NanoAOD v9"
    )
    assert jets == "Jet: the dataset has PUPPI jets, the reference jets without charged pileup hadrons (CHS)"
    assert "Electron_cutBased" in other
    assert "not known here" in next(differences(NEW, Years("v15", "", True), ()))


def test_what_means_another_thing_is_not_compared(old: str, new: str) -> None:
    def quiet(*now: object) -> None:
        pass

    mixed = validate("new", [new], [old], max_events=N, progress=quiet)
    branches = {shape.branch for group in mixed.fidelity.groups for shape in group.shapes}
    assert {"Jet_pt", "Electron_pt"} <= branches
    assert "Electron_cutBased" not in branches
    assert mixed.summary()["notes"] == list(mixed.notes)
    assert "2018" in mixed.notes[0]
    same = validate("new", [new], [new], max_events=N, progress=quiet)
    branches = {shape.branch for group in same.fidelity.groups for shape in group.shapes}
    # what v15 alone has is compared, too
    assert {"Electron_cutBased", "Jet_btagPNetB"} <= branches
    assert same.notes == ()


def test_a_bundle_is_not_measured_by_attributes_of_another_meaning() -> None:
    bundle = load_bundle(find_bundle("reference"))
    refuse_other_meaning("a.root", OLD, bundle, {"Tau"})
    refuse_other_meaning("a.root", NEW, bundle, {"SV", "PV"})
    with pytest.raises(
        InputError, match=r"a.root is NanoAOD v15, and bundle reference was made for v9: .* Tau"
    ):
        refuse_other_meaning("a.root", NEW, bundle, {"SV", "Tau"})
    assert of_other_years("a.root", OLD, bundle) == ""
    assert of_other_years("a.root", NEW, bundle).startswith(
        "a.root is of 2022 (Run3_2022), and bundle reference"
    )
