"""What is kept of input files: weights, sums, what is drawn; and what is refused, and how it is said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.core.sources.nano import NanoFiles
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.generator.existing import NanoKind, NanoSource, inspect_input, runs_of
from flashsim_prod.physics.generator.files.look import look_at
from flashsim_prod.physics.nanoaod.checks import check_file
from flashsim_prod.physics.nanoaod.merger import find_hadd, merge_files
from flashsim_prod.physics.nanoaod.runs import RunSums, read_runs
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")
WriteFile = Callable[..., str]
#: sums of a sample that a skim of these 40 events was cut from
WHOLE = RunSums(4000, 9000.0, 50_000.0)


def _weights(n: int, most: int, seed: int = 1) -> ak.Array:
    """Lists of weights, of another length in each event."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, most + 1, n)
    return ak.unflatten(rng.normal(1, 0.1, counts.sum()).astype(np.float32), counts)


@pytest.fixture
def write(tmp_path: Path, ttbar: Events) -> WriteFile:
    """Writes generated top pairs, as somebody else's tool would; returns the path."""

    def build(
        name: str,
        *,
        start: int = 0,
        n: int = 40,
        without: tuple[str, ...] = (),
        more: Mapping[str, Any] | None = None,
        runs: Mapping[str, Any] | None = None,
        changed: Callable[[dict[str, Any]], None] = lambda found: None,
    ) -> str:
        events = ttbar.slice(start, start + n)
        found: dict[str, Any] = {key: one for key, one in events.scalars.items() if key not in without}
        for key, one in events.collections.items():
            columns = {f"{key}_{a}": ak.unflatten(c, one.counts) for a, c in one.columns.items()}
            found |= {a: c for a, c in columns.items() if a not in without and key not in without}
        found |= more or {}
        changed(found)
        types = {
            k: one.dtype if isinstance(one, np.ndarray) else one.type.content for k, one in found.items()
        }
        with uproot.recreate(tmp_path / name) as file:
            file.mktree("Events", types).extend(found)
            if runs is not None:
                file.mktree("Runs", {k: ak.type(ak.Array(one)).content for k, one in runs.items()}).extend(
                    runs
                )
        return str(tmp_path / name)

    return build


def _source(*urls: str) -> NanoFiles:
    kind = NanoKind()
    source = kind.of([InputFile(url=url, entries=kind.entries(url)) for url in urls])
    assert isinstance(source, NanoFiles)
    kind.require(source, ())
    kind.check(source, None)
    return source


def _read(source: NanoFiles, first: int = 0, n: int | None = None, chunk: int = 7) -> Events:
    files = [(file.url, file.entries) for file in source.files]
    number = sum(entries for _, entries in files) - first if n is None else n
    schema = V9.with_carried(source.carried)
    names = tuple(one.name for one in source.carried)
    made = NanoSource(files, first=first, n_events=number, seed=1, schema=schema, carried=names)
    return Events.concatenate(made.chunks(chunk))


def _written(path: Path, source: NanoFiles, folds: int, first: int = 0, n: int | None = None) -> Path:
    """The folds of gen events of a source, numbered and written as a job would."""
    gen = _read(source, first, n)
    events = fold_events(
        gen, oversample=folds, gen_first=first, run=1, first_event=1 + first * folds, first_lumi=1 + first,
        gen_events_per_lumi=1, job_gen_first=first,
    )  # fmt: skip
    runs = runs_of(source, first, gen.n, folds, str)
    schema = V9.with_carried(source.carried)
    about = {"normalisation": "of the input"} if runs else {}
    with NanoWriter(path, schema=schema, provenance=about, runs=runs) as writer:
        writer.write(events)
    check_file(path, schema=V9, events=events.n, runs=runs)
    return path


def _runs(count: int, sumw: float, sumw2: float) -> dict[str, Any]:
    return {
        "run": np.array([1], np.uint32),
        "genEventCount": np.array([count]),
        "genEventSumw": np.array([sumw]),
        "genEventSumw2": np.array([sumw2]),
    }


