"""Generator-level jets: anti-kt on all visible stable particles, with flavours by ghost association.

Hadrons and partons that decide a jet's flavour take part in the clustering with their momenta scaled down
to nothing (ghosts), as CMS does it: they go where their direction leads and change no jet.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from flashsim_prod.physics.events import Collection
from flashsim_prod.physics.generator.ancestry import Ancestry
from flashsim_prod.physics.generator.flavours import FlavourGhosts
from flashsim_prod.physics.generator.particles import Mask, Particles, kinematics

_GHOST_SCALE = 1e-18
_SOFT_DROP_Z = 0.1
_AK4_MIN_PT = 10.0
_AK8_MIN_PT = 100.0
#: Cambridge/Aachen with a radius that takes in everything: a jet is declustered whatever its size
_WHOLE = 1000.0
_AXES = ("px", "py", "pz", "E")


@dataclass(frozen=True)
class Clustered:
    """Jets in descending pt, and what is in them.

    Attributes
    ----------
    jets : Collection
        ``px py pz E`` [GeV], by event.
    members : Collection
        ``input``, the position among what was clustered, by jet.
    """

    jets: Collection
    members: Collection


def gen_jets(ancestry: Ancestry) -> dict[str, Collection]:
    """GenJet, GenJetAK8 and SubGenJetAK8 of a batch.

    GenJet: R = 0.4, pt > 10 GeV; GenJetAK8: R = 0.8, pt > 100 GeV; SubGenJetAK8: the two prongs that soft
    drop (z = 0.1, beta = 0, arXiv:1402.2657) leaves of each GenJetAK8, in the order of the jets.
    """
    ghosts = FlavourGhosts.of(ancestry)
    inputs = jet_inputs(ancestry.particles, ghosts.any)
    slim = cluster(inputs, "antikt", 0.4, _AK4_MIN_PT)
    fat = cluster(inputs, "antikt", 0.8, _AK8_MIN_PT)
    return {
        "GenJet": _with_flavours(slim, inputs, ghosts),
        "GenJetAK8": _with_flavours(fat, inputs, ghosts),
        "SubGenJetAK8": soft_drop_subjets(fat, inputs),
    }


def jet_inputs(particles: Particles, ghosts: Mask) -> Collection:
    """What is clustered: visible stable particles, muons among them, and `ghosts`.

    Returns
    -------
    Collection
        ``px py pz E`` [GeV], ghosts scaled down; ``row``, the position among the particles; ``ghost``.
        A particle can be there twice, as itself and as a ghost.
    """
    visible, ghostly = np.flatnonzero(particles.is_visible), np.flatnonzero(ghosts)
    row = np.concatenate((visible, ghostly))
    scale = np.repeat((1.0, _GHOST_SCALE), (len(visible), len(ghostly)))
    momentum = dict(zip(_AXES, particles.momentum(row), strict=True))
    columns = {axis: column * scale for axis, column in momentum.items()}
    columns |= {"row": row, "ghost": scale < 1.0}
    return Collection.from_rows(len(particles.counts), particles.event[row], columns)


def cluster(inputs: Collection, algorithm: str, radius: float, min_pt: float) -> Clustered:
    """Inclusive jets above `min_pt` [GeV]; `algorithm` is FastJet's name, without ``_algorithm``."""
    import awkward as ak

    sequence = _sequence(inputs, algorithm, radius)
    jets = _collection(sequence.inclusive_jets(min_pt))
    local = ak.flatten(sequence.constituent_index(min_pt), axis=1)
    counts = ak.to_numpy(ak.num(local, axis=1)).astype(np.int64)
    first = np.repeat(inputs.starts[jets.event_index], counts)
    members = Collection(counts, {"input": ak.to_numpy(ak.flatten(local, axis=1)) + first})
    order = _with_pt(jets).order_by("pt")
    return Clustered(_by_pt(jets), members.take_events(order))


def soft_drop_subjets(fat: Clustered, inputs: Collection) -> Collection:
    """The prongs of each jet after soft drop, ``pt eta phi mass``: two, or one where nothing passes."""
    members = fat.members.select(~inputs["ghost"][fat.members["input"]])
    particles = Collection(members.counts, {axis: inputs[axis][members["input"]] for axis in _AXES})
    prongs = _by_pt(_prongs(particles)) if fat.jets.n_objects else particles
    event = fat.jets.event_index[prongs.event_index]
    counts = np.bincount(event, minlength=fat.jets.n_events).astype(np.int64)
    return _finished(Collection(counts, prongs.columns))


def _prongs(particles: Collection) -> Collection:
    """The last two branches of what soft drop leaves of the particles of each jet."""
    tree = _sequence(particles, "cambridge", _WHOLE)
    groomed = tree.exclusive_jets_softdrop_grooming(njets=1, beta=0.0, symmetry_cut=_SOFT_DROP_Z)
    left = _collection(groomed.constituents)
    with warnings.catch_warnings():
        # it warns of exclusive jets whatever the algorithm
        warnings.simplefilter("ignore")
        return _collection(_sequence(left, "cambridge", _WHOLE).exclusive_jets_up_to(2))


def _with_flavours(found: Clustered, inputs: Collection, ghosts: FlavourGhosts) -> Collection:
    members = found.members.select(inputs["ghost"][found.members["input"]])
    row, jet = inputs["row"][members["input"]], members.event_index
    n_jets = found.jets.n_objects
    return _finished(found.jets).with_columns(
        partonFlavour=ghosts.parton_flavour(row, jet, n_jets),
        hadronFlavour=ghosts.hadron_flavour(row, jet, n_jets),
    )


def _sequence(particles: Collection, algorithm: str, radius: float) -> Any:
    """FastJet's clustering of each event of `particles`."""
    import awkward as ak
    import fastjet

    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    offsets = np.concatenate(([0], np.cumsum(particles.counts)))
    fields = [ak.contents.NumpyArray(particles[axis]) for axis in _AXES]
    record = ak.contents.RecordArray(fields, list(_AXES))
    events = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), record))
    definition = fastjet.JetDefinition(getattr(fastjet, f"{algorithm}_algorithm"), radius)
    return fastjet.ClusterSequence(events, definition)


def _collection(jets: Any) -> Collection:
    """FastJet's jets as a collection of ``px py pz E``."""
    import awkward as ak

    flat = ak.flatten(jets, axis=1)
    counts = ak.to_numpy(ak.num(jets, axis=1)).astype(np.int64)
    return Collection(counts, {axis: ak.to_numpy(flat[axis]) for axis in _AXES})


def _with_pt(jets: Collection) -> Collection:
    return jets.with_columns(pt=np.hypot(jets["px"], jets["py"]))


def _by_pt(jets: Collection) -> Collection:
    return _with_pt(jets).sorted_by("pt")


def _finished(jets: Collection) -> Collection:
    """``pt eta phi mass`` instead of ``px py pz E``."""
    px, py, pz, energy = (jets[axis] for axis in _AXES)
    return Collection(jets.counts, kinematics((px, py, pz, energy)))
