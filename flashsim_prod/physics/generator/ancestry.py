"""Walks through the family trees of all events at once, and NanoAOD's status flags.

A walk follows one link (to the mother, to the next copy) until a condition holds. All walks of a batch
are done together by doubling: after k rounds every particle has moved 2^k steps. The definitions of the
flags are those of CMS's MC truth classification, `MCTruthHelper`, for Pythia8.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.physics.generator.particles import Ints, Mask, Particles

#: 2^20 steps are more than any event has particles
_ROUNDS = 20


def walk(link: Ints, halt: Mask | None = None) -> Ints:
    """Where each particle arrives when it follows `link` as long as there is one.

    Parameters
    ----------
    link : shape (n,)
        Position of the next particle, -1 for none.
    halt : shape (n,), optional
        Particles at which a walk ends even though a link goes on.

    Returns
    -------
    int64 array of shape (n,)
        The particle itself where it has no link or halts.
    """
    ends = link < 0 if halt is None else (link < 0) | halt
    here = np.where(ends, np.arange(len(link)), link)
    for _ in range(_ROUNDS):
        there = here[here]
        if np.array_equal(there, here):
            break
        here = there
    return here


def nearest_ancestor(mother: Ints, wanted: Mask) -> Ints:
    """The nearest true ancestor that is `wanted`, shape (n,); -1 for none."""
    first = np.where(mother >= 0, mother, 0)
    found = walk(mother, wanted)[first]
    return np.where((mother >= 0) & wanted[found], found, -1)


def ancestors_of(mother: Ints, chosen: Mask) -> Mask:
    """Which particles are an ancestor of a `chosen` one, shape (n,)."""
    marked = np.zeros(len(mother), dtype=bool)
    front = np.unique(mother[chosen])
    while True:
        front = front[front >= 0]
        front = front[~marked[front]]
        if not len(front):
            return marked
        marked[front] = True
        front = np.unique(mother[front])


def string_mother(particles: Particles, kept: Mask) -> Ints:
    """The mother of each particle, where a string's hadron descends from the first end that was `kept`.

    A hadron has all partons of its string for mothers. Its first mother is the string's colour end,
    whatever the hadron; of these mothers NanoAOD takes the first that it keeps or that has an ancestor
    which it keeps.
    """
    known = kept | (nearest_ancestor(particles.mother, kept) >= 0)
    return particles.mother_in_string(known)


def at(values: Mask, positions: Ints) -> Mask:
    """`values` at `positions`, false where the position is -1."""
    found: Mask = (positions >= 0) & values[np.where(positions >= 0, positions, 0)]
    return found


@dataclass(frozen=True)
class Ancestry:
    """Copies, mothers and status flags of the particles of a batch."""

    particles: Particles

    @cached_property
    def first_copy(self) -> Ints:
        """The first of the chain of copies."""
        return walk(self.particles.previous_copy)

    @cached_property
    def is_last_copy(self) -> Mask:
        """Whether no copy follows."""
        return self.particles.next_copy < 0

    @cached_property
    def is_decayed(self) -> Mask:
        """A hadron, muon or tau that has decayed."""
        particles = self.particles
        kind = particles.is_hadron | np.isin(particles.abs_id, (13, 15))
        decayed: Mask = particles.may_have_decayed & kind & self.is_last_copy
        return decayed

    @cached_property
    def is_prompt(self) -> Mask:
        """Not from a decay of a hadron, muon or tau."""
        return self._decayed_mother < 0

    @cached_property
    def is_from_prompt_tau(self) -> Mask:
        """From the decay of a prompt tau, directly or not."""
        return at(self.is_prompt, self._decayed_tau)

    @cached_property
    def is_hard(self) -> Mask:
        """Part of the hard process, or a product of one of its resonances that did not radiate."""
        particles = self.particles
        status, mother = particles.status, particles.mother
        up = np.where(mother >= 0, mother, 0)
        from_resonance = (mother >= 0) & (status[self.first_copy[up]] == 22)
        following = particles.next_copy[up]
        radiated = at((status > 50) & (status < 60), following)
        direct = (status <= 2) & from_resonance & ~radiated
        hard: Mask = ((status > 20) & (status < 30)) | particles.is_marked_hard | direct
        return hard

    @cached_property
    def hard_copy(self) -> Ints:
        """The nearest copy, itself included, that is part of the hard process; -1 for none."""
        found = walk(self.particles.previous_copy, self.is_hard)
        return np.where(self.is_hard[found], found, -1)

    @cached_property
    def from_hard(self) -> Mask:
        """Copy of a particle of the hard process."""
        return self.hard_copy >= 0

    @cached_property
    def before_fsr(self) -> Mask:
        """Of the copies of a hard-process particle the one before final-state radiation."""
        status = self.particles.status
        position = np.arange(len(status))
        origin = np.where(self.from_hard, self.hard_copy, 0)
        incoming = (status[origin] == 21) & (origin == position)
        resonance = (status[origin] == 22) & self.is_last_copy
        outgoing = np.isin(status[origin], (23, 1)) & (self._radiating[origin] == position)
        before: Mask = (status == 3) | (self.from_hard & (incoming | resonance | outgoing))
        return before

    def status_flags(self) -> NDArray[np.int32]:
        """NanoAOD's ``GenPart_statusFlags``, bits 0 to 14."""
        decayed, tau = self._decayed_mother, self._decayed_tau
        direct = (tau >= 0) & (tau == decayed)
        position = np.arange(len(tau))
        flags = (
            self.is_prompt,
            self.is_decayed,
            tau >= 0,
            self.is_from_prompt_tau,
            direct,
            direct & at(self.is_prompt, tau),
            at(self.is_decayed & self.particles.is_hadron, self._unlike_mother),
            self.is_hard,
            self.from_hard,
            at(self.from_hard, tau),
            direct & at(self.from_hard, tau),
            self.before_fsr,
            self.first_copy == position,
            self.is_last_copy,
            self._radiating[self.first_copy] == position,
        )
        bits = np.zeros(len(tau), dtype=np.int32)
        for bit, flag in enumerate(flags):
            bits |= flag.astype(np.int32) << bit
        return bits

    @cached_property
    def _decayed_mother(self) -> Ints:
        return nearest_ancestor(self.particles.mother, self.is_decayed)

    @cached_property
    def _decayed_tau(self) -> Ints:
        return nearest_ancestor(self.particles.mother, self.is_decayed & (self.particles.abs_id == 15))

    @cached_property
    def _unlike_mother(self) -> Ints:
        """The first ancestor with another PDG code."""
        mother = self.particles.mother
        return mother[walk(mother, ~self.particles.same_kind(mother))]

    @cached_property
    def _radiating(self) -> Ints:
        """The first copy, from each particle on, that radiates a gluon or photon; -1 if none does.

        In NanoAOD of all versions a particle that never radiates has no last copy before radiation.
        """
        particles = self.particles
        radiates = np.zeros(len(particles.mother), dtype=bool)
        emitted = np.isin(particles.pdg_id, (21, 22)) & (particles.mother >= 0)
        radiates[particles.mother[emitted]] = True
        end = walk(particles.next_copy, radiates)
        return np.where(radiates[end], end, -1)