def test_weights_of_any_length_are_in_every_fold(write, tmp_path):
    pdf, scale = _weights(40, 5), _weights(40, 103, seed=2)
    more = {
        "LHEPdfWeight": pdf,
        "LHE_HT": np.linspace(0, 1, 40),
        "GenModel_T2tt_700_50": np.arange(40) % 2 == 0,
        "HTXS_Higgs_y": np.full(40, np.nan, np.float32),
        "HTXS_Higgs_eta": np.where(np.arange(40) % 2 == 0, -np.inf, 1.5).astype(np.float32),
        "LHEPart_pdgId": _weights(40, 3) * 0 + 21,
    }
    source = _source(
        write("a.root", more=more), write("b.root", start=40, more={**more, "LHEPdfWeight": scale})
    )
    path = _written(tmp_path / "out.root", source, 3)
    with uproot.open(path) as file:
        found = file["Events"].arrays([*more, "nLHEPdfWeight"])
    wanted = ak.concatenate([pdf, scale])[np.repeat(np.arange(80), 3)]
    assert found.LHEPdfWeight.to_list() == wanted.to_list()
    assert found.nLHEPdfWeight.to_list() == ak.num(wanted).to_list()
    for name in ("LHE_HT", "GenModel_T2tt_700_50"):
        assert found[name].to_list() == np.repeat(np.tile(more[name], 2), 3).tolist()
    # what is no number is carried bit by bit, and told
    for name in ("HTXS_Higgs_y", "HTXS_Higgs_eta"):
        assert ak.to_numpy(found[name]).tobytes() == np.repeat(np.tile(more[name], 2), 3).tobytes()
    assert "; HTXS_Higgs_eta, HTXS_Higgs_y not finite in some of the first 1,000" in source.told.carried
    assert "not finite" not in _source(write("c.root", more={"LHEPdfWeight": pdf})).told.carried


@pytest.mark.parametrize("tool", ["uproot", *(["hadd"] if find_hadd() else [])])
def test_merged_files_keep_weights_and_sums(write, tmp_path, tool):
    vectors = {"LHEPdfSumw": ak.Array([[1.0, 0.9, 1.2]]), "PSSumw": ak.Array([[1.1, 0.7]])}
    runs = {**_runs(4000, 9000.0, 50_000.0), **vectors}
    source = _source(write("a.root", more={"LHEPdfWeight": _weights(40, 3)}, runs=runs))
    parts = [_written(tmp_path / f"{first}.root", source, 2, first, 10) for first in (0, 10, 20, 30)]
    merge_files(parts, tmp_path / "merged.root", schema=V9, tool=tool)
    check_file(tmp_path / "merged.root", schema=V9, events=80, runs=runs_of(source, 0, 40, 2))
    with uproot.open(tmp_path / "merged.root") as file:
        assert file["Runs"]["LHEPdfSumw"].array().to_list() == [[1.0, 0.9, 1.2]] * 4
        assert file["Runs"]["PSSumw"].array().to_list() == [[1.1, 0.7]] * 4
        weights = file["Events"]["LHEPdfWeight"].array()
    assert weights[::2].to_list() == _weights(40, 3).to_list()


def test_a_skim_counts_for_the_sample_that_it_was_cut_from(write, tmp_path):
    source = _source(write("skim.root", runs=_runs(WHOLE.count, WHOLE.sumw, WHOLE.sumw2)))
    whole = read_runs(str(_written(tmp_path / "all.root", source, 5)))
    assert whole is not None
    assert (whole.count, whole.sumw, whole.sumw2) == (20_000, 45_000.0, 250_000.0)
    half = read_runs(str(_written(tmp_path / "half.root", source, 5, 10, 20)))
    assert half is not None
    assert (half.count, half.sumw) == (10_000, 22_500.0)
    with pytest.raises(Exception, match=r"as the sum of genEventSumw in Runs, the input gives 45001"):
        check_file(tmp_path / "all.root", schema=V9, runs=[RunSums(20_000, 45_001.0, 250_000.0)])


@pytest.mark.parametrize("parts", [1, 3, 17])
def test_the_counts_of_jobs_add_up(parts):
    files = tuple(InputFile(url=f"{n}.root", entries=n) for n in (7, 33))
    sums = ({"count": 1001, "sumw": -3.5, "sumw2": 9.0}, {"count": 50, "sumw": 2.0, "sumw2": 4.0})
    source = NanoFiles.model_validate({"files": files, "sums": sums})
    edges = np.linspace(0, 40, parts + 1).astype(int)
    rows = [row for a, b in pairwise(edges) for row in runs_of(source, a, b - a, 4)]
    assert sum(row.count for row in rows) == 4 * 1051
    assert sum(row.sumw for row in rows) == pytest.approx(4 * -1.5)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (None, "no sums in Runs"),
        ({"run": np.array([1], np.uint32)}, "no sums in Runs"),
        (_runs(39, 40.0, 40.0), "Runs tells of 39 events"),
        (_runs(40, 41.0, 40.0), "Runs has genEventSumw = 41, the events have 40"),
        (_runs(400, np.nan, 40.0), "Runs tells of 400 events with a sum of weights of nan"),
    ],
)
def test_runs_that_are_missing_or_wrong_are_said(write, runs, said):
    source = _source(write("a.root", runs=runs))
    assert source.told is not None
    assert said in source.told.normalisation
    assert "wrong if it is a skim" in source.told.normalisation
    assert (source.sums[0].count, source.sums[0].sumw) == (40, 40.0)


