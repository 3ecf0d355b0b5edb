"""What the flows of jets draw instead of attributes that are tied to each other, and back.

In files of CMS as in those of the reference detector the energy fractions add up to one, a tagger's three
scores are two, the pileup identification is a cut on its discriminator, and undefined values come together.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flashsim_prod.physics.chain.forms import F64, Bools, as_drawn, filled, parts, shares
from flashsim_prod.physics.chain.model import Target
from flashsim_prod.physics.definitions.jets_muons import bottom_score, pileup_id
from flashsim_prod.physics.events import Column

#: drawn as they are, and left out where a bundle's weights lack them
_FREE = (
    "area",
    "btagCSVV2",
    "btagDeepFlavCvB",
    "btagDeepFlavCvL",
    "btagDeepFlavQG",
    "btagDeepCvB",
    "chFPV0EF",
    "puIdDisc",
    "rawFactor",
    "bRegCorr",
    "bRegRes",
    "cRegCorr",
    "cRegRes",
    "nConstituents",
    "hfsigmaEtaEta",
)
#: drawn as if always defined; undefined where the older taggers have no tracks, the likelihood no range,
#: or the forward calorimeter no tower, and then this; the same where a bundle's weights lack them
_UNDEFINED = {
    "btagDeepCvL": -1.0,
    "qgl": -1.0,
    "hfsigmaPhiPhi": -1.0,
    "hfcentralEtaStripSize": 0.0,
    "hfadjacentEtaStripsSize": 0.0,
}
_FRACTIONS = ("muEF", "chEmEF", "chHEF", "neEmEF", "neHEF")
_SHARES = {name: f"{name}_share" for name in _FRACTIONS[:-1]}

#: what every jet has, whatever it came from
TARGETS = (
    *(Target(name) for name in _FREE),
    *(Target(name, default=undefined) for name, undefined in _UNDEFINED.items()),
    *(Target(name) for name in (*_SHARES.values(), "muonSubtraction", "massOverPt")),
)

#: the quark-gluon likelihood needs this much pt [GeV] and so many constituents
_LIKELIHOOD_PT, _LIKELIHOOD_CONSTITUENTS = 20.0, 3
#: muonSubtrFactor is rounding noise of this size where no muon is taken out
_ROUNDING = 1e-6


def express(attributes: Mapping[str, Column]) -> dict[str, Column]:
    """The columns of `TARGETS`, from attributes in their NanoAOD form."""
    known = _defined(attributes)
    found = {name: attributes[name] for name in _FREE}
    found |= {name: filled(attributes[name], known[name]) for name in _UNDEFINED}
    of_rest = shares(attributes, _FRACTIONS)
    found |= {share: of_rest[name] for name, share in _SHARES.items()}
    subtracted, muons = attributes["muonSubtrFactor"].astype(np.float64), attributes["muEF"]
    stored = (np.abs(subtracted) > _ROUNDING) & (muons > 0)
    # a muon that is subtracted without being a part of the jet: its share is that of none
    noise = np.where(np.abs(subtracted) > _ROUNDING, 1.0, subtracted / _ROUNDING)
    found["muonSubtraction"] = np.where(stored, subtracted / np.where(stored, muons, 1.0), noise)
    found["massOverPt"] = attributes["mass"] / attributes["pt"].astype(np.float64)
    return found


def assemble(drawn: Mapping[str, F64]) -> dict[str, Column]:
    """All attributes of jets but jetId and those that are matched, from `TARGETS`, pt, eta and phi."""
    made = as_drawn(drawn, _FREE) | {name: drawn[name] for name in ("pt", "eta", "phi")}
    known = _defined(made)
    made |= {name: np.where(known[name], drawn[name], value) for name, value in _UNDEFINED.items()}
    for tagger in ("btagDeep", "btagDeepFlav"):
        scored = made[f"{tagger}CvB"] >= 0
        score = bottom_score(made[f"{tagger}CvB"], made[f"{tagger}CvL"])
        made[f"{tagger}B"] = np.where(scored, np.minimum(score, _HIGHEST_SCORE), -1.0)
    made |= parts({name: drawn[share] for name, share in _SHARES.items()}, _FRACTIONS)
    # ratios to the muons' share stand far above what rounding gives
    with_muon = drawn["muonSubtraction"] > _BETWEEN
    subtracted = drawn["muonSubtraction"] * np.where(with_muon, made["muEF"], _ROUNDING)
    made["muonSubtrFactor"] = np.minimum(subtracted, _MOST_SUBTRACTED)
    made["mass"] = drawn["massOverPt"] * drawn["pt"]
    made["puId"] = pileup_id(made["puIdDisc"], made["pt"], np.abs(made["eta"]))
    return made


#: no jet is all muon
_MOST_SUBTRACTED = 0.9922
#: the taggers' highest score as NanoAOD keeps it; and a number between a muon's subtraction and rounding
_HIGHEST_SCORE, _BETWEEN = 0.9995, 0.3


def _defined(jets: Mapping[str, Column]) -> dict[str, Bools]:
    """Where each of the attributes in `_UNDEFINED` is defined."""
    forward = jets["hfsigmaEtaEta"] >= 0
    return {
        "btagDeepCvL": jets["btagDeepCvB"] >= 0,
        "qgl": (jets["pt"] >= _LIKELIHOOD_PT) & (jets["nConstituents"] >= _LIKELIHOOD_CONSTITUENTS),
        "hfsigmaPhiPhi": forward,
        "hfcentralEtaStripSize": forward,
        "hfadjacentEtaStripsSize": forward,
    }
