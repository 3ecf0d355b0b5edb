"""Taus of the reference detector: which jets give one, its momentum and its decay mode.

Taus are sought in jets, as by the hadrons-plus-strips algorithm (TAU-16-003, arXiv:1809.02816): genuine
ones, isolated electrons and muons, and hadronic jets. Efficiencies, migrations between decay modes and
momentum shapes were adjusted by eye to public simulated events.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.taus import ELECTRON, HADRONS, MUON, ROUNDED_SHARE, TAU
from flashsim_prod.physics.detector.draws import Bools, Floats, Ints, chance, wrap_phi
from flashsim_prod.physics.events import Collection

MIN_PT = 18.0
MAX_ETA = 2.5
#: farther from its jet a tau would not have been found in it
_MAX_DR = 0.2
_PION_MASS = 0.13957

MODES = np.array([0, 1, 2, 5, 6, 10, 11])
#: probability of each of `MODES` for generated modes 0, 1, 2, 10, 11 and other, and for e, mu and hadrons
_MIGRATION = np.array(
    [
        [0.86, 0.12, 0.00, 0.01, 0.00, 0.01, 0.00],
        [0.12, 0.80, 0.02, 0.02, 0.03, 0.00, 0.01],
        [0.06, 0.84, 0.05, 0.01, 0.03, 0.00, 0.01],
        [0.04, 0.04, 0.00, 0.17, 0.05, 0.60, 0.10],
        [0.03, 0.08, 0.01, 0.10, 0.14, 0.22, 0.42],
        [0.10, 0.40, 0.03, 0.08, 0.09, 0.15, 0.15],
        [0.92, 0.01, 0.00, 0.07, 0.00, 0.00, 0.00],
        [0.99, 0.01, 0.00, 0.00, 0.00, 0.00, 0.00],
        [0.08, 0.45, 0.03, 0.08, 0.12, 0.11, 0.13],
    ]
)
_GEN_MODES = np.array([0, 1, 2, 10, 11])
#: centre, width, least and largest mass of each of `MODES` [GeV]
_MASS = np.array(
    [
        [_PION_MASS, 0.0, _PION_MASS, _PION_MASS],
        [0.77, 0.24, 0.30, 2.2],
        [1.00, 0.25, 0.42, 2.4],
        [0.65, 0.20, 0.28, 1.8],
        [1.15, 0.28, 0.45, 2.4],
        [1.13, 0.18, 0.80, 1.6],
        [1.30, 0.18, 0.90, 1.8],
    ]
)
#: mean and strength of the beta distribution of the leading track's share, for each of `MODES`
_LEADING = np.array([[0.5, 2], [0.55, 4.0], [0.42, 4.0], [0.66, 6.0], [0.45, 5.0], [0.56, 9.0], [0.46, 8.0]])


def tau_efficiency(pt: Floats, eta: Floats) -> Floats:
    """Probability that a generated hadronic tau gives a candidate, before the pt threshold.

    Parameters
    ----------
    pt, eta : arrays of shape (n,)
        Visible transverse momentum [GeV] and pseudorapidity.
    """
    return np.where(np.abs(eta) < MAX_ETA, 0.90 - 0.10 * np.exp(-(pt - 10.0) / 12.0), 0.0)


def hadronic_fake_rate(jets: Collection, factor: float = 1.0) -> Floats:
    """Probability that a hadronic jet gives a candidate: jets of few constituents do more often."""
    crowd = np.exp(-(jets["nConstituents"].astype(np.float64) - 12.0) / 16.0)
    hard = np.where(jets["genJetIdx"] >= 0, 1.0, 0.4)
    charged = np.clip(jets["chHEF"].astype(np.float64) / 0.3, 0.0, 1.0)
    return np.clip(0.19 * factor * crowd * hard * charged, 0.0, 0.35 * factor)


def find_taus(rng: np.random.Generator, seeds: Collection, fakes: float = 1.0) -> Collection:
    """Tau candidates in the jets `seeds` (of `tau_seeds`), unsorted; `fakes` scales those of hadronic jets.

    Columns: those of the jets with prefix ``jet_``, ``kind``, ``gen_mode``, and pt eta phi mass charge
    decayMode leadTkPtOverTauPt photonsOutsideSignalCone leadTkDeltaEta leadTkDeltaPhi.
    """
    found = seeds.select(chance(rng, _efficiency(seeds, fakes), seeds.n_objects))
    mode = _decay_mode(rng, found)
    mass = _mass(rng, mode)
    photons = _photons(rng, found)
    pt = found["expected_pt"] * _response(rng, found, mode, photons)
    lead = _leading_share(rng, found, mode)
    # all that is not the single track is photons
    lead = np.where((mode == 0) & (photons > 0), 1.0 - photons / pt, lead)
    taus = Collection(
        found.counts,
        {
            **{f"jet_{name}": found[name] for name in ("pt", "eta", "phi", "hadronFlavour", "genJetIdx")},
            "kind": found["kind"],
            "mode": mode,
            "pt": pt,
            "mass": mass,
            "decayMode": MODES[mode],
            "charge": found["true_charge"] * _charge_sign(rng, found, mode),
            "leadTkPtOverTauPt": lead,
            "photonsOutsideSignalCone": photons,
            **_direction(rng, found, pt),
            **_leading_offset(rng, lead, pt, mode),
        },
    )
    inside = np.hypot(taus["eta"] - taus["jet_eta"], links.delta_phi(taus["phi"], taus["jet_phi"])) < _MAX_DR
    return taus.select(inside & (taus["pt"] > MIN_PT) & (np.abs(taus["eta"]) < MAX_ETA))


def _efficiency(seeds: Collection, fakes: float) -> Floats:
    pt, eta = seeds["expected_pt"], seeds["axis_eta"]
    kinds = [seeds["kind"] == TAU, seeds["kind"] == HADRONS]
    found = np.select(kinds, [tau_efficiency(pt, eta), hadronic_fake_rate(seeds, fakes)], 0.96)
    return np.where(np.abs(eta) < MAX_ETA + 0.05, found, 0.0)


def _decay_mode(rng: np.random.Generator, seeds: Collection) -> Ints:
    """Position in `MODES` of each candidate's mode."""
    kind = seeds["kind"]
    of_tau = np.searchsorted(_GEN_MODES, seeds["gen_mode"])
    row = np.select([kind == TAU, kind == ELECTRON, kind == MUON], [of_tau, 6, 7], 8)
    level = rng.random(len(row))
    return np.asarray((level[:, None] > np.cumsum(_MIGRATION, axis=1)[row, :-1]).sum(axis=1), np.int64)


