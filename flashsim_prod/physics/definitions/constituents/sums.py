"""Four-vectors of constituents, and how they are made to sum up to their jets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.events import Collection, Column

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_ITERATIONS = 30
#: of the jet's mass, what candidates' masses may have together at most
_OF_MASSES = 0.9
#: masses below this share of the energy cannot be told from none in float64
_MASSLESS = 1e-7
_SMALL = 1e-12


def cartesian(pt: Column, eta: Column, phi: Column, mass: Column) -> F64:
    """Energy and momentum, shape (n, 4)."""
    pt, eta, phi, mass = (np.asarray(one, dtype=np.float64) for one in (pt, eta, phi, mass))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.stack([np.sqrt(px**2 + py**2 + pz**2 + mass**2), px, py, pz], axis=1)


def summed(vectors: F64, group: I64, n: int) -> F64:
    """Sum of the `vectors`, shape (n_vectors, d), of each of `n` groups, shape (n, d)."""
    return np.stack([np.bincount(group, column, minlength=n) for column in vectors.T], axis=1)


def projected(momenta: F64, masses: F64, group: I64, wanted: F64) -> tuple[F64, F64]:
    """Momenta and masses changed as little as makes each group sum up to what is wanted.

    In the rest frame of a group all momenta are scaled alike, until the energies sum up to the mass that is
    wanted; then the group is boosted to the momentum that is wanted (as Kleiss, Stirling and Ellis, Comput.
    Phys. Commun. 40 (1986) 359, give masses to what was generated without). Where masses sum up to more than
    0.9 of that mass they are scaled down first. Where there is no rest frame, as of a single candidate or of
    parallel ones, each has a share of the vector that is wanted, its mass with it.

    Parameters
    ----------
    momenta : float64 array of shape (n, 3)
    masses : float64 array of shape (n,)
    group : int64 array of shape (n,)
        The group of each, a row of `wanted`.
    wanted : float64 array of shape (n_groups, 4)
        Energy and momentum.

    Returns
    -------
    float64 arrays of shape (n, 3) and (n,)
    """
    n = len(wanted)
    mass = _mass(wanted)
    total = np.bincount(group, masses, minlength=n)
    shrink = np.minimum(1.0, _OF_MASSES * mass / np.maximum(total, _SMALL))
    lighter = masses * shrink[group]
    energy = np.sqrt((momenta**2).sum(axis=1) + lighter**2)
    found = summed(np.column_stack([energy, momenta]), group, n)
    number = np.bincount(group, minlength=n)
    has_frame = (number > 1) & (_mass(found) > _MASSLESS * found[:, 0]) & (mass > _MASSLESS * wanted[:, 0])
    safe = np.where(has_frame[:, None], found, np.array([1.0, 0.0, 0.0, 0.0]))
    at_rest = _boosted(np.column_stack([energy, momenta]), -(safe[:, 1:] / safe[:, :1])[group])[:, 1:]
    at_rest *= _scale(at_rest, lighter, group, mass)[group][:, None]
    energy = np.sqrt((at_rest**2).sum(axis=1) + lighter**2)
    aim = np.where(has_frame[:, None], wanted, np.array([1.0, 0.0, 0.0, 0.0]))
    made = _boosted(np.column_stack([energy, at_rest]), (aim[:, 1:] / aim[:, :1])[group])[:, 1:]
    size = np.sqrt((momenta**2).sum(axis=1)) + _SMALL
    share = size / np.bincount(group, size, minlength=n)[group]
    inside = has_frame[group]
    parallel = share[:, None] * wanted[group, 1:]
    return np.where(inside[:, None], made, parallel), np.where(inside, lighter, share * mass[group])


def _mass(vectors: F64) -> F64:
    return np.asarray(np.sqrt(np.maximum(vectors[:, 0] ** 2 - (vectors[:, 1:] ** 2).sum(axis=1), 0.0)))


def _boosted(vectors: F64, beta: F64) -> F64:
    """Four-vectors in a frame in which what was at rest has the velocity `beta`."""
    square = np.minimum((beta**2).sum(axis=1), 1.0 - 1e-15)
    gamma = 1.0 / np.sqrt(1.0 - square)
    along = (vectors[:, 1:] * beta).sum(axis=1)
    factor = gamma**2 / (1.0 + gamma) * along + gamma * vectors[:, 0]
    energy = gamma * (vectors[:, 0] + along)
    return np.column_stack([energy, vectors[:, 1:] + factor[:, None] * beta])


def _scale(momenta: F64, masses: F64, group: I64, mass: F64) -> F64:
    """What the momenta of each group are to be multiplied by, so that their energies sum up to `mass`.

    Newton's steps from above, where a sum of hyperbolas, which is convex, lets them never overshoot.
    """
    square = (momenta**2).sum(axis=1)
    n = len(mass)
    scale = mass / np.maximum(np.bincount(group, np.sqrt(square), minlength=n), _SMALL)
    for _ in range(_ITERATIONS):
        energy = np.sqrt(scale[group] ** 2 * square + masses**2)
        over = np.bincount(group, energy, minlength=n) - mass
        slope = np.bincount(group, scale[group] * square / np.maximum(energy, _SMALL), minlength=n)
        step = over / np.maximum(slope, _SMALL)
        scale = np.maximum(scale - step, 0.0)
        if np.all(np.abs(step) <= 1e-14 * scale + 1e-300):
            break
    return scale


def polar(momenta: F64) -> tuple[F64, F64, F64]:
    """pt, eta and phi of momenta of shape (n, 3)."""
    pt = np.hypot(momenta[:, 0], momenta[:, 1])
    eta = np.arcsinh(momenta[:, 2] / np.maximum(pt, _SMALL))
    return pt, eta, np.arctan2(momenta[:, 1], momenta[:, 0])


def raw_vectors(jets: Collection) -> F64:
    """Energy and momentum of jets before all corrections, which their constituents sum up to."""
    raw = 1.0 - jets["rawFactor"].astype(np.float64)
    return cartesian(jets["pt"] * raw, jets["eta"], jets["phi"], jets["mass"] * raw)
