"""Constituents of the reference detector's jets: as many as a jet has, of the kinds that its fractions tell.

A jet's energy is shared among its kinds of candidates by its energy fractions, and within a kind unevenly;
candidates gather around one to three axes, the softer the farther. In the end they sum up to the jet. Shapes
and widths were chosen by eye: nothing here fragments or showers.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions.constituents import candidates as found
from flashsim_prod.physics.definitions.constituents import sums
from flashsim_prod.physics.detector.draws import Bools, Floats, Ints, chance
from flashsim_prod.physics.events import Collection, Events

#: fractions of a jet, the kinds of `found.PDG_IDS` that share each, and how many of these for its energy
_KINDS = {
    "chHEF": ((0, 1), 1.0),
    "neEmEF": ((2, 2), 1.1),
    "neHEF": ((3, 3), 0.45),
    "chEmEF": ((4, 5), 0.15),
    "muEF": ((6, 7), 0.05),
}
#: beyond, the forward calorimeter's two kinds take the place of photons and neutral hadrons
_FORWARD = 3.0
_OF_FORWARD = {2: 9, 3: 8}
#: how unevenly candidates of a kind share its energy: shape of a gamma distribution
_UNEVEN = 0.55
#: and how little of it one has at least, as a share of what it has on average
_SOFTEST = 0.04
#: chance of a second and of a third axis, of jets of gluons and of others
_MORE_AXES = {True: (0.75, 0.35), False: (0.5, 0.15)}
#: tracks softer than this have no uncertainties [GeV], as in packed candidates
_SOFTEST_DETAILED = 0.95


def simulate_constituents(rng: np.random.Generator, events: Events) -> Collection:
    """Candidates of all jets of `events`, in the order of the jets, those of a jet by falling pt.

    Their column ``jet`` is the position of the jet of each in the event.
    """
    jets = events["Jet"]
    number = jets["nConstituents"].astype(np.int64)
    jet = np.repeat(np.arange(jets.n_objects), number)
    kind, share = _kinds_and_shares(rng, jets, jet)
    deta, dphi = _directions(rng, jets, jet, share)
    raw = sums.raw_vectors(jets)
    pt, eta, phi = sums.polar(raw[:, 1:])
    momenta = sums.cartesian(
        np.maximum(share * pt[jet], 1e-3), eta[jet] + deta, phi[jet] + dphi, np.zeros(len(jet))
    )[:, 1:]
    momenta, masses = sums.projected(momenta, found.MASSES[kind], jet, raw)
    pt, eta, phi = sums.polar(momenta)
    columns = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": masses,
        "pdgId": found.PDG_IDS[kind],
        "charge": found.CHARGES[kind],
        "puppiWeight": _puppi_weight(rng, jets, jet, kind, pt),
        **_tracks(rng, jets, jet, kind, pt),
        found.JET: jets.local_index[jet],
    }
    order = np.lexsort((-pt, jet))
    counts = np.bincount(jets.event_index[jet], minlength=events.n).astype(np.int64)
    return Collection(counts, {name: column[order] for name, column in columns.items()})


def _kinds_and_shares(rng: np.random.Generator, jets: Collection, jet: Ints) -> tuple[Ints, Floats]:
    """The kind of each candidate, and its share of its jet's energy."""
    n = len(jet)
    fractions = np.stack([np.maximum(jets[name].astype(np.float64), 0.0) for name in _KINDS], axis=1)
    numbers = fractions * np.array([number for _, number in _KINDS.values()])
    below = np.cumsum(numbers, axis=1)
    total = np.maximum(below[:, -1:], 1e-9)
    first = np.searchsorted(jet, np.arange(jets.n_objects)) if n else np.zeros(jets.n_objects, np.int64)
    rank = np.arange(n) - first[jet]
    # the first candidates make sure that each kind that has energy is there
    present = fractions > 0
    order = np.argsort(~present, axis=1, kind="stable")
    n_present = present.sum(axis=1)
    chosen = (rng.random(n)[:, None] * total[jet] > below[jet]).sum(axis=1).clip(max=len(_KINDS) - 1)
    part = np.where(rank < n_present[jet], order[jet, np.minimum(rank, len(_KINDS) - 1)], chosen)
    weight = rng.gamma(_UNEVEN, size=n) + _SOFTEST
    of_part = part + len(_KINDS) * jet
    norm = np.bincount(of_part, weight, minlength=len(_KINDS) * jets.n_objects)[of_part]
    share = fractions[jet, part] * weight / norm
    ids = np.array([kinds for kinds, _ in _KINDS.values()])
    kind = ids[part, rng.integers(0, 2, n)]
    forward = np.abs(jets["eta"][jet]) > _FORWARD
    for central, calorimeter in _OF_FORWARD.items():
        kind = np.where(forward & (kind == central), calorimeter, kind)
    return kind.astype(np.int64), np.maximum(share, 1e-5)


