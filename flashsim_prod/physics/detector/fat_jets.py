"""Fat jets of the reference detector: kinematics and substructure, from generated anti-kt 0.8 jets.

The response has the form of the CMS jet energy resolution (JME-13-004, arXiv:1607.03663), without noise, as
PUPPI (arXiv:1407.6013) leaves little pileup. Shapes of masses, N-subjettiness (arXiv:1011.2268) and energy
correlations (arXiv:1609.07483) were adjusted by eye to public simulated top quark pairs: tau1 rises as the
1.5th power of mass over pt, ratios follow the prongs.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import fat_jets as fat
from flashsim_prod.physics.definitions.boosted import gen_fat_jets
from flashsim_prod.physics.definitions.jets_muons import in_ghosts
from flashsim_prod.physics.detector.draws import Floats, Ints, chance, sigmoid, wrap_phi
from flashsim_prod.physics.events import Collection, Events

_PLATEAU = 0.985
MAX_ETA = 5.0
#: flags of `boosted.DECAYS` that are bosons to two quarks
_BOSONS = ("h_bb", "h_cc", "z_bb", "z_cc", "z_qq", "w_cq", "w_qq")


def response_width(pt: Floats) -> Floats:
    """Relative resolution of a fat jet's pt [GeV]."""
    return np.asarray(np.hypot(0.05, 1.0 / np.sqrt(pt)))


def raw_factor(rng: np.random.Generator, pt: Floats, eta: Floats) -> Floats:
    """1 - (uncalibrated pt) / pt of PUPPI jets of this pt [GeV]."""
    spread = np.exp(0.035 * rng.normal(size=len(pt)))
    level = np.interp(np.abs(eta), [0.7, 1.0, 1.25, 1.5, 2.0], [1.26, 1.41, 1.40, 1.13, 1.03])
    return np.asarray(np.clip(fat.typical_raw_factor(pt, eta) * level * spread, 0.005, 0.5))


def reconstruct_fat_jets(rng: np.random.Generator, events: Events) -> Collection:
    """Fat jets by falling pt, with all but taggers, links and what follows from subjets.

    The rest of the simulation works with the columns of the generated jet (`boosted.gen_fat_jets`, prefixed
    ``gen_``) and with ``mass_pull``, the mass's fluctuation in standard deviations.
    """
    gen = gen_fat_jets(events)
    seen = _with_response(rng, gen)
    found = chance(rng, _PLATEAU, gen.n_objects)
    found &= (seen["pt"] >= fat.LOWEST_PT) & (np.abs(seen["eta"]) < MAX_ETA)
    jets = seen.select(found).sorted_by("pt")
    jets = in_ghosts(jets.with_columns(area=_area(rng, jets)))
    jets = jets.with_columns(rawFactor=raw_factor(rng, jets["pt"], jets["eta"]))
    jets = jets.with_columns(nConstituents=_constituents(rng, jets))
    jets = jets.with_columns(jetId=_identification(rng, jets), **_subjettiness(rng, jets))
    return jets.with_columns(**_correlations(rng, jets))


def _with_response(rng: np.random.Generator, gen: Collection) -> Collection:
    """Every generated jet as the calorimeter and tracker see it."""
    n, pt, mass = gen.n_objects, gen["pt"].astype(np.float64), np.maximum(gen["mass"].astype(np.float64), 0.1)
    pull = np.where(chance(rng, 0.06, n), 2.2, 0.9) * rng.normal(size=n)
    ratio = np.maximum(1.035 + response_width(pt) * pull, 0.1)
    mass_pull = rng.normal(size=n)
    width = np.hypot(0.075, 5.0 / (mass + 5.0))
    scale = (0.90 + 0.10 * sigmoid((mass - 55.0) / 15.0)) * np.exp(width * mass_pull)
    angle = np.hypot(0.008, 3.4 / pt)
    columns = {f"gen_{name}": column for name, column in gen.columns.items()} | {
        "pt": pt * ratio,
        "eta": gen["eta"].astype(np.float64) + angle * rng.normal(size=n),
        "phi": wrap_phi(gen["phi"].astype(np.float64) + angle * rng.normal(size=n)),
        "mass": pt * ratio * _narrowed(mass * scale / pt),
        "mass_pull": mass_pull,
    }
    return Collection(gen.counts, columns)


def _narrowed(slope: Floats) -> Floats:
    """Mass over pt bent where the jet's radius ends it, around 0.55."""
    return np.where(slope < 0.42, slope, 0.42 + 0.13 * np.tanh((slope - 0.42) / 0.13))


