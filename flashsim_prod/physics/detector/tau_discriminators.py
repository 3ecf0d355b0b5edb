"""Isolation, impact parameters and discriminators of the reference detector's taus.

What surrounds a tau is drawn track by track and shared by the isolation sums; the DeepTau scores (TAU-20-001,
arXiv:2201.08458) fall with the isolation and are separate for taus, electrons, muons and jets. Shapes were
adjusted by eye to public simulated events.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions.taus import (
    ELECTRON,
    HADRONS,
    MUON,
    TAU,
    neutral_excess,
    raw_isolation,
    tau_flags,
    tau_seeds,
    with_gen_taus,
    with_tau_jets,
)
from flashsim_prod.physics.detector.draws import Bools, Floats, Ints, chance, gamma_about, sigmoid, stream
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.detector.taus import find_taus
from flashsim_prod.physics.events import Collection, Events

#: scores saturate here
_MAX_SCORE = 0.99951
#: charged hadrons of a jet that its tau candidate leaves out reach the isolation cone with this share
_LEFT_OVER = 0.8
_MAX_TRACKS = 8

#: the order of the columns of the two tables below
_KINDS = (TAU, ELECTRON, MUON, HADRONS)
#: mean and spread of the logit of each DeepTau score
_LOGIT = {
    "jet": ([4.9, 2.2, 6.5, -1.7], [1.5, 1.1, 2.2, 0.7]),
    "e": ([4.6, -4.6, 3.2, 2.8], [1.4, 0.8, 2.0, 0.9]),
    "mu": ([8.2, 0.6, -9.5, 7.6], [1.3, 0.55, 1.6, 1.4]),
}
#: by how much the first falls with each GeV of isolation
_PER_ISOLATION = [0.30, 0.22, 0.32, 0.08]
_MAX_ELECTRON_LOGIT = 6.9
#: decay modes of two charged hadrons
_EVEN_MODES = (5, 6)


def simulate_taus(reco: Events, event: EventLatents, seed: int, fakes: float = 1.0) -> Collection:
    """``Tau`` by falling pt, with all columns and links, of events that have Jet, GenPart and GenVisTau."""
    taus = find_taus(stream(seed, "taus"), tau_seeds(reco), fakes)
    taus = with_discriminators(stream(seed, "tau discriminators"), taus, event).sorted_by("pt")
    return with_tau_jets(with_gen_taus(taus, reco), reco["Jet"])


def with_discriminators(rng: np.random.Generator, taus: Collection, event: EventLatents) -> Collection:
    """`taus` (of `find_taus`) with all other columns of NanoAOD but the links."""
    isolation = _isolation(rng, taus, event)
    taus = taus.with_columns(**isolation, **_impact(rng, taus, event), **_flags(rng, taus))
    taus = taus.with_columns(**_scores(rng, taus))
    return taus.with_columns(**tau_flags(taus.columns))


def _isolation(rng: np.random.Generator, taus: Collection, event: EventLatents) -> dict[str, Floats]:
    n = taus.n_objects
    rho, charged_rho = (one[taus.event_index] for one in (event.rho, event.rho_charged))
    left = np.clip(taus["jet_pt"] / taus["pt"] - 1.1, 0.0, 2.0)
    hadronic = taus["kind"] == HADRONS
    tracks = np.where(hadronic, 1.5 + _LEFT_OVER * left, 0.42) + 0.028 * charged_rho
    near = np.where(hadronic, 0.55, 0.40)
    inside, around = _tracks(rng, tracks * near), _tracks(rng, tracks * (1.0 - near))
    photons = np.where(chance(rng, np.where(hadronic, 0.40, 0.26), n), 0.55 + rng.exponential(1.7, n), 0.0)
    pileup = gamma_about(rng, 0.97 * rho, 0.35 * rho + 1.0)
    return {
        "chargedIso": inside + around,
        "neutralIso": photons,
        "puCorr": pileup,
        "rawIso": raw_isolation(inside + around, photons, pileup),
        "rawIsodR03": inside + neutral_excess(photons, pileup),
    }


def _tracks(rng: np.random.Generator, mean: Floats) -> Floats:
    """Sum of pt of the tracks of a region [GeV], each above 0.5 GeV."""
    number = np.minimum(rng.poisson(mean), _MAX_TRACKS)
    present = np.arange(_MAX_TRACKS) < number[:, None]
    pt = 0.5 + rng.exponential(1.25, (len(number), _MAX_TRACKS))
    return np.asarray(np.where(present, pt, 0.0).sum(axis=1))


def _impact(rng: np.random.Generator, taus: Collection, event: EventLatents) -> dict[str, Floats]:
    n, kind, pt = taus.n_objects, taus["kind"], taus["pt"]
    resolution = np.select([kind == ELECTRON, kind == MUON], [0.0022, 0.0009], 0.0014) + 0.015 / pt
    resolution = resolution * np.exp(0.3 * rng.normal(size=n))
    flavour = np.select([taus["jet_hadronFlavour"] == 5, taus["jet_hadronFlavour"] == 4], [0.020, 0.008], 0.0)
    decay = np.where(kind == TAU, 0.0055, np.where(kind == HADRONS, flavour, 0.0))
    dxy = resolution * rng.normal(size=n) + decay * rng.exponential(size=n) * rng.choice([-1.0, 1.0], n)
    along = 1.6 * resolution * np.cosh(0.6 * taus["eta"]) * np.exp(0.5 * rng.normal(size=n))
    pileup = (kind == HADRONS) & (taus["jet_genJetIdx"] < 0)
    vertex = np.where(pileup, rng.normal(0.0, 4.0, n), 0.0) - event.vertex_dz[taus.event_index]
    return {"dxy": dxy, "dz": along * rng.normal(size=n) + 1.5 * decay * rng.normal(size=n) + vertex}


def _flags(rng: np.random.Generator, taus: Collection) -> dict[str, Ints]:
    """Muon rejection, which true muons rarely pass, and the dead cells of the calorimeter."""
    n = taus.n_objects
    muon = taus["kind"] == MUON
    passed = chance(rng, np.where(muon, 0.02, 0.985), n)
    loose = chance(rng, np.where(muon, 0.02, 0.3), n)
    return {"idAntiMu": np.where(passed, 3, loose), "idAntiEleDeadECal": chance(rng, 0.985, n)}


def _scores(rng: np.random.Generator, taus: Collection) -> dict[str, Floats]:
    """The three DeepTau scores, by what the candidate is; one latent quality enters the first two."""
    n = taus.n_objects
    kinds = [taus["kind"] == kind for kind in _KINDS]
    quality = rng.normal(size=n)
    jet = _logit("jet", kinds, quality) + 0.3 * quality * rng.normal(size=n)
    jet = jet - np.select(kinds, _PER_ISOLATION, 0.0) * np.minimum(taus["rawIso"], 12.0)
    jet = jet - np.where(np.isin(taus["decayMode"], _EVEN_MODES), 1.4, 0.0)
    jet = jet + 0.5 * np.log(taus["pt"] / 30.0) * (taus["kind"] == TAU)
    # taus that look like jets, and jets and electrons that look like taus
    jet = jet - np.where((taus["kind"] == TAU) & chance(rng, 0.22, n), rng.exponential(3.0, n), 0.0)
    jet = jet + np.where(taus["kind"] == HADRONS, rng.exponential(1.0, n), 0.0)
    electron = _logit("e", kinds, rng.normal(size=n)) + 0.3 * quality
    electron = electron + np.where(
        (taus["kind"] == ELECTRON) & chance(rng, 0.06, n), rng.exponential(3.0, n), 0.0
    )
    muon = _logit("mu", kinds, rng.normal(size=n))
    scores = {"jet": jet, "e": np.minimum(electron, _MAX_ELECTRON_LOGIT), "mu": muon}
    return {
        f"rawDeepTau2017v2p1VS{name}": np.minimum(sigmoid(logit), _MAX_SCORE)
        for name, logit in scores.items()
    }


def _logit(name: str, kinds: list[Bools], normal: Floats) -> Floats:
    mean, spread = _LOGIT[name]
    return np.asarray(np.select(kinds, mean, 0.0) + np.select(kinds, spread, 0.0) * normal)
