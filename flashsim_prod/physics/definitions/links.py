"""Links between objects by matching, as NanoAOD defines them.

Links are computed from the objects themselves, never generated: the same functions serve the reference
detector and the chain, and they can be held against the links of real files.

All functions work on flat positions: an object's place among the objects of all events. `local` turns
flat positions into the indices within the event that NanoAOD stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection, Column

Positions = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: pairs held in memory at a time
MAX_PAIRS = 2_000_000


def pairs(
    a: Collection, b: Collection, *, max_pairs: int = MAX_PAIRS
) -> Iterator[tuple[Positions, Positions]]:
    """All pairs of an object of `a` and one of `b` in the same event.

    Parameters
    ----------
    a, b : Collection
        Two collections of the same events.
    max_pairs : int
        Pairs in one block; exceeded only where one object alone has more partners.

    Yields
    ------
    of_a, of_b : int64 arrays of shape (n_pairs,)
        Flat positions; ordered by `of_a`, then `of_b`; all partners of an object are in one block.
    """
    partners = b.counts[a.event_index]
    ends = np.cumsum(partners)
    first = 0
    while first < a.n_objects:
        done = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, done + max_pairs, side="right")), first + 1)
        block = partners[first:last]
        of_a = np.repeat(np.arange(first, last), block)
        rank = np.arange(len(of_a)) - np.repeat(np.cumsum(block) - block, block)
        if len(of_a):
            yield of_a, b.starts[a.event_index[of_a]] + rank
        first = last


def delta_phi(a: NDArray[np.generic], b: NDArray[np.generic]) -> Floats:
    """Difference of angles, in [-pi, pi)."""
    turned = np.asarray(a.astype(np.float64) - b.astype(np.float64) + np.pi)
    within(turned, 2 * np.pi)
    turned -= np.pi
    return turned


def within(values: Floats, period: float) -> None:
    """Bring `values` into [0, period) in their place: the same numbers as of ``%``, which takes much longer.

    Of what is a period away from there at most, as differences of angles are, nothing is divided.
    """
    if not values.size or not -period < values.min() <= values.max() < 2 * period:
        values %= period
        return
    values -= period * (values >= period)
    values[values < 0] += period


def delta_r(a: Collection, b: Collection, of_a: Positions, of_b: Positions) -> Floats:
    """Distance in (eta, phi) of the objects at these positions."""
    d_eta = a["eta"][of_a].astype(np.float64) - b["eta"][of_b].astype(np.float64)
    return np.hypot(d_eta, delta_phi(a["phi"][of_a], b["phi"][of_b]))


#: of `lots`, in one unit of azimuth and of pseudorapidity
_TURNS = (131.7, 217.3)


def lots(eta: Column, phi: Column) -> Floats:
    """A number in [0, 1) for each object, even and independent of all else, that follows from its direction.

    For what takes chance but no network draws, such as an order. It goes round some hundred times with the
    azimuth and the pseudorapidity, so that nobody sees where it comes from, and yet little changes it little.
    """
    turned = _TURNS[0] * phi.astype(np.float32).astype(np.float64)
    return np.asarray((turned + _TURNS[1] * eta.astype(np.float32).astype(np.float64)) % 1.0)


def close_pairs(a: Collection, b: Collection, max_dr: float) -> tuple[Positions, Positions, Floats]:
    """Pairs of the same event nearer than `max_dr`, and their distances."""
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for of_a, of_b in pairs(a, b):
        distance = delta_r(a, b, of_a, of_b)
        near = distance < max_dr
        found.append((of_a[near], of_b[near], distance[near]))
    of_a, of_b, distance = (np.concatenate(column) for column in zip(*found, strict=True))
    return of_a, of_b, distance


def nearest(a: Collection, b: Collection, max_dr: float = np.inf) -> tuple[Positions, Floats]:
    """The nearest object of `b` for each of `a`.

    Returns
    -------
    position : int64 array of shape (a.n_objects,)
        Flat position in `b`, -1 if none is nearer than `max_dr`.
    distance : float64 array of shape (a.n_objects,)
        Its distance in (eta, phi), inf if there is none.
    """
    position = np.full(a.n_objects, -1, np.int64)
    distance = np.full(a.n_objects, np.inf)
    for of_a, of_b in pairs(a, b):
        dr = delta_r(a, b, of_a, of_b)
        starts = np.flatnonzero(np.diff(of_a, prepend=-1))
        least = np.minimum.reduceat(dr, starts)
        # first pair that reaches the minimum of its object
        group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(of_a)))
        best = np.flatnonzero(dr == least[group])
        best = best[np.flatnonzero(np.diff(group[best], prepend=-1))]
        position[of_a[best]], distance[of_a[best]] = of_b[best], dr[best]
    far = ~(distance < max_dr)
    position[far], distance[far] = -1, np.inf
    return position, distance


def match_in_order(of_a: Positions, of_b: Positions, distance: Floats, n_a: int) -> Positions:
    """One-to-one match in which each object of `a`, in order, takes the nearest that is still free.

    Parameters
    ----------
    of_a, of_b, distance
        Candidate pairs and their distances.
    n_a : int
        Number of objects of `a`.

    Returns
    -------
    int64 array of shape (n_a,)
        Flat position in `b`, -1 for none.

    Notes
    -----
    This is the ambiguity resolution of CMSSW's ``MCMatch`` family without ``resolveByMatchQuality``.
    Each round of proposals is vectorised; an object of `b` keeps the earliest of its suitors.
    """
    return _propose(of_a, of_b, distance, of_a.astype(np.float64), n_a)


def match_by_distance(of_a: Positions, of_b: Positions, distance: Floats, n_a: int) -> Positions:
    """One-to-one match in which the nearest pairs are made first (``resolveByMatchQuality``).

    Parameters and result as for `match_in_order`.
    """
    return _propose(of_a, of_b, distance, distance, n_a)


def _propose(of_a: Positions, of_b: Positions, wish: Floats, favour: Floats, n_a: int) -> Positions:
    """Stable match: `a` wants the least `wish`, `b` keeps the least `favour`."""
    result = np.full(n_a, -1, np.int64)
    order = np.lexsort((wish, of_a))
    of_a, of_b, favour = of_a[order], of_b[order], favour[order]
    while len(of_a):
        first = np.flatnonzero(np.diff(of_a, prepend=-1))
        ranking = first[np.lexsort((of_a[first], favour[first], of_b[first]))]
        kept = ranking[np.flatnonzero(np.diff(of_b[ranking], prepend=-1))]
        refused = np.setdiff1d(first, kept, assume_unique=True)
        if not len(refused):
            result[of_a[kept]] = of_b[kept]
            break
        alive = np.ones(len(of_a), bool)
        alive[refused] = False
        of_a, of_b, favour = of_a[alive], of_b[alive], favour[alive]
    return result


def local(position: Positions, target: Collection) -> NDArray[np.int32]:
    """Index within the event for flat positions in `target`; -1 stays -1."""
    index = np.full(len(position), -1, np.int32)
    linked = position >= 0
    index[linked] = target.local_index[position[linked]]
    return index


def flat(index: NDArray[np.generic], source: Collection, target: Collection) -> Positions:
    """Flat positions in `target` for the NanoAOD link `index` of `source`; -1 if it points nowhere."""
    wanted = index.astype(np.int64)
    counts = target.counts[source.event_index]
    inside = (wanted >= 0) & (wanted < counts)
    return np.where(inside, target.starts[source.event_index] + wanted, -1)


def linked_value(column: Column, position: Positions, missing: int) -> NDArray[np.int64]:
    """Integers of the linked objects; `missing` where the link points nowhere."""
    values = np.full(len(position), missing, np.int64)
    linked = position >= 0
    values[linked] = column[position[linked]]
    return values


# ---------------------------------------------------------------- jets


def jet_gen_jet(jets: Collection, gen_jets: Collection) -> Positions:
    """Generator jet of each jet: within 0.4, one-to-one, jets in the order of pt."""
    return match_in_order(*close_pairs(jets, gen_jets, 0.4), jets.n_objects)


def jet_flavours(gen_jet: Positions, gen_jets: Collection) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """partonFlavour and hadronFlavour of each jet, those of its generator jet; 0 without one."""
    parton = linked_value(gen_jets["partonFlavour"], gen_jet, 0)
    hadron = linked_value(gen_jets["hadronFlavour"], gen_jet, 0)
    return parton.astype(np.int32), hadron.astype(np.int32)


def lepton_jet(leptons: Collection, jets: Collection, eligible: Bools) -> Positions:
    """Jet that holds each lepton: the nearest within 0.4, for `eligible` leptons only."""
    position, _ = nearest(leptons, jets, 0.4)
    return np.where(eligible, position, -1)


def jet_leptons(
    lepton_jet: Positions, leptons: Collection, jets: Collection
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """The inverse of `lepton_jet`: first and second lepton of each jet (index in event) and how many."""
    linked = np.flatnonzero(lepton_jet >= 0)
    order = linked[np.argsort(lepton_jet[linked], kind="stable")]
    owner = lepton_jet[order]
    number = np.bincount(owner, minlength=jets.n_objects).astype(np.int32)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(number) - number, number)
    slots = np.full((2, jets.n_objects), -1, np.int32)
    for slot in (0, 1):
        chosen = rank == slot
        slots[slot, owner[chosen]] = leptons.local_index[order[chosen]]
    return slots[0], slots[1], number


# ---------------------------------------------------------------- generator history

IS_PROMPT = 1 << 0
IS_DIRECT_PROMPT_TAU_DECAY = 1 << 5


def has_flavour(pdg_id: NDArray[np.generic], quark: int) -> Bools:
    """Whether a particle is a hadron whose heaviest valence quark is `quark` (4 or 5)."""
    code = np.abs(pdg_id.astype(np.int64))
    # few particles of an event are hadrons, and dividing takes long
    hadron = np.flatnonzero((code > 100) & (code < 1_000_000_000))
    meson, baryon = (code[hadron] // 100) % 10, (code[hadron] // 1000) % 10
    found = np.zeros(len(code), bool)
    found[hadron] = np.maximum(meson, baryon) == quark
    return found


def ancestor_flavours(gen_parts: Collection, particles: Positions) -> tuple[Bools, Bools]:
    """Whether a charm and whether a bottom hadron is among the ancestors of each particle."""
    mothers = flat(gen_parts["genPartIdxMother"], gen_parts, gen_parts)
    charm_hadron, bottom_hadron = has_flavour(gen_parts["pdgId"], 4), has_flavour(gen_parts["pdgId"], 5)
    charm = np.zeros(len(particles), bool)
    bottom = np.zeros(len(particles), bool)
    current = linked_value(mothers, particles, -1)
    for _ in range(int(gen_parts.counts.max(initial=0))):
        alive = current >= 0
        if not alive.any():
            break
        charm[alive] |= charm_hadron[current[alive]]
        bottom[alive] |= bottom_hadron[current[alive]]
        current = linked_value(mothers, current, -1)
    return charm, bottom


def lepton_flavour(gen_parts: Collection, particles: Positions) -> NDArray[np.uint8]:
    """genPartFlav of leptons from the history of their generator particles.

    1 prompt, 15 from a prompt tau, 5 from b, 4 from c, 3 from light or unknown, 0 unmatched.
    """
    flags = linked_value(gen_parts["statusFlags"], particles, 0)
    charm, bottom = ancestor_flavours(gen_parts, particles)
    kinds = [particles < 0, (flags & IS_PROMPT) > 0, (flags & IS_DIRECT_PROMPT_TAU_DECAY) > 0, bottom, charm]
    return np.select(kinds, [0, 1, 15, 5, 4], 3).astype(np.uint8)


def muon_gen_part(muons: Collection, gen_parts: Collection) -> Positions:
    """Stable generator muon of each muon: within 0.3 and half its pt, one-to-one, the nearest first."""
    stable = (np.abs(gen_parts["pdgId"].astype(np.int64)) == 13) & (gen_parts["status"] == 1)
    where = np.flatnonzero(stable)
    candidates = gen_parts.select(stable)
    of_a, of_b, distance = close_pairs(muons, candidates, 0.3)
    gen_pt = candidates["pt"][of_b].astype(np.float64)
    alike = np.abs(muons["pt"][of_a] - gen_pt) < 0.5 * gen_pt
    matched = match_by_distance(of_a[alike], of_b[alike], distance[alike], muons.n_objects)
    return linked_value(where, matched, -1)


# ---------------------------------------------------------------- cleaning


def muon_cleanmask(muons: Collection) -> NDArray[np.uint8]:
    """1 for muons that the simple cross cleaning keeps: those of medium identification."""
    return muons["mediumId"].astype(np.uint8)


def jet_cleanmask(jets: Collection, jets_of_leptons: Sequence[Positions]) -> NDArray[np.uint8]:
    """0 for jets that hold a selected lepton, 1 for all others.

    Parameters
    ----------
    jets_of_leptons : sequence of int64 arrays of shape (n_leptons,)
        Flat positions of the jets that the selected leptons lie in; -1 for none.
    """
    mask = np.ones(jets.n_objects, np.uint8)
    for jet in jets_of_leptons:
        mask[jet[jet >= 0]] = 0
    return mask