def slope(jets: Collection) -> Floats:
    """Mass over pt, which the opening angle grows with."""
    return np.asarray(np.maximum(jets["mass"].astype(np.float64), 0.01) / jets["pt"].astype(np.float64))


def _area(rng: np.random.Generator, jets: Collection) -> Floats:
    """The area: wider where two prongs stand far from each other."""
    n = jets.n_objects
    wide = chance(rng, 0.85 * sigmoid((slope(jets) - 0.36) / 0.05), n)
    area = 2.015 + 0.032 * rng.normal(size=n) + np.where(wide, rng.gamma(2.0, 0.14, n), 0.0)
    return np.asarray(area - np.where(chance(rng, 0.13, n), rng.exponential(0.12, n), 0.0))


def _constituents(rng: np.random.Generator, jets: Collection) -> Ints:
    hadronic = 1.0 - 0.9 * jets["gen_lepton_share"]
    flavour = np.where(jets["gen_partonFlavour"] == 21, 1.12, 1.0)
    mean = 1.0 + (11.5 * np.log(jets["pt"] / 30.0) + 45.0 * slope(jets)) * flavour
    fluctuation = np.exp(0.22 * rng.normal(size=jets.n_objects))
    return np.clip(1 + rng.poisson(mean * hadronic * fluctuation), 1, 255).astype(np.int64)


def _identification(rng: np.random.Generator, jets: Collection) -> Ints:
    """6 for nearly all, 2 for those that a lepton dominates, rarely 0."""
    leptonic = chance(rng, 0.97 * sigmoid((jets["gen_lepton_share"] - 0.78) / 0.03), jets.n_objects)
    bad = chance(rng, np.where(jets["nConstituents"] < 6, 0.12, 0.004), jets.n_objects)
    return np.select([bad, leptonic], [0, 2], 6).astype(np.int64)


def _subjettiness(rng: np.random.Generator, jets: Collection) -> dict[str, Floats]:
    """tau1 to tau4, falling; the ratio of one to the next is small where the prongs are."""
    n = jets.n_objects
    hard = jets["gen_hardness"]
    boson = np.any([jets[f"gen_{name}"] for name in _BOSONS], axis=0)
    top = jets["gen_top"].astype(bool)
    few = 6.0 / jets["nConstituents"]
    shape = rng.normal(size=n)
    tau = {"tau1": 1.58 * slope(jets) ** 1.5 * np.exp(0.05 * jets["mass_pull"] + 0.13 * rng.normal(size=n))}
    two = 1.75 - 2.3 * hard**2 - 0.75 * boson - 0.3 * top + 0.55 * shape - few
    three = (
        1.35 - 1.35 * top + 0.2 * boson + 0.35 * shape * (1.0 - 0.7 * hard) + 0.42 * rng.normal(size=n) - few
    )
    four = 1.65 - 0.10 * top + 0.1 * shape + 0.33 * rng.normal(size=n) - few
    for before, logit in (("1", two), ("2", three), ("3", four)):
        number = int(before) + 1
        value = tau[f"tau{before}"] * sigmoid(logit)
        tau[f"tau{number}"] = np.where(jets["nConstituents"] <= number, 0.0, value)
    return tau


def _correlations(rng: np.random.Generator, jets: Collection) -> dict[str, Floats]:
    """N2 and N3 with beta 1, which follow the ratios of N-subjettiness; -1 with too few particles."""
    n = jets.n_objects
    two = 0.190 + 0.212 * jets["tau2"] / np.maximum(jets["tau1"], 1e-9) + 0.045 * rng.normal(size=n)
    three = 0.75 + 1.15 * jets["tau3"] / np.maximum(jets["tau2"], 1e-9) + 0.22 * rng.normal(size=n)
    few = chance(rng, sigmoid((9.0 - jets["nConstituents"]) / 2.0), n)
    soft = few | (fat.raw_pt(jets) * jets["gen_groomed_share"] <= fat.LOWEST_PT_N3)
    groomed = fat.is_groomed(jets)
    two, three = np.clip(two, 0.02, 0.52), np.clip(three, 0.4, 4.0)
    return {
        "n2b1": np.where(groomed, np.where(few, fat.TOO_FEW, two), fat.NOT_GROOMED),
        "n3b1": np.where(groomed, np.where(soft, fat.TOO_FEW, three), fat.NOT_GROOMED),
    }
