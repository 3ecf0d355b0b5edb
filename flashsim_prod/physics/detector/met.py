"""Missing transverse momentum of the reference detector.

The true value plus what the event's own jets and muons were mismeasured by, plus unclustered energy whose
resolution grows with the root of the pileup (CMS JME-17-001: about 3.5 GeV per root of a vertex for
particle-flow MET, 2 GeV with PUPPI).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.detector.draws import Floats, gamma_about, mixed
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.detector.jets import jet_resolution
from flashsim_prod.physics.detector.truth import Truth
from flashsim_prod.physics.events import Collection, Column

Vectors = NDArray[np.float64]


def simulate_met(
    rng: np.random.Generator, truth: Truth, event: EventLatents, jets: Collection, muons: Collection
) -> dict[str, Column]:
    """MET, PuppiMET and their raw, track and calorimeter kin, under NanoAOD names."""
    n, ht, n_pu = truth.events.n, truth.central_ht / 100.0, truth.n_pu
    true = _vectors(truth.events.scalars["GenMET_pt"], truth.events.scalars["GenMET_phi"])
    from_jets, pileup_jets, from_muons = _mismeasured(truth, jets, muons)
    root = np.sqrt(n_pu + 1.0)
    common = rng.normal(size=(2, n))
    pf_noise = common * np.hypot(7.0, 3.7 * root)
    puppi_noise = mixed(rng, common, 0.6) * np.hypot(7.0, 3.0 * root)
    met = true + from_jets + pileup_jets + from_muons + pf_noise
    puppi = true + 0.95 * from_jets + 0.5 * pileup_jets + from_muons + puppi_noise
    raw_shift = _jet_sum(jets, jets["pt"] * (0.05 + 0.02 * rng.normal(size=jets.n_objects)), n)
    density = event.rho / 0.62
    sum_et = np.maximum(60.0 + 42.0 * density + 102.0 * ht + 4.0 * root * rng.normal(size=n), 30.0)
    puppi_sum = np.maximum(
        30.0 + 1.0 * n_pu + 95.0 * ht + gamma_about(rng, 20 + 1.0 * n_pu, 12 + 0.9 * n_pu), 25.0
    )
    unclustered = np.maximum(100.0 + 36.0 * density + 22.0 * ht + 5.0 * root * rng.normal(size=n), 20.0)
    scalars = _polar("MET", met) | _polar("PuppiMET", puppi)
    scalars |= _polar("RawMET", met + raw_shift) | _polar("RawPuppiMET", 0.97 * puppi + 0.7 * raw_shift)
    scalars |= _polar(
        "TkMET",
        0.5 * true
        + 0.45 * from_jets
        + 0.6 * from_muons
        + rng.normal(size=(2, n)) * np.hypot(9.0, 2.6 * root),
    )
    scalars |= _polar("ChsMET", met + 0.4 * rng.normal(size=(2, n)) * np.hypot(6.0, 2.4 * root))
    scalars |= _polar("CaloMET", met + rng.normal(size=(2, n)) * np.hypot(8.0, 1.3 * root))
    scalars |= _sums(rng, sum_et, puppi_sum, ht, density)
    scalars |= _covariance(truth, jets, unclustered, met)
    scalars |= _unclustered_shift(rng, unclustered)
    scalars["MET_sumPtUnclustered"] = unclustered
    scalars |= _puppi_variations(rng, puppi, jets, truth)
    fiducial = true + rng.normal(size=(2, n)) * 4.5
    pt, phi = _to_polar(fiducial)
    scalars |= {"MET_fiducialGenPt": pt, "MET_fiducialGenPhi": phi}
    return {name: value.astype(np.float32) for name, value in scalars.items()}


def _sums(
    rng: np.random.Generator, sum_et: Floats, puppi_sum: Floats, ht: Floats, density: Floats
) -> dict[str, Floats]:
    n = len(sum_et)
    return {
        "MET_sumEt": sum_et,
        "RawMET_sumEt": sum_et * 0.985 - 5.5 * ht,
        "PuppiMET_sumEt": puppi_sum,
        "RawPuppiMET_sumEt": puppi_sum * 0.91,
        "ChsMET_sumEt": sum_et * 0.76 * (1.0 + 0.02 * rng.normal(size=n)),
        "TkMET_sumEt": np.maximum(30.0 + 6.5 * density + 66.0 * ht + 30.0 * rng.normal(size=n), 15.0),
        "CaloMET_sumEt": sum_et * 0.67 * (1.0 + 0.03 * rng.normal(size=n)),
    }


def _vectors(pt: Column, phi: Column) -> Vectors:
    return np.stack([pt * np.cos(phi.astype(np.float64)), pt * np.sin(phi.astype(np.float64))])


def _to_polar(vector: Vectors) -> tuple[Floats, Floats]:
    return np.hypot(vector[0], vector[1]), np.arctan2(vector[1], vector[0])


def _polar(name: str, vector: Vectors) -> dict[str, Floats]:
    pt, phi = _to_polar(vector)
    return {f"{name}_pt": pt, f"{name}_phi": phi}


def _jet_sum(jets: Collection, weight: Floats, n_events: int) -> Vectors:
    """Vector sum over the jets of each event of `weight` along the jet's direction."""
    return np.stack(
        [
            np.bincount(jets.event_index, weights=weight * wave(jets["phi"]), minlength=n_events)
            for wave in (np.cos, np.sin)
        ]
    )


