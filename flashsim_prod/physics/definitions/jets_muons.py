"""Identification flags that follow from other attributes, as NanoAOD defines them.

Each rule here reproduces the flag of centrally produced files from the attributes in the same file, so
flags are computed and never drawn: whatever the source of an object, its flags agree with its numbers. On
public files the pileup identification and the muons' flags come out exactly, jetId for more than 99 % of
the jets; miniIsoId and multiIsoId, which CMSSW cuts on sums that NanoAOD does not keep, for 80 to 100 % and
60 to 90 % of a few muons.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.errors import ConfigError
from flashsim_prod.physics.eras import DEFAULT, find_era
from flashsim_prod.physics.events import Collection, Column

#: Of jets with a generator jet of these flavours, those that keep it and those that count as of a gluon; the
#: others are of a light quark. Rates of centrally produced files, where both kinds of jet are given flavours
#: by partons that are clustered with each: they agree for nearly all heavy jets.
_KEPT = {0: (0.295, 0.585), 1: (0.80, 0.20), 2: (0.80, 0.20), 3: (0.80, 0.20), 21: (0.0, 0.97)}
_LIGHT = np.array([1, -1, 2, -2, 3, -3])

#: area of a ghost: about 0.01, such that a whole number of them goes round in azimuth
_GHOST = 0.1 * 2.0 * np.pi / 63

#: of candidates of particle flow, and of all other muons [GeV]
_MASSES = (0.1057, 0.105658)

_PF_ISOLATION = (0.40, 0.25, 0.20, 0.15, 0.10, 0.05)
_TRACK_ISOLATION = (0.10, 0.05)
MINI_ISOLATION = (0.40, 0.20, 0.10, 0.05)
SOFT_MVA = 0.58


def parton_flavour(generated: Column, lot: NDArray[np.float64]) -> NDArray[np.int64]:
    """Jet_partonFlavour, of that of the generator jet and of numbers even in [0, 1), shape (n,)."""
    flavour = generated.astype(np.int64)
    found = flavour.copy()
    for kind, (kept, gluon) in _KEPT.items():
        of_kind, rest = np.abs(flavour) == kind, lot - kept - gluon
        found[of_kind & (lot >= kept)] = 21
        light = of_kind & (rest >= 0.0)
        place = rest[light] / max(1.0 - kept - gluon, 1e-9) * len(_LIGHT)
        found[light] = _LIGHT[np.minimum(place.astype(np.int64), len(_LIGHT) - 1)]
    return found


def in_ghosts(jets: Collection) -> Collection:
    """Jets with their areas, if they have any, as they are measured: whole ghosts of one size each."""
    if "area" not in jets:
        return jets
    return jets.with_columns(area=np.rint(jets["area"].astype(np.float64) / _GHOST) * _GHOST)


def muon_mass(is_candidate: Column) -> NDArray[np.float32]:
    """Muon_mass [GeV], which tells candidates of particle flow from other muons."""
    return np.where(is_candidate.astype(bool), *_MASSES).astype(np.float32)


def jet_id(jets: Collection) -> NDArray[np.int32]:
    """Identification bits: 2 tight, 4 tight with lepton veto (Run-2 Ultra-Legacy working points)."""
    abs_eta = np.abs(jets["eta"])
    charged, neutral, photon = jets["chHEF"], jets["neHEF"], jets["neEmEF"]
    within = (neutral < 0.90) & (photon < 0.90) & (jets["nConstituents"] > 1) & (charged > 0)
    edge = (neutral < 0.90) & (photon < 0.99) & (charged > 0)
    endcap = (photon > 0.01) & (photon < 0.99)
    forward = (neutral > 0.20) & (photon < 0.90) & (jets["nConstituents"] > 10)
    tight = np.select([abs_eta <= 2.6, abs_eta <= 2.7, abs_eta <= 3.0], [within, edge, endcap], forward)
    no_lepton = ((jets["muEF"] < 0.80) & (jets["chEmEF"] < 0.80)) | (abs_eta > 2.7)
    return (2 * tight + 4 * (tight & no_lepton)).astype(np.int32)


def pileup_id(disc: Column, pt: Column, abs_eta: Column, era: str = DEFAULT) -> NDArray[np.int32]:
    """Bits of the pileup identification: 4 loose, 2 medium, 1 tight, nested (in 2016: 1, 2, 4).

    Parameters
    ----------
    disc, pt, abs_eta : arrays of shape (n_jets,)
        Pileup score, transverse momentum [GeV] and absolute pseudorapidity.
    era : str
        Whose working points; `ConfigError` if it is not known, or they are not.
    """
    cuts_of_bits = find_era(era).pileup_id
    if cuts_of_bits is None:
        raise ConfigError(f"no working points of the pileup identification are known for era {era}")
    column = np.searchsorted(np.array([2.5, 2.75, 3.0]), abs_eta)
    row = np.searchsorted(np.array([20.0, 30.0, 40.0]), pt, side="right")
    passed = [disc > cuts[row, column] for cuts in cuts_of_bits]
    bits: NDArray[np.int32] = (4 * passed[0] + 2 * passed[1] + 1 * passed[2]).astype(np.int32)
    return bits


def of_era(jets: Collection, era: str) -> Collection:
    """Jets of the default era as those of `era`: with its puId, or without one if that is not known."""
    if "puId" not in jets or "puIdDisc" not in jets:
        return jets
    if find_era(era).pileup_id is None:
        return jets.only([name for name in jets.columns if name != "puId"])
    return jets.with_columns(puId=pileup_id(jets["puIdDisc"], jets["pt"], np.abs(jets["eta"]), era))


def bottom_score(c_against_b: Column, c_against_light: Column) -> NDArray[np.float64]:
    """The b score of a tagger whose three probabilities add up to one, from its two ratios for charm.

    With b + c + l = 1: c/(c + b) and c/(c + l) leave b = (1 - CvB) CvL / (CvB + CvL - CvB CvL).
    """
    against_b, against_light = c_against_b.astype(np.float64), c_against_light.astype(np.float64)
    sum_of_odds = against_b + against_light - against_b * against_light
    b: NDArray[np.float64] = (1 - against_b) * against_light / np.maximum(sum_of_odds, 1e-9)
    return b


def impact_3d(dxy: Column, dz: Column, eta: Column) -> NDArray[np.float64]:
    """Three-dimensional impact parameter from the transverse and the longitudinal one [cm]."""
    distance: NDArray[np.float64] = np.hypot(dxy, dz / np.cosh(eta.astype(np.float64)))
    return distance


def muon_flags(muons: Collection) -> dict[str, Column]:
    """Working points of isolation, charge and soft discriminator, each from the attribute it cuts on."""
    close = (np.abs(muons["dxy"]) < 0.02) & (np.abs(muons["dz"]) < 0.1)
    return {
        "looseId": loose_muons(muons),
        "pfIsoId": count_below(muons["pfRelIso04_all"], _PF_ISOLATION),
        "tkIsoId": count_below(muons["tkRelIso"], _TRACK_ISOLATION),
        "miniIsoId": count_below(muons["miniPFRelIso_all"], MINI_ISOLATION),
        "multiIsoId": multi_isolation(
            muons["miniPFRelIso_all"], muons["jetRelIso"], muons["jetPtRelv2"]
        ).astype(np.uint8),
        "softMvaId": muons["softMva"] > SOFT_MVA,
        "mediumPromptId": muons["mediumId"].astype(bool) & close,
        "tightCharge": np.where(muons["ptErr"] < 0.2 * muons["pt"], 2, 0).astype(np.int32),
    }


def multi_isolation(mini: Column, jet: Column, across: Column) -> NDArray[np.int64]:
    """Mini isolation together with the muon's share of its jet, or its distance from it.

    The variables and the medium point, 2, are those of CMS SUS-15-008 (arXiv:1605.03171); 1 is the loose one.

    Parameters
    ----------
    mini, jet, across : arrays of shape (n_muons,)
        miniPFRelIso_all, jetRelIso, and jetPtRelv2 [GeV].
    """
    share = 1.0 / (1.0 + np.maximum(jet, -0.5))
    loose = (mini < 0.20) & ((share > 0.69) | (across > 6.0))
    medium = (mini < 0.16) & ((share > 0.76) | (across > 7.2))
    points: NDArray[np.int64] = (1 * loose + 1 * (loose & medium)).astype(np.int64)
    return points


def loose_muons(muons: Collection) -> NDArray[np.bool_]:
    """Particle-flow muons that are global or tracker muons."""
    kind = muons["isGlobal"].astype(bool) | muons["isTracker"].astype(bool)
    loose: NDArray[np.bool_] = muons["isPFcand"].astype(bool) & kind
    return loose


def count_below(value: Column, cuts: tuple[float, ...]) -> NDArray[np.uint8]:
    """How many of the falling thresholds `cuts` each value is below."""
    number: NDArray[np.uint8] = np.sum([value < cut for cut in cuts], axis=0).astype(np.uint8)
    return number
