"""The two analyses that a simulation has to serve: VBF H to mumu and ZH to llbb, cut by cut.

Selections as in the public FlashSim talk of the CMS collaboration; jets within 0.4 of a selected muon are
those muons and not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.definitions.links import close_pairs, delta_phi
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.validation.quantities import MEDIUM_B_TAG, MUON_MASS, good_muons
from flashsim_prod.physics.validation.statistics.distances import F64

Bools = NDArray[np.bool_]
_OVERLAP = 0.4


@dataclass(frozen=True)
class Feature:
    """A number of each event that is shown, or that the network sees."""

    name: str
    label: str


@dataclass(frozen=True)
class Process:
    """A signal or a background.

    Attributes
    ----------
    card : str
    share : int
        Generator events that are made of it, in those of the signal: few of a background are selected.
    """

    card: str
    share: int = 1


@dataclass(frozen=True)
class Analysis:
    """A selection with a network at its end.

    Attributes
    ----------
    processes : tuple of Process
        The signal first, then its backgrounds.
    needs : tuple of str
        Reconstructed branches.
    features : callable
        By name, arrays of shape (n_events,), NaN where an event has none.
    cuts : tuple of (name, callable)
        Which events pass, from their features; each is applied after all before it.
    trained_after : int
        Number of cuts after which the network is trained.
    inputs : tuple of str
        Features that the network sees.
    shown : tuple of Feature
        Compared after the cuts that the network is trained after, and after all.
    """

    name: str
    title: str
    processes: tuple[Process, ...]
    needs: tuple[str, ...]
    features: Callable[[Events], dict[str, F64]]
    cuts: tuple[tuple[str, Callable[[dict[str, F64]], Bools]], ...]
    trained_after: int
    inputs: tuple[str, ...]
    shown: tuple[Feature, ...]

    def flow(self, features: dict[str, F64]) -> list[Bools]:
        """Which events are left after each cut; without any cut, all of them, comes first."""
        # comparisons with NaN are false: an event without a second jet does not pass
        left = [np.ones(len(next(iter(features.values()))), dtype=bool)]
        for _, passes in self.cuts:
            left.append(left[-1] & passes(features))
        return left


@dataclass(frozen=True)
class _Vectors:
    """Four-vectors, arrays of shape (n_events,)."""

    energy: F64
    x: F64
    y: F64
    z: F64

    @staticmethod
    def of(objects: Collection, position: int, mass: F64 | float) -> _Vectors:
        """The object at `position` of each event."""
        pt, eta, phi = (_at(objects, name, position) for name in ("pt", "eta", "phi"))
        x, y, z = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
        return _Vectors(np.sqrt(x**2 + y**2 + z**2 + mass**2), x, y, z)

    def __add__(self, other: _Vectors) -> _Vectors:
        return _Vectors(self.energy + other.energy, self.x + other.x, self.y + other.y, self.z + other.z)

    @property
    def mass(self) -> F64:
        return np.asarray(np.sqrt(np.maximum(self.energy**2 - self.x**2 - self.y**2 - self.z**2, 0.0)))

    @property
    def pt(self) -> F64:
        return np.hypot(self.x, self.y)

    @property
    def phi(self) -> F64:
        return np.arctan2(self.y, self.x)

    @property
    def rapidity(self) -> F64:
        return np.arctanh(self.z / self.energy)


def _at(objects: Collection, name: str, position: int) -> F64:
    """An attribute of the object at `position` of each event, NaN where there is none."""
    found = np.full(objects.n_events, np.nan)
    there = objects.counts > position
    found[there] = objects[name][objects.starts[there] + position]
    return found


def _muons(events: Events) -> tuple[Collection, dict[str, F64], _Vectors]:
    muons = good_muons(events)
    pair = _Vectors.of(muons, 0, MUON_MASS) + _Vectors.of(muons, 1, MUON_MASS)
    features = {
        "charge": _at(muons, "charge", 0) * _at(muons, "charge", 1),
        "m(mumu)": pair.mass,
        "pt(mumu)": pair.pt,
        "y(mumu)": np.abs(pair.rapidity),
        "pt mu1": _at(muons, "pt", 0),
        "pt mu2": _at(muons, "pt", 1),
    }
    return muons, features, pair


def _away_from(jets: Collection, muons: Collection) -> Collection:
    """The jets that are no muons."""
    near, _, _ = close_pairs(jets, muons, _OVERLAP)
    kept = np.ones(jets.n_objects, dtype=bool)
    kept[near] = False
    return jets.select(kept)


def _dijet(jets: Collection) -> tuple[dict[str, F64], _Vectors]:
    """The two leading jets of each event."""
    first, second = (_Vectors.of(jets, position, _at(jets, "mass", position)) for position in (0, 1))
    pair = first + second
    eta = [_at(jets, "eta", position) for position in (0, 1)]
    features = {
        "m(jj)": pair.mass,
        "pt(jj)": pair.pt,
        "deta(jj)": np.abs(eta[0] - eta[1]),
        "dphi(jj)": np.abs(delta_phi(first.phi, second.phi)),
        "pt j1": first.pt,
        "pt j2": second.pt,
        "eta j1": eta[0],
        "eta j2": eta[1],
        "jets": jets.counts.astype(np.float64),
    }
    return features, pair


def _vbf_features(events: Events) -> dict[str, F64]:
    muons, features, pair = _muons(events)
    jets = events["Jet"]
    chosen = (jets["pt"] > 25) & (np.abs(jets["eta"]) < 4.7) & (jets["puId"] > 0) & (jets["jetId"] > 0)
    jets = _away_from(jets.select(chosen), muons)
    of_jets, _ = _dijet(jets)
    centre = (of_jets["eta j1"] + of_jets["eta j2"]) / 2
    return {
        **features,
        **of_jets,
        "qgl j1": _at(jets, "qgl", 0),
        "qgl j2": _at(jets, "qgl", 1),
        "centrality": np.abs(pair.rapidity * np.sign(pair.z) - centre),
        "soft jets": events.scalars["SoftActivityJetNjets5"].astype(np.float64),
    }


def _zh_features(events: Events) -> dict[str, F64]:
    muons, features, pair = _muons(events)
    jets = events["Jet"]
    jets = _away_from(jets.select((jets["pt"] > 20) & (np.abs(jets["eta"]) < 2.5)), muons)
    of_jets, dijet = _dijet(jets)
    return {
        **features,
        **of_jets,
        "btag j1": _at(jets, "btagDeepFlavB", 0),
        "btag j2": _at(jets, "btagDeepFlavB", 1),
        "dphi(Z, jj)": np.abs(delta_phi(pair.phi, dijet.phi)),
        "MET": events.scalars["MET_pt"].astype(np.float64),
    }


_MUON = tuple(f"Muon_{name}" for name in ("pt", "eta", "phi", "charge", "pfRelIso04_all", "mediumId"))
_JET = tuple(f"Jet_{name}" for name in ("pt", "eta", "phi", "mass"))
_TWO_MUONS = ("two muons of opposite charge", lambda f: f["charge"] < 0)
_TWO_JETS = ("two jets", lambda f: f["pt j2"] > 0)
DNN = Feature("DNN", "DNN output")

VBF_HMUMU = Analysis(
    name="vbf_hmumu",
    title=r"VBF H to mumu",
    processes=(Process("vbf_hmumu"), Process("dymumu_highmass", 3), Process("ewk_mumujj_highmass")),
    needs=(*_MUON, *_JET, "Jet_puId", "Jet_jetId", "Jet_qgl", "SoftActivityJetNjets5"),
    features=_vbf_features,
    cuts=(
        _TWO_MUONS,
        ("115 < m(mumu) < 135 GeV", lambda f: (f["m(mumu)"] > 115) & (f["m(mumu)"] < 135)),
        _TWO_JETS,
        ("pt(j1) > 35, pt(j2) > 25 GeV", lambda f: (f["pt j1"] > 35) & (f["pt j2"] > 25)),
        ("m(jj) > 150 GeV", lambda f: f["m(jj)"] > 150),
        ("|deta(jj)| > 2", lambda f: f["deta(jj)"] > 2),
    ),
    trained_after=3,
    inputs=(
        "m(jj)", "deta(jj)", "dphi(jj)", "pt(jj)", "pt j1", "pt j2", "eta j1", "eta j2", "jets", "qgl j1",
        "qgl j2", "m(mumu)", "pt(mumu)", "y(mumu)", "centrality", "soft jets",
    ),
    shown=(
        Feature("m(mumu)", r"$m(\mu\mu)$ [GeV]"),
        Feature("m(jj)", "$m(jj)$ [GeV]"),
        Feature("deta(jj)", r"$|\Delta\eta(jj)|$"),
        DNN,
    ),
)  # fmt: skip

ZH_LLBB = Analysis(
    name="zh_llbb",
    title="ZH to llbb, Z to mumu",
    processes=(Process("zh_llbb"), Process("zz_llbb", 3)),
    needs=(*_MUON, *_JET, "Jet_btagDeepFlavB", "MET_pt"),
    features=_zh_features,
    cuts=(
        _TWO_MUONS,
        ("75 <= m(Z) < 105 GeV", lambda f: (f["m(mumu)"] >= 75) & (f["m(mumu)"] < 105)),
        _TWO_JETS,
        ("90 < m(jj) < 150 GeV", lambda f: (f["m(jj)"] > 90) & (f["m(jj)"] < 150)),
        (f"leading jet tagged, btagDeepFlavB > {MEDIUM_B_TAG}", lambda f: f["btag j1"] > MEDIUM_B_TAG),
    ),
    trained_after=3,
    inputs=(
        "m(jj)", "pt(jj)", "deta(jj)", "dphi(jj)", "pt j1", "pt j2", "btag j1", "btag j2", "jets", "m(mumu)",
        "pt(mumu)", "dphi(Z, jj)", "MET",
    ),
    shown=(
        Feature("m(mumu)", r"$m(\mu\mu)$ [GeV]"),
        Feature("m(jj)", "$m(bb)$ [GeV]"),
        Feature("btag j1", "b tag of the leading jet"),
        DNN,
    ),
)  # fmt: skip

ANALYSES = (VBF_HMUMU, ZH_LLBB)
