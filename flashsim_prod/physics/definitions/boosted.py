"""What a generated fat jet holds: hadronic decays of heavy particles, hadrons, and its two prongs.

Read from generator-level NanoAOD alone (GenPart, GenJetAK8, SubGenJetAK8), so that the reference detector,
the chain and the extraction from any file with truth see the same thing.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.links import Bools, Floats, Positions
from flashsim_prod.physics.events import Collection, Column, Events

#: anti-kt radius of fat jets
RADIUS = 0.8

#: what can be inside a fat jet, each a flag; several may be set
DECAYS = ("h_bb", "h_cc", "z_bb", "z_cc", "z_qq", "w_cq", "w_qq", "top", "top_part")

_TOP, _Z, _W, _HIGGS = 6, 23, 24, 25


def hadrons(gen_parts: Collection, quark: int) -> Collection:
    """The last hadrons with such a quark (4 or 5) of each decay chain, as ghost association takes them."""
    mothers = links.flat(gen_parts["genPartIdxMother"], gen_parts, gen_parts)
    last = links.has_flavour(gen_parts["pdgId"], quark)
    above = mothers[last]
    last[above[above >= 0]] = False
    return gen_parts.select(last)


def n_hadrons(gen_parts: Collection, jets: Collection, quark: int) -> Positions:
    """How many of the `hadrons` lie in each jet: nearest to it, and within the radius."""
    jet, _ = links.nearest(hadrons(gen_parts, quark), jets, RADIUS)
    return np.bincount(jet[jet >= 0], minlength=jets.n_objects).astype(np.int64)


def decays(gen_parts: Collection, jets: Collection) -> dict[str, Bools]:
    """Which heavy particles decay to quarks inside each jet, a flag for each of `DECAYS`.

    A decay is inside if both quarks are within the radius; a top quark if its b is there too. ``top_part``
    is a top quark's b with only one quark of the W.
    """
    quarks = _heavy_daughters(gen_parts, jets)
    jet, mother, code = quarks["jet"], quarks["mother"], quarks["code"]
    found = {name: np.zeros(jets.n_objects, bool) for name in DECAYS}
    if not len(jet):
        return found
    kind = np.abs(gen_parts["pdgId"].astype(np.int64))[mother]
    boson = kind != _TOP
    pair, group = np.unique(mother[boson] * jets.n_objects + jet[boson], return_inverse=True)
    number = np.bincount(group)
    heavy = {quark: np.bincount(group, code[boson] == quark) for quark in (4, 5)}
    holder, jet_of = np.divmod(pair, jets.n_objects)
    held, both = kind_of(gen_parts, holder), number == 2
    flags = {
        "h_bb": (held == _HIGGS) & (heavy[5] == 2),
        "h_cc": (held == _HIGGS) & (heavy[4] == 2),
        "z_bb": (held == _Z) & (heavy[5] == 2),
        "z_cc": (held == _Z) & (heavy[4] == 2),
        "z_qq": (held == _Z) & (heavy[4] + heavy[5] == 0),
        "w_cq": (held == _W) & (heavy[4] > 0),
        "w_qq": (held == _W) & (heavy[4] == 0),
    }
    for name, flag in flags.items():
        found[name][jet_of[flag & both]] = True
    bottom = ~boson & (code == 5)
    top_and_jet = mother[bottom] * jets.n_objects + jet[bottom]
    with_b = np.isin(_top_of(gen_parts, holder) * jets.n_objects + jet_of, top_and_jet) & (held == _W)
    found["top"][jet_of[with_b & both]] = True
    found["top_part"][jet_of[with_b & ~both]] = True
    for name in ("w_cq", "w_qq"):
        found[name] &= ~found["top"]
    return found


def kind_of(gen_parts: Collection, positions: Positions) -> Positions:
    """Magnitude of the PDG code of the particles at these positions; 0 for position -1."""
    return np.abs(links.linked_value(gen_parts["pdgId"], positions, 0))


def _heavy_daughters(gen_parts: Collection, jets: Collection) -> dict[str, Positions]:
    """Quarks that come straight from a W, Z, Higgs or top quark and lie in a jet."""
    mothers = links.flat(gen_parts["genPartIdxMother"], gen_parts, gen_parts)
    code = np.abs(gen_parts["pdgId"].astype(np.int64))
    chosen = (code <= 5) & np.isin(kind_of(gen_parts, mothers), (_TOP, _Z, _W, _HIGGS))
    quarks = gen_parts.with_columns(mother=mothers, code=code).select(chosen)
    jet, _ = links.nearest(quarks, jets, RADIUS)
    inside = jet >= 0
    return {"jet": jet[inside], "mother": quarks["mother"][inside], "code": quarks["code"][inside]}


def _top_of(gen_parts: Collection, particles: Positions) -> Positions:
    """The top quark that each particle comes from, through copies of itself; -2 for none."""
    mothers = links.flat(gen_parts["genPartIdxMother"], gen_parts, gen_parts)
    kind, current = kind_of(gen_parts, particles), particles
    for _ in range(int(gen_parts.counts.max(initial=0))):
        above = links.linked_value(mothers, current, -1)
        copied = (above >= 0) & (kind_of(gen_parts, above) == kind)
        if not copied.any():
            break
        current = np.where(copied, above, current)
    above = links.linked_value(mothers, current, -1)
    return np.where(kind_of(gen_parts, above) == _TOP, above, -2)


# ---------------------------------------------------------------- prongs


def prongs(jets: Collection, subjets: Collection) -> tuple[Positions, Positions]:
    """The first and the second of the generated subjets of each generated jet, by pt; -1 for none."""
    jet, _ = links.nearest(subjets, jets, RADIUS)
    linked = np.flatnonzero(jet >= 0)
    order = linked[np.lexsort((-subjets["pt"][linked], jet[linked]))]
    owner = jet[order]
    number = np.bincount(owner, minlength=jets.n_objects)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(number) - number, number)
    slots = np.full((2, jets.n_objects), -1, np.int64)
    for slot in (0, 1):
        slots[slot, owner[rank == slot]] = order[rank == slot]
    return slots[0], slots[1]


def four_momentum(objects: Collection, scale: Floats | float = 1.0) -> Floats:
    """``px py pz E`` [GeV] of objects with pt, eta, phi and mass, all multiplied by `scale`; shape (4, n)."""
    pt, eta, phi, mass = (objects[name].astype(np.float64) for name in ("pt", "eta", "phi", "mass"))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.stack((px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2))) * scale


def invariant_mass(momentum: Floats) -> Floats:
    """Mass [GeV] of four-momenta ``px py pz E`` of shape (4, n); 0 where rounding makes it imaginary."""
    return np.asarray(np.sqrt(np.maximum(momentum[3] ** 2 - (momentum[:3] ** 2).sum(axis=0), 0.0)))


def sum_of(momenta: Floats, positions: tuple[Positions, ...]) -> Floats:
    """Sum of the four-momenta at these positions, where they are not -1; shape (4, n)."""
    total = np.zeros((4, len(positions[0])))
    for position in positions:
        there = position >= 0
        total[:, there] += momenta[:, position[there]]
    return total


def gen_fat_jets(events: Events) -> Collection:
    """GenJetAK8 with all that conditions and responses refer to.

    Added are the flags of `DECAYS`; ``n_b`` and ``n_c`` hadrons; of the two prongs ``prong1`` and ``prong2``
    (flat positions in SubGenJetAK8), ``share1`` and ``share2`` (pt over the jet's), ``mass1`` and ``mass2``
    (over the jet's pt) and ``distance``; of their sum ``groomed_mass`` [GeV], ``groomed_share`` (pt over
    the jet's) and ``hardness`` (mass over the jet's), both within 0 and 1; and ``lepton_share``, the share of
    pt that electrons, muons and prompt photons have.
    """
    jets, subjets, parts = events["GenJetAK8"], events["SubGenJetAK8"], events["GenPart"]
    first, second = prongs(jets, subjets)
    momentum = sum_of(four_momentum(subjets), (first, second))
    columns: dict[str, Column] = dict(decays(parts, jets))
    columns |= {"n_b": n_hadrons(parts, jets, 5), "n_c": n_hadrons(parts, jets, 4)}
    columns |= {"prong1": first, "prong2": second, "distance": np.zeros(jets.n_objects)}
    pt = np.maximum(jets["pt"].astype(np.float64), 1.0)
    for slot, position in (("1", first), ("2", second)):
        there = position >= 0
        for name, attribute in ((f"share{slot}", "pt"), (f"mass{slot}", "mass")):
            columns[name] = np.zeros(jets.n_objects)
            columns[name][there] = np.maximum(subjets[attribute][position[there]], 0.0) / pt[there]
    both = second >= 0
    columns["distance"][both] = links.delta_r(subjets, subjets, first[both], second[both])
    mass = invariant_mass(momentum)
    columns["groomed_mass"] = mass
    columns["groomed_share"] = np.minimum(np.hypot(momentum[0], momentum[1]) / pt, 1.0)
    columns["hardness"] = np.minimum(mass / np.maximum(jets["mass"].astype(np.float64), 0.1), 1.0)
    return jets.with_columns(lepton_share=_lepton_share(parts, jets), **columns)


def _lepton_share(gen_parts: Collection, jets: Collection) -> Floats:
    """Share of each jet's pt that stable electrons, muons and prompt photons carry."""
    code = np.abs(gen_parts["pdgId"].astype(np.int64))
    prompt = (gen_parts["statusFlags"].astype(np.int64) & links.IS_PROMPT) > 0
    kind = (code == 11) | (code == 13) | ((code == 22) & prompt)
    particles = gen_parts.select(kind & (gen_parts["status"] == 1))
    jet, _ = links.nearest(particles, jets, RADIUS)
    inside = jet >= 0
    total = np.bincount(jet[inside], weights=particles["pt"][inside], minlength=jets.n_objects)
    return np.minimum(total / np.maximum(jets["pt"].astype(np.float64), 1.0), 1.0)
