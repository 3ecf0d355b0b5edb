"""Extraction: every object to one source, and nothing lost on the way to the network and back."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.registry import MODELS, find_model
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training.tables import (
    Table,
    extract,
    extract_file,
    left_out,
    load_tables,
    table_path,
)


@pytest.fixture(scope="module")
def reconstructed(gen, reconstruct) -> Events:
    return reconstruct(gen, 2, seed=3)


OBJECTS = ("Jet", "Muon", "Electron", "Photon", "FsrPhoton", "FatJet", "SubJet", "Tau", "SV")


def _sources(events: Events, name: str) -> np.ndarray:
    """In how many sources each object of a collection has its origin."""
    models = [model for model in MODELS if model.produces == name]
    return np.sum([model.match(events, model.source(events)) >= 0 for model in models], axis=0)


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_goes_to_exactly_one_source(reconstructed, name):
    sources = _sources(reconstructed, name)
    assert len(sources)
    assert np.all(sources == 1)


@pytest.mark.parametrize("name", [name for name in OBJECTS if name != "SubJet"])
def test_every_object_of_a_public_file_goes_to_exactly_one_source(name):
    folder = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not folder:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
    with NanoFile(str(Path(folder) / "dyjets_ul17_v8like.root")) as file:
        events = file.read(sorted(file.branches), 0, file.n_entries)
    # what has no jet to come of is counted when it is extracted
    away = (events["Jet"].counts == 0)[events[name].event_index] & (name in ("Tau", "SV"))
    assert np.array_equal(_sources(events, name), ~away)


def test_what_has_no_source_is_counted(reconstructed, tmp_path):
    jets, vertices = reconstructed["Jet"], reconstructed["SV"]
    event = int(vertices.event_index[0])
    lonely = reconstructed.with_collections({"Jet": jets.select(jets.event_index != event)})
    path = tmp_path / "lonely.root"
    _write(lonely, path)
    models = [model for model in MODELS if model.produces == "SV"]
    list(extract_file(str(path), models, tmp_path))
    expected = {"SV": (int(vertices.counts[event]), vertices.n_objects)}
    assert left_out(str(path), models, tmp_path) == expected
    # without all of its sources nothing can be said of a collection
    assert left_out(str(path), models[:1], tmp_path) == {}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_restoring_what_was_expressed_gives_the_objects(reconstructed, model):
    table = extract(reconstructed, model)
    rows = model.source(reconstructed).take(table.row)
    drawn = {name: column.astype(np.float64) for name, column in table.targets.items()}
    restored = model.restore(drawn, rows)
    if model.scalar:
        originals = {name: reconstructed.scalars[name] for name in model.outputs}
    else:
        origin = model.match(reconstructed, model.source(reconstructed))
        chosen = np.flatnonzero(origin >= 0)
        assert len(chosen) == len(table.row), "no source gave more objects than its model can"
        whole = reconstructed[model.produces]
        # what only serves the links is not stored
        originals = {name: whole[name][chosen] for name in restored if name in whole}
    assert originals.keys() <= restored.keys()
    for name, column in originals.items():
        one, other = column.astype(np.float64), restored[name].astype(np.float64)
        if name.endswith("phi") or "_phi" in name:
            other = one + (other - one + np.pi) % (2 * np.pi) - np.pi
        assert np.allclose(other, one, rtol=1e-4, atol=2e-3), name


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_numbers_are_those_of_the_rows(reconstructed, model):
    table = extract(reconstructed, model)
    assert table.conditions.shape == (len(table.number), len(model.conditions))
    assert np.all(np.isfinite(table.conditions))
    assert np.array_equal(np.bincount(table.row, minlength=len(table.number)), table.number)
    assert table.number.max() <= max(1, model.most)


def test_muons_come_from_the_particle_they_name(reconstructed):
    model = find_model("muon_from_genmuon")
    rows = model.source(reconstructed)
    table = extract(reconstructed, model)
    # the ratio to the right particle's pt is near one, to a wrong one's it is anything
    assert abs(np.median(table.targets["pt"]) - 1) < 0.02
    assert np.percentile(np.abs(table.targets["pt"] - 1), 90) < 0.1
    assert np.all(np.abs(rows["pdgId"]) == 13)


def test_a_missing_branch_is_named(reconstructed):
    jets = reconstructed["Jet"]
    lacking = reconstructed.with_collections(
        {"Jet": type(jets)(jets.counts, {k: v for k, v in jets.columns.items() if k != "qgl"})}
    )
    with pytest.raises(InputError, match="Jet_qgl"):
        extract(lacking, find_model("jet_from_genjet"))


def test_tables_survive_the_disk_and_are_kept(reconstructed, tmp_path, monkeypatch):
    model = find_model("met")
    table = extract(reconstructed, model)
    path = table_path(tmp_path, "sample.root", model)
    path.parent.mkdir(parents=True)
    table.save(path)
    loaded = load_tables(tmp_path, model)
    assert np.array_equal(loaded.conditions, table.conditions)
    assert {name: column.dtype for name, column in loaded.targets.items()} == {
        name: column.dtype for name, column in table.targets.items()
    }
    before = path.stat().st_mtime_ns
    nano = tmp_path / "sample.root"
    _write(reconstructed, nano)
    assert list(extract_file(str(nano), [model], tmp_path)) == []
    assert path.stat().st_mtime_ns == before


def test_tables_of_several_files_are_joined(reconstructed):
    model = find_model("jet_from_genjet")
    half = reconstructed.n // 2
    parts = [extract(reconstructed.slice(a, b), model) for a, b in ((0, half), (half, reconstructed.n))]
    whole, joined = extract(reconstructed, model), Table.concatenate(parts)
    assert np.array_equal(joined.row, whole.row)
    assert np.array_equal(joined.targets["pt"], whole.targets["pt"])


def test_no_table_at_all_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match="train extract"):
        load_tables(tmp_path, find_model("met"))


def test_a_damaged_table_is_named(tmp_path):
    path = table_path(tmp_path, "a.root", find_model("met"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a\.safetensors"):
        load_tables(tmp_path, find_model("met"))


def _write(events: Events, path) -> None:
    with NanoWriter(path, provenance={"software": "test"}) as writer:
        writer.write(events)
