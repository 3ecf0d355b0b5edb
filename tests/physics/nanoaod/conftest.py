"""Made-up events that have every branch of the schema and pass every check."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.nanoaod.checks import PT_ORDERED
from flashsim_prod.physics.nanoaod.schema import Branch, attributes, branches, collections

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
BOOKKEEPING = ("run", "luminosityBlock", "event")


def make_events(
    n_gen: int,
    *,
    seed: int = 1,
    oversample: int = 1,
    first: int = 0,
    multiplicity: Mapping[str, float] = MULTIPLICITY,
    scalars: Callable[[str], bool] = lambda name: True,
) -> Events:
    """Events [first, first + n_gen) of a made-up dataset, each `oversample` times."""
    rng = np.random.default_rng([seed, first])
    n = n_gen * oversample
    counts = {name: rng.poisson(mean, n) for name, mean in multiplicity.items()}
    made = {name: _collection(name, counts, rng) for name in multiplicity}
    single = (one for one in branches().values() if one.collection is None and scalars(one.name))
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


def _collection(name: str, counts: Mapping[str, Column], rng: np.random.Generator) -> Collection:
    n_objects = int(counts[name].sum())
    columns = {one.attribute: _values(one, n_objects, rng) for one in attributes(name) if not one.links}
    for one in attributes(name):
        if one.links:
            room = np.repeat(counts.get(one.links[0], np.zeros_like(counts[name])), counts[name])
            columns[one.attribute] = (rng.integers(0, room + 1) - 1).astype(np.int32)
    made = Collection(counts[name].astype(np.int64), columns)
    return made.sorted_by("pt") if name in PT_ORDERED else made


def _values(branch: Branch, n: int, rng: np.random.Generator) -> Column:
    attribute = branch.name.rpartition("_")[2]
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
    return make_events(30, oversample=3, multiplicity=dict.fromkeys(collections(), 2.0))
