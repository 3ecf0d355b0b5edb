"""Electrons of the reference detector: which are reconstructed, their energies, tracks and showers.

An energy resolution of a few per cent, worse with bremsstrahlung and in the endcaps, is what CMS publishes
(EGM-17-001, arXiv:2012.06888); efficiencies, resolutions, shower shapes and rates of fakes were adjusted by
eye to public simulated events. All properties of an electron depend on four latents: how much it radiates,
and the qualities of its shower, of its track and of what leaks into the hadron calorimeter.
"""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.egamma import in_barrel, smearing_width, supercluster_eta
from flashsim_prod.physics.definitions.egamma_links import ELECTRON, PHOTON
from flashsim_prod.physics.detector.draws import Bools, Floats, chance, sigmoid, turn_on, wrap_phi
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.detector.truth import Truth, unrounded
from flashsim_prod.physics.events import Collection, Column

#: `source` of a reconstructed electron
FROM_GEN, FROM_PHOTON, FROM_JET, FROM_PILEUP = 0, 1, 2, 3

MIN_PT = 5.0
MAX_ETA = 2.5

#: mean transverse decay length seen by a daughter's track [cm], by origin, as for muons
_DISPLACEMENT = {15: 0.0075, 5: 0.042, 4: 0.013, 3: 0.05}
_ISOLATED = (1, 15)


def electron_efficiency(pt: Floats, eta: Floats, isolated: Bools) -> Floats:
    """Probability that a generator electron gives a NanoAOD electron.

    Parameters
    ----------
    pt, eta : arrays of shape (n,)
        Generated transverse momentum [GeV] and pseudorapidity.
    isolated : bool array of shape (n,)
        Not a daughter of a hadron.
    """
    abs_eta = np.abs(eta)
    plateau = 0.985 - 0.05 * (abs_eta > 1.5) - 0.15 * (np.abs(abs_eta - 1.505) < 0.06)
    soft = 1.0 - 0.35 * np.exp(-(pt - MIN_PT) / 6.0)
    found = plateau * soft * turn_on(pt, 5.2, 0.4) * np.where(isolated, 1.0, 0.55)
    return np.where(abs_eta < MAX_ETA + 0.02, np.clip(found, 0.0, 1.0), 0.0)


def conversion_probability(pt: Floats, eta: Floats) -> Floats:
    """Probability that a prompt photon gives a NanoAOD electron; grows with the material in front."""
    return np.asarray(np.clip(0.09 + 0.045 * np.abs(eta) ** 1.5, 0.0, 0.26) * turn_on(pt, 8.0, 1.5))


def reconstruct_electrons(
    rng: np.random.Generator, truth: Truth, event: EventLatents, jets: Collection, vertex_z: Column
) -> Collection:
    """Electrons with kinematics, track and shower, unsorted.

    Columns: pt eta phi mass charge deltaEtaSC scEtOverPt r9 sieie hoe eInvMinusPInv energyErr eCorr dxy
    dxyErr dz dzErr ip3d sip3d lostHits convVeto tightCharge seedGain and, for the rest of the simulation,
    ``source`` and the latents ``brem``, ``shower``, ``track`` and ``leak``, standard normal for genuine
    electrons.

    Parameters
    ----------
    jets : Collection
        Reconstructed jets; they give fakes.
    vertex_z : array of shape (n_events,)
        Reconstructed z of the primary vertex [cm].
    """
    genuine = Collection.join([_genuine(rng, truth), _conversions(rng, truth)])
    fakes = _away_from(Collection.join([_from_jets(rng, jets), _from_pileup(rng, truth)]), genuine)
    electrons = _with_track(rng, Collection.join([genuine, fakes]), event)
    electrons = _with_energy(rng, electrons, vertex_z[electrons.event_index].astype(np.float64))
    electrons = electrons.select((electrons["pt"] > MIN_PT) & (np.abs(electrons["eta"]) < MAX_ETA))
    return _with_shower(rng, electrons)


