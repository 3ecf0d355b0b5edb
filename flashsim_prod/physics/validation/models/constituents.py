"""Sets of constituents as the field judges them: substructure of jets, drawn against held out.

Jets are seen in relative coordinates, as in arXiv:2106.11535: pt over the jet's, eta and phi from its axis.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flashsim_prod.physics.chain.kinds.sets.padding import padded_sets
from flashsim_prod.physics.definitions.constituents import sums
from flashsim_prod.physics.definitions.links import delta_phi
from flashsim_prod.physics.events import Column
from flashsim_prod.physics.validation.models.figures import SetFigure, Sets
from flashsim_prod.physics.validation.models.held_out import HeldOut
from flashsim_prod.physics.validation.statistics.distances import Measured
from flashsim_prod.physics.validation.statistics.efps import all_graphs, connected, polynomials
from flashsim_prod.physics.validation.statistics.physics_distances import (
    frechet_physics_distance,
    kernel_physics_distance,
)

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: collection that these figures are of
COLLECTION = "PFCands"
#: targets that are directions, and all that tell where a candidate's momentum lies
_ANGLES = ("deta", "dphi")
OF_CANDIDATES = ("share", *_ANGLES)
#: edges of the energy-flow polynomials at most, and vertices of those that a Wasserstein distance is told of
_EDGES, _SHOWN_VERTICES = 4, 4
#: members that polynomials are found of at a time
_MEMBERS = 1024
#: fewest jets that anything is said of
_FEWEST = 100


def compare_sets(held_out: HeldOut, drawn: Mapping[str, Column], seed: int) -> Sets | None:
    """Figures of drawn sets beside the held-out ones, of the same jets; None for too few of them.

    Floors are the same figures between two halves of the held-out jets.
    """
    of_set = np.unique(held_out.table.row, return_inverse=True)[1].astype(np.int64)
    n = int(of_set.max(initial=-1)) + 1
    if n < _FEWEST:
        return None
    second = np.random.default_rng(seed).random(n) < 0.5
    truth = _Jets(held_out, held_out.attributes, of_set, n)
    made = _Jets(held_out, drawn, of_set, n)
    apart = [_distance(name, made.values[name], truth.values[name]) for name in truth.values]
    floors = []
    for name, column in truth.values.items():
        half = second[of_set] if len(column) == len(of_set) else second
        floors.append(_distance(name, column[half], column[~half]))
    measured = {"FPD": frechet_physics_distance, "KPD": kernel_physics_distance}
    figures = [
        SetFigure(name, Measured(value, 0.0), Measured(floor, 0.0))
        for name, value, floor in zip(truth.values, apart, floors, strict=True)
    ]
    figures += [
        SetFigure(
            name,
            measure(made.polynomials, truth.polynomials, seed),
            measure(truth.polynomials[second], truth.polynomials[~second], seed),
        )
        for name, measure in measured.items()
    ]
    return Sets(n, tuple(figures))


def summed_up(targets: Mapping[str, F64], of_set: I64) -> dict[str, F64]:
    """What networks give of candidates, as if each set summed up to its jet: less what is made so afterwards.

    Shares have a mean of one, directions the axis in their middle and the jet's width.
    """
    share = np.maximum(targets["share"], 1e-6)
    part = share / np.bincount(of_set, share)[of_set]
    angles = [targets[name] - np.bincount(of_set, part * targets[name])[of_set] for name in _ANGLES]
    width = np.sqrt(np.bincount(of_set, part * (angles[0] ** 2 + angles[1] ** 2)))[of_set]
    narrowed = {name: one / np.maximum(width, 1e-6) for name, one in zip(_ANGLES, angles, strict=True)}
    return {**targets, "share": part * np.bincount(of_set)[of_set], **narrowed}


def _distance(name: str, sample: F64, reference: F64) -> float:
    """Wasserstein distance; of several columns the mean, each in its reference's mean."""
    if sample.ndim == 1:
        return float(stats.wasserstein_distance(sample, reference))
    return float(
        np.mean(
            [
                stats.wasserstein_distance(one, other) / max(float(np.mean(np.abs(other))), 1e-300)
                for one, other in zip(sample.T, reference.T, strict=True)
            ]
        )
    )


class _Jets:
    """Jets as their constituents say they are.

    Attributes
    ----------
    values : mapping of name to array
        What Wasserstein distances are of: a value for each member, or for each set.
    polynomials : float64 array of shape (n, n_polynomials)
    """

    def __init__(self, held_out: HeldOut, candidates: Mapping[str, Column], of_set: I64, n: int) -> None:
        sources = held_out.sources
        jet_pt = sources["raw_pt"].astype(np.float64)
        share = candidates["pt"].astype(np.float64) / np.maximum(jet_pt, 1e-3)
        eta = candidates["eta"].astype(np.float64) - sources["eta"]
        phi = delta_phi(candidates["phi"], sources["phi"])
        vectors = sums.cartesian(share, eta, phi, candidates["mass"] / np.maximum(jet_pt, 1e-3))
        charged = np.asarray(candidates["charge"]) != 0
        leading = np.zeros(n)
        np.maximum.at(leading, of_set, share)
        members = [_of_members(share, eta, phi, places) for places in padded_sets(of_set, _MEMBERS)]
        pieces = connected_pieces()
        found = np.empty((n, len(pieces)))
        for places, (weights, distances) in zip(padded_sets(of_set, _MEMBERS), members, strict=True):
            there = places[:, 0] >= 0
            found[of_set[places[there, 0]]] = polynomials(weights, distances, pieces)[there]
        shown = [number for number, graph in enumerate(pieces) if _is_shown(graph)]
        self.polynomials = _products(found, pieces)
        self.values: dict[str, F64] = {
            "mass": _mass(sums.summed(vectors, of_set, n)),
            "mass of charged": _mass(sums.summed(vectors[charged], of_set[charged], n)),
            "multiplicity": np.bincount(of_set, minlength=n).astype(np.float64),
            "charged multiplicity": np.bincount(of_set[charged], minlength=n).astype(np.float64),
            "pt": share,
            "leading pt": leading,
            "eta": eta,
            "phi": phi,
            "EFPs": found[:, shown],
        }


def connected_pieces() -> tuple[tuple[tuple[int, int], ...], ...]:
    """All connected graphs that polynomials are made of."""
    return tuple(graph for edges in range(1, _EDGES + 1) for graph in connected(edges))


def _is_shown(graph: tuple[tuple[int, int], ...]) -> bool:
    return len(graph) == _EDGES and len({vertex for edge in graph for vertex in edge}) == _SHOWN_VERTICES


def _products(found: F64, pieces: tuple[tuple[tuple[int, int], ...], ...]) -> F64:
    """Polynomials of all graphs from those of their pieces."""
    place = {graph: number for number, graph in enumerate(pieces)}
    return np.stack(
        [found[:, [place[one] for one in graph]].prod(axis=1) for graph in all_graphs(_EDGES)], axis=1
    )


def _of_members(share: F64, eta: F64, phi: F64, places: I64) -> tuple[F64, F64]:
    """Weights, shape (sets, places), and distances between members."""
    some = np.maximum(places, 0)
    weights = np.where(places >= 0, share[some], 0.0)
    deta = eta[some][:, :, None] - eta[some][:, None, :]
    dphi = phi[some][:, :, None] - phi[some][:, None, :]
    return weights, np.hypot(deta, dphi)


def _mass(vectors: F64) -> F64:
    return np.asarray(np.sqrt(np.maximum(vectors[:, 0] ** 2 - (vectors[:, 1:] ** 2).sum(axis=1), 0.0)))
