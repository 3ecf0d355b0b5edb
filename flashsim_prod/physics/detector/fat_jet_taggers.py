"""Taggers of the reference detector's fat jets.

Each family has log-odds of its classes against QCD, made of what is in the jet and of latents that the
families share; the stored scores are ratios of class probabilities, so that they are consistent with each
other as those of a real network are. Classes are those of DeepAK8 (JME-18-002, arXiv:2004.08262),
ParticleNet (arXiv:1902.08570) and DeepDoubleX (CMS-DP-2018-046); levels were adjusted by eye to public
simulated top quark pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashsim_prod.physics.definitions import fat_jets as fat
from flashsim_prod.physics.definitions.fat_jet_scores import class_scores
from flashsim_prod.physics.detector.draws import Bools, Floats, chance, mixed, sigmoid
from flashsim_prod.physics.events import Collection

_MAX_SCORE = 0.9995
#: of jets that are not groomed, and of their scores without mass: rates of centrally produced simulation
_BLIND, _NO_RATIO = 0.69, -10.0
_UNDEFINED = (
    (("HbbvsQCD", "TvsQCD", "ZbbvsQCD", "ZHbbvsQCD", "bbvsLight"), 1.0),
    (("WvsQCD",), 0.82),
    (("ZHccvsQCD", "ccvsLight"), 0.79),
    (("ZvsQCD",), 0.38),
    (("H4qvsQCD",), 0.18),
)


@dataclass(frozen=True)
class _Latents:
    """What the taggers of a jet share, each of shape (n_jets,); noise is standard normal.

    Attributes
    ----------
    top, w, z, h : float arrays
        1 for jets with such a decay inside, 0 for others; a partly contained top counts a third.
    bottom, charm : float arrays
        How much of displaced decays is seen, 0 for none to 2 for two hadrons.
    leptonic : float array
        How much of a lepton's decay is inside, 0 to 1.
    two, three : float arrays
        Likeness to two and to three prongs.
    """

    top: Floats
    w: Floats
    z: Floats
    h: Floats
    bottom: Floats
    charm: Floats
    leptonic: Floats
    two: Floats
    three: Floats


def with_fat_jet_taggers(rng: np.random.Generator, jets: Collection) -> Collection:
    """`jets` with btag*, deepTag*, particleNet* and particleNet_mass."""
    seen = _latents(rng, jets)
    return jets.with_columns(
        **_particle_net(rng, jets, seen),
        **_particle_net_decorrelated(rng, seen),
        **_deep_ak8(rng, jets, seen),
        **_undefined_without_prongs(rng, jets, _deep_ak8_decorrelated(rng, seen)),
        **_double_b(rng, jets, seen),
        particleNet_mass=_mass(rng, jets),
    )


def _flag(jets: Collection, *names: str) -> Floats:
    flags: Bools = np.any([jets[f"gen_{name}"] for name in names], axis=0)
    return flags.astype(np.float64)


def _latents(rng: np.random.Generator, jets: Collection) -> _Latents:
    n = jets.n_objects
    n_b, n_c = jets["gen_n_b"].astype(np.float64), jets["gen_n_c"].astype(np.float64)
    top = np.maximum(_flag(jets, "top"), _flag(jets, "top_part") / 3.0)
    reach = np.clip(1.0 - 0.06 * np.abs(jets["eta"]) ** 2, 0.1, 1.0)
    ratio = [
        jets[name] / np.maximum(jets[under], 1e-9) for name, under in (("tau2", "tau1"), ("tau3", "tau2"))
    ]
    return _Latents(
        top=top,
        w=_flag(jets, "w_cq", "w_qq"),
        z=_flag(jets, "z_bb", "z_cc", "z_qq"),
        h=_flag(jets, "h_bb", "h_cc"),
        bottom=reach * np.minimum(n_b, 2.0) + 0.35 * rng.normal(size=n),
        charm=reach * np.where(n_b > 0, 0.3, np.minimum(n_c, 2.0)) + 0.35 * rng.normal(size=n),
        leptonic=np.minimum(jets["gen_lepton_share"] * 4.0, 1.0),
        two=2.0 * (0.55 - ratio[0]) + 0.6 * (jets["gen_hardness"] - 0.5) + 0.35 * rng.normal(size=n),
        three=2.5 * (0.70 - ratio[1]) + 0.35 * rng.normal(size=n),
    )


def _logits(rng: np.random.Generator, seen: _Latents, noise: float) -> dict[str, Floats]:
    """Log-odds of each class against QCD, with `noise` of the family's own."""
    n = len(seen.top)
    family = rng.normal(size=n)

    def odds(level: Floats) -> Floats:
        return np.asarray(level + noise * mixed(rng, family, 0.6))

    two, three, b, c = seen.two, seen.three, seen.bottom, seen.charm
    boson = np.maximum.reduce([seen.w, seen.z, seen.h])
    one_b, two_b = np.minimum(b, 1.2), np.maximum(b - 1.0, 0.0)
    return {
        "T": odds(-7.1 + 3.2 * two + 3.0 * three + 2.2 * one_b + 8.2 * seen.top - 0.5 * boson),
        "W": odds(-3.9 + 3.0 * two - 0.9 * b + 7.2 * seen.w + 3.3 * seen.z + 1.6 * seen.top + 1.0 * seen.h),
        "Z": odds(-3.2 + 2.8 * two + 0.6 * b + 5.0 * seen.w + 6.6 * seen.z + 1.2 * seen.top + 3.6 * seen.h),
        "Zbb": odds(-6.6 + 2.9 * two + 2.4 * b + 3.6 * two_b + 3.5 * seen.z + 2.2 * seen.h),
        "Hbb": odds(-5.8 + 3.0 * two + 2.7 * b + 3.8 * two_b + 1.8 * seen.z + 3.6 * seen.h),
        "Hcc": odds(-6.3 + 3.0 * two + 1.0 * b + 1.6 * c + 1.8 * seen.z + 2.4 * seen.h + 1.5 * seen.w),
        "H4q": odds(-8.0 + 3.8 * two + 2.6 * three + 1.6 * one_b + 2.4 * seen.top + 3.0 * boson),
    }


