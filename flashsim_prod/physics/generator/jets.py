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
from flashsim_prod.physics.generator.particles import FourMomentum, Ints, Mask, Particles, kinematics

_GHOST_SCALE = 1e-18
_SOFT_DROP_Z = 0.1
_PARTON_MIN_PT = 5.0
_AK4_MIN_PT = 10.0
_AK8_MIN_PT = 100.0
#: Cambridge/Aachen with a radius that takes in everything: a jet is declustered whatever its size
_WHOLE = 1000.0


@dataclass(frozen=True)
class Inputs:
    """What is clustered: rows of a batch's particles, ordered by event.

    Attributes
    ----------
    counts : int64 array of shape (n_events,)
    row : int64 array of shape (n_inputs,)
        Position in the batch's particles.
    ghost : bool array of shape (n_inputs,)
    momentum : tuple of four float64 arrays of shape (n_inputs,)
        px, py, pz, energy [GeV], ghosts scaled.
    """

    counts: Ints
    row: Ints
    ghost: Mask
    momentum: FourMomentum


@dataclass(frozen=True)
class Clustered:
    """Jets and what is in them.

    Attributes
    ----------
    counts : int64 array of shape (n_events,)
        Jets of each event.
    momentum : tuple of four float64 arrays of shape (n_jets,)
    members : int64 array of shape (n_members,)
        Position among the inputs, jet by jet.
    member_counts : int64 array of shape (n_jets,)
    """

    counts: Ints
    momentum: FourMomentum
    members: Ints
    member_counts: Ints

    @property
    def member_jet(self) -> Ints:
        """The jet of each member."""
        return np.repeat(np.arange(len(self.member_counts)), self.member_counts)


def gen_jets(ancestry: Ancestry) -> dict[str, Collection]:
    """GenJet, GenJetAK8 and SubGenJetAK8 of a batch, each in descending pt.

    GenJet: R = 0.4, pt > 10 GeV; GenJetAK8: R = 0.8, pt > 100 GeV; SubGenJetAK8: the two prongs that soft
    drop (z = 0.1, beta = 0, arXiv:1402.2657) leaves of each GenJetAK8, in the order of the jets.
    """
    flavours = _flavour_ghosts(ancestry)
    inputs = jet_inputs(ancestry.particles, np.logical_or.reduce(flavours))
    slim = cluster(inputs, "antikt", 0.4, _AK4_MIN_PT)
    fat = cluster(inputs, "antikt", 0.8, _AK8_MIN_PT)
    ids = ancestry.particles.pdg_id
    return {
        "GenJet": _with_flavours(slim, inputs, ancestry.particles, flavours, ids),
        "GenJetAK8": _with_flavours(fat, inputs, ancestry.particles, flavours, ids),
        "SubGenJetAK8": soft_drop_subjets(fat, inputs),
    }


def jet_inputs(particles: Particles, ghosts: Mask) -> Inputs:
    """Visible stable particles, muons among them, and `ghosts`; a particle can be both."""
    visible = np.flatnonzero(particles.is_visible)
    ghost_rows = np.flatnonzero(ghosts)
    row = np.concatenate((visible, ghost_rows))
    ghost = np.concatenate((np.zeros(len(visible), dtype=bool), np.ones(len(ghost_rows), dtype=bool)))
    order = np.argsort(particles.event[row], kind="stable")
    row, ghost = row[order], ghost[order]
    scale = np.where(ghost, _GHOST_SCALE, 1.0)
    px, py, pz, energy = (
        column[row] * scale for column in (particles.px, particles.py, particles.pz, particles.energy)
    )
    counts = np.bincount(particles.event[row], minlength=len(particles.counts)).astype(np.int64)
    return Inputs(counts, row, ghost, (px, py, pz, energy))


def cluster(inputs: Inputs, algorithm: str, radius: float, min_pt: float) -> Clustered:
    """Inclusive jets above `min_pt` [GeV]; `algorithm` is FastJet's name, without ``_algorithm``."""
    import awkward as ak

    sequence = _sequence(inputs.counts, inputs.momentum, algorithm, radius)
    jets = sequence.inclusive_jets(min_pt)
    members = sequence.constituent_index(min_pt)
    flat = ak.flatten(members, axis=1)
    counts = ak.to_numpy(ak.num(jets, axis=1)).astype(np.int64)
    member_counts = ak.to_numpy(ak.num(flat, axis=1)).astype(np.int64)
    first_input = np.repeat(np.cumsum(inputs.counts) - inputs.counts, counts)
    local = ak.to_numpy(ak.flatten(flat, axis=1)).astype(np.int64)
    return _by_pt(
        Clustered(counts, _momentum(jets), local + np.repeat(first_input, member_counts), member_counts)
    )


