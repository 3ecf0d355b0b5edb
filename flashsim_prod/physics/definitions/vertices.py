"""Secondary vertices: geometry, fit quality, the jets that they go with; and where further vertices are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.links import Positions
from flashsim_prod.physics.definitions.taus import TAU, tau_seeds
from flashsim_prod.physics.eras import DEFAULT, find_era
from flashsim_prod.physics.events import Collection, Column, Events, of_collections

F64 = NDArray[np.float64]

#: jets beyond this hold no tracks to make a vertex of
MAX_JET_ETA = 3.0
#: of what a jet is, in the column ``sv_kind`` of `jets_by_kind`
LIGHT_JET, HEAVY_JET, TAU_JET = 0, 1, 2

#: The adaptive vertex fit weighs a track by its chi2: logistic(_CUT - chi2 / 2) at temperature one
#: (Fruehwirth, Waltenberger and Vanlaer, J. Phys. G 34 (2007) N343). The cut is that of the files.
_CUT = 4.245


@of_collections("Jet", "GenPart", "GenVisTau")
def jets_by_kind(events: Events) -> Collection:
    """The jets within the tracker, as `tau_seeds` gives them, with ``sv_kind``: light, heavy or tau."""
    jets = tau_seeds(events)
    jets = jets.select(np.abs(jets["eta"]) < MAX_JET_ETA)
    heavy = jets["hadronFlavour"] >= 4
    kind = np.select([heavy, jets["kind"] == TAU], [HEAVY_JET, TAU_JET], LIGHT_JET)
    return jets.with_columns(sv_kind=kind)


def nearest_jet(vertices: Collection, jets: Collection) -> Positions:
    """The jet that each vertex goes with, the nearest at whatever distance; -1 without any jet."""
    position, _ = links.nearest(vertices, jets)
    return position


@dataclass(frozen=True)
class Flight:
    """Flight of a vertex against the momentum of its tracks.

    Attributes
    ----------
    length : float64 array of shape (n,)
        From the primary vertex [cm].
    angle, azimuth : float64 arrays of shape (n,)
        Polar angle between momentum and flight, and the azimuth around the momentum, from growing
        pseudorapidity to growing azimuth [rad].
    """

    length: F64
    angle: F64
    azimuth: F64


def flight_of(eta: F64, phi: F64, displacement: tuple[F64, F64, F64]) -> Flight:
    """Flight from the `displacement` (x, y, z) [cm] of vertices with momentum along `eta` and `phi`."""
    along, upward, around = _axes(eta, phi)
    length = np.sqrt(sum(component**2 for component in displacement))
    parallel, up, side = (
        sum(component * axis for component, axis in zip(displacement, direction, strict=True))
        for direction in (along, upward, around)
    )
    return Flight(np.asarray(length), np.arctan2(np.hypot(up, side), parallel), np.arctan2(side, up))


def displacement_of(eta: F64, phi: F64, flight: Flight) -> tuple[F64, F64, F64]:
    """The displacement (x, y, z) [cm] of `flight`; undoes `flight_of`."""
    parts = (
        np.cos(flight.angle),
        np.sin(flight.angle) * np.cos(flight.azimuth),
        np.sin(flight.angle) * np.sin(flight.azimuth),
    )
    x, y, z = (
        flight.length * sum(part * axis for part, axis in zip(parts, component, strict=True))
        for component in zip(*_axes(eta, phi), strict=True)
    )
    return x, y, z


def position_columns(eta: F64, phi: F64, flight: Flight, primary: tuple[F64, F64, F64]) -> dict[str, Column]:
    """``x y z dlen dxy pAngle`` of vertices; pAngle is measured against the way back to `primary`."""
    moved = displacement_of(eta, phi, flight)
    x, y, z = (start + step for start, step in zip(primary, moved, strict=True))
    transverse = np.hypot(moved[0], moved[1])
    return {"x": x, "y": y, "z": z, "dlen": flight.length, "dxy": transverse, "pAngle": np.pi - flight.angle}


def fit_columns(chi2: F64, tracks: NDArray[np.integer]) -> dict[str, Column]:
    """``ndof`` and the reduced ``chi2`` of an adaptive fit of `tracks` with `chi2` in all."""
    weight = 1.0 / (1.0 + np.exp(chi2 / tracks - _CUT))
    ndof = 2.0 * tracks * weight - 3.0
    return {"ndof": ndof, "chi2": chi2 / np.where(np.abs(ndof) < 1e-3, 1e-3, ndof)}


def _axes(eta: F64, phi: F64) -> tuple[tuple[F64, F64, F64], ...]:
    """Unit vectors along the momentum, towards growing eta and towards growing phi."""
    sin_theta, cos_theta = 1.0 / np.cosh(eta), np.tanh(eta)
    cos_phi, sin_phi = np.cos(phi), np.sin(phi)
    return (
        (sin_theta * cos_phi, sin_theta * sin_phi, cos_theta),
        (-cos_theta * cos_phi, -cos_theta * sin_phi, sin_theta),
        (-sin_phi, cos_phi, np.zeros_like(phi)),
    )


def as_found(vertices: Collection) -> Collection:
    """Vertices in an order of chance, which follows from nothing that NanoAOD stores: as they are found."""
    return (
        vertices.with_columns(lot=links.lots(vertices["eta"], vertices["phi"]))
        .sorted_by("lot")
        .only(vertices.columns)
    )


#: centre and width of the luminous region along the beam [cm], where no era is said
BEAM_SPOT_Z = find_era(DEFAULT).beam_spot_z

#: vertices beside the main one that NanoAOD keeps
MOST_OTHER_VERTICES = 3


def other_vertices(
    scalars: Mapping[str, Column], normals: NDArray[np.float64], era: str = DEFAULT
) -> Collection:
    """``OtherPV``: z of up to three further vertices, spread over the luminous region.

    Parameters
    ----------
    scalars : mapping
        With PV_npvs.
    normals : float64 array of shape (n_events, 3)
        Standard normal numbers.
    era : str
        Whose luminous region.
    """
    counts = np.clip(scalars["PV_npvs"].astype(np.int64) - 1, 0, MOST_OTHER_VERTICES)
    centre, width = find_era(era).beam_spot_z
    z = centre + width * normals
    drawn = np.arange(MOST_OTHER_VERTICES) < counts[:, None]
    return Collection(counts, {"z": z[drawn].astype(np.float32)})
