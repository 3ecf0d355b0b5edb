"""Secondary vertices: of heavy-flavour jets, of taus and of light jets, each with its nearest jet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.chain.features import PILEUP_BRANCHES, PILEUP_CONDITIONS, per_object
from flashsim_prod.physics.chain.forms import AsFloats, as_drawn
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Rows, Scale, Target, wrap_angle
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.egamma import TRACKER_END
from flashsim_prod.physics.definitions.vertices import (
    HEAVY_JET,
    LIGHT_JET,
    TAU_JET,
    Flight,
    as_found,
    fit_columns,
    flight_of,
    jets_by_kind,
    nearest_jet,
    position_columns,
)
from flashsim_prod.physics.events import Collection, Column, Events

F64 = NDArray[np.float64]

#: charges are coded next to the number of tracks, which never reaches this
_MOST_TRACKS = 32
#: drawn as they are
_AS_DRAWN = ("pt", "mass", "dlenSig")
#: with the distance, which the position follows from, where the weights have it
_VALUES = (*_AS_DRAWN[:2], "dlen", *_AS_DRAWN[2:])
_PRIMARY = ("PV_x", "PV_y", "PV_z")


def _source(events: Events, kind: int) -> Rows:
    jets = jets_by_kind(events)
    jets = jets.with_columns(place=np.arange(jets.n_objects), n_jets=jets.counts[jets.event_index])
    jets = jets.select(jets["sv_kind"] == kind)
    primary = {name: events.scalars[name].astype(np.float64)[jets.event_index] for name in _PRIMARY}
    about: dict[str, Column] = {
        "btag": np.clip(jets["btagDeepFlavB"], 0.0, 1.0),
        "ctag": np.clip(jets["btagDeepFlavCvL"], 0.0, 1.0),
        "hadron_b": jets["hadronFlavour"] == 5,
        "has_gen_jet": jets["genJetIdx"] >= 0,
        "has_tau": jets["vis_tau"] >= 0,
        "three_prongs": jets["gen_mode"] >= 10,
    }
    return per_object(events, jets, [about, primary])


def _match(events: Events, rows: Rows) -> NDArray[np.int64]:
    jets = jets_by_kind(events)
    row_of_jet = np.full(jets.n_objects + 1, -1, dtype=np.int64)
    row_of_jet[rows["place"]] = np.arange(len(rows))
    # without any jet the position is -1, the last entry
    return row_of_jet[nearest_jet(events["SV"], jets)]


def _express(vertex: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    value = AsFloats(vertex)
    d_eta, d_phi = value["eta"] - rows["eta"], links.delta_phi(value["phi"], rows["phi"])
    x, y, z = (value[axis] - rows[f"PV_{axis}"] for axis in "xyz")
    flight = flight_of(value["eta"], value["phi"], (x, y, z))
    tracks, charge = vertex["ntracks"].astype(np.int64), vertex["charge"].astype(np.int64)
    return {
        **{name: value[name] for name in _VALUES},
        "distance": np.hypot(d_eta, d_phi),
        "bearing": np.arctan2(d_phi, d_eta),
        "significance_ratio": value["dxySig"] / value["dlenSig"],
        "flight_angle": flight.angle,
        "flight_azimuth": flight.azimuth,
        "tracks": (_MOST_TRACKS * tracks + (tracks + charge) // 2).astype(np.int32),
        "fit_chi2": value["chi2"] * value["ndof"],
    }


def _assemble(drawn: Mapping[str, F64], rows: Rows) -> dict[str, Column]:
    d_eta = drawn["distance"] * np.cos(drawn["bearing"])
    # rather on the other side of the jet than where no tracks are
    inside = np.abs(rows["eta"] + d_eta) < TRACKER_END
    eta = np.clip(rows["eta"] + np.where(inside, d_eta, -d_eta), -TRACKER_END, TRACKER_END)
    phi = wrap_angle(rows["phi"] + drawn["distance"] * np.sin(drawn["bearing"]))
    code = np.rint(drawn["tracks"]).astype(np.int64)
    # what lies between the codes of two numbers of tracks is any charge of the smaller
    tracks, positive = code // _MOST_TRACKS, code % _MOST_TRACKS
    positive %= tracks + 1
    flight = Flight(drawn["dlen"], drawn["flight_angle"], drawn["flight_azimuth"])
    return {
        **as_drawn(drawn, _AS_DRAWN),
        "eta": eta,
        "phi": phi,
        "dxySig": drawn["dlenSig"] * drawn["significance_ratio"],
        "ntracks": tracks,
        "charge": 2 * positive - tracks,
        **position_columns(eta, phi, flight, (rows["PV_x"], rows["PV_y"], rows["PV_z"])),
        **fit_columns(drawn["fit_chi2"], tracks),
    }


def _model(name: str, kind: int, conditions: tuple[str, ...], most: int) -> ObjectModel:
    return ObjectModel(
        name=name,
        produces="SV",
        uses=("Jet", "GenPart", "GenVisTau", *_PRIMARY, *PILEUP_BRANCHES),
        source=lambda events: _source(events, kind),
        conditions=(
            Condition("pt", Scale.LOG),
            Condition("eta"),
            Condition("phi"),
            *(Condition(one) for one in ("btag", "ctag", "nConstituents", "n_jets", *conditions)),
            *PILEUP_CONDITIONS,
        ),
        targets=tuple(
            Target(target)
            for target in (
                *_VALUES,
                *("distance", "bearing", "significance_ratio", "flight_angle", "flight_azimuth"),
                *("tracks", "fit_chi2"),
            )
        ),
        match=_match,
        most=most,
        express=_express,
        assemble=_assemble,
    )


def finish(parts: list[Collection], events: Events) -> Collection:
    """All vertices, in an order of chance as in NanoAOD."""
    return as_found(Collection.join(parts))


MODELS = (
    _model("sv_from_heavy_jet", HEAVY_JET, ("hadron_b", "has_tau"), 5),
    _model("sv_from_light_jet", LIGHT_JET, ("has_gen_jet",), 5),
    _model("sv_from_tau_jet", TAU_JET, ("three_prongs",), 4),
)