def soft_drop_subjets(fat: Clustered, inputs: Inputs) -> Collection:
    """The prongs of each jet after soft drop: two, or one where nothing passes."""
    jet = fat.member_jet
    real = ~inputs.ghost[fat.members]
    rows, jet = fat.members[real], jet[real]
    counts = np.bincount(jet, minlength=len(fat.member_counts)).astype(np.int64)
    px, py, pz, energy = (column[rows] for column in inputs.momentum)
    if not len(counts):
        return Collection(np.zeros(len(fat.counts), dtype=np.int64), kinematics((px, py, pz, energy)))
    import awkward as ak

    tree = _sequence(counts, (px, py, pz, energy), "cambridge", _WHOLE)
    groomed = tree.exclusive_jets_softdrop_grooming(njets=1, beta=0.0, symmetry_cut=_SOFT_DROP_Z)
    left = groomed.constituents
    left_counts = ak.to_numpy(ak.num(left, axis=1)).astype(np.int64)
    with warnings.catch_warnings():
        # it warns of exclusive jets whatever the algorithm
        warnings.simplefilter("ignore")
        prongs = _sequence(left_counts, _momentum(left), "cambridge", _WHOLE).exclusive_jets_up_to(2)
    per_jet = ak.to_numpy(ak.num(prongs, axis=1)).astype(np.int64)
    event = np.repeat(np.repeat(np.arange(len(fat.counts)), fat.counts), per_jet)
    subjets = _by_pt(Clustered(per_jet, _momentum(prongs), np.arange(len(event)), np.ones_like(event)))
    counts = np.bincount(event, minlength=len(fat.counts)).astype(np.int64)
    return Collection(counts, kinematics(subjets.momentum))


def _flavour_ghosts(ancestry: Ancestry) -> tuple[Mask, Mask, Mask]:
    """b hadrons, c hadrons (the last of each chain) and the partons that hadronise.

    Of the partons those that MiniAOD keeps: NanoAOD's jets have no flavour where no such parton is near.
    """
    particles = ancestry.particles
    hundreds, thousands = particles.abs_id // 100 % 10, particles.abs_id // 1000 % 10
    last = []
    for quark in (5, 4):
        holds = particles.is_hadron & ((hundreds == quark) | (thousands == quark))
        followed = np.zeros(len(holds), dtype=bool)
        mothers = particles.mother[holds]
        followed[mothers[mothers >= 0]] = True
        last.append(holds & ~followed)
    light = ((particles.abs_id > 0) & (particles.abs_id <= 3)) | (particles.abs_id == 21)
    heavy = np.isin(particles.abs_id, (4, 5))
    parton = np.isin(particles.status, (71, 72)) & (heavy | (light & (particles.pt > _PARTON_MIN_PT)))
    return last[0], last[1], parton


def _with_flavours(
    jets: Clustered, inputs: Inputs, particles: Particles, flavours: tuple[Mask, Mask, Mask], ids: Ints
) -> Collection:
    row, jet = inputs.row[jets.members], jets.member_jet
    ghost = inputs.ghost[jets.members]
    row, jet = row[ghost], jet[ghost]
    b_hadron, c_hadron, parton = (flavour[row] for flavour in flavours)
    n_jets = len(jets.member_counts)

    def holds(mask: Mask) -> Mask:
        return np.bincount(jet[mask], minlength=n_jets) > 0

    hadron = np.where(holds(b_hadron), 5, np.where(holds(c_hadron), 4, 0))
    deciding = _deciding_parton(row[parton], jet[parton], particles, n_jets)
    parton_flavour = np.where(deciding >= 0, ids[deciding], 0)
    return Collection(jets.counts, kinematics(jets.momentum)).with_columns(
        partonFlavour=parton_flavour.astype(np.int32), hadronFlavour=hadron.astype(np.uint8)
    )


def _deciding_parton(row: Ints, jet: Ints, particles: Particles, n_jets: int) -> Ints:
    """The parton that names each jet: the hardest b, else the hardest c, else the hardest of all; or -1."""
    heavy = np.select([particles.abs_id[row] == 5, particles.abs_id[row] == 4], [2, 1], 0)
    order = np.lexsort((particles.pt[row], heavy, jet))
    deciding = np.full(n_jets, -1, dtype=np.int64)
    deciding[jet[order]] = row[order]  # the last assignment stands: the best of each jet
    return deciding


def _sequence(counts: Ints, momentum: FourMomentum, algorithm: str, radius: float) -> Any:
    import awkward as ak
    import fastjet

    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    fields = [ak.contents.NumpyArray(np.ascontiguousarray(column)) for column in momentum]
    record = ak.contents.RecordArray(fields, ["px", "py", "pz", "E"])
    events = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), record))
    definition = fastjet.JetDefinition(getattr(fastjet, f"{algorithm}_algorithm"), radius)
    return fastjet.ClusterSequence(events, definition)


def _momentum(jets: Any) -> FourMomentum:
    import awkward as ak

    flat = ak.flatten(jets, axis=1)
    px, py, pz, energy = (ak.to_numpy(flat[name]) for name in ("px", "py", "pz", "E"))
    return px, py, pz, energy


def _by_pt(jets: Clustered) -> Clustered:
    """The jets of each event in descending pt."""
    px, py, pz, energy = jets.momentum
    event = np.repeat(np.arange(len(jets.counts)), jets.counts)
    order = np.lexsort((-np.hypot(px, py), event))
    starts = np.cumsum(jets.member_counts) - jets.member_counts
    member_counts = jets.member_counts[order]
    rank = np.arange(member_counts.sum()) - np.repeat(np.cumsum(member_counts) - member_counts, member_counts)
    members = jets.members[np.repeat(starts[order], member_counts) + rank]
    return Clustered(jets.counts, (px[order], py[order], pz[order], energy[order]), members, member_counts)