def particles(truth: Truth, kind: int, lowest_pt: float) -> Collection:
    """Stable generator electrons, or prompt photons: kinematics, charge and ``origin`` (as genPartFlav)."""
    parts = truth.events["GenPart"]
    code = parts["pdgId"].astype(np.int64)
    chosen = (np.abs(code) == kind) & (parts["status"] == 1) & (parts["pt"] > lowest_pt)
    chosen &= np.abs(parts["eta"]) < MAX_ETA + 0.2
    if kind == PHOTON:
        chosen &= (parts["statusFlags"].astype(np.int64) & links.IS_PROMPT) > 0
    kept = unrounded(parts.select(chosen))
    columns: dict[str, Column] = {name: kept[name] for name in ("pt", "eta", "phi")}
    columns["charge"] = np.where(kind == ELECTRON, -np.sign(code[chosen]), 0)
    columns["origin"] = links.lepton_flavour(parts, np.flatnonzero(chosen)).astype(np.int64)
    return Collection(kept.counts, columns)


def _seeds(rng: np.random.Generator, found: Collection, source: int) -> Collection:
    """Electrons to be, with their latents; fakes look like poor showers on poor tracks."""
    n = found.n_objects
    fake = source in (FROM_JET, FROM_PILEUP)
    names = ("pt", "eta", "phi", "charge", "origin")
    return Collection(
        found.counts,
        {
            **{name: found[name] for name in names},
            "source": np.full(n, source),
            "brem": rng.normal(size=n),
            "shower": rng.normal(2.1, 1.2, n) if fake else rng.normal(size=n),
            "track": rng.normal({FROM_GEN: 0.0, FROM_PHOTON: -0.8}.get(source, -0.7), 1.0, n),
            "leak": rng.normal(1.0, 1.2, n) if fake else rng.normal(size=n),
        },
    )


def _genuine(rng: np.random.Generator, truth: Truth) -> Collection:
    gen = particles(truth, ELECTRON, 3.0)
    isolated = np.isin(gen["origin"], _ISOLATED)
    found = chance(rng, electron_efficiency(gen["pt"], gen["eta"], isolated), gen.n_objects)
    return _seeds(rng, gen.select(found), FROM_GEN)


def _conversions(rng: np.random.Generator, truth: Truth) -> Collection:
    gen = particles(truth, PHOTON, 4.0)
    gen = gen.select(chance(rng, conversion_probability(gen["pt"], gen["eta"]), gen.n_objects))
    n = gen.n_objects
    share = 1.0 - np.minimum(rng.exponential(0.08, n), 0.6)
    made = gen.with_columns(pt=gen["pt"] * share, charge=rng.choice([-1, 1], n))
    return _seeds(rng, made, FROM_PHOTON)


def _from_jets(rng: np.random.Generator, jets: Collection) -> Collection:
    """Hadrons that shower early, and photons that a track happens to point to."""
    pt = jets["pt"].astype(np.float64)
    rate = 0.155 * (1.0 - np.exp(-pt / 35.0)) * (1.0 - jets["chEmEF"]) * (np.abs(jets["eta"]) < 2.6)
    where = np.flatnonzero(chance(rng, rate, jets.n_objects))
    n = len(where)
    spread = 0.12 / np.sqrt(1.0 + pt[where] / 50.0)
    columns: dict[str, Column] = {
        "pt": MIN_PT - 0.3 + rng.exponential(2.6 + 0.17 * pt[where]),
        "eta": jets["eta"][where] + rng.normal(size=n) * spread,
        "phi": wrap_phi(jets["phi"][where] + rng.normal(size=n) * spread),
        "charge": rng.choice([-1, 1], n),
        "origin": np.full(n, 3),
    }
    return _seeds(rng, Collection.from_rows(jets.n_events, jets.event_index[where], columns), FROM_JET)