def _directions(
    rng: np.random.Generator, jets: Collection, jet: Ints, share: Floats
) -> tuple[Floats, Floats]:
    """Distances from the jet's axis in eta and phi: around the axes of its prongs."""
    n, n_jets = len(jet), jets.n_objects
    size = jets["mass"].astype(np.float64) / np.maximum(jets["pt"].astype(np.float64), 1e-3)
    is_gluon = np.abs(jets["partonFlavour"]) == 21
    second, third = (np.where(is_gluon, _MORE_AXES[True][i], _MORE_AXES[False][i]) for i in range(2))
    axes = 1 + chance(rng, second, n_jets).astype(np.int64)
    axes += (axes == 2) & chance(rng, third, n_jets)
    center = size[:, None, None] * rng.normal(0.0, 1.1, (n_jets, 3, 2))
    mine = center[jet, (rng.random(n) ** 1.5 * axes[jet]).astype(np.int64)]
    softness = np.clip((share * np.bincount(jet, minlength=n_jets)[jet]) ** -0.45, 0.2, 6.0)
    width = 0.45 * size[jet] * softness
    around = mine + width[:, None] * rng.normal(size=(n, 2))
    # no candidate is far outside of the cone
    length = np.hypot(around[:, 0], around[:, 1])
    around *= (np.minimum(length, 0.45) / np.maximum(length, 1e-9))[:, None]
    return around[:, 0], around[:, 1]


def _puppi_weight(rng: np.random.Generator, jets: Collection, jet: Ints, kind: Ints, pt: Floats) -> Floats:
    """1 for most charged candidates, and for neutral ones the nearer to 1 the harder they are."""
    is_charged = found.CHARGES[kind] != 0
    neutral = rng.beta(0.6 + 0.9 * np.log1p(pt), 0.7)
    charged = np.where(chance(rng, 0.92, len(pt)), 1.0, rng.random(len(pt)))
    weight = np.where(is_charged, charged, neutral)
    return np.where(weight < 0.01, 0.0, weight)


def _tracks(
    rng: np.random.Generator, jets: Collection, jet: Ints, kind: Ints, pt: Floats
) -> dict[str, Floats]:
    """Impact parameters and their uncertainties [cm]; of heavy flavour, some tracks are displaced."""
    n = len(pt)
    d0_error = (0.0012 + 0.006 / pt) * np.exp(0.25 * rng.normal(size=n))
    dz_error = (0.0018 + 0.009 / pt) * np.exp(0.3 * rng.normal(size=n))
    heavy = np.select([jets["hadronFlavour"][jet] == 5, jets["hadronFlavour"][jet] == 4], [0.4, 0.25], 0.05)
    displaced = np.where(chance(rng, heavy, n), rng.exponential(0.04, n) * rng.choice([-1.0, 1.0], n), 0.0)
    values = {
        "d0": d0_error * rng.normal(size=n) + displaced,
        "dz": dz_error * rng.normal(size=n) + displaced * rng.normal(1.0, 0.5, n),
        "d0Err": d0_error,
        "dzErr": dz_error,
    }
    has_track: Bools = found.CHARGES[kind] != 0
    detailed = has_track & (pt > _SOFTEST_DETAILED)
    return {
        name: np.where(detailed if name.endswith("Err") else has_track, value, found.NO_TRACK)
        for name, value in values.items()
    }