def test_sums_under_the_names_of_old_versions(write):
    runs = {name if name == "run" else f"{name}_": one for name, one in _runs(4000, 9000.0, 1.0).items()}
    assert _source(write("a.root", runs=runs)).sums[0].sumw == 9000.0


def test_each_file_is_completed_by_what_it_lacks(write, ttbar):
    lacking = ("GenVtx_z", "GenVtx_t0", "Pileup_gpudensity")
    source = _source(write("a.root", without=lacking), write("b.root", start=40))
    events = _read(source)
    for name in ttbar.scalars:
        np.testing.assert_array_equal(events.scalars[name][40:], ttbar.scalars[name][40:80], err_msg=name)
        same = np.array_equal(events.scalars[name][:40], ttbar.scalars[name][:40])
        assert same is (name not in lacking), name
    one_by_one = _read(source, chunk=1)
    assert all(np.array_equal(events.scalars[name], one_by_one.scalars[name]) for name in lacking)
    assert source.told is not None
    assert "GenVtx_z (of 1 of 2 files)" in source.told.drawn
    assert "Pileup_nPU" not in source.told.drawn


def test_what_only_one_file_has_is_refused_whichever_comes_first(write):
    poor, rich = write("a.root"), write("b.root", start=40, more={"LHE_HT": np.ones(40)})
    for urls in ((poor, rich), (rich, poor)):
        with pytest.raises(InputError, match=rf"{poor} has no branch 'LHE_HT', which {rich} has"):
            _source(*urls)


def test_what_is_lost_is_said(write):
    more = {"GenProton_px": _weights(40, 2), "Pileup_pthatmax": np.ones(40), "Jet_pt": _weights(40, 2)}
    source = _source(write("a.root", more=more))
    assert source.told is not None
    assert "GenProton_px, Pileup_pthatmax" in source.told.dropped
    assert "Jet_pt" not in source.told.dropped


def test_a_copy_is_known_by_its_uuid(write, tmp_path):
    url = write("a.root")
    shutil.copy(url, tmp_path / "copy.root")
    with pytest.raises(InputError, match=r"copies of one file \(UUID .*leave one out"):
        _source(url, str(tmp_path / "copy.root"))


def test_all_that_is_missing_is_told_at_once(write):
    kind = NanoKind()
    urls = (write("a.root"), write("b.root", without=("GenVisTau", "GenJetAK8_mass", "GenPart_pdgId")))
    source = kind.of([InputFile(url=url, entries=kind.entries(url)) for url in urls])
    with pytest.raises(InputError) as caught:
        kind.require(source, {"GenVisTau", "GenJetAK8", "GenMET_pt"})
    assert str(caught.value).startswith(f"{urls[1]} has no branch 'GenPart_pdgId', ")
    assert "'GenVisTau_pt'" in str(caught.value)
    assert "'GenJetAK8_mass'" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"has no branch 'GenPart_pdgId'; give an input file that has it$"):
        kind.require(source, ())


def _set(name: str, value: float, dtype: Any = np.float64) -> Callable[[dict[str, Any]], None]:
    def change(found: dict[str, Any]) -> None:
        column = found[name]
        if isinstance(column, np.ndarray):
            found[name] = np.where(np.arange(len(column)) == 11, value, column.astype(dtype))
            return
        flat = ak.to_numpy(ak.flatten(column)).astype(dtype)
        flat[int(ak.num(column)[:11].to_numpy().sum())] = value
        found[name] = ak.unflatten(flat, ak.num(column))

    return change


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GenPart_eta", np.inf, "entry 11: GenPart_eta = inf is no finite number"),
        ("GenJet_pt", np.nan, "entry 11: GenJet_pt = nan is no finite number"),
        ("GenMET_pt", 1e39, "entry 11: GenMET_pt = inf is no finite number"),
        ("GenJet_hadronFlavour", 7, "entry 11: GenJet_hadronFlavour = 7 is no legal value"),
    ],
)
def test_illegal_values_are_the_inputs(write, name, value, said):
    source = _source(write("a.root", changed=_set(name, value)))
    with pytest.raises(InputError, match=rf"a\.root, {said}"):
        _read(source)


@pytest.mark.parametrize("value", [1e39, np.nan])
def test_a_weight_that_is_no_number_is_found_when_ordering(write, value):
    with pytest.raises(InputError, match=r"a\.root, entry 11: genWeight = "):
        _source(write("a.root", changed=_set("genWeight", value)))


@pytest.mark.parametrize(("name", "number"), [("event", -1), ("run", 2**32), ("luminosityBlock", -5)])
def test_numbers_do_not_wrap(write, name, number):
    source = _source(write("a.root", more={name: np.full(40, number, np.int64)}))
    with pytest.raises(InputError, match=rf"{name} = {number} does not fit"):
        _read(source)


