"""Links by matching: against plain loops, and against the links of real files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.events import Collection, Events

PROMPT, FROM_TAU = links.IS_PROMPT, links.IS_DIRECT_PROMPT_TAU_DECAY


def _objects(counts: list[int], seed: int, spread: float = 0.4) -> Collection:
    """Crowded objects, some of them on both sides of phi = pi."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    return Collection(
        np.array(counts, np.int64),
        {
            "pt": rng.exponential(30, n).astype(np.float32),
            "eta": rng.normal(0, spread, n).astype(np.float32),
            "phi": links.delta_phi(np.pi + rng.normal(0, spread, n), np.zeros(1)).astype(np.float32),
        },
    )


def _distance(a: Collection, b: Collection, i: int, j: int) -> float:
    d_phi = abs(float(a["phi"][i]) - float(b["phi"][j]))
    return float(np.hypot(float(a["eta"][i]) - float(b["eta"][j]), min(d_phi, 2 * np.pi - d_phi)))


def _all_pairs(a: Collection, b: Collection) -> list[tuple[int, int]]:
    return [
        (i, j) for i in range(a.n_objects) for j in range(b.n_objects) if a.event_index[i] == b.event_index[j]
    ]


@st.composite
def two_collections(draw: st.DrawFn) -> tuple[Collection, Collection]:
    n = draw(st.integers(1, 6))
    counts = st.lists(st.integers(0, 5), min_size=n, max_size=n)
    return _objects(draw(counts), draw(st.integers(0, 99))), _objects(
        draw(counts), draw(st.integers(100, 199))
    )


@given(two_collections(), st.integers(1, 50))
def test_pairs_are_all_pairs_whatever_the_block(both: tuple[Collection, Collection], max_pairs: int) -> None:
    a, b = both
    blocks = list(links.pairs(a, b, max_pairs=max_pairs))
    found = [(int(i), int(j)) for of_a, of_b in blocks for i, j in zip(of_a, of_b, strict=True)]
    assert found == _all_pairs(a, b)
    most = int(b.counts.max(initial=0))
    assert all(len(of_a) <= max(max_pairs, most) for of_a, _ in blocks)


@given(two_collections(), st.floats(0.05, 2.0))
def test_nearest_is_the_nearest(both: tuple[Collection, Collection], max_dr: float) -> None:
    a, b = both
    position, distance = links.nearest(a, b, max_dr)
    for i in range(a.n_objects):
        near = [(_distance(a, b, i, j), j) for k, j in _all_pairs(a, b) if k == i]
        near = [(dr, j) for dr, j in near if dr < max_dr]
        if not near:
            assert position[i] == -1
            assert np.isinf(distance[i])
        else:
            assert distance[i] == pytest.approx(min(near)[0])
            assert _distance(a, b, i, int(position[i])) == pytest.approx(min(near)[0])


@given(two_collections())
def test_close_pairs_are_those_within_the_distance(both: tuple[Collection, Collection]) -> None:
    a, b = both
    of_a, of_b, distance = links.close_pairs(a, b, 0.5)
    assert {(int(i), int(j)) for i, j in zip(of_a, of_b, strict=True)} == {
        (i, j) for i, j in _all_pairs(a, b) if _distance(a, b, i, j) < 0.5
    }
    assert (distance < 0.5).all()


def _greedy(candidates: list[tuple[float, int, int]]) -> dict[int, int]:
    taken: dict[int, int] = {}
    for _, i, j in candidates:
        if i not in taken and j not in taken.values():
            taken[i] = j
    return taken


@given(two_collections())
@settings(max_examples=200)
def test_matches_equal_those_of_a_plain_loop(both: tuple[Collection, Collection]) -> None:
    a, b = both
    of_a, of_b, distance = links.close_pairs(a, b, 0.6)
    rows = list(zip(distance.tolist(), of_a.tolist(), of_b.tolist(), strict=True))
    by_distance = links.match_by_distance(of_a, of_b, distance, a.n_objects)
    in_order = links.match_in_order(of_a, of_b, distance, a.n_objects)
    for result, candidates in (
        (by_distance, sorted(rows)),
        (in_order, sorted(rows, key=lambda row: (row[1], row[0]))),
    ):
        expected = _greedy(candidates)
        assert {i: int(j) for i, j in enumerate(result) if j >= 0} == expected


@given(two_collections())
def test_local_and_flat_undo_each_other(both: tuple[Collection, Collection]) -> None:
    a, b = both
    position, _ = links.nearest(a, b)
    index = links.local(position, b)
    assert index.dtype == np.int32
    assert np.array_equal(links.flat(index, a, b), position)


