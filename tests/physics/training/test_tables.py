"""Extraction: every object to one source, and nothing lost on the way to the network and back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uproot

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.registry import MODELS, find_model, in_version
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training.shortfall import lacking, left_out, not_finite
from flashsim_prod.physics.training.tables import (
    Table,
    extract,
    extract_file,
    load_tables,
    table_path,
)

V9 = Schema.load("v9")


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
        # what only serves the links is not stored; what follows of GenJet is settled when both are together
        settled = {"partonFlavour"} if model.name == "jet_from_genjet" else set()
        originals = {name: whole[name][chosen] for name in restored.keys() - settled if name in whole}
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
    with NanoWriter(path, schema=V9, provenance={"software": "test"}) as writer:
        writer.write(events)


JETS = find_model("jet_from_genjet")


def _spoilt(events: Events, name: str, attribute: str, value: float, which: slice) -> Events:
    column = events[name][attribute].astype(np.float32)
    column[which] = value
    return events.with_collections({name: events[name].with_columns(**{attribute: column})})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_objects_that_are_not_finite_are_left_out(reconstructed, value):
    clean, some = extract(reconstructed, JETS), slice(0, None, 5)
    table = extract(_spoilt(reconstructed, "Jet", "qgl", value, some), JETS)
    assert all(np.isfinite(column).all() for column in table.targets.values())
    lost = len(clean.row) - len(table.row)
    assert table.left_out.names == {"Jet_qgl": lost}
    assert (table.left_out.objects, table.left_out.sources) == (lost, 0)
    assert 0 < lost < len(clean.row)
    # they are there, so what counts them still does
    assert np.array_equal(table.number, clean.number)
    # and the others are what they were, where nothing is filled from a neighbour
    kept = np.isin(np.arange(len(clean.row)), _kept(clean, table))
    assert np.array_equal(table.targets["pt"], clean.targets["pt"][kept])
    assert np.array_equal(table.row, clean.row[kept])


def _kept(clean: Table, table: Table) -> np.ndarray:
    """Places of the rows of `table` in `clean`, by a target that no two have the same of."""
    return np.flatnonzero(np.isin(clean.targets["pt"], table.targets["pt"]))


def test_one_spoilt_number_does_not_spread(reconstructed):
    """Fat jets' attributes are filled along a trend, which such a number would end."""
    model = find_model("fatjet_from_genjet")
    clean = extract(reconstructed, model)
    table = extract(_spoilt(reconstructed, "FatJet", "n2b1", np.nan, slice(0, 1)), model)
    assert len(clean.row) - len(table.row) <= 1
    assert all(np.isfinite(column).all() for column in table.targets.values())


def test_an_attribute_that_is_not_learned_may_hold_anything(reconstructed):
    model = find_model("sv_from_heavy_jet")
    table = extract(_spoilt(reconstructed, "SV", "pAngle", np.nan, slice(None)), model)
    assert len(table.row) == len(extract(reconstructed, model).row) > 0
    assert not table.left_out


def test_sources_that_are_not_finite_are_left_out_with_their_objects(reconstructed):
    clean = extract(reconstructed, JETS)
    table = extract(_spoilt(reconstructed, "GenJet", "mass", np.nan, slice(0, None, 4)), JETS)
    assert np.isfinite(table.conditions).all()
    lost = table.left_out
    assert lost.sources == len(clean.number) - len(table.number) > 0
    assert lost.objects == len(clean.row) - len(table.row) > 0
    assert lost.names == {"condition mass": lost.sources}
    assert np.array_equal(np.bincount(table.row, minlength=len(table.number)), table.number)


def test_what_was_left_out_is_noted_in_the_file(reconstructed, tmp_path):
    nano = tmp_path / "a.root"
    _write(_spoilt(reconstructed, "Jet", "qgl", np.nan, slice(0, 40)), nano)
    models = [model for model in MODELS if model.produces == "Jet"]
    list(extract_file(str(nano), models, tmp_path))
    noted = not_finite(str(nano), models, tmp_path)
    assert sum(one.objects for one in noted.values()) == 40
    assert noted["jet_from_genjet"] == load_tables(tmp_path, JETS).left_out
    assert noted["jet_from_genjet"].told().startswith("not finite: Jet_qgl (")
    # they had a source
    assert left_out(str(nano), models, tmp_path) == {}


def test_nothing_left_is_refused(reconstructed, tmp_path):
    nano = tmp_path / "a.root"
    _write(_spoilt(reconstructed, "Jet", "qgl", np.nan, slice(None)), nano)
    with pytest.raises(InputError, match=r"a\.root: jet_from_genjet has nothing to learn from.*Jet_qgl \("):
        list(extract_file(str(nano), [JETS], tmp_path))
    assert not table_path(tmp_path, str(nano), JETS).exists()


