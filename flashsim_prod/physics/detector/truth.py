"""What the reference detector needs to know of the generator's event, worked out once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashsim_prod.errors import InputError
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.detector.draws import Floats, Ints
from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.nanoaod.schema import Schema

_NEEDED_COLLECTIONS = {
    "GenPart": ("pt", "eta", "phi", "mass", "pdgId", "status", "statusFlags", "genPartIdxMother"),
    "GenJet": ("pt", "eta", "phi", "mass", "partonFlavour", "hadronFlavour"),
}
_NEEDED_SCALARS = ("GenMET_pt", "GenMET_phi", "Pileup_nTrueInt")


@dataclass(frozen=True)
class Truth:
    """Generator-level view of a batch of events.

    Attributes
    ----------
    n_pu : float array of shape (n_events,)
        Pileup collisions in the event's own bunch crossing.
    central_ht : float array of shape (n_events,)
        Scalar sum of the pt of generator jets with abs(eta) < 2.5 [GeV].
    gen_jets : Collection
        The input's GenJet, with the pt fractions of electrons, muons and prompt photons added
        (``electron_fraction``, ``muon_fraction``, ``photon_fraction``).
    gen_muons : Collection
        Stable generator muons: pt, eta, phi, charge, ``origin`` (as genPartFlav), ``gen_part`` (flat
        position in GenPart), ``gen_jet`` (flat position of the generator jet around it, -1 for none).
    """

    events: Events
    n_pu: Floats
    central_ht: Floats
    gen_jets: Collection
    gen_muons: Collection


def check_input(events: Events) -> None:
    """`InputError` naming what the detector needs and `events` lack."""
    for name, columns in _NEEDED_COLLECTIONS.items():
        if name not in events.collections:
            raise InputError(f"the reference detector needs the collection {name}, which the input lacks")
        for column in columns:
            if column not in events[name]:
                raise InputError(
                    f"the reference detector needs the branch {name}_{column}, which the input lacks"
                )
    for scalar in _NEEDED_SCALARS:
        if scalar not in events.scalars:
            raise InputError(f"the reference detector needs the branch {scalar}, which the input lacks")


def view_truth(events: Events) -> Truth:
    """The generator-level view of `events`; `InputError` if a branch is missing."""
    check_input(events)
    gen_jets = events["GenJet"]
    central = gen_jets["pt"] * (np.abs(gen_jets["eta"]) < 2.5)
    central_ht = np.bincount(gen_jets.event_index, weights=central, minlength=events.n).astype(np.float64)
    n_pu = events.scalars.get("Pileup_nPU", events.scalars["Pileup_nTrueInt"]).astype(np.float64)
    return Truth(events, n_pu, central_ht, _with_fractions(events), _gen_muons(events))


def unrounded(particles: Collection) -> Collection:
    """Generator particles with pt, eta and phi somewhere in the step that NanoAOD rounded them to.

    Their numbers are kept with few bits, far fewer than a track is measured with: what is reconstructed must
    not stand on that grid. Where in its step a particle was is told by the others of its numbers, always the
    same.
    """
    lots = [links.lots(particles["eta"], particles["phi"] + shift) for shift in (0.0, 0.37, 0.71)]
    columns = {
        name: _within_step(particles[name], _GRID[name], lot)
        for name, lot in zip(("pt", "eta", "phi"), lots, strict=True)
    }
    return particles.with_columns(**columns)


def _within_step(values: Column, bits: int, lot: Floats) -> Floats:
    value = values.astype(np.float64)
    step = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(value), 1e-9))) - bits)
    return np.asarray(value + (lot - 0.5) * step)


#: mantissa bits of generator particles
_GRID = {name: Schema.default().branch(f"GenPart_{name}").precision or 23 for name in ("pt", "eta", "phi")}


def _gen_muons(events: Events) -> Collection:
    parts = events["GenPart"]
    stable = (np.abs(parts["pdgId"].astype(np.int64)) == 13) & (parts["status"] == 1)
    chosen: Ints = np.flatnonzero(stable)
    muons = parts.select(stable)
    gen_jet, _ = links.nearest(muons, events["GenJet"], 0.4)
    near = unrounded(muons)
    return Collection(
        muons.counts,
        {
            **{name: near[name] for name in ("pt", "eta", "phi")},
            "charge": -np.sign(muons["pdgId"].astype(np.int64)),
            "origin": links.lepton_flavour(parts, chosen).astype(np.int64),
            "gen_part": chosen,
            "gen_jet": gen_jet,
        },
    )


def _with_fractions(events: Events) -> Collection:
    parts, gen_jets = events["GenPart"], events["GenJet"]
    code = np.abs(parts["pdgId"].astype(np.int64))
    stable = parts["status"] == 1
    prompt = (parts["statusFlags"].astype(np.int64) & links.IS_PROMPT) > 0
    kinds = {"electron": code == 11, "muon": code == 13, "photon": (code == 22) & prompt}
    fractions = {
        f"{kind}_fraction": _fraction(parts.select(stable & chosen), gen_jets)
        for kind, chosen in kinds.items()
    }
    return gen_jets.with_columns(**_scaled_to_one(fractions))


def _fraction(particles: Collection, gen_jets: Collection) -> Floats:
    jet, _ = links.nearest(particles, gen_jets, 0.4)
    inside = jet >= 0
    total = np.bincount(jet[inside], weights=particles["pt"][inside], minlength=gen_jets.n_objects)
    return np.asarray(total / np.maximum(gen_jets["pt"].astype(np.float64), 1e-3))


def _scaled_to_one(fractions: dict[str, Floats]) -> dict[str, Floats]:
    """Fractions scaled down where recoil makes their sum of pt exceed the jet's."""
    total = np.maximum(sum(fractions.values(), start=np.zeros(())), 1.0)
    return {name: value / total for name, value in fractions.items()}
