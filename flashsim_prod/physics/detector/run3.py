"""What NanoAOD v15 has beside: taggers, regressions and identifications of Run 3, from those of Run 2.

A score of Run 3 goes with the one whose part it plays, more or less, or with what the object came of; levels
and spreads are set by eye. Of real files there are few, and what is known of them moves these numbers
afterwards (`retuning`): no network is imitated.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.core.names import NANO_RUN3
from flashsim_prod.physics.chain.registry import models_of, variant_of
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.detector.draws import Floats, sigmoid, stream
from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.nanoaod.versions.derived import DERIVED

#: taggers go up to here [abs(eta)], and saturate there
_TRACKED, _HIGHEST = 2.5, 0.9995
#: a jet with such a share of its energy is of a lepton
_LEPTONIC = 0.3
#: shares of charged and of neutral particles among a jet's constituents
_CHARGED, _NEUTRAL = 0.65, 0.30
#: origins of a muon as genPartFlav numbers them, by the name of the score
_ORIGINS = {"prompt": (1,), "tau": (15,), "heavy": (4, 5), "light": (0, 3)}


def with_attributes_of_run3(events: Events, seed: int) -> Events:
    """`events` of the reference detector as v15 has them, under the names that models of v15 declare."""
    made = {"Jet": _jets, "Muon": _muons, "Tau": _taus, "SubJet": _subjets}
    for name, function in made.items():
        if name in events.collections:
            columns = function(stream(seed, f"run3 {name}"), events)
            events = events.with_collections({name: events[name].with_columns(**columns)})
    for model in {model.produces: model for model in models_of(NANO_RUN3)}.values():
        if model.produces in events.collections:
            finished = variant_of(model).finish(events[model.produces], events)
            events = events.with_collections({model.produces: finished})
    derived = {
        name: one.formula({need: events.scalars[need] for need in one.needs})
        for name, one in DERIVED.items()
        if set(one.needs) <= events.scalars.keys()
    }
    return events.with_scalars(derived)


def _jets(rng: np.random.Generator, events: Events) -> dict[str, Column]:
    jets = events["Jet"]
    n = jets.n_objects
    inside = np.abs(jets["eta"]) < _TRACKED
    of_tau = _near_tau(events, jets)
    old = {name: _logit(jets[f"btagDeepFlav{name}"]) for name in ("B", "CvB", "CvL", "QG")}
    scores: dict[str, Floats] = {}
    for prefix, sharper in (("btagPNet", 1.1), ("btagUParTAK4", 1.25)):
        for name in ("CvB", "CvL"):
            scores[prefix + name] = sharper * old[name] + 0.5 * rng.normal(size=n)
        scores[f"{prefix}CvNotB"] = scores[f"{prefix}CvL"] - 0.1 + 0.2 * rng.normal(size=n)
        scores[f"{prefix}QvG"] = -0.8 * old["QG"] + 0.5 * rng.normal(size=n)
        scores[f"{prefix}TauVJet"] = -7.0 + 7.0 * of_tau + 1.5 * rng.normal(size=n)
    bottom = 1.2 * old["B"] + 0.5 * rng.normal(size=n)
    scores |= {
        "btagUParTAK4B": bottom,
        "btagUParTAK4probb": bottom - 0.1 + 0.1 * rng.normal(size=n),
        "btagUParTAK4probbb": 0.7 * bottom - 4.0 + rng.normal(size=n),
        "btagUParTAK4Ele": -11.0 + 9.0 * (jets["chEmEF"] > _LEPTONIC) + 1.5 * rng.normal(size=n),
        "btagUParTAK4Mu": -12.0 + 10.0 * (jets["muEF"] > _LEPTONIC) + 1.5 * rng.normal(size=n),
        "btagUParTAK4SvCB": -0.5 - 0.8 * np.maximum(bottom, -2.0) + rng.normal(size=n),
        "btagUParTAK4SvUDG": -1.3 + 0.5 * rng.normal(size=n),
        "btagUParTAK4UDG": -0.7 * bottom - 1.5 + 0.7 * rng.normal(size=n),
    }
    found: dict[str, Column] = {}
    for name, score in scores.items():
        undefined = -3.0 if name.endswith("UDG") and "Sv" not in name else -1.0
        found[name] = np.where(inside, np.minimum(sigmoid(score), _HIGHEST), undefined)
    found["btagPNetQvG"] = np.minimum(sigmoid(scores["btagPNetQvG"]), _HIGHEST)
    return found | _regressions(rng, jets, inside) | _numbers(rng, jets)


def _regressions(rng: np.random.Generator, jets: Collection, inside: Column) -> dict[str, Column]:
    """Corrections of the raw pt, the further one for neutrinos, and resolutions."""
    n, pt = jets.n_objects, jets["pt"].astype(np.float64)
    truth = 1.0 / np.maximum(1.0 - jets["rawFactor"].astype(np.float64), 0.3)
    heavy = jets["hadronFlavour"] > 0
    found: dict[str, Column] = {}
    for prefix, everywhere in (("PNet", True), ("UParTAK4", False)):
        resolution = (0.04 + 4.0 / (pt + 10.0)) * np.exp(0.25 * rng.normal(size=n))
        neutrino = 1.003 + 0.01 * rng.exponential(size=n) + heavy * 0.06 * rng.exponential(size=n)
        columns = {
            "RegPtRawCorr": truth * (1.0 + 0.3 * resolution * rng.normal(size=n)),
            "RegPtRawCorrNeutrino": neutrino if everywhere else truth * neutrino,
            "RegPtRawRes": resolution,
        }
        known = inside | everywhere
        found |= {prefix + name: np.where(known, column, -1.0) for name, column in columns.items()}
    return found


def _numbers(rng: np.random.Generator, jets: Collection) -> dict[str, Column]:
    """Charged and neutral particles, which PUPPI weights leave some of."""
    total = np.maximum(jets["nConstituents"].astype(np.int64), 0)
    charged = rng.binomial(total, np.where(np.abs(jets["eta"]) < _TRACKED, _CHARGED, 0.0))
    neutral = np.minimum(rng.binomial(total, _NEUTRAL / (1.0 - _CHARGED) * 0.6), total - charged)
    return {"chMultiplicity": charged.astype(np.uint8), "neMultiplicity": neutral.astype(np.uint8)}


def _muons(rng: np.random.Generator, events: Events) -> dict[str, Column]:
    muons = events["Muon"]
    n = muons.n_objects
    good = 2.5 * muons["mediumId"] + 1.2 * muons["tightId"] + 0.8 * muons["segmentComp"].astype(np.float64)
    soft = 2.0 * muons["softId"] + 1.5 * muons["isGlobal"]
    likeness = {
        name: 3.0 * np.isin(muons["genPartFlav"], codes) + 1.5 * rng.normal(size=n)
        for name, codes in _ORIGINS.items()
    }
    likeness["prompt"] = likeness["prompt"] + 0.6 * _logit((muons["mvaTTH"].astype(np.float64) + 1.0) / 2.0)
    weights = {name: np.exp(np.clip(value, -20.0, 20.0)) for name, value in likeness.items()}
    total = np.sum(list(weights.values()), axis=0)
    return {
        "mvaMuID": 0.75 * sigmoid(good - 3.0 + 0.7 * rng.normal(size=n)),
        "softMvaRun3": 0.92 * sigmoid(soft - 2.0 + rng.normal(size=n)),
        **{f"pnScore_{name}": weight / total for name, weight in weights.items()},
    }


def _taus(rng: np.random.Generator, events: Events) -> dict[str, Column]:
    taus = events["Tau"]
    n = taus.n_objects
    found: dict[str, Column] = {}
    for tagger in ("PNet", "UParT"):
        for other in ("jet", "e", "mu"):
            score = _logit(taus[f"rawDeepTau2017v2p1VS{other}"]) + 0.7 * rng.normal(size=n)
            found[f"raw{tagger}VS{other}"] = np.minimum(sigmoid(score), _HIGHEST)
        found[f"ptCorr{tagger}"] = 1.05 * np.exp(0.10 * rng.normal(size=n))
    return found


def _subjets(rng: np.random.Generator, events: Events) -> dict[str, Column]:
    subjets = events["SubJet"]
    score = _logit(np.maximum(subjets["btagDeepB"], 1e-4)) + 0.5 * rng.normal(size=subjets.n_objects)
    return {
        "btagDeepFlavB": np.minimum(sigmoid(score), _HIGHEST),
        "btagUParTAK4B": np.minimum(sigmoid(1.1 * score - 0.5), _HIGHEST),
    }


def _near_tau(events: Events, jets: Collection) -> Column:
    if "GenVisTau" not in events.collections:
        return np.zeros(jets.n_objects, bool)
    position, _ = links.nearest(jets, events["GenVisTau"], 0.4)
    return np.asarray(position >= 0)


def _logit(score: Column) -> Floats:
    bounded = np.clip(score.astype(np.float64), 1e-5, 1.0 - 1e-4)
    return np.asarray(np.log(bounded / (1.0 - bounded)))
