"""Links of electrons and photons to particles, to jets and to each other, as NanoAOD defines them."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.definitions.links import Bools, Positions
from flashsim_prod.physics.events import Collection, Column, Events

ELECTRON, PHOTON = 11, 22

#: genPartFlav of electrons from prompt photons, and of photons by what they are
_FROM_PHOTON = 22
_PROMPT_PHOTON, _PROMPT_ELECTRON = 1, 11

#: how far a jet's axis may be from an electron or photon inside
JET_RADIUS = 0.4


def gen_part(objects: Collection, gen_parts: Collection) -> Positions:
    """Stable generator electron or photon of each electron or photon.

    Within 0.3 and half the generated pt, one-to-one, the nearest first; flat positions, -1 for none.
    """
    kind = np.abs(gen_parts["pdgId"].astype(np.int64))
    wanted = np.isin(kind, (ELECTRON, PHOTON)) & (gen_parts["status"] == 1)
    where, candidates = np.flatnonzero(wanted), gen_parts.select(wanted)
    of_a, of_b, distance = links.close_pairs(objects, candidates, 0.3)
    gen_pt = candidates["pt"][of_b].astype(np.float64)
    alike = np.abs(objects["pt"][of_a] - gen_pt) < 0.5 * gen_pt
    matched = links.match_by_distance(of_a[alike], of_b[alike], distance[alike], objects.n_objects)
    return links.linked_value(where, matched, -1)


def with_electron_truth(electrons: Collection, gen_parts: Collection) -> Collection:
    """Electrons with genPartIdx, genPartFlav and cleanmask, which keeps every electron."""
    particle = gen_part(electrons, gen_parts)
    flavour = links.lepton_flavour(gen_parts, particle)
    photon = _is_kind(gen_parts, particle, PHOTON) & (flavour == 1)
    return electrons.with_columns(
        genPartIdx=links.local(particle, gen_parts),
        genPartFlav=np.where(photon, _FROM_PHOTON, flavour).astype(np.uint8),
        cleanmask=np.ones(electrons.n_objects, np.uint8),
    )


def with_photon_truth(photons: Collection, gen_parts: Collection) -> Collection:
    """Photons with genPartIdx, genPartFlav and cleanmask, which keeps every photon."""
    particle = gen_part(photons, gen_parts)
    flags = links.linked_value(gen_parts["statusFlags"], particle, 0)
    prompt = (flags & links.IS_PROMPT) > 0
    lepton = prompt | ((flags & links.IS_DIRECT_PROMPT_TAU_DECAY) > 0)
    kinds = [
        prompt & _is_kind(gen_parts, particle, PHOTON),
        lepton & _is_kind(gen_parts, particle, ELECTRON),
    ]
    return photons.with_columns(
        genPartIdx=links.local(particle, gen_parts),
        genPartFlav=np.select(kinds, [_PROMPT_PHOTON, _PROMPT_ELECTRON], 0).astype(np.uint8),
        cleanmask=np.ones(photons.n_objects, np.uint8),
    )


def _is_kind(gen_parts: Collection, particle: Positions, kind: int) -> Bools:
    return np.asarray(np.abs(links.linked_value(gen_parts["pdgId"], particle, 0)) == kind)


def link(events: Events) -> Events:
    """The events with the links of electrons and photons to jets and to each other."""
    if "Jet" in events and "Electron" in events:
        events = events.with_collections(link_to_jets(events["Jet"], events["Electron"]))
    if "Jet" in events and "Photon" in events:
        events = events.with_collections({"Photon": with_photon_jets(events["Photon"], events["Jet"])})
    if "Electron" in events and "Photon" in events:
        events = events.with_collections(link_to_electrons(events["Photon"], events["Electron"]))
    return events


def link_to_jets(jets: Collection, electrons: Collection) -> dict[str, Collection]:
    """Jets and electrons with the links between them; a jet that holds an electron loses its cleanmask."""
    jet_of_electron = links.lepton_jet(electrons, jets, np.ones(electrons.n_objects, bool))
    first, second, number = links.jet_leptons(jet_of_electron, electrons, jets)
    columns: dict[str, Column] = {"electronIdx1": first, "electronIdx2": second, "nElectrons": number}
    if "cleanmask" in jets:
        columns["cleanmask"] = jets["cleanmask"] & links.jet_cleanmask(jets, [jet_of_electron])
    return {
        "Jet": jets.with_columns(**columns),
        "Electron": electrons.with_columns(jetIdx=links.local(jet_of_electron, jets)),
    }


def with_photon_jets(photons: Collection, jets: Collection) -> Collection:
    """Photons with jetIdx."""
    jet = links.lepton_jet(photons, jets, np.ones(photons.n_objects, bool))
    return photons.with_columns(jetIdx=links.local(jet, jets))


def link_to_electrons(photons: Collection, electrons: Collection) -> dict[str, Collection]:
    """Electrons with photonIdx, the inverse of the photons' electronIdx; photons with the electron veto.

    The veto rejects photons whose supercluster has an electron without missing hits that is no conversion.
    """
    electron = links.flat(photons["electronIdx"], photons, electrons)
    linked = electron >= 0
    photon_of = np.full(electrons.n_objects, -1, np.int64)
    photon_of[electron[linked]] = np.flatnonzero(linked)
    like_prompt = electrons["convVeto"].astype(bool) & (electrons["lostHits"] == 0)
    vetoed = links.linked_value(like_prompt, electron, 0) > 0
    return {
        "Photon": photons.with_columns(electronVeto=~vetoed),
        "Electron": electrons.with_columns(photonIdx=links.local(photon_of, photons)),
    }