def _from_pileup(rng: np.random.Generator, truth: Truth) -> Collection:
    event_index = np.repeat(np.arange(truth.events.n), rng.poisson(0.0009 * truth.n_pu))
    n = len(event_index)
    columns: dict[str, Column] = {
        "pt": MIN_PT - 0.3 + rng.exponential(1.6, n),
        "eta": rng.uniform(-2.55, 2.55, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "charge": rng.choice([-1, 1], n),
        "origin": np.zeros(n, np.int64),
    }
    return _seeds(rng, Collection.from_rows(truth.events.n, event_index, columns), FROM_PILEUP)


def _away_from(fakes: Collection, genuine: Collection) -> Collection:
    """Fakes that do not share the cluster of a genuine electron."""
    _, distance = links.nearest(fakes, genuine, 0.1)
    return fakes.select(np.isinf(distance))


def radiated(brem: Floats, eta: Floats) -> Floats:
    """Share of the energy that an electron radiates in the tracker, by its latent and its direction."""
    material = 0.55 * np.minimum(np.abs(eta), 1.6) ** 2
    return sigmoid(1.15 * brem + material - 2.0)


def _with_track(rng: np.random.Generator, seeds: Collection, event: EventLatents) -> Collection:
    """Impact parameters, missing hits and charge."""
    n = seeds.n_objects
    pt, eta = seeds["pt"].astype(np.float64), seeds["eta"].astype(np.float64)
    lost = radiated(seeds["brem"], eta)
    # the fit of a track that radiated much may keep little of it
    broken = np.where(chance(rng, 0.05 + 0.12 * lost, n), rng.exponential(1.2, n), 0.0)
    quality = np.exp(-0.20 * seeds["track"] + 0.9 * lost + broken + rng.normal(0.0, 0.08, n))
    dxy_err = np.hypot(0.0016, 0.034 / pt) * (1.0 + 0.06 * eta**2) * quality
    dz_err = np.hypot(0.0023, 0.038 / pt) * np.cosh(eta) ** 0.5 * quality * np.exp(rng.normal(0.0, 0.06, n))
    scale = np.select([seeds["origin"] == kind for kind in _DISPLACEMENT], list(_DISPLACEMENT.values()), 0.0)
    converted = seeds["source"] == FROM_PHOTON
    scale = np.where(converted, 0.02, scale)
    length, angle = rng.exponential(size=n) * scale, rng.uniform(0.0, 2.0 * np.pi, n)
    pileup = np.where(
        seeds["source"] == FROM_PILEUP, True, chance(rng, 0.25, n) & (seeds["source"] == FROM_JET)
    )
    other = np.where(pileup, rng.normal(0.0, 4.8, n), -event.vertex_dz[seeds.event_index])
    dxy = length * np.cos(angle) + rng.normal(size=n) * dxy_err
    dz = length * np.sin(angle) + rng.normal(size=n) * dz_err + other
    along, along_err = dz / np.cosh(eta), dz_err / np.cosh(eta)
    ip3d = np.maximum(np.hypot(dxy, along), 1e-5)
    err = np.hypot(dxy * dxy_err, along * along_err) / ip3d
    return seeds.with_columns(
        dxy=dxy,
        dxyErr=dxy_err,
        dz=dz,
        dzErr=dz_err,
        ip3d=ip3d * np.exp(rng.normal(0.0, 0.03, n)),
        sip3d=ip3d / err * np.exp(rng.normal(0.0, 0.05, n)),
        **_charge(rng, seeds, lost),
    )


def _charge(rng: np.random.Generator, seeds: Collection, lost: Floats) -> dict[str, Column]:
    n = seeds.n_objects
    converted = seeds["source"] == FROM_PHOTON
    early = sigmoid(-3.1 - 0.7 * seeds["track"] + 2.2 * converted + 1.0 * lost)
    hits = np.where(rng.random(n) < early, rng.geometric(np.where(converted, 0.45, 0.7), n), 0)
    good = seeds["track"] - 2.2 * lost + 0.8 * rng.normal(size=n)
    agreement = np.where(good > -2.0, 2, np.where(good > -2.5, 1, 0))
    wrong = np.select([agreement == 2, agreement == 1], [0.002, 0.05], 0.12)
    flipped = chance(rng, wrong, n)
    passes = sigmoid(4.5 - 1.6 * np.minimum(hits, 2) - 2.5 * converted + 0.4 * seeds["track"])
    return {
        "charge": np.where(flipped, -seeds["charge"], seeds["charge"]),
        "lostHits": np.minimum(hits, 5),
        "tightCharge": agreement,
        "convVeto": chance(rng, passes, n),
    }


def _with_energy(rng: np.random.Generator, seeds: Collection, vertex_z: Floats) -> Collection:
    """Energy of cluster and track combined, of the cluster alone, and where the cluster is."""
    n = seeds.n_objects
    true_pt, eta = seeds["pt"].astype(np.float64), seeds["eta"].astype(np.float64)
    fake = seeds["source"] >= FROM_JET
    lost = radiated(seeds["brem"], eta)
    error = np.exp(-4.35 + 1.5 * lost + 0.35 * np.abs(eta) + 4.0 / (true_pt + 2.0) + rng.normal(0.0, 0.22, n))
    error = np.minimum(error * np.where(fake, 1.6, 1.0), 0.6)
    pull = np.where(fake, 0.0, 0.75 * rng.standard_t(6.0, n) - 0.25)
    pt = true_pt * np.maximum(1.0 + np.clip(error, 0.0, 0.25) * pull, 0.3)
    cluster = np.exp(-0.03 + (0.018 + 0.4 / pt + 0.10 * lost**2 + 0.22 * fake) * rng.normal(size=n))
    over_p = np.exp(0.9 * lost**2 * np.abs(rng.normal(size=n)) + (0.012 + 0.15 * lost) * rng.normal(size=n))
    over_p = np.where(fake, np.exp(0.05 + 0.30 * rng.normal(size=n)), over_p)
    direction = eta + rng.normal(size=n) * (3e-4 + 2e-3 / pt)
    shift = supercluster_eta(direction, vertex_z + seeds["dz"]) - direction
    cluster_eta = direction + shift + rng.normal(size=n) * (0.0006 + 0.006 * lost)
    cluster_energy = pt * cluster * np.cosh(cluster_eta)
    return seeds.with_columns(
        pt=pt,
        eta=direction,
        phi=wrap_phi(seeds["phi"] + rng.normal(size=n) * (2e-4 + 6e-3 / pt)),
        mass=pt * np.cosh(direction) * _rounding(rng, n, 2.0**-24),
        energyErr=pt * np.cosh(direction) * error,
        scEtOverPt=cluster - 1.0,
        eInvMinusPInv=(1.0 - over_p) / cluster_energy,
        deltaEtaSC=cluster_eta - direction,
    )


def _rounding(rng: np.random.Generator, n: int, step: float) -> Floats:
    """Mass over energy of massless particles: the root of what rounding left of the squared mass."""
    return np.asarray(rng.choice([-1.0, 1.0], n) * np.sqrt(step * rng.exponential(1.0, n)))


def _with_shower(rng: np.random.Generator, electrons: Collection) -> Collection:
    """Shower shape, leakage into the hadron calorimeter, calibration and gain."""
    n = electrons.n_objects
    eta = electrons["eta"] + electrons["deltaEtaSC"]
    barrel, lost = in_barrel(eta), radiated(electrons["brem"], electrons["eta"])
    poor = np.logaddexp(0.0, 1.6 * (electrons["shower"] - 0.6)) / 1.6
    width = np.where(barrel, 0.0084 + 0.0007 * np.abs(eta), 0.0300 - 0.0030 * np.abs(eta))
    sieie = width * np.exp(0.055 * rng.normal(size=n) + 0.05 * lost + 0.20 * poor)
    fake = electrons["source"] >= FROM_JET
    r9 = 1.01 - 0.62 * lost**1.4 - 0.03 * poor + np.where(fake, 0.10, 0.022) * rng.normal(size=n)
    hidden = 0.25 * electrons["shower"].clip(0.0) + electrons["leak"] - np.where(barrel, 0.3, 0.4)
    hoe = np.where(hidden > 0.0, 0.022 * np.expm1(0.95 * hidden.clip(0.0, 6.0)), 0.0)
    energy = electrons["pt"] * np.cosh(electrons["eta"])
    return electrons.with_columns(
        r9=np.clip(r9, 0.2, 1.5),
        sieie=sieie,
        hoe=hoe,
        **calibration(rng, eta, r9, energy),
    )


def calibration(
    rng: np.random.Generator, cluster_eta: Floats, r9: Floats, energy: Floats
) -> dict[str, Column]:
    """eCorr, from the smearing of simulated energies, and the gain of the hardest crystal."""
    n = len(energy)
    seed = energy * 0.7 * np.clip(r9, 0.3, 1.0)
    lower = chance(rng, sigmoid((seed - np.where(in_barrel(cluster_eta), 170.0, 420.0)) / 12.0), n)
    lowest = lower & (seed > 1700.0)
    return {
        "eCorr": 1.0 + smearing_width(cluster_eta, r9) * rng.normal(size=n),
        "seedGain": np.select([lowest, lower], [1, 6], 12),
    }