def test_no_events_are_refused(tmp_path):
    nano = tmp_path / "empty.root"
    with uproot.recreate(nano) as file:
        file.mktree("Events", {"event": "uint64", "Jet_pt": "var * float32"})
    with pytest.raises(InputError, match=r"empty\.root holds no events"):
        list(extract_file(str(nano), [JETS], tmp_path))


def _without(events: Events, name: str, attribute: str) -> Events:
    columns = {key: column for key, column in events[name].columns.items() if key != attribute}
    return events.with_collections({name: type(events[name])(events[name].counts, columns, name)})


@pytest.mark.parametrize(
    ("model", "name", "attribute"),
    [
        ("sv_from_heavy_jet", "Jet", "btagDeepFlavB"),
        ("subjet_from_prong", "FatJet", "nConstituents"),
        ("subjet_from_prong", "FatJet", "subJetIdx1"),
        ("jet_from_genjet", "GenJet", "partonFlavour"),
        ("electron_from_genelectron", "Electron", "genPartIdx"),
        ("electron_from_genelectron", "Electron", "sieie"),
    ],
)
def test_a_branch_that_a_source_a_match_or_a_formula_lacks_is_named(reconstructed, model, name, attribute):
    with pytest.raises(
        InputError, match=f"{model} cannot be extracted.*no branch {name}_{attribute}$"
    ) as told:
        extract(_without(reconstructed, name, attribute), find_model(model))
    assert "\n" not in str(told.value)


def test_a_table_of_another_form_is_refused(reconstructed, tmp_path):
    path = table_path(tmp_path, "a.root", JETS)
    path.parent.mkdir()
    extract(reconstructed, JETS).save(path, replace(JETS, form=JETS.form + 1))
    with pytest.raises(InputError, match=r"a\.safetensors: drawn for another declaration or form"):
        load_tables(tmp_path, JETS)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.targets.pop("qgl"), r"target\.qgl is missing"),
        (lambda t: t.targets.update(qgl=t.targets["qgl"][:-1]), "shapes do not fit"),
        (lambda t: t.row.__setitem__(0, 10**6), "'row' points outside"),
    ],
)
def test_a_table_from_elsewhere_that_cannot_be_learned_from_is_refused(
    reconstructed, tmp_path, change, complaint
):
    path = table_path(tmp_path, "a.root", JETS)
    path.parent.mkdir()
    table = extract(reconstructed, JETS)
    change(table)
    table.save(path)
    with pytest.raises(InputError, match=complaint):
        load_tables(tmp_path, JETS)


def test_a_table_from_elsewhere_is_cleaned(reconstructed, tmp_path):
    path = table_path(tmp_path, "a.root", JETS)
    path.parent.mkdir()
    table = extract(reconstructed, JETS)
    first = int(table.row[0])
    table.conditions[first, 2] = np.inf
    table.targets["qgl"][-3:] = np.nan
    table.save(path)
    found = load_tables(tmp_path, JETS)
    gone = int(np.count_nonzero(table.row == first))
    assert (found.left_out.sources, found.left_out.objects) == (1, gone + 3)
    assert found.left_out.names == {"condition 2": 1, "target qgl": 3}
    assert len(found.row) == len(table.row) - gone - 3
    assert np.isfinite(found.conditions).all()
    # each object is still beside its source
    kept = (table.row != first) & np.isfinite(table.targets["qgl"])
    assert np.array_equal(found.conditions[found.row], table.conditions[table.row[kept]])


#: targets of jets that go together, as what a jet has of muons says what they are of
OF_MUONS = {"muons", "muEF_share", "muEF_share_staying", "muonSubtraction", "muonSubtraction_rest"}


def test_without_an_attribute_all_targets_but_those_made_of_it_are_as_ever(reconstructed):
    whole = extract(reconstructed, JETS)
    for attribute, without in (
        ("qgl", {"qgl"}),
        (
            "btagDeepCvB",
            {"btagDeepCvB", "btagDeepCvL", "btagCSVV2", "blind_taggers", "btagCSVV2_alone"},
        ),
        ("muonSubtrFactor", OF_MUONS),
        ("neHEF", {*OF_MUONS, "chEmEF_share", "chHEF_share", "neEmEF_share"}),
    ):
        table = extract(_without(reconstructed, "Jet", attribute), JETS, partial=True)
        assert table.absent == (f"Jet_{attribute}",)
        assert whole.targets.keys() - table.targets.keys() <= without
        assert attribute == "neHEF" or whole.targets.keys() - table.targets.keys() == without
        assert np.array_equal(table.conditions, whole.conditions)
        for name, column in table.targets.items():
            assert np.array_equal(column, whole.targets[name]), name


def test_without_any_object_only_what_is_plainly_lacking_is_left_out(reconstructed):
    jets = reconstructed["Jet"]
    none = reconstructed.with_collections({"Jet": jets.select(np.zeros(jets.n_objects, bool))})
    table = extract(_without(none, "Jet", "qgl"), JETS, partial=True)
    assert len(table.row) == 0
    assert "qgl" not in table.targets
    assert len(table.targets) == len(JETS.targets) - 1


