"""Taggers, regressions and pileup identification of the reference detector's jets.

A jet has one set of logits for the classes b, c, light quark and gluon, made of its flavour, kinematics
and a few latents; the discriminators are ratios of the class probabilities, so they are consistent with
each other as those of a real network are. Shapes and working points follow CMS BTV-16-002 and, for pileup
identification, JME-18-001.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashsim_prod.physics.detector.draws import Bools, Floats, chance, mixed, sigmoid
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.events import Collection

_MAX_SCORE = 0.9995


def with_taggers(rng: np.random.Generator, jets: Collection, event: EventLatents) -> Collection:
    """`jets` with btag*, qgl, puId, puIdDisc, bReg* and cReg*."""
    n = jets.n_objects
    vertex, fragmentation = rng.normal(size=n), np.asarray(jets["fragmentation"], dtype=np.float64)
    tracked = np.clip((2.75 - np.abs(jets["eta"])) / 0.4, 0.0, 1.0)
    deep = _logits(rng, jets, vertex, tracked, sharpness=1.0)
    older = _logits(rng, jets, mixed(rng, vertex, 0.85), tracked, sharpness=0.75)
    columns: dict[str, Floats] = {}
    columns |= _flavour_scores(deep, "btagDeepFlav", with_gluon=True)
    trackless = chance(rng, _no_tracks(jets, tracked), n)
    columns |= {
        name: np.where(trackless, -1.0, score)
        for name, score in _flavour_scores(older, "btagDeep", with_gluon=False).items()
    }
    columns["btagCSVV2"] = _csv(rng, jets, older, tracked)
    columns["qgl"] = _quark_likelihood(rng, jets, fragmentation)
    columns |= _pileup_identification(rng, jets, event)
    columns |= _regressions(rng, jets, vertex)
    return jets.with_columns(**columns)


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
    rng: np.random.Generator, jets: Collection, vertex: Floats, tracked: Floats, *, sharpness: float
) -> _Logits:
    n = jets.n_objects
    pt, abs_eta = jets["pt"], np.abs(jets["eta"])
    is_b, is_c = jets["hadron"] == 5, jets["hadron"] == 4
    # best around 80 GeV in the barrel; worse for soft, very hard and forward jets
    reach = (1.0 - 0.55 * np.exp(-(pt - 15.0) / 25.0) - 0.12 * np.log1p(pt / 400.0)) * (
        1.0 - 0.07 * abs_eta**1.5
    )
    reach = np.clip(reach, 0.05, 1.0) * np.maximum(tracked, 0.03) * sharpness
    b_mean = np.where(is_b, 1.0 + 4.3 * reach, np.where(is_c, -2.6 + 1.0 * reach, -2.4 - 1.4 * reach))
    b_width = np.where(is_b, 0.9 + 2.7 * reach, np.where(is_c, 1.5, 0.6 + 0.8 * reach))
    b = b_mean + b_width * mixed(rng, vertex, 0.9) - 2.2 * is_b * (1.0 - reach)
    c_mean = np.where(is_c, -1.6 + 1.6 * reach, np.where(is_b, -0.8 + 0.6 * reach, -2.0 - 0.4 * reach))
    c = c_mean + np.where(is_c, 1.5, 0.65) * mixed(rng, vertex, 0.35) + 0.2 * np.where(is_b, 0.0, b + 3.0)
    gluon_like = np.select([jets["parton"] == 21, is_b], [0.9, 0.1], -0.7)
    gluon = gluon_like + 0.8 * jets["fragmentation"] + 0.5 * rng.normal(size=n) - 0.5 * (pt < 30.0)
    return _Logits(b, c, np.zeros(n), np.clip(gluon, -2.5, 2.6) + 0.6 * jets["from_pileup"])


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


def _no_tracks(jets: Collection, tracked: Floats) -> Floats:
    """Probability that no track passes the selection of the older taggers."""
    lepton_only = np.clip(jets["electron"] + jets["muon"], 0.0, 1.0)
    few = 0.07 + 0.40 * np.exp(-(jets["pt"] - 10.0) / 14.0) + 0.25 * lepton_only + 0.25 * jets["from_pileup"]
    heavy = np.where(jets["hadron"] == 5, 0.25, np.where(jets["hadron"] == 4, 0.5, 1.0))
    return np.where(tracked <= 0.0, 1.0, 1.0 - tracked * (1.0 - np.clip(few * heavy, 0.0, 0.95)))


def _csv(rng: np.random.Generator, jets: Collection, logits: _Logits, tracked: Floats) -> Floats:
    """The older combined tagger, -10 without any track."""
    n = jets.n_objects
    b = logits.probabilities().b
    score = sigmoid(0.75 * _logit(b) + 0.9 + 0.6 * rng.normal(size=n))
    missing = np.where(tracked <= 0.0, 0.97, 1.0 - tracked * 0.88)
    return np.where(chance(rng, missing, n), -10.0, np.minimum(score, 0.9998))


def _logit(p: Floats) -> Floats:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.log(p) - np.log1p(-p)


def _quark_likelihood(rng: np.random.Generator, jets: Collection, fragmentation: Floats) -> Floats:
    """Quark-gluon likelihood; undefined below 20 GeV and for jets of few particles."""
    n = jets.n_objects
    kind = np.select([jets["parton"] == 21, jets["hadron"] == 5], [-0.9, -1.0], 1.4)
    kind = kind - 1.6 * jets["from_pileup"]
    score = sigmoid(
        kind - 1.3 * fragmentation - 0.10 * (jets["nConstituents"] - 13.0) + 0.8 * rng.normal(size=n)
    )
    few = chance(rng, np.where(np.abs(jets["eta"]) < 2.4, 0.18, 0.08), n) | (jets["nConstituents"] < 3)
    return np.where((jets["pt"] < 20.0) | few, -1.0, np.minimum(score, _MAX_SCORE))


def _pileup_identification(
    rng: np.random.Generator, jets: Collection, event: EventLatents
) -> dict[str, Floats]:
    n = jets.n_objects
    pt, abs_eta = jets["pt"], np.abs(jets["eta"])
    forward = abs_eta > 2.75
    likeness = np.where(jets["from_pileup"], -1.3, 2.4) + 0.045 * (pt - 20.0).clip(-5.0, 60.0)
    likeness = likeness - 2.2 * jets["chFPV0EF"] - 0.25 * jets["shower"] - 0.010 * event.rho[jets.event_index]
    likeness = likeness + np.where(forward, np.where(jets["from_pileup"], 1.0, -0.4), 0.0)
    disc = np.tanh(0.5 * (likeness + 1.0 * rng.normal(size=n)))
    undefined: Bools = chance(rng, np.where(pt < 25.0, 0.004, 0.0), n)
    disc = np.where(undefined, -2.0, np.minimum(disc, 0.999))
    return {"puIdDisc": disc, "puId": pileup_id(disc, pt, abs_eta)}


def pileup_id(disc: Floats, pt: Floats, abs_eta: Floats) -> Floats:
    """Identification bits: 4 loose, 2 medium, 1 tight, nested; working points in pt and abs(eta)."""
    column = np.searchsorted(np.array([2.5, 2.75, 3.0]), abs_eta)
    row = np.searchsorted(np.array([20.0, 30.0, 40.0]), pt, side="right")
    loose = np.array([
        [-0.95, -0.72, -0.68, -0.47], [-0.88, -0.55, -0.60, -0.43], [-0.63, -0.18, -0.43, -0.24], [-0.19, 0.22, -0.13, -0.03],
    ])[row, column]  # fmt: skip
    medium = np.array([
        [0.20, -0.56, -0.43, -0.38], [0.62, -0.39, -0.32, -0.29], [0.86, -0.10, -0.15, -0.08], [0.93, 0.61, 0.14, 0.12],
    ])[row, column]  # fmt: skip
    tight = np.array([
        [0.71, -0.32, -0.30, -0.22], [0.87, -0.08, -0.16, -0.12], [0.94, 0.24, 0.05, 0.10], [0.97, 0.82, 0.31, 0.29],
    ])[row, column]  # fmt: skip
    return 4 * (disc > loose) + 2 * (disc > medium) + 1 * (disc > tight)


def _regressions(rng: np.random.Generator, jets: Collection, vertex: Floats) -> dict[str, Floats]:
    """Energy regressions: correction and resolution for b and for c jets."""
    n = jets.n_objects
    pt = jets["pt"]
    lepton = np.clip(jets["electron"] + jets["muon"], 0.0, 1.0)
    heavy = jets["hadron"] == 5
    resolution = (0.07 + 2.9 / (pt + 8.0)) * np.exp(0.18 * rng.normal(size=n)) + 0.05 * jets["from_pileup"]
    correction = 1.03 + 0.10 * np.exp(-pt / 60.0) + 0.10 * lepton + 0.25 * heavy * jets["muEF"]
    correction = correction * (1.0 + 0.55 * resolution * (0.8 * rng.normal(size=n) + 0.4 * jets["shower"]))
    c_resolution = (0.055 + 2.4 / (pt + 8.0)) * np.exp(0.15 * rng.normal(size=n)) + 0.02 * jets["from_pileup"]
    c_correction = 0.98 + 0.45 * (lepton > 0.5) + 0.4 * c_resolution * (rng.normal(size=n) + 0.2 * vertex)
    return {
        "bRegCorr": np.clip(correction, 0.5, 2.5),
        "bRegRes": resolution,
        "cRegCorr": np.clip(c_correction, 0.5, 2.2),
        "cRegRes": c_resolution,
    }
