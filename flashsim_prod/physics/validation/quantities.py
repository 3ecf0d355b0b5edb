"""Quantities of whole events that analyses look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.validation.statistics.distances import F64

#: about the medium working point of DeepJet on 2018 data
MEDIUM_B_TAG = 0.27
#: [GeV]
MUON_MASS = 0.105658


@dataclass(frozen=True)
class Quantity:
    """A quantity that analyses look at.

    Attributes
    ----------
    label : str
        Axis label of its histogram.
    definition : str
    needs : tuple of str
        Reconstructed branches.
    per_event : callable
        Its value in each event of a batch, NaN in those that have none.
    window : (float, float), optional
        Only values inside count: a peak.
    gen_needs : tuple of str
        Generator-level branches.
    is_resolution : bool
        Whether it scatters about zero, so that its mean is to be measured in widths.
    """

    name: str
    label: str
    definition: str
    needs: tuple[str, ...]
    per_event: Callable[[Events], F64]
    window: tuple[float, float] | None = None
    gen_needs: tuple[str, ...] = ()
    is_resolution: bool = False


def leading_pair_mass(objects: Collection, mass: F64) -> F64:
    """Invariant mass [GeV] of the two first objects of each event, NaN where there are less than two."""
    found = np.full(objects.n_events, np.nan)
    first = objects.starts[objects.counts >= 2]
    pt, eta, phi = (objects[name].astype(np.float64) for name in ("pt", "eta", "phi"))
    x, y, z = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(x**2 + y**2 + z**2 + mass**2)
    total = [component[first] + component[first + 1] for component in (energy, x, y, z)]
    squared = total[0] ** 2 - total[1] ** 2 - total[2] ** 2 - total[3] ** 2
    found[objects.counts >= 2] = np.sqrt(np.maximum(squared, 0.0))
    return found


def good_muons(events: Events) -> Collection:
    """Muons that analyses take."""
    muons = events["Muon"]
    return muons.select(
        (muons["pt"] > 20)
        & (np.abs(muons["eta"]) < 2.4)
        & (muons["pfRelIso04_all"] < 0.25)
        & muons["mediumId"].astype(bool)
    )


def _dimuon_mass(events: Events) -> F64:
    muons = good_muons(events)
    found = leading_pair_mass(muons, np.full(muons.n_objects, MUON_MASS))
    first = muons.starts[muons.counts >= 2]
    alike = np.flatnonzero(muons.counts >= 2)[muons["charge"][first] * muons["charge"][first + 1] > 0]
    found[alike] = np.nan
    return found


def _jets(events: Events, pt: float, eta: float) -> Collection:
    jets = events["Jet"]
    return jets.select((jets["pt"] > pt) & (np.abs(jets["eta"]) < eta))


def _b_jets(events: Events, pt: float) -> Collection:
    jets = _jets(events, pt, 2.5)
    return jets.select(jets["btagDeepFlavB"] > MEDIUM_B_TAG)


def _dijet_mass(events: Events) -> F64:
    jets = _b_jets(events, 20.0)
    return leading_pair_mass(jets, jets["mass"].astype(np.float64))


def _ht(events: Events) -> F64:
    jets = _jets(events, 30.0, 4.7)
    weights = jets["pt"].astype(np.float64)
    return np.bincount(jets.event_index, weights, minlength=events.n).astype(np.float64)


def _leading_pt(events: Events) -> F64:
    jets = _jets(events, 15.0, 4.7)
    found = np.full(events.n, np.nan)
    found[jets.counts > 0] = jets["pt"][jets.starts[jets.counts > 0]]
    return found


def _met_resolution(component: Callable[[F64], F64]) -> Callable[[Events], F64]:
    def per_event(events: Events) -> F64:
        met, gen = (
            events.scalars[f"{name}_pt"].astype(np.float64)
            * component(events.scalars[f"{name}_phi"].astype(np.float64))
            for name in ("MET", "GenMET")
        )
        return met - gen

    return per_event


_MUON = tuple(f"Muon_{name}" for name in ("pt", "eta", "phi", "charge", "pfRelIso04_all", "mediumId"))
_JET = tuple(f"Jet_{name}" for name in ("pt", "eta", "phi", "mass", "btagDeepFlavB"))
_MET = ("MET_pt", "MET_phi")
_TWO_MUONS = "two leading muons, pt > 20 GeV, |eta| < 2.4, medium ID, relative isolation < 0.25"
_M_LL = r"$m(\mu\mu)$ [GeV]"

QUANTITIES = (
    Quantity("m(ll) at Z", _M_LL, f"{_TWO_MUONS}; 75 to 105 GeV", _MUON, _dimuon_mass, (75, 105)),
    Quantity("m(ll) at H", _M_LL, f"{_TWO_MUONS}; 115 to 135 GeV", _MUON, _dimuon_mass, (115, 135)),
    Quantity(
        "m(bb)",
        r"$m(bb)$ [GeV]",
        "two leading b jets, pt > 20 GeV, |eta| < 2.5; 50 to 200 GeV",
        _JET,
        _dijet_mass,
        (50, 200),
    ),
    Quantity("HT", r"$H_T$ [GeV]", "sum of jet pt, pt > 30 GeV, |eta| < 4.7", _JET, _ht),
    Quantity("leading jet pt", r"leading jet $p_T$ [GeV]", "pt > 15 GeV, |eta| < 4.7", _JET, _leading_pt),
    Quantity(
        "jets",
        "number of jets",
        "pt > 25 GeV, |eta| < 4.7",
        _JET,
        lambda events: _jets(events, 25.0, 4.7).counts.astype(np.float64),
    ),
    Quantity(
        "b jets",
        "number of b jets",
        f"pt > 25 GeV, |eta| < 2.5, btagDeepFlavB > {MEDIUM_B_TAG}",
        _JET,
        lambda events: _b_jets(events, 25.0).counts.astype(np.float64),
    ),
    Quantity("MET", r"$p_T^{miss}$ [GeV]", "MET_pt", _MET, lambda e: e.scalars["MET_pt"].astype(np.float64)),
    Quantity(
        "MET x resolution",
        r"$p_x^{miss}$ - generated [GeV]",
        "MET less GenMET, x component",
        _MET,
        _met_resolution(np.cos),
        gen_needs=("GenMET_pt", "GenMET_phi"),
        is_resolution=True,
    ),
    Quantity(
        "MET y resolution",
        r"$p_y^{miss}$ - generated [GeV]",
        "MET less GenMET, y component",
        _MET,
        _met_resolution(np.sin),
        gen_needs=("GenMET_pt", "GenMET_phi"),
        is_resolution=True,
    ),
)