def _mass(rng: np.random.Generator, mode: Ints) -> Floats:
    """Mass [GeV], reflected at its limits."""
    centre, width, least, most = _MASS[mode].T
    mass = least + np.abs(centre + width * rng.normal(size=len(mode)) - least)
    return np.asarray(most - np.abs(most - mass))


def _photons(rng: np.random.Generator, seeds: Collection) -> Floats:
    """Photons in the isolation cone [GeV], in some of the candidates."""
    n, kind = seeds.n_objects, seeds["kind"]
    present = chance(rng, np.select([kind == ELECTRON, kind == MUON], [0.12, 0.28], 0.24), n)
    return np.where(present, 0.5 + rng.exponential(1.7, n), 0.0)


def _leading_share(rng: np.random.Generator, seeds: Collection, mode: Ints) -> Floats:
    """pt of the leading track over that of the tau, without photons in the cone; one for a single track."""
    n = len(mode)
    mean, strength = _LEADING[mode].T
    mean = np.where(seeds["kind"] == HADRONS, 0.90 * mean, mean)
    share = np.clip(rng.beta(mean * strength, (1.0 - mean) * strength), 0.005, 0.985)
    return np.where(mode == 0, np.where(chance(rng, 0.5, n), 1.0, ROUNDED_SHARE), share)


def _response(rng: np.random.Generator, seeds: Collection, mode: Ints, photons: Floats) -> Floats:
    """pt over what it is expected to be."""
    n, kind = len(mode), seeds["kind"]
    pull = rng.normal(size=n)
    expected = seeds["expected_pt"]
    jet = np.clip(seeds["pt"] / expected - 1.15, -0.4, 0.4)
    lost = chance(rng, np.where(seeds["gen_mode"] == MODES[mode], 0.10, 0.35), n)
    tau = 0.985 + (0.025 + 0.4 / expected) * pull + 0.25 * jet
    tau = tau * np.where(lost, 1.0 - rng.beta(1.5, 5.0, n), 1.0)
    electron, muon = 0.997 + 0.026 * pull, 1.0 + 0.012 * pull + photons / expected
    crowd = seeds["nConstituents"].astype(np.float64) - 20.0
    share = 0.9 - 0.45 * np.log(seeds["pt"].astype(np.float64) / 40.0) - 0.02 * crowd + 0.75 * pull
    hadrons = seeds["pt"] / expected / (1.0 + np.exp(-share))
    response = np.select([kind == TAU, kind == ELECTRON, kind == MUON], [tau, electron, muon], hadrons)
    return np.asarray(np.maximum(response, 0.05))


def _charge_sign(rng: np.random.Generator, seeds: Collection, mode: Ints) -> Ints:
    """-1 where the charge is wrong: by chance in jets, often with one charged hadron lost, rarely else."""
    of_tau = np.where(np.isin(MODES[mode], (5, 6)), 0.20, 0.02)
    wrong = np.select([seeds["kind"] == TAU, seeds["kind"] == HADRONS], [of_tau, 0.5], 0.01)
    return np.where(chance(rng, wrong, len(mode)), -1, 1)


def _direction(rng: np.random.Generator, seeds: Collection, pt: Floats) -> dict[str, Floats]:
    """Leptons and taus are measured well, candidates in jets stray from the axis."""
    n, kind = len(pt), seeds["kind"]
    stray = 0.030 * np.sqrt(40.0 / np.maximum(pt, 10.0))
    sigma = np.select([kind == TAU, kind == HADRONS], [0.0045, stray], 0.0016)
    sigma = sigma * np.exp(0.5 * rng.normal(size=n))
    return {
        "eta": seeds["axis_eta"] + sigma * rng.normal(size=n),
        "phi": wrap_phi(seeds["axis_phi"] + sigma * rng.normal(size=n)),
    }


def _leading_offset(rng: np.random.Generator, lead: Floats, pt: Floats, mode: Ints) -> dict[str, Floats]:
    """Direction of the leading track less the tau's: what else there is pulls the tau away from it."""
    radiated: Bools = (mode == 0) & (lead < ROUNDED_SHARE)
    spread = np.where(radiated, 0.11, 0.045) * np.sqrt(30.0 / pt)
    return {
        f"leadTkDelta{name}": (1.0 - lead + 0.002) * spread * rng.normal(size=len(pt))
        for name in ("Eta", "Phi")
    }