def _score(logit: Floats) -> Floats:
    return np.minimum(sigmoid(logit), _MAX_SCORE)


def _particle_net(rng: np.random.Generator, jets: Collection, seen: _Latents) -> dict[str, Floats]:
    found = {name: logit for name, logit in _logits(rng, seen, 1.5).items() if name != "Zbb"}
    scores = {f"particleNet_{name}vsQCD": _score(logit) for name, logit in found.items()}
    # the network knows classes besides the stored ones, most of all tops that decay to leptons
    share = sigmoid(4.5 - 3.5 * seen.leptonic * (0.4 + seen.bottom) + 1.2 * rng.normal(size=len(seen.top)))
    return scores | class_scores(scores | {"particleNet_share": share}, ("particleNet",))


def _particle_net_decorrelated(rng: np.random.Generator, seen: _Latents) -> dict[str, Floats]:
    n = len(seen.top)
    two, b, c = seen.two, seen.bottom, seen.charm
    boson = np.maximum.reduce([seen.w, seen.z, seen.h])
    family = rng.normal(size=n)
    logits = {
        "Xbb": -5.0 + 1.2 * two + 1.5 * b + 3.3 * np.maximum(b - 1.0, 0.0) + 1.2 * boson,
        "Xcc": -3.2 + 1.1 * two + 0.4 * b + 1.8 * c + 1.0 * boson,
        "Xqq": -1.6 + 1.3 * two - 0.8 * b - 0.4 * c + 2.3 * boson + 0.6 * seen.top,
    }
    odds = {name: np.exp(logit + 1.2 * mixed(rng, family, 0.6)) for name, logit in logits.items()}
    return class_scores({f"particleNetMD_{name}": value for name, value in odds.items()}, ("particleNetMD",))


def _deep_ak8(rng: np.random.Generator, jets: Collection, seen: _Latents) -> dict[str, Floats]:
    n = jets.n_objects
    found = _logits(rng, seen, 1.7)
    scores = {f"deepTag_{name}vsQCD": _score(found[name]) for name in ("T", "W", "Z")}
    higgs = np.logaddexp(np.logaddexp(found["Hbb"], found["Hcc"]), found["H4q"])
    others = 2.6 - 2.4 * seen.bottom - 1.3 * seen.charm + 0.9 * rng.normal(size=n)
    # tops that decay to leptons, or of which a part is inside, are other classes
    part = np.maximum(
        seen.leptonic * (0.4 + seen.bottom), 0.8 * np.minimum(np.maximum(seen.bottom, 0.0), 1.0)
    )
    shares = {
        "deepTag_share": sigmoid(3.5 - 3.5 * part + 1.2 * rng.normal(size=n)),
        "deepTag_H": np.minimum(sigmoid(higgs), 0.99),
        "deepTag_others": np.minimum(sigmoid(others), 0.999),
    }
    return scores | class_scores(scores | shares, ("deepTag",))


