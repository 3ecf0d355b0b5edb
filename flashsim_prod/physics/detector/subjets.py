"""Subjets of the reference detector: the prongs that soft drop leaves of each fat jet.

Each prong of the generated jet is seen with the response of its fat jet and a resolution of its own.
Shapes were adjusted by eye to the few subjets of public Run-2 events.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import fat_jets as fat
from flashsim_prod.physics.detector.draws import Floats, Ints, chance, sigmoid, stream, wrap_phi
from flashsim_prod.physics.detector.fat_jet_taggers import with_fat_jet_taggers
from flashsim_prod.physics.detector.fat_jets import raw_factor, reconstruct_fat_jets
from flashsim_prod.physics.events import Collection, Column, Events

#: what taggers say of subjets with too few tracks
_UNTAGGED_CSV, _UNTAGGED_DEEP = -10.0, -2.0


def simulate_fat_jets(events: Events, seed: int) -> dict[str, Collection]:
    """FatJet and SubJet without the links between them; nothing where generated fat jets are not there."""
    if "GenJetAK8" not in events or "SubGenJetAK8" not in events:
        return {}
    jets = reconstruct_fat_jets(stream(seed, "fat jets"), events)
    jets = with_fat_jet_taggers(stream(seed, "fat jet taggers"), jets)
    subjets = reconstruct_subjets(stream(seed, "subjets"), events, jets)
    return {"FatJet": fat.with_gen_jets(jets, events), "SubJet": subjets}


def reconstruct_subjets(rng: np.random.Generator, events: Events, fat_jets: Collection) -> Collection:
    """Subjets of groomed fat jets in the order of `fat_jets.in_order`, with ``fat_jet``; without flavours."""
    rows = fat.prong_rows(events, fat_jets)
    prongs = Collection.from_rows(events.n, rows["event"], rows)
    found = chance(rng, np.where(prongs["rank"] == 0, 0.999, 0.99), prongs.n_objects)
    subjets = _with_response(rng, prongs.select(found))
    particles = _particles(rng, subjets)
    shapes = _shapes(rng, subjets, particles)
    return fat.in_order(subjets.with_columns(**shapes, **_taggers(rng, subjets, particles)))


def _with_response(rng: np.random.Generator, prongs: Collection) -> Collection:
    """Generated prongs as they are seen, where and as hard as their fat jet makes expect."""
    n, pt = prongs.n_objects, prongs["expected_pt"]
    seen = np.maximum(pt * np.exp(np.hypot(0.025, 1.2 / (pt + 5.0)) * rng.normal(size=n)), 1.0)
    angle = np.hypot(0.004, 0.5 / (pt + 10.0)) * np.where(chance(rng, 0.06, n), 5.0, 1.0)
    mass = _mass(rng, prongs, seen / pt)
    columns: dict[str, Column] = {
        "fat_jet": prongs["fat_jet"],
        "hadron_b": prongs["hadron_b"],
        "hadron_c": prongs["hadron_c"],
        "pt": seen,
        "eta": prongs["expected_eta"] + angle * rng.normal(size=n),
        "phi": wrap_phi(prongs["expected_phi"] + angle * rng.normal(size=n)),
        "mass": mass,
    }
    columns["rawFactor"] = raw_factor(rng, 2.0 * seen, columns["eta"])
    return Collection(prongs.counts, columns)


def _mass(rng: np.random.Generator, prongs: Collection, ratio: Floats) -> Floats:
    """The prong's mass, with a few hundred MeV of noise that single particles get too."""
    n = prongs.n_objects
    own = prongs["expected_mass"] * ratio * np.exp(0.13 * rng.normal(size=n))
    noise = 0.10 * np.abs(rng.normal(size=n)) + 0.14
    return np.asarray(np.hypot(own, noise))


def _particles(rng: np.random.Generator, subjets: Collection) -> Ints:
    mean = 0.6 + 0.33 * np.sqrt(subjets["pt"]) * np.log1p(1.5 * subjets["mass"])
    return 1 + rng.poisson(mean).astype(np.int64)


def _shapes(rng: np.random.Generator, subjets: Collection, particles: Ints) -> dict[str, Floats]:
    """tau1 to tau4, N2 and N3; nothing is left where there are no more particles than axes."""
    n = subjets.n_objects
    slope = subjets["mass"] / subjets["pt"]
    tau1 = 0.95 * slope * np.exp(0.22 * rng.normal(size=n))
    two = 0.45 + 0.6 * rng.normal(size=n)
    three, four = 0.6 + 0.5 * rng.normal(size=n), 0.7 + 0.45 * rng.normal(size=n)
    values = {"tau1": tau1, "tau2": tau1 * sigmoid(two)}
    values["tau3"] = values["tau2"] * sigmoid(three)
    values["tau4"] = values["tau3"] * sigmoid(four)
    shapes = {
        name: np.where(particles > axes, tau, 0.0) for axes, (name, tau) in enumerate(values.items(), 1)
    }
    n2 = np.clip(0.21 + 0.21 * sigmoid(two) + 0.05 * rng.normal(size=n), 0.0, 0.5)
    n3 = np.clip(0.8 + 1.1 * sigmoid(three) + 0.3 * rng.normal(size=n), 0.3, 4.0)
    shapes["n2b1"] = np.where(particles > 2, n2, fat.TOO_FEW)
    shapes["n3b1"] = np.where(particles > 3, n3, fat.TOO_FEW)
    return shapes


def _taggers(rng: np.random.Generator, subjets: Collection, particles: Ints) -> dict[str, Floats]:
    """b-tag scores; neither tagger says anything of one or two particles, or far from the tracker."""
    n = subjets.n_objects
    reach = np.clip(1.0 - 0.15 * np.abs(subjets["eta"]) ** 1.3, 0.1, 1.0) * (
        1.0 - np.exp(-subjets["pt"] / 40.0)
    )
    heavy = np.select([subjets["hadron_b"] > 0, subjets["hadron_c"] > 0], [4.6, 1.5], 0.0)
    vertex = rng.normal(size=n)
    score = -2.5 + heavy * reach + (1.0 + 0.35 * heavy) * (0.9 * vertex + 0.44 * rng.normal(size=n))
    other = -1.9 + 0.8 * heavy * reach + (1.0 + 0.25 * heavy) * (0.8 * vertex + 0.6 * rng.normal(size=n))
    blind = (particles < 3) | chance(rng, np.where(np.abs(subjets["eta"]) > 2.6, 0.92, 0.02), n)
    return {
        "btagDeepB": np.where(blind, _UNTAGGED_DEEP, np.minimum(sigmoid(score), 0.9995)),
        "btagCSVV2": np.where(blind, _UNTAGGED_CSV, np.minimum(sigmoid(other), 0.9995)),
    }
