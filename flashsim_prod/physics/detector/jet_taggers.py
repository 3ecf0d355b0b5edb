"""Taggers, regressions and pileup identification of the reference detector's jets.

A jet has one set of logits for the classes b, c, light quark and gluon, made of its flavour, kinematics and
a few latents; the discriminators are ratios of the class probabilities, so they are consistent with each
other as those of a real network are. What is imitated are CSVv2 and DeepCSV (BTV-16-002, arXiv:1712.07158),
DeepJet (arXiv:2008.10519), the b jet energy regression (HIG-18-027, arXiv:1912.06046) and the pileup jet
identification (JME-18-001, arXiv:2003.00503). No number is from there: levels, slopes and tails by flavour,
pt and eta were adjusted by eye to quantiles of public simulated events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashsim_prod.physics.definitions.jets_muons import pileup_id
from flashsim_prod.physics.detector.draws import Bools, Floats, Ints, chance, mixed, sigmoid
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.events import Collection

_MAX_SCORE = 0.9995


def with_taggers(rng: np.random.Generator, jets: Collection, event: EventLatents) -> Collection:
    """`jets` with btag*, qgl, puId, puIdDisc, bReg* and cReg*."""
    n = jets.n_objects
    vertex, fragmentation = rng.normal(size=n), np.asarray(jets["fragmentation"], dtype=np.float64)
    deep = _logits(rng, jets, vertex, _tracked(jets, 2.6), prior=-2.6, sharpness=1.0)
    older = _logits(rng, jets, mixed(rng, vertex, 0.85), _tracked(jets, 2.6), prior=-1.9, sharpness=0.8)
    columns: dict[str, Floats | Ints] = {}
    columns |= _flavour_scores(deep, "btagDeepFlav", with_gluon=True)
    trackless = chance(rng, _no_tracks(jets), n)
    columns |= {
        name: np.where(trackless, -1.0, score)
        for name, score in _flavour_scores(older, "btagDeep", with_gluon=False).items()
    }
    columns["btagCSVV2"] = _csv(rng, jets, older, trackless)
    columns["qgl"] = _quark_likelihood(rng, jets, fragmentation)
    columns |= _pileup_identification(rng, jets, event)
    columns |= _regressions(rng, jets, vertex)
    return jets.with_columns(**columns)


def _tracked(jets: Collection, edge: float) -> Floats:
    """Share of tracks that a jet has within the tracker, falling around `edge` in abs(eta)."""
    return np.clip((edge + 0.25 - np.abs(jets["eta"])) / 0.5, 0.0, 1.0)


@dataclass(frozen=True)
class _Logits:
    """Log-likelihoods of the classes, each of shape (n_jets,)."""

    b: Floats
    c: Floats
    light: Floats
    gluon: Floats

    def probabilities(self) -> _Logits:
        top = np.maximum.reduce([self.b, self.c, self.light, self.gluon])
        weights = [np.exp(value - top) for value in (self.b, self.c, self.light, self.gluon)]
        total = sum(weights, start=np.zeros_like(top))
        return _Logits(*(weight / total for weight in weights))


def _logits(
    rng: np.random.Generator,
    jets: Collection,
    vertex: Floats,
    tracked: Floats,
    *,
    prior: float,
    sharpness: float,
) -> _Logits:
    """Class log-likelihoods relative to light quarks and gluons together.

    Jets without information (soft, forward) stay near the `prior` of b against light.
    """
    pt, abs_eta = jets["pt"], np.abs(jets["eta"])
    is_b, is_c = jets["hadron"] == 5, jets["hadron"] == 4
    # best around 80 GeV in the barrel; worse for soft, very hard and forward jets
    reach = 1.0 - 0.55 * np.exp(-(pt - 15.0) / 25.0) - 0.12 * np.log1p(pt / 400.0)
    reach = np.clip(reach * (1.0 - 0.07 * abs_eta**1.5), 0.05, 1.0) * np.maximum(tracked, 0.03)
    # displaced decays of light jets and fake tracks make a tail to the right
    z = mixed(rng, vertex, 0.9)
    tail = np.where(z > 0.0, 1.0 + 0.16 * z, 1.0)
    light = prior - 1.7 * reach + (0.45 + 0.85 * reach) * z * tail * (1.0 - 0.35 * jets["from_pileup"])
    bottom = prior + 0.2 + 10.4 * reach * sharpness + (0.8 + 5.2 * reach * sharpness) * z
    b = np.where(is_b, bottom, light)
    c = _charm_logit(rng, jets, vertex, reach, b, prior)
    # a charm jet looks like bottom as much as it looks displaced at all
    b = np.where(is_c, c - 1.05 + rng.normal(size=len(b)), b)
    gluon_share = sigmoid(_gluon_logit(rng, jets))
    return _Logits(b, c, np.log1p(-gluon_share), np.log(gluon_share))


def _charm_logit(
    rng: np.random.Generator, jets: Collection, vertex: Floats, reach: Floats, b: Floats, prior: float
) -> Floats:
    """Charm against light: b jets look like charm first of all, as far as they do not look light."""
    level = prior + 0.35
    is_b, is_c = jets["hadron"] == 5, jets["hadron"] == 4
    noise = mixed(rng, vertex, 0.45)
    light = level - 0.45 * reach + (0.20 + 0.60 * reach) * noise * np.where(noise > 0.0, 1.3, 1.0)
    bottom = 2.3 + np.where(b < 5.3, 0.45, 0.33) * (b - 5.3) + (0.3 + 0.5 * reach) * rng.normal(size=len(b))
    light = np.where(jets["from_pileup"], level + 0.5 * (light - level), light)
    charm = level + 0.3 + 1.8 * reach + (0.5 + 2.2 * reach) * noise * np.where(noise > 0.0, 1.35, 0.65)
    return np.select([is_b, is_c], [bottom, charm], light)


def _gluon_logit(rng: np.random.Generator, jets: Collection) -> Floats:
    kind = np.select(
        [jets["partonFlavour"] == 21, jets["hadron"] > 0, jets["partonFlavour"] == 0],
        [0.55, 0.25, -0.1],
        -0.75,
    )
    logit = kind + (0.75 * jets["fragmentation"] + 0.55 * rng.normal(size=jets.n_objects))
    logit = np.where(jets["from_pileup"], 0.9 + 0.70 * (logit - kind) - 0.2 * jets["fragmentation"], logit)
    return 2.2 * np.tanh(logit / 2.0)


def _flavour_scores(logits: _Logits, prefix: str, *, with_gluon: bool) -> dict[str, Floats]:
    p = logits.probabilities()
    light = p.light + p.gluon
    scores = {
        f"{prefix}B": p.b,
        f"{prefix}CvB": p.c / (p.c + p.b),
        f"{prefix}CvL": p.c / (p.c + light),
    }
    if with_gluon:
        scores[f"{prefix}QG"] = p.gluon / light
    return {name: np.minimum(score, _MAX_SCORE) for name, score in scores.items()}


def _no_tracks(jets: Collection) -> Floats:
    """Probability that no track passes the selection of the older taggers."""
    tracked = _tracked(jets, 2.72)
    lepton_only = np.clip(jets["electron"] + jets["muon"], 0.0, 1.0)
    soft = np.exp(-(jets["pt"] - 10.0) / 14.0) * (0.15 + 0.3 * np.clip(np.abs(jets["eta"]) - 0.8, 0.0, 1.0))
    few = 0.05 + soft + 0.20 * lepton_only + 0.20 * jets["from_pileup"]
    heavy = np.where(jets["hadron"] == 5, 0.25, np.where(jets["hadron"] == 4, 0.5, 1.0))
    return np.asarray(1.0 - tracked * (1.0 - np.clip(few * heavy, 0.0, 0.95)))


def _csv(rng: np.random.Generator, jets: Collection, logits: _Logits, trackless: Bools) -> Floats:
    """The older combined tagger, -10 without any track: for most jets that have none for the others."""
    score = sigmoid(
        0.6 * logits.b + np.where(jets["from_pileup"], 1.6, 0.7) + 0.25 * rng.normal(size=jets.n_objects)
    )
    missing = trackless & chance(rng, 0.985 - 0.27 * _tracked(jets, 2.92), jets.n_objects)
    return np.where(missing, -10.0, np.minimum(score, 0.9998))


def _quark_likelihood(rng: np.random.Generator, jets: Collection, fragmentation: Floats) -> Floats:
    """Quark-gluon likelihood; undefined below 20 GeV and for jets of few particles."""
    n = jets.n_objects
    kind = np.select([jets["partonFlavour"] == 21, jets["hadron"] == 5], [-0.9, -1.0], 1.4)
    kind = kind - 0.7 * jets["from_pileup"]
    score = sigmoid(
        kind - 1.3 * fragmentation - 0.10 * (jets["nConstituents"] - 13.0) + 0.8 * rng.normal(size=n)
    )
    lepton = jets["electron"] + jets["muon"] > 0.5
    few = chance(rng, np.where(lepton, 0.436, 0.016), n) | (
        (jets["nConstituents"] < 5) & chance(rng, 0.86, n)
    )
    few |= jets["nConstituents"] < 3
    return np.where((jets["pt"] < 20.0) | few, -1.0, np.minimum(score, _MAX_SCORE))


def _pileup_identification(
    rng: np.random.Generator, jets: Collection, event: EventLatents
) -> dict[str, Floats | Ints]:
    n = jets.n_objects
    pt, abs_eta = jets["pt"], np.abs(jets["eta"])
    likeness = np.where(jets["from_pileup"], -0.5, 3.6) + 0.035 * (pt - 20.0).clip(-5.0, 60.0)
    likeness = likeness - 2.0 * jets["chFPV0EF"] - 0.3 * jets["shower"] - 0.012 * event.rho[jets.event_index]
    outside = np.where(jets["from_pileup"], 0.3, -1.6)
    likeness = likeness + np.interp(abs_eta, [2.4, 2.8, 3.0], [0.0, 0.5, 1.0]) * outside
    spread = np.interp(abs_eta, [2.4, 3.0], [1.8, 1.0]) * np.where(jets["from_pileup"], 1.3, 1.0)
    likeness = likeness - 3.0 * chance(rng, 0.07, n)
    disc = np.tanh(0.5 * (likeness + spread * rng.normal(size=n)))
    undefined: Bools = chance(rng, np.where((abs_eta > 3.0) & (pt < 30.0), 0.03, 0.0), n)
    disc = np.where(undefined, -2.0, np.clip(disc, -0.998, 0.999))
    return {"puIdDisc": disc, "puId": pileup_id(disc, pt, abs_eta)}


def _regressions(rng: np.random.Generator, jets: Collection, vertex: Floats) -> dict[str, Floats]:
    """Energy regressions: correction and resolution for b and for c jets."""
    n = jets.n_objects
    pt = jets["pt"]
    lepton = np.clip(jets["electron"] + jets["muon"], 0.0, 1.0)
    heavy = jets["hadron"] == 5
    resolution = (0.05 + 5.2 / (pt + 6.0)) * np.exp(0.20 * rng.normal(size=n)) + 0.03 * jets["from_pileup"]
    correction = (
        1.05
        - 0.06 * jets["from_pileup"]
        + 0.12 * np.exp(-pt / 60.0)
        + 0.06 * lepton
        + 0.25 * heavy * jets["muEF"]
    )
    correction = correction * (1.0 + 0.55 * resolution * (0.9 * rng.normal(size=n) + 0.4 * jets["shower"]))
    c_resolution = (0.04 + 4.2 / (pt + 5.0)) * np.exp(0.16 * rng.normal(size=n)) + 0.02 * jets["from_pileup"]
    single = chance(rng, 0.6, n) & (lepton > 0.6)
    c_correction = 1.0 - 0.06 * jets["from_pileup"] + 0.42 * single
    c_correction = c_correction + 0.75 * c_resolution * (rng.normal(size=n) + 0.2 * vertex)
    return {
        "bRegCorr": np.clip(correction, 0.5, 2.5),
        "bRegRes": resolution,
        "cRegCorr": np.clip(c_correction, 0.5, 2.2),
        "cRegRes": c_resolution,
    }