def _deep_ak8_decorrelated(rng: np.random.Generator, seen: _Latents) -> dict[str, Floats]:
    """Milder versions: levels shrink, as the mass is not to help."""
    n = len(seen.top)
    found = {name: 0.72 * logit + 0.4 for name, logit in _logits(rng, seen, 1.6).items()}
    found["ZHcc"] = np.logaddexp(found.pop("Hcc"), found["Z"] - 2.0 + 1.2 * seen.charm)
    # Z to two quarks includes Z to bb
    found["Z"] = np.logaddexp(found["Z"], found["Zbb"])
    scores = {f"deepTagMD_{name}vsQCD": _score(logit) for name, logit in found.items()}
    both = np.logaddexp(found["Zbb"], found["Hbb"])
    scores["deepTagMD_bbvsLight"] = _score(
        both + 0.9 * np.minimum(seen.bottom, 1.5) + 0.5 * rng.normal(size=n)
    )
    scores["deepTagMD_ccvsLight"] = _score(
        found["ZHcc"] + 0.5 * seen.charm + 0.4 * seen.bottom + 0.5 * rng.normal(size=n)
    )
    return scores | class_scores(scores, ("deepTagMD",))


def _undefined_without_prongs(
    rng: np.random.Generator, jets: Collection, scores: dict[str, Floats]
) -> dict[str, Floats]:
    """`scores` of jets that are not groomed: of most, ratios of nothing to nothing, in this order.

    Where a ratio is of something to nothing it is one.
    """
    blind = ~fat.is_groomed(jets) & chance(rng, _BLIND, jets.n_objects)
    share = rng.random(jets.n_objects)
    found = dict(scores)
    for names, undefined in _UNDEFINED:
        for name in names:
            key = f"deepTagMD_{name}"
            found[key] = np.where(blind, np.where(share < undefined, _NO_RATIO, 1.0), scores[key])
    return found


def _double_b(rng: np.random.Generator, jets: Collection, seen: _Latents) -> dict[str, Floats]:
    n = jets.n_objects
    b, c, two = seen.bottom, seen.charm, seen.two
    family = rng.normal(size=n)
    bb = -6.0 + 2.1 * b + 2.6 * np.maximum(b - 1.0, 0.0) + 0.9 * two + 2.0 * mixed(rng, family, 0.7)
    cc = -6.6 + 0.8 * b + 1.6 * c + 1.0 * two + 1.4 * mixed(rng, family, 0.7)
    against = -0.8 - 1.9 * b + 0.9 * c + 0.5 * two + 1.7 * mixed(rng, family, -0.5)
    single = -2.2 + 3.2 * np.minimum(b, 1.4) + 0.8 * c + 1.0 * mixed(rng, family, 0.6)
    older = -2.0 + 2.3 * np.minimum(b, 1.4) + 0.6 * c + 0.9 * mixed(rng, family, 0.5)
    double = (
        -0.55 + 0.22 * np.minimum(b, 1.2) + 0.65 * np.maximum(b - 1.0, 0.0) + 0.30 * mixed(rng, family, 0.5)
    )
    outside = np.abs(jets["eta"]) > 2.6
    few = jets["nConstituents"] < 6
    blind, trackless, vertexless = (
        chance(rng, np.where(outside, 0.9, rate + 0.2 * few), n) for rate in (0.006, 0.01, 0.001)
    )
    return {
        "btagDDBvLV2": np.where(blind, -1.0, _score(bb)),
        "btagDDCvLV2": np.where(blind, -1.0, _score(cc)),
        "btagDDCvBV2": np.where(blind, -1.0, _score(against)),
        "btagDeepB": np.where(trackless, -1.0, _score(single)),
        "btagCSVV2": np.where(vertexless, -10.0, _score(older)),
        "btagHbb": np.tanh(double),
    }


def _mass(rng: np.random.Generator, jets: Collection) -> Floats:
    """The regressed mass: close to that of the generated prongs, better than the jet's own."""
    n = jets.n_objects
    groomed = np.hypot(21.0, 1.02 * jets["gen_groomed_mass"])
    # what has no mass of its own gets one of what the cone holds besides
    width = np.hypot(0.09, 0.8 * (21.0 / groomed) ** 3)
    pull = mixed(rng, jets["mass_pull"].astype(np.float64), 0.5)
    return np.asarray(groomed * np.exp(width * np.where(chance(rng, 0.08, n), 2.5, 1.0) * pull))
