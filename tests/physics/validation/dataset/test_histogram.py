"""Histograms of a file's observables."""

from __future__ import annotations

from collections import defaultdict

import awkward as ak
import numpy as np
import pytest
import uproot

from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.validation.dataset import histogram
from flashsim_prod.physics.validation.dataset.histogram import Binning, fill_histograms, save
from flashsim_prod.physics.validation.dataset.observables import find_observable
from flashsim_prod.physics.validation.drawing import plots

V9 = Schema.load("v9")

FOLDS = 4


def _events(n_gen: int, first: int = 0) -> Events:
    rng = np.random.default_rng(first + 1)
    n = n_gen * FOLDS
    gen = np.repeat(np.arange(first, first + n_gen), FOLDS)
    counts = rng.poisson(1.5, n)
    pt = rng.exponential(40, counts.sum()).round().astype(np.float32)
    jets = Collection(counts, {"pt": pt, "eta": np.zeros_like(pt)}).sorted_by("pt")
    scalars = {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": np.ones(n, np.uint32),
        "event": (np.arange(n) + first * FOLDS).astype(np.uint64),
        "genWeight": rng.choice(np.float32([1, -1]), n, p=[0.8, 0.2]),
        "FlashSim_genEvent": gen.astype(np.uint64),
        "FlashSim_fold": np.tile(np.arange(FOLDS, dtype=np.int32), n_gen),
        "FlashSim_oversample": np.full(n, FOLDS, np.int32),
    }
    return Events(n, scalars, {"Jet": jets})


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    for number in range(2):
        with NanoWriter(folder / f"{number}.root", schema=V9, provenance={}) as writer:
            writer.write(_events(30, 30 * number))
    return [str(folder / f"{number}.root") for number in range(2)]


def test_all_files_are_in_it_however_they_are_read(files, monkeypatch):
    # chunks that cut generator events in two
    monkeypatch.setattr(histogram, "_CHUNK_EVENTS", 7)
    (leading, every, number) = fill_histograms(files, ["Jet_pt[0]", "Jet_pt", "nJet"], Binning(5, 0, 100))
    by_gen = defaultdict(lambda: np.zeros(7))
    for url in files:
        tree = uproot.open(url)["Events"].arrays(["Jet_pt", "genWeight", "FlashSim_genEvent"])
        for event in tree:
            if len(event.Jet_pt):
                cell = int(np.clip(event.Jet_pt[0] // 20, -1, 5)) + 1
                by_gen[event.FlashSim_genEvent][cell] += event.genWeight / FOLDS
    sums = np.array(list(by_gen.values()))
    np.testing.assert_allclose(leading.by_gen.values(flow=True), sums.sum(axis=0), atol=1e-6)
    np.testing.assert_allclose(leading.by_gen.variances(flow=True), (sums**2).sum(axis=0), rtol=1e-5)
    assert every.by_gen.entries > leading.by_gen.entries
    assert number.by_gen.entries == 60 * FOLDS
    assert leading.folds == FOLDS
    figures = leading.figures()
    assert len(figures["edges"]) == 6
    assert len(figures["values"]) == len(figures["errors"]) == 7


def test_the_root_file_holds_the_same(files, tmp_path):
    (filled,) = fill_histograms(files, ["Jet_pt[0]"], None)
    save([filled], tmp_path / "h.root")
    read = uproot.open(tmp_path / "h.root")["Jet_pt_0"]
    np.testing.assert_allclose(read.values(), filled.by_gen.values())
    np.testing.assert_allclose(read.variances(flow=True), filled.by_gen.variances(flow=True))
    assert plots.oversampled(filled).startswith(b"\x89PNG")


def test_bins_that_fit(files):
    assert Binning.around(np.array([0.0, 1, 2, 3])) == Binning(4, -0.5, 3.5)
    assert Binning.around(np.linspace(0, 1, 1000)).bins == 40
    assert Binning.parse("40,0,200") == Binning(40, 0.0, 200.0)
    for wrong in ("40,0", "x,0,1", "0,0,1", "3,2,1"):
        with pytest.raises(RequestError, match="bins"):
            Binning.parse(wrong)
    (number,) = fill_histograms(files, ["nJet"], None)
    edges = number.by_gen.hist().axes[0].edges
    assert edges[:2] == pytest.approx([-0.5, 0.5])


def test_what_there_is_not_is_named(files, tmp_path):
    with pytest.raises(RequestError, match=r"no 'Jet_pf'; did you mean 'Jet_pt'\?"):
        fill_histograms(files, ["Jet_pf"], None)
    with pytest.raises(RequestError, match="no 'Muon_pt'"):
        fill_histograms(files, ["m(ll) at Z"], None)
    with pytest.raises(RequestError, match=r"no 'Jet_mass'"):
        find_observable("Jet_mass[0]", {"Jet_pt"})
    with uproot.recreate(tmp_path / "other.root") as file:
        file.mktree("Events", {"MET_pt": "float32"}).extend({"MET_pt": np.ones(3, np.float32)})
    with pytest.raises(InputError, match="no branch 'FlashSim_genEvent'"):
        fill_histograms([str(tmp_path / "other.root")], ["MET_pt"], None)


def test_a_collection_may_have_an_underscore_in_its_name(tmp_path):
    path = tmp_path / "protons.root"
    protons = {"t": np.float32([0.25, 0.75]), "arm": np.int32([0, 1])}
    records = [[{name: c[n] for name, c in protons.items()} for n in range(k)] for k in (1, 2, 0)]
    tree = {
        "genWeight": np.float32([1, 1, 1]),
        "FlashSim_genEvent": np.uint64([0, 1, 2]),
        "FlashSim_oversample": np.int32([1, 1, 1]),
        "Proton_multiRP": ak.Array(records),
    }
    with uproot.recreate(path) as file:
        types = {name: column.dtype for name, column in tree.items() if isinstance(column, np.ndarray)}
        fields = "var * {t: float64, arm: int64}"
        file.mktree("Events", {**types, "Proton_multiRP": fields}).extend(tree)
    names = ["Proton_multiRP_t", "Proton_multiRP_arm[1]"]
    every, second = fill_histograms([str(path)], names, Binning(2, 0, 1.5))
    assert every.by_event.values().tolist() == [2, 1]
    assert second.by_event.values().tolist() == [0, 1]


def test_files_that_are_not_two_of_one_dataset_are_refused(files, tmp_path, monkeypatch):
    monkeypatch.setattr(histogram, "_CHUNK_EVENTS", 50)
    with pytest.raises(InputError, match=r"0\.root is given twice; its events would count twice"):
        fill_histograms([*files, files[0]], ["nJet"], None)
    # nor is a file that two were joined into, whether all of it is filled at once or not
    joined = tmp_path / "joined.root"
    with NanoWriter(joined, schema=V9, provenance={}) as writer:
        for _ in range(2):
            writer.write(_events(20))
    for chunk in (50, 1000):
        monkeypatch.setattr(histogram, "_CHUNK_EVENTS", chunk)
        with pytest.raises(InputError, match=r"joined\.root is no file of one dataset: .* event [0-9]+ "):
            fill_histograms([str(joined)], ["nJet"], None)
    # as those of two requests have, whose errors would be taken for those of the same events
    other = tmp_path / "other.root"
    with NanoWriter(other, schema=V9, provenance={"another": "one"}) as writer:
        writer.write(_events(20, 45))
    with pytest.raises(InputError, match=r"other\.root and .*1\.root both have generator event 45"):
        fill_histograms([*files, str(other)], ["nJet"], None)
