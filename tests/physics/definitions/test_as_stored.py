"""Numbers that NanoAOD has in steps, in two values or by chance: by hand and against real files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.jets_muons import in_ghosts, muon_mass, parton_flavour
from flashsim_prod.physics.definitions.vertices import as_found
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.precision import as_stored
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")
SAMPLES = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
needs_samples = pytest.mark.skipif(
    not SAMPLES, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files"
)
#: centrally produced, or by the same software
FILES = ("tt2l2nu_ul18_v9", "ttbar_ul18_v9_pfnano", "darkphotons_v9")
#: collections and groups whose numbers the chain makes
MADE = ("Jet", "Muon", "Electron", "Photon", "FatJet", "SubJet", "Tau", "SV", "FsrPhoton", "OtherPV", "PV")
MADE += ("MET", "PuppiMET", "RawMET", "RawPuppiMET", "CaloMET", "ChsMET", "TkMET")


def _read(name: str, branches: list[str]) -> Events:
    with NanoFile(str(Path(SAMPLES or "") / f"{name}.root"), V9) as file:
        return file.read([one for one in branches if one in file.branches], 0, file.n_entries)


def _bits(values: np.ndarray) -> int:
    """Mantissa bits that any of these float32 needs."""
    mantissa = values.astype(np.float32).view(np.uint32) & np.uint32(0x7FFFFF)
    used = np.bitwise_or.reduce(mantissa)
    return 23 - (int(used & -used.astype(np.int64)).bit_length() - 1) if used else 0


@needs_samples
@pytest.mark.parametrize("name", FILES)
def test_real_numbers_have_the_bits_that_the_tables_say(name: str) -> None:
    wanted = [one for one in V9.branches.values() if one.dtype == np.float32]
    wanted = [one for one in wanted if one.name.startswith(tuple(f"{made}_" for made in MADE))]
    events = _read(name, [one.name for one in wanted])
    checked = 0
    for one in wanted:
        if not events.has_branch(one.name):
            continue
        values = events.branch(one.name)[0]
        values = values[np.isfinite(values)]
        if len(np.unique(values)) < 40:
            continue
        checked += 1
        assert _bits(values) == (23 if one.precision is None else one.precision), one.name
    assert checked > 150


def test_areas_are_whole_ghosts() -> None:
    areas = in_ghosts(Collection(np.array([2]), {"area": np.array([0.5, 2.0])}))["area"]
    assert areas == pytest.approx([50 * 0.2 * np.pi / 63, 201 * 0.2 * np.pi / 63])
    bare = Collection(np.array([1]), {"pt": np.array([30.0])})
    assert in_ghosts(bare) is bare


@needs_samples
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["Jet", "FatJet"])
def test_real_areas_are_whole_ghosts(name: str, kind: str) -> None:
    areas = _read(name, [f"{kind}_area"])[kind]
    again = as_stored(V9.branch(f"{kind}_area"), in_ghosts(areas)["area"])
    assert len(again)
    # half of the last bit where a whole ghost lies between two numbers that can be stored
    np.testing.assert_allclose(again, areas["area"], rtol=2.0**-10)
    assert np.mean(again == areas["area"]) > 0.98


@needs_samples
@pytest.mark.parametrize("name", FILES)
def test_real_muons_have_two_masses(name: str) -> None:
    muons = _read(name, ["Muon_mass", "Muon_isPFcand"])["Muon"]
    assert np.array_equal(as_stored(V9.branch("Muon_mass"), muon_mass(muons["isPFcand"])), muons["mass"])


def _shares(flavour: np.ndarray) -> np.ndarray:
    kind = np.abs(flavour)
    groups = (kind == 0, kind == 21, (kind > 0) & (kind < 4))
    return np.array([group.mean() for group in groups])


def test_flavours_of_partons_follow_in_the_shares_of_real_files() -> None:
    lot = (np.arange(10_000) + 0.5) / 10_000
    of_none = parton_flavour(np.zeros(10_000), lot)
    assert _shares(of_none) == pytest.approx([0.295, 0.585, 0.12], abs=1e-3)
    assert of_none.sum() == pytest.approx(21 * 5850, rel=0.01)
    for light in (-1, 2):
        found = parton_flavour(np.full(10_000, light), lot)
        assert (found == light).mean() == pytest.approx(0.8, abs=1e-3)
        assert (found == 21).mean() == pytest.approx(0.2, abs=1e-3)
    assert (parton_flavour(np.full(10_000, 21), lot) == 21).mean() == pytest.approx(0.97, abs=1e-3)
    for heavy in (-5, -4, 4, 5):
        assert (parton_flavour(np.full(10_000, heavy), lot) == heavy).all()


@needs_samples
@pytest.mark.parametrize("name", FILES[:2])
def test_flavours_of_real_jets_have_these_shares(name: str) -> None:
    branches = ["Jet_genJetIdx", "Jet_partonFlavour", "Jet_eta", "Jet_phi", "GenJet_partonFlavour"]
    events = _read(name, branches)
    jets, gen_jets = events["Jet"], events["GenJet"]
    place = links.flat(jets["genJetIdx"], jets, gen_jets)
    matched = place >= 0
    generated = gen_jets["partonFlavour"][place[matched]]
    ours = parton_flavour(generated, links.lots(jets["eta"][matched], jets["phi"][matched]))
    real = jets["partonFlavour"][matched]
    assert _shares(ours) == pytest.approx(_shares(real), abs=0.04)
    heavy = np.isin(np.abs(real), (4, 5))
    assert (ours == real)[heavy].mean() > 0.95


def test_lots_are_even_and_stay_for_what_rounding_changes() -> None:
    rng = np.random.default_rng(3)
    eta, phi = rng.normal(0, 2, 20_000), rng.uniform(-np.pi, np.pi, 20_000)
    lot = links.lots(eta, phi)
    assert np.histogram(lot, 10, (0, 1))[0] == pytest.approx(2000, rel=0.1)
    assert abs(np.corrcoef(lot, phi)[0, 1]) < 0.03
    assert abs(np.corrcoef(lot, eta)[0, 1]) < 0.03
    moved = np.abs(links.lots(eta + 1e-8, phi) - lot)
    assert np.minimum(moved, 1 - moved).max() < 2e-4


def _falls(vertices: Collection) -> float:
    return float((np.diff(vertices["pt"]) < 0)[np.diff(vertices.event_index) == 0].mean())


def test_vertices_stand_in_an_order_of_chance() -> None:
    rng = np.random.default_rng(5)
    counts = np.full(500, 4)
    columns = {"pt": rng.exponential(size=2000), "eta": rng.normal(size=2000)}
    vertices = Collection(counts, columns | {"phi": rng.uniform(-3, 3, 2000)}).sorted_by("pt")
    found = as_found(vertices)
    assert set(found.columns) == {"pt", "eta", "phi"}
    assert _falls(vertices) == 1.0
    assert _falls(found) == pytest.approx(0.5, abs=0.05)
    assert np.array_equal(as_found(vertices.sorted_by("eta"))["pt"], found["pt"])


@needs_samples
def test_real_vertices_stand_in_no_order() -> None:
    assert _falls(_read("tt2l2nu_ul18_v9", ["SV_pt"])["SV"]) == pytest.approx(0.5, abs=0.06)