def test_integers_of_the_schema_do_not_wrap(write):
    source = _source(write("a.root", changed=_set("GenPart_pdgId", 2**40, np.int64)))
    with pytest.raises(InputError, match=rf"GenPart_pdgId = {2**40} does not fit"):
        _read(source)


def test_links_to_nothing_are_mended_either_way(write, ttbar):
    def change(found: dict[str, Any]) -> None:
        column = found["GenPart_genPartIdxMother"]
        flat, starts = ak.to_numpy(ak.flatten(column)).copy(), np.cumsum(ak.num(column)) - ak.num(column)
        for event, value in ((3, -999), (4, 30_000), (5, 2)):
            flat[starts[event] + 2] = value
        found["GenPart_genPartIdxMother"] = ak.unflatten(flat, ak.num(column))

    events = _read(_source(write("a.root", changed=change)))
    part: Collection = events["GenPart"]
    mother = part["genPartIdxMother"]
    assert [mother[part.starts[event] + 2] for event in (3, 4, 5)] == [-1, -1, -1]
    kept = part.starts[6] + np.arange(part.counts[6])
    assert mother[kept].tolist() == ttbar["GenPart"]["genPartIdxMother"][kept].tolist()


def test_what_a_file_tells_of_its_process(write, tmp_path):
    kind = NanoKind()
    folder = tmp_path / "store/mc/RunIISummer20UL18NanoAODv9/TTTo2L2Nu_TuneCP5_13TeV/NANOAODSIM/106X-v2/0"
    folder.mkdir(parents=True)
    url = shutil.copy(write("a.root"), folder / "a.root")
    facts = kind.facts(kind.of([InputFile(url=str(url), entries=kind.entries(str(url)))]))
    assert facts.primary == "TTTo2L2Nu_TuneCP5_13TeV"
    assert facts.heavy is not None
    assert 6 in facts.heavy
    named = InputFile(url=str(url), entries=40, dataset="/Other_13TeV/Era-X-v1/NANOAODSIM")
    assert kind.facts(kind.of([named])).primary == "Other_13TeV"
    two = kind.of([named, InputFile(url=write("b.root", start=40), lfn=f"{folder}/b.root", entries=40)])
    with pytest.raises(InputError, match="more than one primary dataset, Other_13TeV and TTTo2L2Nu"):
        kind.facts(two)


SAMPLES = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
real = pytest.mark.skipif(SAMPLES is None, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of real files")


@real
def test_real_files_are_looked_at():
    energies = {}
    for path in sorted(Path(SAMPLES or "").glob("*.root")):
        with uproot.open(path) as file:
            keys = file["Events"].keys()
            if not file["Events"].num_entries:
                with pytest.raises(InputError, match="holds no events"):
                    look_at(str(path))
                continue
        look = look_at(str(path))
        energies[path.stem] = look.energy_tev
        assert ("LHEPdfWeight" in look.names) == ("LHEPdfWeight" in keys)
    assert set(energies.values()) <= {13.0, 13.6, None}


@real
def test_a_real_skim_keeps_its_norm_and_its_weights(tmp_path):
    url = str(Path(SAMPLES or "") / "tt2l2nu_ul18_v9.root")
    if not Path(url).exists():
        pytest.skip("there is no skim among the files")
    path = _written(tmp_path / "out.root", _source(url), 2)
    with uproot.open(url) as before, uproot.open(path) as after:
        ratios = [
            file["Events"]["genWeight"].array(library="np").astype(float).sum()
            / file["Runs"]["genEventSumw"].array(library="np").sum()
            for file in (before, after)
        ]
        for name in ("LHEPdfWeight", "LHEScaleWeight", "PSWeight", "LHEPart_pt", "LHE_HT"):
            assert ak.array_equal(after["Events"][name].array()[1::2], before["Events"][name].array())
        assert after["Runs"]["LHEPdfSumw"].array().to_list() == before["Runs"]["LHEPdfSumw"].array().to_list()
    assert ratios[1] == pytest.approx(ratios[0], rel=1e-9)


@real
def test_a_real_rntuple_is_read():
    url = str(Path(SAMPLES or "") / "dyjets_rntuple.root")
    if not Path(url).exists():
        pytest.skip("there is no RNTuple among the files")
    assert inspect_input(url) == 40
    events = _read(_source(url))
    with uproot.open(url) as file:
        expected = file["Events"].arrays(["GenPart_pt", "LHEPdfWeight"])
    assert events["GenPart"]["pt"].tolist() == ak.flatten(expected.GenPart_pt).to_list()
    assert events["LHEPdfWeight"][""].tolist() == ak.flatten(expected.LHEPdfWeight).to_list()