def test_a_model_that_cannot_be_extracted_is_told_and_the_others_are(reconstructed, tmp_path):
    nano, fat = tmp_path / "a.root", find_model("fatjet_from_genjet")
    _write(_without(_without(reconstructed, "Jet", "genJetIdx"), "FatJet", "btagHbb"), nano)
    impossible: dict[str, str] = {}
    assert list(extract_file(str(nano), [JETS, fat], tmp_path, impossible=impossible))
    assert impossible.keys() == {"jet_from_genjet"}
    assert "no branch Jet_genJetIdx" in impossible["jet_from_genjet"]
    assert not table_path(tmp_path, str(nano), JETS).exists()
    found = lacking(str(nano), [JETS, fat], tmp_path)
    assert found.keys() == {"fatjet_from_genjet"}
    assert found["fatjet_from_genjet"].branches == ("FatJet_btagHbb",)
    assert "btagHbb" in found["fatjet_from_genjet"].targets
    # once more: the one that is there is kept, the other is told again
    impossible.clear()
    list(extract_file(str(nano), [JETS, fat], tmp_path, impossible=impossible))
    assert impossible.keys() == {"jet_from_genjet"}
    # asked for, it is an error
    with pytest.raises(InputError, match=r"a\.root: jet_from_genjet cannot be extracted"):
        list(extract_file(str(nano), [JETS, fat], tmp_path))
    with pytest.raises(InputError, match="no model can be extracted"):
        list(extract_file(str(nano), [JETS], tmp_path, impossible={}))


def test_what_a_bundle_cannot_do_without_is_told(reconstructed, tmp_path):
    nano = tmp_path / "a.root"
    _write(_without(reconstructed, "Jet", "muEF"), nano)
    list(extract_file(str(nano), [JETS], tmp_path))
    trouble = lacking(str(nano), [JETS], tmp_path)["jet_from_genjet"].trouble
    assert "is not drawn by jet_from_genjet" in trouble
    assert "\n" not in trouble


def test_a_table_remembers_its_version_and_none_is_mixed_with_another(reconstructed, tmp_path):
    nano = tmp_path / "a.root"
    _write(reconstructed, nano)
    list(extract_file(str(nano), [JETS], tmp_path))
    path = table_path(tmp_path, "a.root", JETS)
    table = Table.load(path, JETS)
    assert (table.version, table.absent) == ("v9", ())
    other = table_path(tmp_path, "b.root", JETS)
    of_v15 = in_version(JETS, "v15")
    column = next(iter(table.targets.values()))
    targets = {target.name: table.targets.get(target.name, column) for target in of_v15.targets}
    replace(table, version="v15", targets=targets).save(other, of_v15)
    with pytest.raises(InputError, match=r"b\.safetensors is of NanoAOD v15 and .*a\.safetensors of v9"):
        load_tables(tmp_path, JETS)
    path.unlink()
    with pytest.raises(InputError, match=r"a\.root is NanoAOD v9, and .*b\.safetensors is of v15"):
        list(extract_file(str(nano), [JETS], tmp_path))
    assert not path.exists()
    # one from before tables remembered
    replace(table, version="").save(other, JETS)
    list(extract_file(str(nano), [JETS], tmp_path))
    assert load_tables(tmp_path, JETS).version == "v9"


def test_tables_of_files_that_lack_different_branches_are_not_mixed(reconstructed, tmp_path):
    for name, events in (("a", reconstructed), ("b", _without(reconstructed, "Jet", "qgl"))):
        _write(events, tmp_path / f"{name}.root")
        list(extract_file(str(tmp_path / f"{name}.root"), [JETS], tmp_path))
    with pytest.raises(InputError, match=r"b\.safetensors is of a file without Jet_qgl, which the one of"):
        load_tables(tmp_path, JETS)
    table_path(tmp_path, "a.root", JETS).unlink()
    found = load_tables(tmp_path, JETS)
    assert found.absent == ("Jet_qgl",)
    assert "qgl" not in found.targets


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "version", "impossible"),
    [
        ("tt2l2nu_ul18_v9", "v9", 0),
        ("dyjets_ul17_v8like", "v8", 1),
        ("ttH_v7", "v7", 22),
        ("gjet_v11", "v11", 0),
        ("ttbar_v12", "v12", 24),
        ("ggH_v13", "v13", 4),
        ("ttbar_v15", "v15", 0),
    ],
)
def test_public_files_of_all_versions_are_extracted(tmp_path, file, version, impossible):
    folder = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not folder:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
    told: dict[str, str] = {}
    url = str(Path(folder) / f"{file}.root")
    list(extract_file(url, MODELS, tmp_path, impossible=told))
    assert len(told) == impossible
    for model in MODELS:
        path = table_path(tmp_path, url, model)
        assert path.exists() == (model.name not in told)
        if path.exists():
            assert Table.load(path, model).version == version
