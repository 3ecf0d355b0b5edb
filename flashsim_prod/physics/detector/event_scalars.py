"""Primary vertices, pileup densities and soft activity of the reference detector.

Means and spreads as functions of pileup and hard activity were adjusted by eye to public simulated Run-2
events: about 0.72 good vertices and 0.62 GeV of density per pileup collision. The densities are medians
over the event (JME-13-004, arXiv:1607.03663); vertices are measured to 10 or 20 um, better with more
tracks, and near ones merge (TRK-11-001, arXiv:1405.6569).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashsim_prod.physics.definitions.vertices import BEAM_SPOT_Z
from flashsim_prod.physics.detector.draws import Bools, Floats, gamma_about, mixed, sigmoid
from flashsim_prod.physics.detector.truth import Truth
from flashsim_prod.physics.events import Column

#: beam spot [cm] and its width, used where the input has no generated vertex
_BEAM_SPOT = {"x": (0.0108, 0.0005), "y": (0.0418, 0.0005), "z": BEAM_SPOT_Z}


@dataclass(frozen=True)
class EventLatents:
    """What all objects of an event share.

    Attributes
    ----------
    rho : float array of shape (n_events,)
        Energy density from pileup [GeV per unit area] (``fixedGridRhoFastjetAll``).
    rho_charged : float array of shape (n_events,)
        Its charged part.
    wrong_vertex : bool array of shape (n_events,)
        The primary vertex is a pileup collision's.
    vertex_dz : float array of shape (n_events,)
        Reconstructed minus true z of the primary vertex [cm].
    """

    rho: Floats
    rho_charged: Floats
    wrong_vertex: Bools
    vertex_dz: Floats


def simulate_event(rng: np.random.Generator, truth: Truth) -> tuple[EventLatents, dict[str, Column]]:
    """Event-level scalars under their NanoAOD names, and the latents behind them."""
    vertex, wrong, dz = _vertex(rng, truth)
    densities = _densities(rng, truth)
    latents = EventLatents(
        densities["fixedGridRhoFastjetAll"],
        densities["fixedGridRhoFastjetCentralChargedPileUp"],
        wrong,
        dz,
    )
    scalars: dict[str, Column] = {name: value.astype(np.float32) for name, value in densities.items()}
    return latents, scalars | vertex | _soft_activity(rng, truth)


def _vertex(rng: np.random.Generator, truth: Truth) -> tuple[dict[str, Column], Bools, Floats]:
    n, ht = truth.events.n, truth.central_ht
    found = 1 + rng.binomial(np.maximum(truth.n_pu.astype(np.int64), 0), _vertex_efficiency(truth.n_pu))
    good = 1 + rng.binomial(found - 1, 0.90)
    # log of the sum of pt squared of the vertex's jets; pileup vertices compete with it
    log_score = 1.36 * np.log(ht + 20.0) + 0.58 + rng.normal(0.0, 0.7, n)
    wrong = rng.random(n) < np.minimum(0.012 * truth.n_pu, 0.6) * sigmoid(1.2 * (5.6 - log_score))
    ndof = gamma_about(rng, 76.0 + 0.35 * truth.n_pu + 10.0 * ht / 100.0, np.full(n, 42.0))
    ndof = np.maximum(np.where(wrong, 0.7 * ndof, ndof), 4.0 + rng.exponential(4.0, n))
    chi2 = np.maximum(rng.normal(0.74, 0.08 + 0.6 / np.sqrt(ndof), n), 0.1)
    true = {axis: _true_vertex(rng, truth, axis) for axis in "xyz"}
    resolution = 0.0020 / np.sqrt(np.maximum(ndof, 4.0) / 20.0)
    reco = {
        axis: true[axis] + rng.normal(size=n) * resolution * (1.5 if axis == "z" else 1.0) for axis in "xyz"
    }
    other = rng.normal(*_BEAM_SPOT["z"], n)
    reco["z"] = np.where(wrong, other, reco["z"])
    scalars: dict[str, Column] = {
        "PV_npvs": found.astype(np.int32),
        "PV_npvsGood": good.astype(np.int32),
        "PV_ndof": ndof.astype(np.float32),
        "PV_chi2": chi2.astype(np.float32),
        "PV_score": np.exp(np.where(wrong, rng.normal(5.0, 0.5, n), log_score)).astype(np.float32),
    }
    scalars |= {f"PV_{axis}": value.astype(np.float32) for axis, value in reco.items()}
    return scalars, wrong, reco["z"] - true["z"]


def _vertex_efficiency(n_pu: Floats) -> Floats:
    """Vertices found per collision; neighbours merge as they get more."""
    return np.clip(0.84 - 0.0012 * n_pu, 0.5, 0.95)


def _true_vertex(rng: np.random.Generator, truth: Truth, axis: str) -> Floats:
    drawn = rng.normal(*_BEAM_SPOT[axis], truth.events.n)
    given = truth.events.scalars.get(f"GenVtx_{axis}")
    return drawn if given is None else given.astype(np.float64)


def _densities(rng: np.random.Generator, truth: Truth) -> dict[str, Floats]:
    n_pu, ht = truth.n_pu, truth.central_ht / 100.0
    root = np.sqrt(np.maximum(n_pu, 0.5))
    common = rng.normal(size=truth.events.n)
    # name: mean per collision, mean per 100 GeV of HT, offset, spread per root of collisions, correlation
    shapes = {
        "All": (0.62, 0.30, 0.3, 0.70, 1.0),
        "Central": (0.65, 0.45, 0.5, 0.80, 0.95),
        "CentralCalo": (0.315, 0.35, 0.1, 0.37, 0.90),
        "CentralChargedPileUp": (0.49, 0.0, -1.2, 0.62, 0.88),
        "CentralNeutral": (0.143, 0.12, 0.0, 0.20, 0.80),
    }
    return {
        f"fixedGridRhoFastjet{name}": np.maximum(
            per_pu * n_pu + per_ht * ht + offset + spread * root * mixed(rng, common, correlation), 0.0
        )
        for name, (per_pu, per_ht, offset, spread, correlation) in shapes.items()
    }


def _soft_activity(rng: np.random.Generator, truth: Truth) -> dict[str, Column]:
    """Track jets above 10, 5, 2 and 1 GeV: each threshold adds to the sum of the one above it."""
    n, ht = truth.events.n, truth.central_ht
    hard = np.where(ht > 15.0, 0.50 * ht * np.exp(rng.normal(0.0, 0.20, n)), 0.0)
    n10 = np.where(hard > 10.0, 1 + np.rint(hard / 50.0 * np.exp(rng.normal(0.0, 0.3, n))), 0)
    hard = np.where(n10 > 0, np.maximum(hard, 10.5 * n10), 0.0)
    n5 = n10 + rng.poisson(0.75 + 0.22 * n10)
    n2 = n5 + rng.poisson(gamma_about(rng, np.full(n, 5.5), np.full(n, 2.5)))
    ht5 = hard + (n5 - n10) * rng.normal(7.0, 0.6, n)
    ht2 = ht5 + (n2 - n5) * rng.normal(3.0, 0.15, n)
    total = ht2 + rng.normal(12.0, 2.5, n).clip(1.0)
    sums = {"HT": total, "HT2": ht2, "HT5": ht5, "HT10": hard}
    counts = {"Njets2": n2, "Njets5": n5, "Njets10": n10}
    scalars: dict[str, Column] = {
        f"SoftActivityJet{name}": value.astype(np.float32) for name, value in sums.items()
    }
    return scalars | {f"SoftActivityJet{name}": value.astype(np.int32) for name, value in counts.items()}
