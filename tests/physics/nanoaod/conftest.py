"""Made-up events that have every branch of the schema and pass every check."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.nanoaod.checking.values import PT_ORDERED
from flashsim_prod.physics.nanoaod.merger import find_hadd
from flashsim_prod.physics.nanoaod.schema import Branch, Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter

V9 = Schema.load("v9")

#: mean numbers of objects in events like those of tt production
MULTIPLICITY = {
    "GenPart": 80,
    "GenJet": 10,
    "GenJetAK8": 1.5,
    "SubGenJetAK8": 3,
    "GenVisTau": 0.2,
    "GenDressedLepton": 0.7,
    "GenIsolatedPhoton": 0.1,
    "Jet": 10,
    "Muon": 2,
    "SoftActivityJet": 5,
    "OtherPV": 3,
}


def make_events(
    n_gen: int,
    *,
    seed: int = 1,
    oversample: int = 1,
    first: int = 0,
    multiplicity: Mapping[str, float] = MULTIPLICITY,
    scalars: Callable[[str], bool] = lambda name: True,
    schema: Schema = V9,
) -> Events:
    """Events [first, first + n_gen) of a made-up dataset, each `oversample` times."""
    rng = np.random.default_rng([seed, first])
    n = n_gen * oversample
    counts = {name: rng.poisson(mean, n) for name, mean in multiplicity.items()}
    made = {name: _collection(name, counts, rng, schema) for name in multiplicity}
    single = (one for one in schema.branches.values() if one.collection is None and scalars(one.name))
    values = {one.name: _values(one, n, rng) for one in single}
    gen_event = np.repeat(np.arange(first, first + n_gen), oversample)
    fold = np.tile(np.arange(oversample), n_gen)
    values |= {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": (1 + gen_event // 100).astype(np.uint32),
        "event": (1 + gen_event * oversample + fold).astype(np.uint64),
        "genWeight": rng.choice(np.float32([0.5, -0.5]), n, p=[0.9, 0.1]),
        "FlashSim_genEvent": gen_event.astype(np.uint64),
        "FlashSim_fold": fold.astype(np.int32),
        "FlashSim_oversample": np.full(n, oversample, np.int32),
    }
    return Events(n, values, made)


def _collection(
    name: str, counts: Mapping[str, Column], rng: np.random.Generator, schema: Schema
) -> Collection:
    n_objects = int(counts[name].sum())
    columns = {
        one.attribute: _values(one, n_objects, rng) for one in schema.attributes(name) if not one.links
    }
    for one in schema.attributes(name):
        if one.links:
            # objects that point to each other must agree: none does so here
            room = np.repeat(counts.get(one.links[0], np.zeros_like(counts[name])), counts[name])
            mutual = (
                any(name in back.links for back in schema.attributes(one.links[0])) and one.links[0] != name
            )
            room *= not mutual
            columns[one.attribute] = (rng.integers(0, room + 1) - 1).astype(one.dtype)
    made = Collection(counts[name].astype(np.int64), columns)
    return made.sorted_by("pt") if name in PT_ORDERED else made


def _values(branch: Branch, n: int, rng: np.random.Generator) -> Column:
    attribute = branch.name.rpartition("_")[2]
    if branch.name == "FlashSim_weight":
        return (0.1 + rng.exponential(1, n)).astype(np.float32)
    if branch.legal is not None:
        return rng.choice(branch.legal, n).astype(branch.dtype)
    if branch.dtype == bool:
        return rng.random(n) < 0.8
    if branch.dtype.kind in "iu":
        return rng.poisson(3, n).astype(branch.dtype)
    if attribute == "pt":
        return (15 + rng.exponential(40, n)).astype(np.float32)
    if attribute == "phi":
        return rng.uniform(-np.pi, np.pi, n).astype(np.float32)
    if attribute.startswith(("btag", "mva", "raw")):
        return rng.random(n).astype(np.float32)
    return rng.normal(0, 2, n).astype(np.float32)


@pytest.fixture(scope="session")
def every_branch() -> Events:
    """A few events with all branches of the schema."""
    return make_events(30, oversample=3, multiplicity=dict.fromkeys(V9.collections, 2.0))


@pytest.fixture(scope="session")
def every_branch_file(every_branch: Events, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`every_branch`, written."""
    path = tmp_path_factory.mktemp("nano") / "every_branch.root"
    with NanoWriter(path, schema=V9, provenance={"software": "flashsim-prod", "request": "a test"}) as writer:
        writer.write(every_branch)
    return path


@pytest.fixture(scope="session")
def every_branch_of_v15(tmp_path_factory: pytest.TempPathFactory) -> tuple[Events, Path]:
    """The same of version 15, and the file of it."""
    v15 = Schema.load("v15")
    events = make_events(30, oversample=3, multiplicity=dict.fromkeys(v15.collections, 2.0), schema=v15)
    path = tmp_path_factory.mktemp("nano15") / "every_branch.root"
    about = {"software": "flashsim-prod", "nano": "v15"}
    with NanoWriter(path, schema=v15, provenance=about) as writer:
        writer.write(events)
    return events, path


@pytest.fixture(scope="session")
def samples() -> list[Path]:
    """Files of centrally produced NANOAOD, where the environment names a folder of them."""
    folder = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not folder:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NANOAOD files")
    return [path for path in sorted(Path(folder).glob("*.root")) if "empty" not in path.name]


@pytest.fixture(scope="session")
def hadd(lacking: Callable[[str], None]) -> Path:
    """ROOT's hadd; without it a test is skipped, but fails where CI is set."""
    found = find_hadd()
    if found is None:
        lacking("hadd, of the extra 'root',")
    return found


def assert_same(left: Events, right: Events) -> None:
    """Both hold the same branches, types and values."""
    assert left.n == right.n
    assert left.scalars.keys() == right.scalars.keys()
    assert left.collections.keys() == right.collections.keys()
    for name, column in left.scalars.items():
        assert column.dtype == right.scalars[name].dtype
        np.testing.assert_array_equal(column, right.scalars[name], err_msg=name)
    for name, one in left.collections.items():
        np.testing.assert_array_equal(one.counts, right[name].counts, err_msg=name)
        assert one.columns.keys() == right[name].columns.keys()
        for key, column in one.columns.items():
            assert column.dtype == right[name][key].dtype
            np.testing.assert_array_equal(column, right[name][key], err_msg=f"{name}_{key}")


@pytest.fixture(name="make_events", scope="session")
def _make_events() -> Callable[..., Events]:
    return make_events


@pytest.fixture(name="assert_same", scope="session")
def _assert_same() -> Callable[[Events, Events], None]:
    return assert_same