def test_a_link_beyond_the_collection_points_nowhere() -> None:
    a, b = _objects([1, 1], 1), _objects([0, 2], 2)
    assert links.flat(np.array([0, 1]), a, b).tolist() == [-1, 1]
    assert links.flat(np.array([-1, 2]), a, b).tolist() == [-1, -1]


def test_leptons_of_a_jet_are_numbered_in_order() -> None:
    muons, jets = _objects([3, 1], 1), _objects([2, 2], 2)
    first, second, number = links.jet_leptons(np.array([1, 1, 1, 2]), muons, jets)
    assert first.tolist() == [-1, 0, 0, -1]
    assert second.tolist() == [-1, 1, -1, -1]
    assert number.tolist() == [0, 3, 1, 0]


def _particles(rows: list[tuple[int, int, int, int]]) -> Collection:
    """One event of (pdgId, status, statusFlags, mother) at one place."""
    columns = {name: np.zeros(len(rows), np.float32) for name in ("eta", "phi")}
    columns["pt"] = np.full(len(rows), 20.0, np.float32)
    names = ("pdgId", "status", "statusFlags", "genPartIdxMother")
    columns |= {name: np.array([row[i] for row in rows], np.int32) for i, name in enumerate(names)}
    return Collection(np.array([len(rows)]), columns)


def test_the_flavour_of_a_lepton_is_its_history() -> None:
    particles = _particles(
        [
            (24, 22, 0, -1),
            (-13, 1, PROMPT, 0),
            (-15, 2, PROMPT, 0),
            (-13, 1, FROM_TAU, 2),
            (5122, 2, 0, -1),  # Lambda_b
            (4122, 2, 0, 4),  # Lambda_c
            (13, 1, 0, 5),
            (411, 2, 0, -1),
            (-13, 1, 0, 7),
            (211, 2, 0, -1),
            (-13, 1, 0, 9),
            (553, 2, 0, -1),  # Upsilon
            (13, 1, 0, 11),
        ]
    )
    muons = np.array([1, 3, 6, 8, 10, 12, -1])
    assert links.lepton_flavour(particles, muons).tolist() == [1, 15, 5, 4, 3, 5, 0]


@pytest.mark.parametrize(
    ("pdg_id", "charm", "bottom"),
    [
        (511, 0, 1),
        (421, 1, 0),
        (-5122, 0, 1),
        (443, 1, 0),
        (541, 0, 1),
        (4, 0, 0),
        (5, 0, 0),
        (1000050100, 0, 0),
    ],
)
def test_hadrons_are_known_by_their_heaviest_quark(pdg_id: int, charm: int, bottom: int) -> None:
    code = np.array([pdg_id])
    assert bool(links.has_flavour(code, 4)[0]) == bool(charm)
    assert bool(links.has_flavour(code, 5)[0]) == bool(bottom)


def test_differences_of_angles_are_those_of_a_division() -> None:
    rng = np.random.default_rng(4)
    edges = np.array([0.0, -0.0, np.pi, -np.pi, 1e-17, -1e-17, np.float32(np.pi), 2 * np.pi, -2 * np.pi])
    for scale in (1.0, 20.0):
        a = np.concatenate((edges, edges, scale * rng.uniform(-np.pi, np.pi, 2000), edges * 0))
        b = np.concatenate((edges[::-1], 0 * edges, scale * rng.uniform(-np.pi, np.pi, 2000), edges))
        expected = (a - b + np.pi) % (2 * np.pi) - np.pi
        assert links.delta_phi(a, b).tobytes() == expected.tobytes()
    assert np.isnan(links.delta_phi(np.array([np.nan, 1.0]), np.zeros(2))).tolist() == [True, False]
    assert links.delta_phi(np.array([]), np.array([])).shape == (0,)


def test_hadrons_among_others_are_found_in_their_places() -> None:
    codes = np.array([21, 511, -5122, 6, 421, 1000050100, 443], np.int32)
    assert links.has_flavour(codes, 5).tolist() == [False, True, True, False, False, False, False]
    assert links.has_flavour(codes, 4).tolist() == [False, False, False, False, True, False, True]
    assert links.has_flavour(codes[:0], 5).tolist() == []


def test_a_generator_muon_is_matched_only_if_its_pt_is_alike() -> None:
    particles = _particles([(13, 1, PROMPT, -1)])
    muons = Collection(
        np.array([2]), {name: np.zeros(2) for name in ("eta", "phi")} | {"pt": np.array([31.0, 29.0])}
    )
    assert links.muon_gen_part(muons, particles).tolist() == [-1, 0]