def _mismeasured(truth: Truth, jets: Collection, muons: Collection) -> tuple[Vectors, Vectors, Vectors]:
    """Minus the vector sums of reconstructed minus true momenta: of jets, pileup jets, muons outside jets."""
    n = truth.events.n
    excess = np.where(jets["from_pileup"], 0.0, jets["pt"] - jets["gen_pt"])
    # the rise of the response at threshold is a selection effect that soft activity balances
    excess = excess * np.clip((jets["pt"] - 10.0) / 15.0, 0.3, 1.0)
    pileup = np.where(jets["from_pileup"], 0.25 * jets["pt"], 0.0)
    alone = muons["gen_jet"] < 0
    muon_excess = np.where(alone & (muons["source"] == 0), muons["pt"] - muons["gen_pt"], 0.0)
    return (
        -_jet_sum(jets, excess, n),
        -_jet_sum(jets, pileup, n),
        -_jet_sum(muons, muon_excess, n),
    )


def _covariance(truth: Truth, jets: Collection, unclustered: Floats, met: Vectors) -> dict[str, Floats]:
    """Covariance from the resolutions of jets and of unclustered energy, and the significance."""
    n = truth.events.n
    hadronic = 1.0 - 0.9 * np.clip(jets["muon"] + jets["electron"], 0.0, 1.0)
    sigma = (
        jet_resolution(jets["pt"], jets["eta"].astype(np.float64), truth.n_pu[jets.event_index]) * hadronic
    )
    variance = (sigma * jets["pt"]) ** 2
    cos, sin = np.cos(jets["phi"]), np.sin(jets["phi"])
    terms = (variance * cos**2, variance * cos * sin, variance * sin**2)
    xx, xy, yy = (1.8 * np.bincount(jets.event_index, weights=term, minlength=n) for term in terms)
    xx, yy = xx + 0.36 * unclustered, yy + 0.36 * unclustered
    determinant = xx * yy - xy**2
    quadratic = (met[0] ** 2 * yy - 2.0 * met[0] * met[1] * xy + met[1] ** 2 * xx) / determinant
    return {"MET_covXX": xx, "MET_covXY": xy, "MET_covYY": yy, "MET_significance": quadratic}


def _unclustered_shift(rng: np.random.Generator, unclustered: Floats) -> dict[str, Floats]:
    shift = rng.normal(size=(2, len(unclustered))) * 0.115 * np.sqrt(unclustered)
    return {"MET_MetUnclustEnUpDeltaX": shift[0], "MET_MetUnclustEnUpDeltaY": shift[1]}


def _puppi_variations(
    rng: np.random.Generator, puppi: Vectors, jets: Collection, truth: Truth
) -> dict[str, Floats]:
    """PuppiMET with jet energy scale, jet resolution and unclustered energy moved up and down."""
    n = truth.events.n
    pt, eta = jets["pt"], jets["eta"].astype(np.float64)
    scale = np.hypot(0.008, 0.35 / pt) * (1.0 + 0.5 * (np.abs(eta) > 2.5)) * (1.0 - 0.8 * jets["from_pileup"])
    jes = -_jet_sum(jets, pt * scale, n)
    sigma = jet_resolution(pt, eta, truth.n_pu[jets.event_index]) * (1.0 - 0.7 * jets["from_pileup"])
    stretch = _jet_sum(jets, pt * sigma * 0.35 * rng.normal(size=jets.n_objects), n)
    unclustered = rng.normal(size=(2, n)) * 2.2
    shifts = {
        "JESUp": jes,
        "JESDown": -jes,
        "JERUp": stretch * 1.3,
        "JERDown": -0.6 * stretch,
        "UnclusteredUp": unclustered,
        "UnclusteredDown": -unclustered,
    }
    columns: dict[str, Floats] = {}
    for name, shift in shifts.items():
        pt_moved, phi_moved = _to_polar(puppi + shift)
        columns |= {f"PuppiMET_pt{name}": pt_moved, f"PuppiMET_phi{name}": phi_moved}
    return columns
