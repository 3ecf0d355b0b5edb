"""Missing transverse momentum of the reference detector.

The true value plus what the event's own jets and muons were mismeasured by, plus unclustered energy whose
resolution grows with the root of the pileup, less so with PUPPI (JME-17-001, arXiv:1903.06078, which fits a
constant and a term for each vertex in quadrature, as is done here). The numbers, 3.7 and 3.0 GeV per root
of a collision, and the sums of energies were adjusted by eye to public simulated events.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.detector.draws import Floats, chance, gamma_about, mixed
from flashsim_prod.physics.detector.event_scalars import EventLatents
from flashsim_prod.physics.detector.jets import jet_resolution
from flashsim_prod.physics.detector.truth import Truth
from flashsim_prod.physics.events import Collection, Column

Vectors = NDArray[np.float64]


def simulate_met(
    rng: np.random.Generator, truth: Truth, event: EventLatents, jets: Collection, muons: Collection
) -> dict[str, Column]:
    """MET, PuppiMET and their raw, track and calorimeter kin, under NanoAOD names."""
    vectors = _flavours(rng, truth, jets, muons)
    unclustered = _unclustered(rng, truth, event)
    scalars: dict[str, Floats] = {"MET_sumPtUnclustered": unclustered}
    for name, vector in vectors.items():
        scalars[f"{name}_pt"], scalars[f"{name}_phi"] = _to_polar(vector)
    scalars |= _sums(rng, truth, event)
    scalars |= _covariance(truth, jets, unclustered, vectors["MET"])
    scalars |= _unclustered_shift(rng, unclustered)
    scalars |= _puppi_variations(rng, vectors["PuppiMET"], jets, truth)
    # at generator level once more, from the particles that a detector of abs(eta) < 5 would see
    fiducial = _true_met(truth) + rng.normal(size=(2, truth.events.n)) * 4.5
    scalars["MET_fiducialGenPt"], scalars["MET_fiducialGenPhi"] = _to_polar(fiducial)
    return {name: value.astype(np.float32) for name, value in scalars.items()}


def _flavours(
    rng: np.random.Generator, truth: Truth, jets: Collection, muons: Collection
) -> dict[str, Vectors]:
    """Each kind of missing momentum as (x, y), shape (2, n_events) [GeV]."""
    n, root = truth.events.n, np.sqrt(truth.n_pu + 1.0)
    true = _true_met(truth)
    from_jets, pileup_jets, from_muons = _mismeasured(truth, jets, muons)

    def noise(constant: float, per_root: float, correlation: float = 0.0) -> Vectors:
        return mixed(rng, common, correlation) * np.hypot(constant, per_root * root)

    common = rng.normal(size=(2, n))
    met = true + from_jets + pileup_jets + from_muons + noise(7.0, 3.7, correlation=1.0)
    puppi = true + 0.95 * from_jets + 0.5 * pileup_jets + from_muons + noise(7.0, 3.0, correlation=0.6)
    seen_muons = _jet_sum(muons, muons["pt"], n)
    tails = np.where(chance(rng, 0.06, n), 3.0, 1.0)
    # the calibration of jets, taken back
    raw = _jet_sum(jets, jets["pt"] * (0.05 + 0.02 * rng.normal(size=jets.n_objects)), n)
    return {
        "MET": met,
        "PuppiMET": puppi,
        "RawMET": met + raw,
        "RawPuppiMET": 0.97 * puppi + 0.7 * raw + 1.5 * rng.normal(size=(2, n)),
        "TkMET": _of_tracks(truth, true, met, seen_muons) + noise(9.0, 3.9) * tails,
        "ChsMET": met + noise(2.4, 1.0),
        "CaloMET": 0.73 * met - 0.14 * seen_muons + noise(8.0, 3.9),
    }


def _of_tracks(truth: Truth, true: Vectors, met: Vectors, muons: Vectors) -> Vectors:
    """What the tracks of an event lack; least squares fit to centrally produced top quark pairs."""
    n, jets = truth.events.n, truth.gen_jets
    central = np.abs(jets["eta"]) < 2.5
    inside, outside = (_jet_sum(jets, jets["pt"] * chosen, n) for chosen in (central, ~central))
    return np.asarray(0.23 * true + 0.24 * (met - true) - 0.41 * inside + 0.13 * outside - 0.21 * muons)


def _true_met(truth: Truth) -> Vectors:
    pt, phi = (truth.events.scalars[f"GenMET_{name}"].astype(np.float64) for name in ("pt", "phi"))
    return np.stack([pt * np.cos(phi), pt * np.sin(phi)])


def _unclustered(rng: np.random.Generator, truth: Truth, event: EventLatents) -> Floats:
    """Scalar sum of what is in no jet [GeV]."""
    spread = 5.0 * np.sqrt(truth.n_pu + 1.0) * rng.normal(size=truth.events.n)
    return np.maximum(100.0 + 58.0 * event.rho + 0.22 * truth.central_ht + spread, 20.0)


def _sums(rng: np.random.Generator, truth: Truth, event: EventLatents) -> dict[str, Floats]:
    """Scalar sums of transverse energy [GeV]: pileup in proportion to its density, and the hard event."""
    n, n_pu, rho, ht = truth.events.n, truth.n_pu, event.rho, truth.central_ht
    total = 60.0 + 68.0 * rho + 1.02 * ht + 4.0 * np.sqrt(n_pu + 1.0) * rng.normal(size=n)
    total = np.maximum(total, 30.0)
    puppi = 30.0 + n_pu + 0.95 * ht + gamma_about(rng, 20.0 + n_pu, 12.0 + 0.9 * n_pu)
    track = 30.0 + 10.5 * rho + 0.66 * ht + 30.0 * rng.normal(size=n)
    # what the calibration of jets adds to the sums, a little different from event to event
    calibrated = 0.055 * ht * np.exp(0.25 * rng.normal(size=n))
    return {
        "MET_sumEt": total,
        "RawMET_sumEt": np.maximum(0.985 * total - calibrated, 20.0),
        "PuppiMET_sumEt": puppi,
        "RawPuppiMET_sumEt": np.maximum(puppi - calibrated * np.exp(0.15 * rng.normal(size=n)), 10.0),
        "ChsMET_sumEt": 0.76 * total * (1.0 + 0.02 * rng.normal(size=n)),
        "TkMET_sumEt": np.maximum(track, 15.0),
        "CaloMET_sumEt": 0.67 * total * (1.0 + 0.03 * rng.normal(size=n)),
    }


def _to_polar(vector: Vectors) -> tuple[Floats, Floats]:
    return np.hypot(vector[0], vector[1]), np.arctan2(vector[1], vector[0])


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
    stretch = _jet_sum(jets, pt * sigma * 0.12 * rng.normal(size=jets.n_objects), n)
    # up and down mirror each other only where the jets have generator jets
    uneven = _jet_sum(jets, pt * sigma * 0.03 * rng.normal(size=jets.n_objects), n)
    unclustered = rng.normal(size=(2, n)) * 2.2
    shifts = {
        "JESUp": jes,
        "JESDown": -jes,
        "JERUp": stretch,
        "JERDown": uneven - stretch,
        "UnclusteredUp": unclustered,
        "UnclusteredDown": -unclustered,
    }
    columns: dict[str, Floats] = {}
    for name, shift in shifts.items():
        pt_moved, phi_moved = _to_polar(puppi + shift)
        columns |= {f"PuppiMET_pt{name}": pt_moved, f"PuppiMET_phi{name}": phi_moved}
    return columns