def test_no_events_have_no_links() -> None:
    nothing, particles = _objects([], 1), _particles([]).take_events(np.empty(0, np.int64))
    assert links.nearest(nothing, nothing)[0].shape == (0,)
    assert links.jet_gen_jet(nothing, nothing).shape == (0,)
    assert links.muon_gen_part(nothing, particles).shape == (0,)
    assert links.lepton_flavour(particles, np.empty(0, np.int64)).shape == (0,)


# ---------------------------------------------------------------- real files

SAMPLES = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
needs_samples = pytest.mark.skipif(
    not SAMPLES, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files"
)
GEN_JET = [f"GenJet_{name}" for name in ("pt", "eta", "phi", "partonFlavour", "hadronFlavour")]
GEN_PART = [
    f"GenPart_{name}" for name in ("pt", "eta", "phi", "pdgId", "status", "statusFlags", "genPartIdxMother")
]


def _sample(name: str, *branches: str) -> Events:
    from flashsim_prod.physics.nanoaod.reader import NanoFile

    with NanoFile(str(Path(SAMPLES or "") / f"{name}.root")) as file:
        return file.read([*branches, *GEN_JET, *GEN_PART], 0, file.n_entries)


JETS = [
    f"Jet_{name}"
    for name in ("pt", "eta", "phi", "genJetIdx", "hadronFlavour", "muonIdx1", "muonIdx2", "nMuons")
]
MUONS = [
    f"Muon_{name}"
    for name in ("pt", "eta", "phi", "isPFcand", "jetIdx", "genPartIdx", "genPartFlav", "mediumId")
]
FILES = ["ttbar_v12", "ttbar_opendata2015_v9", "dyjets_ul17_v8like", "dyjets_v6like", "ggH_v13"]


@needs_samples
@pytest.mark.parametrize("name", FILES)
def test_links_of_real_jets_are_found_again(name: str) -> None:
    events = _sample(name, *JETS)
    jets, gen_jets = events["Jet"], events["GenJet"]
    real = links.flat(jets["genJetIdx"], jets, gen_jets)
    assert (links.jet_gen_jet(jets, gen_jets) == real).mean() > 0.99
    _, hadron = links.jet_flavours(real, gen_jets)
    assert (hadron == jets["hadronFlavour"])[real >= 0].mean() > 0.99


@needs_samples
@pytest.mark.parametrize("name", FILES)
def test_links_of_real_muons_are_found_again(name: str) -> None:
    events = _sample(name, *JETS, *MUONS)
    jets, muons, particles = events["Jet"], events["Muon"], events["GenPart"]
    particle = links.muon_gen_part(muons, particles)
    assert np.array_equal(links.local(particle, particles), muons["genPartIdx"])
    assert (links.lepton_flavour(particles, particle) == muons["genPartFlav"]).mean() > 0.98
    first, second, number = links.jet_leptons(links.flat(muons["jetIdx"], muons, jets), muons, jets)
    assert np.array_equal(first, jets["muonIdx1"])
    assert np.array_equal(second, jets["muonIdx2"])
    assert np.array_equal(number, jets["nMuons"])


@needs_samples
@pytest.mark.parametrize("name", ["ttbar_opendata2015_v9", "dyjets_ul17_v8like", "dyjets_v6like"])
def test_jets_of_real_muons_are_found_again(name: str) -> None:
    """For jets that keep all particles; PUPPI jets also drop muons by weight."""
    events = _sample(name, *JETS, *MUONS)
    found = links.lepton_jet(events["Muon"], events["Jet"], events["Muon"]["isPFcand"].astype(bool))
    assert (links.local(found, events["Jet"]) == events["Muon"]["jetIdx"]).mean() > 0.95


@needs_samples
@pytest.mark.parametrize("name", ["dyjets_ul17_v8like", "dyjets_v6like"])
def test_cleaning_masks_of_real_files_are_found_again(name: str) -> None:
    events = _sample(
        name, *JETS, *MUONS, "Muon_cleanmask", "Jet_cleanmask", "Electron_jetIdx", "Electron_cleanmask"
    )
    jets, muons, electrons = events["Jet"], events["Muon"], events["Electron"]
    assert np.array_equal(links.muon_cleanmask(muons), muons["cleanmask"])
    held = [
        np.where(leptons["cleanmask"] > 0, links.flat(leptons["jetIdx"], leptons, jets), -1)
        for leptons in (muons, electrons)
    ]
    assert np.array_equal(links.jet_cleanmask(jets, held), jets["cleanmask"])
