"""What NanoAOD keeps of the hard process: LHEPart, LHE_HT and the like, and all weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.generator.lhe.event import HardEvent, Particle
from flashsim_prod.physics.generator.lhe.weights import Declared

_GLUON = 21
_QUARKS = range(1, 7)
_NEUTRINOS = (12, 14, 16)
_CHARGED = (11, 13, 15)


def hard_process(
    events: Sequence[HardEvent], declared: Sequence[Declared], branches: Mapping[str, Sequence[Declared]]
) -> Events:
    """The branches of the hard processes `events`, of which each has the weights `declared`.

    Parameters
    ----------
    branches : mapping of str to sequence of Declared
        The weights of each branch, in its order.
    """
    nominal = np.array([event.weight for event in events])
    scalars: dict[str, Column] = {
        "LHEWeight_originalXWGTUP": nominal.astype(np.float32),
        "LHE_AlphaS": np.array([event.alpha_qcd for event in events], dtype=np.float32),
        **_summary(events),
    }
    values = np.array([event.weights for event in events]).reshape(len(events), len(declared))
    relative = values / nominal[:, np.newaxis]
    place = {one.id: number for number, one in enumerate(declared)}
    collections = {"LHEPart": _part(events)}
    for name, its in branches.items():
        chosen = relative[:, [place[one.id] for one in its]].astype(np.float32)
        counts = np.full(len(events), len(its), dtype=np.int64)
        collections[name] = Collection(counts, {"": chosen.reshape(-1)})
    return Events(len(events), scalars, collections)


def _part(events: Sequence[HardEvent]) -> Collection:
    """Incoming and outgoing particles, in the file's order."""
    kept = [[one for one in event.particles if abs(one.status) == 1] for event in events]
    rows = [_row(one) for its in kept for one in its]
    names = ("pt", "eta", "phi", "mass", "incomingpz", "pdgId", "status", "spin")
    columns = np.array(rows, dtype=np.float64).reshape(-1, len(names)).T
    types = [np.float32] * 5 + [np.int32] * 3
    return Collection(
        np.array([len(its) for its in kept], dtype=np.int64),
        {name: column.astype(dtype) for name, column, dtype in zip(names, columns, types, strict=True)},
    )


def _row(one: Particle) -> tuple[float, ...]:
    spin = int(one.spin)
    if one.status < 0:
        return (0.0, 0.0, 0.0, 0.0, one.pz, one.id, one.status, spin)
    pt = math.hypot(one.px, one.py)
    # as far along the beam as can be told apart, where there is no transverse momentum at all
    eta = math.asinh(one.pz / pt) if pt > 1e-10 else math.copysign(1e10 if one.pz else 0.0, one.pz)
    return (pt, eta, math.atan2(one.py, one.px), one.m, 0.0, one.id, one.status, spin)


def _summary(events: Sequence[HardEvent]) -> dict[str, Column]:
    found = [_of_event(event) for event in events]
    counts = ("Njets", "Nb", "Nc", "Nuds", "Nglu", "NpLO", "NpNLO")
    return {
        f"LHE_{name}": np.array(
            [one[name] for one in found], dtype=np.uint8 if name in counts else np.float32
        )
        for name in ("HT", "HTIncoming", "Vpt", *counts)
    }


def _of_event(event: HardEvent) -> dict[str, float]:
    partons = [
        one for one in event.particles if one.status == 1 and (one.id == _GLUON or abs(one.id) in _QUARKS)
    ]
    flavours = [abs(one.id) for one in partons]
    momenta = [math.hypot(one.px, one.py) for one in partons]
    from_beams = [_is_from_beams(one, event) for one in partons]
    return {
        "HT": sum(momenta),
        "HTIncoming": sum(pt for pt, counts in zip(momenta, from_beams, strict=True) if counts),
        "Vpt": _boson_pt(event),
        "Njets": len(partons),
        "Nb": flavours.count(5),
        "Nc": flavours.count(4),
        "Nuds": sum(1 for one in flavours if one <= 3),
        "Nglu": flavours.count(_GLUON),
        "NpLO": event.np_lo % 256,
        "NpNLO": event.np_nlo % 256,
    }


def _is_from_beams(one: Particle, event: HardEvent) -> bool:
    last = len(event.particles) - 1
    return any(event.particles[min(max(mother - 1, 0), last)].status < 0 for mother in one.mothers)


def _boson_pt(event: HardEvent) -> float:
    """Of the last lepton and antilepton that make a W or a Z boson, charged ones before neutrinos."""
    found: dict[str, Particle] = {}
    for one in event.particles:
        if abs(one.id) in _CHARGED:
            found["lepton" if one.id > 0 else "antilepton"] = one
        elif abs(one.id) in _NEUTRINOS:
            found["neutrino" if one.id > 0 else "antineutrino"] = one
    pairs = (
        ("lepton", "antilepton"),
        ("lepton", "antineutrino"),
        ("antilepton", "neutrino"),
        ("neutrino", "antineutrino"),
    )
    for one_name, other_name in pairs:
        if one_name in found and other_name in found:
            one, other = found[one_name], found[other_name]
            return math.hypot(one.px + other.px, one.py + other.py)
    return 0.0
