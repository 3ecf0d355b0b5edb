"""Generator-level events for the tests of the detector: jets, and muons of four origins; no generator."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.physics.events import Collection, Events

# what these tests alone share
sys.path.insert(0, str(Path(__file__).resolve().parent))

PROMPT, FROM_TAU, LAST_COPY = 1 << 0, 1 << 5, 1 << 13

#: mothers and a muon: (pdgId, status, statusFlags, mother's place in the chain)
_CHAINS = {
    "prompt": [(24, 22, LAST_COPY, -1), (-13, 1, LAST_COPY | PROMPT, 0)],
    "tau": [(24, 22, LAST_COPY, -1), (-15, 2, LAST_COPY | PROMPT, 0), (-13, 1, LAST_COPY | FROM_TAU, 1)],
    "bottom": [(521, 2, LAST_COPY, -1), (-421, 2, LAST_COPY, 0), (-13, 1, LAST_COPY, 1)],
    "charm": [(411, 2, LAST_COPY, -1), (-13, 1, LAST_COPY, 0)],
}
ORIGINS = {"prompt": 1, "tau": 15, "bottom": 5, "charm": 4}


def make_gen_events(n: int, *, seed: int = 1, jets: float = 5.0, pileup: float = 35.0) -> Events:
    """`n` events with a falling jet spectrum and one muon of each origin; b and c muons sit in jets."""
    rng = np.random.default_rng(seed)
    gen_jets = _gen_jets(rng, rng.poisson(jets, n))
    particles, muon_jets = _particles(rng, n, gen_jets)
    gen_jets = Collection.join([gen_jets, muon_jets]).sorted_by("pt")
    n_pu = rng.poisson(pileup, n)
    scalars = {
        "GenMET_pt": rng.exponential(30.0, n).astype(np.float32),
        "GenMET_phi": rng.uniform(-np.pi, np.pi, n).astype(np.float32),
        "Pileup_nTrueInt": np.full(n, pileup, np.float32),
        "Pileup_nPU": n_pu.astype(np.int32),
        "genWeight": np.ones(n, np.float32),
    }
    return Events(n, scalars, {"GenPart": particles, "GenJet": gen_jets})


def _gen_jets(rng: np.random.Generator, counts: np.ndarray) -> Collection:
    n = int(counts.sum())
    hadron = rng.choice([0, 4, 5], n, p=[0.6, 0.1, 0.3])
    light = rng.choice([1, -2, 21, 0], n)
    pt = 10.0 + rng.exponential(40.0, n)
    return Collection(
        counts.astype(np.int64),
        {
            "pt": pt.astype(np.float32),
            "eta": rng.normal(0.0, 1.8, n).clip(-5, 5).astype(np.float32),
            "phi": rng.uniform(-np.pi, np.pi, n).astype(np.float32),
            "mass": (0.12 * pt).astype(np.float32),
            "partonFlavour": np.where(hadron > 0, hadron, light).astype(np.int32),
            "hadronFlavour": hadron.astype(np.uint8),
        },
    )


def _particles(rng: np.random.Generator, n: int, gen_jets: Collection) -> tuple[Collection, Collection]:
    """GenPart with the four chains in every event, and jets around the isolated muons."""
    rows = [(chain, *row) for chain, chain_rows in _CHAINS.items() for row in chain_rows]
    per_event = len(rows)
    first = {chain: next(i for i, row in enumerate(rows) if row[0] == chain) for chain in _CHAINS}
    mother = np.array([row[4] + first[row[0]] if row[4] >= 0 else -1 for row in rows])
    momenta = {chain: _momentum(rng, n, chain, gen_jets) for chain in _CHAINS}
    columns = {
        name: np.stack([momenta[row[0]][name] for row in rows], axis=1).ravel().astype(np.float32)
        for name in ("pt", "eta", "phi")
    }
    columns |= {
        "mass": np.zeros(n * per_event, np.float32),
        "pdgId": np.tile([row[1] for row in rows], n).astype(np.int32),
        "status": np.tile([row[2] for row in rows], n).astype(np.int32),
        "statusFlags": np.tile([row[3] for row in rows], n).astype(np.int32),
        "genPartIdxMother": np.tile(mother, n).astype(np.int32),
    }
    around = [_jet_of_muon(momenta[chain]) for chain in ("prompt", "tau")]
    return Collection(np.full(n, per_event), columns), Collection.join(around)


def _momentum(rng: np.random.Generator, n: int, chain: str, gen_jets: Collection) -> dict[str, np.ndarray]:
    momentum = {
        "pt": 12.0 + rng.exponential(25.0, n),
        "eta": rng.uniform(-2.6, 2.6, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
    }
    flavour = {"bottom": 5, "charm": 4}.get(chain)
    if flavour is None:
        return momentum
    # inside the first jet of its flavour, if the event has one
    of_flavour = np.flatnonzero(gen_jets["hadronFlavour"] == flavour)
    events, first = np.unique(gen_jets.event_index[of_flavour], return_index=True)
    jet = of_flavour[first]
    momentum["pt"][events] = gen_jets["pt"][jet] * rng.uniform(0.1, 0.5, len(jet))
    momentum["eta"][events] = gen_jets["eta"][jet] + rng.normal(0.0, 0.05, len(jet))
    momentum["phi"][events] = gen_jets["phi"][jet] + rng.normal(0.0, 0.05, len(jet))
    return momentum


def _jet_of_muon(momentum: dict[str, np.ndarray]) -> Collection:
    n = len(momentum["pt"])
    return Collection(
        np.ones(n, np.int64),
        {
            "pt": (momentum["pt"] * 1.03).astype(np.float32),
            "eta": momentum["eta"].astype(np.float32),
            "phi": momentum["phi"].astype(np.float32),
            "mass": np.ones(n, np.float32),
            "partonFlavour": np.zeros(n, np.int32),
            "hadronFlavour": np.zeros(n, np.uint8),
        },
    )


@pytest.fixture(scope="session")
def gen_events() -> Callable[..., Events]:
    return make_gen_events


@pytest.fixture(scope="session")
def gen() -> Events:
    """2000 events, enough for shares of a percent."""
    return make_gen_events(2000)
