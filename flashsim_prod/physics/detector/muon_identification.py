"""Identification of the reference detector's muons.

Loose, medium, tight, soft and high-momentum identification are cuts on the muon's own track and muon-system
variables, as in MUO-16-001 (arXiv:1804.04528), so the usual nesting (tight within medium within loose ...)
holds by construction. The discriminators only resemble the stored ones: their form and numbers were chosen
by eye.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions.jets_muons import loose_muons, muon_flags
from flashsim_prod.physics.detector.draws import Bools, Floats, Ints, chance, sigmoid
from flashsim_prod.physics.detector.muon_tracks import FROM_GEN
from flashsim_prod.physics.events import Collection


def with_reconstruction_kind(rng: np.random.Generator, muons: Collection) -> Collection:
    """`muons` with isGlobal, isTracker, isStandalone, isPFcand, nStations, segmentComp, highPurity."""
    n = muons.n_objects
    system, pt = muons["system"], muons["pt"]
    genuine = muons["source"] == FROM_GEN
    soft = np.exp(-(pt - 3.0) / 2.0)
    standalone = system + 2.6 - 1.2 * soft + 0.5 * rng.normal(size=n) > 0.0
    global_fit = standalone & ~chance(rng, 0.004 + 0.08 * ~genuine, n)
    tracker = system + 3.3 + 0.5 * rng.normal(size=n) > 0.0
    tracker = tracker | ~global_fit
    stations = np.rint(3.5 + 0.75 * system - 1.3 * soft + 0.45 * rng.normal(size=n))
    stations = np.clip(stations, np.where(tracker & ~global_fit, 1, 0), 4)
    pf = np.where(genuine, chance(rng, 0.996, n), chance(rng, 0.6 * sigmoid(system + 2.5) + 0.15, n))
    return muons.with_columns(
        isGlobal=global_fit,
        isStandalone=standalone,
        isTracker=tracker,
        isPFcand=pf,
        nStations=stations,
        segmentComp=np.minimum(sigmoid(2.75 + 1.5 * system + 0.5 * rng.normal(size=n)) * 1.012, 1.0),
        highPurity=np.where(genuine, True, chance(rng, sigmoid(2.4 + muons["track"]), n)),
    )


def with_identification(rng: np.random.Generator, muons: Collection) -> Collection:
    """`muons` with all identification flags and discriminators, kept if NanoAOD would store them."""
    muons = muons.with_columns(**_cut_based(rng, muons))
    muons = muons.with_columns(**_discriminators(rng, muons))
    muons = muons.with_columns(**muon_flags(muons))
    return muons.select(
        muons["looseId"] | muons["softId"] | muons["softMvaId"] | (muons["highPtId"] > 0),
    )


def _cut_based(rng: np.random.Generator, muons: Collection) -> dict[str, Bools | Ints]:
    n = muons.n_objects
    fit = _fit_quality(rng, muons)
    close = (np.abs(muons["dxy"]) < 0.2) & (np.abs(muons["dz"]) < 0.5)
    # more than five tracker layers, and a hit in the pixels
    tracked = (muons["nTrackerLayers"] > 5) & chance(rng, 0.995, n)
    loose = loose_muons(muons)
    good_global = muons["isGlobal"] & (fit < 3.0)
    compatible = muons["segmentComp"] > np.where(good_global, 0.303, 0.451)
    medium = loose & (muons["track"] > -2.4) & compatible
    tight = medium & muons["isGlobal"] & (fit < 10.0) & (muons["nStations"] > 1) & close & tracked
    soft = _soft(rng, muons, tracked)
    high_pt = muons["isTracker"] & (muons["nStations"] > 1) & close & tracked
    high_pt = high_pt & (muons["ptErr"] < 0.3 * muons["pt"])
    both = muons["isTracker"] & muons["isGlobal"]
    return {
        "mediumId": medium,
        "tightId": tight,
        "softId": soft,
        "highPtId": np.where(high_pt & muons["isGlobal"], 2, 1 * high_pt),
        "inTimeMuon": chance(rng, np.where(muons["source"] == FROM_GEN, 0.998, 0.85), n),
        "triggerIdLoose": soft | (both & chance(rng, sigmoid(3.0 + muons["system"]), n)),
    }


def _soft(rng: np.random.Generator, muons: Collection, tracked: Bools) -> Bools:
    one_station = muons["isTracker"] & (muons["nStations"] > 0)
    one_station = one_station & chance(rng, sigmoid(4.5 + muons["system"]), muons.n_objects)
    near = (np.abs(muons["dxy"]) < 0.3) & (np.abs(muons["dz"]) < 20.0)
    return np.asarray(one_station & tracked & muons["highPurity"] & near)


def _discriminators(rng: np.random.Generator, muons: Collection) -> dict[str, Floats | Bools | Ints]:
    soft = _soft_mva(rng, muons)
    prompt, low_pt = _prompt_mva(rng, muons, 1.0), _prompt_mva(rng, muons, 1.15)
    return {
        "softMva": soft,
        "mvaTTH": prompt,
        "mvaLowPt": low_pt,
        # of a discriminator of its own, which NanoAOD does not keep
        "mvaId": _mva_id(_prompt_mva(rng, muons, 1.0), muons["mediumId"].astype(bool)),
        "mvaLowPtId": np.where(low_pt > -0.9999, 2, 1),
    }


def _fit_quality(rng: np.random.Generator, muons: Collection) -> Floats:
    """Normalised chi2 of the global fit: about one, with a tail for poor muons."""
    quality = 0.5 * (muons["track"] + muons["system"])
    return np.exp(0.05 - 0.35 * quality + 0.35 * rng.normal(size=muons.n_objects))


def _soft_mva(rng: np.random.Generator, muons: Collection) -> Floats:
    """Discriminator of soft muons against decays in flight; -1 where the global fit is missing."""
    n = muons.n_objects
    value = 0.665 + 0.055 * muons["system"] + 0.02 * muons["track"] + 0.03 * rng.normal(size=n)
    value = np.where(value > 0.62, 0.62 + 0.13 * np.tanh((value - 0.62) / 0.13), value)
    missing = ~muons["isGlobal"] | (muons["nStations"] < 1)
    return np.where(missing, -1.0, np.clip(value, -0.99, 0.80))


def _prompt_mva(rng: np.random.Generator, muons: Collection, sharpness: float) -> Floats:
    """Discriminator of prompt muons, from isolation, impact parameter and muon quality; in (-1, 1)."""
    isolation = np.minimum(muons["miniPFRelIso_all"], 2.0)
    jet = np.clip(muons["jetRelIso"], 0.0, 3.0)
    impact = np.log1p(np.minimum(muons["sip3d"], 200.0))
    logit = 7.2 - 5.5 * np.sqrt(isolation) - 2.8 * np.sqrt(jet) - 1.2 * impact
    logit = logit + 0.5 * muons["system"].clip(-3.0, 1.0) + 0.5 * rng.normal(size=muons.n_objects)
    logit = sharpness * (logit - 1.2 * np.exp(-(muons["pt"] - 3.0) / 6.0)) + 0.2 - 0.2 * sharpness
    # trees saturate: the score crowds towards its ends instead of reaching them
    logit = np.where(
        logit < -5.0, -5.0 - 1.3 * sharpness**3 * np.log1p((-5.0 - logit).clip(0.0) / 1.3), logit
    )
    return np.clip(2.0 * sigmoid(logit) - 1.0, -0.9999, 0.9988)


def _mva_id(score: Floats, medium: Bools) -> Ints:
    """Working points 1 to 5 of the multivariate identification; 0 for muons that are not medium."""
    passed = np.sum([score > cut for cut in (-0.30, 0.10, 0.45, 0.75, 0.90)], axis=0)
    return np.where(medium, passed, 0)
