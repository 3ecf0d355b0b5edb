"""From records of HepMC to particles, whose copies, decays and flags follow from the graph of vertices.

What a status beyond 1, 2 and 4 means is each generator's own. Where Pythia's are there (71 and 72 for partons
that hadronise, 21 to 29 for the hard process) they are taken; where they are not, the graph says the same: a
parton none of whose daughters is a parton hadronises, a hadron with daughters of other kinds has decayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flashsim_prod.errors import InputError
from flashsim_prod.physics.generator.ancestry import walk
from flashsim_prod.physics.generator.hepmc.record import Record
from flashsim_prod.physics.generator.particles import Floats, Ints, Mask, Particles

_PARTONS = (1, 2, 3, 4, 5, 6, 21)
_MAY_DECAY = (13, 15)
#: ways that turn and go on beyond so many particles are walked to their ends, with all others
_STEPS = 300
_FINAL, _BEAM, _DOCUMENTED, _INCOMING = 1, 4, 3, 21


@dataclass(frozen=True)
class GraphParticles(Particles):
    """Particles between vertices.

    Attributes
    ----------
    own_status : status as in the file
    produced_at, ends_at : number of a vertex, -1 for none
    parent, parent_stop : the mothers of all vertices, end to end, and where those of each vertex end
    in_signal : whether the vertex of the hard process has it
    """

    own_status: Ints
    produced_at: Ints
    ends_at: Ints
    parent: Ints
    parent_stop: Ints
    in_signal: Mask

    @staticmethod
    def of(records: Sequence[Record]) -> GraphParticles:
        """The particles of some events."""
        tables = [one.table for one in records]
        counts = np.array([len(one.pdg_id) for one in tables], dtype=np.int64)
        n_vertices = np.array([one.n_vertices for one in tables], dtype=np.int64)
        n_links = [len(one.parent) for one in tables]
        offsets, firsts = np.cumsum(counts) - counts, np.cumsum(n_vertices) - n_vertices
        pdg_id, status, produced_at, parent, end = (
            np.concatenate([getattr(one, name) for one in tables], dtype=np.int64)
            for name in ("pdg_id", "status", "produced_at", "parent", "end")
        )
        momenta = np.concatenate([one.momenta for one in tables], axis=1)
        produced_at = np.where(produced_at < 0, -1, produced_at + np.repeat(firsts, counts))
        parent += np.repeat(offsets, n_links)
        end += np.repeat(firsts, n_links)
        ends_at = np.full(len(pdg_id), -1, dtype=np.int64)
        ends_at[parent] = end
        sizes = np.bincount(end, minlength=int(n_vertices.sum()))
        parent = _in_order(parent, end, sizes, pdg_id, status, momenta[2], produced_at)
        lists = _Lists(parent, np.cumsum(sizes).astype(np.int64))
        signal = np.array(
            [
                first - one.signal_vertex - 1 if one.signal_vertex else -2
                for one, first in zip(records, firsts, strict=True)
            ]
        )
        of_event = np.repeat(signal, counts)
        return GraphParticles(
            counts=counts,
            pdg_id=pdg_id,
            mother=lists.first(produced_at),
            px=momenta[0],
            py=momenta[1],
            pz=momenta[2],
            energy=momenta[3],
            mass=momenta[4],
            own_status=status,
            produced_at=produced_at,
            ends_at=ends_at,
            parent=lists.of,
            parent_stop=lists.stop,
            in_signal=(produced_at == of_event) | (ends_at == of_event),
        )

    @cached_property
    def status(self) -> Ints:
        """As the file has it."""
        return self.own_status

    @cached_property
    def is_parton(self) -> Mask:
        """Quarks and gluons."""
        parton: Mask = ((self.abs_id >= _PARTONS[0]) & (self.abs_id <= 6)) | (self.abs_id == 21)
        return parton

    @cached_property
    def has_daughters(self) -> Mask:
        """Whether anything comes out of the vertex where it ends."""
        return self._any_daughter(np.ones(len(self.pdg_id), dtype=bool))

    @cached_property
    def may_have_decayed(self) -> Mask:
        """Hadrons, muons and taus with status 2, or with daughters that are neither copies nor partons."""
        kind = self.is_hadron | np.isin(self.abs_id, _MAY_DECAY)
        goes_on = self.has_daughters & ~self._any_daughter(self.is_parton) & (self.next_copy < 0)
        by_graph = (
            kind & goes_on & ~np.isin(self.status, (_FINAL, _BEAM)) & (self._n_parents(self.ends_at) == 1)
        )
        decayed: Mask = (self.status == 2) | by_graph
        return decayed

    @cached_property
    def is_marked_hard(self) -> Mask:
        """By the status that documents it, or by the vertex of the hard process."""
        hard: Mask = (self.status == _DOCUMENTED) | self.in_signal
        return hard

    @cached_property
    def is_hadronising(self) -> Mask:
        """By Pythia's codes in events that have them, else by daughters none of which is a parton."""
        codes = np.isin(self.status, (71, 72))
        has_codes = np.bincount(self.event[codes], minlength=len(self.counts))[self.event] > 0
        last = (
            self.is_parton
            & self.has_daughters
            & ~self._any_daughter(self.is_parton | _is_diquark(self.pdg_id))
        )
        by_graph = last & ~np.isin(self.status, (_FINAL, _BEAM))
        return np.where(has_codes, codes, by_graph)

    @cached_property
    def pairs(self) -> tuple[Ints, Ints]:
        """Every mother with every daughter of hers, by the daughters' positions."""
        child = np.flatnonzero(self.produced_at >= 0)
        sizes = self._n_parents(self.produced_at[child])
        start = self.parent_stop[self.produced_at[child]] - sizes
        place = np.repeat(start - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
        return self.parent[place], np.repeat(child, sizes)

    @cached_property
    def previous_copy(self) -> Ints:
        """The first of its mothers with the same PDG code, or -1."""
        mother, child = self._pairs_alike
        return self._first_partner(child, mother)

    @cached_property
    def next_copy(self) -> Ints:
        """The first of its daughters with the same PDG code, or -1."""
        return self._first_partner(*self._pairs_alike)

    def mother_in_string(self, known: Mask) -> Ints:
        """The mother of each particle; where a string's hadron has some, the first of its mothers `known`.

        Hadrons with several mothers that are all partons come from a string.
        """
        lists = _Lists(self.parent, self.parent_stop)
        first = lists.first_where(known[self.parent], self.produced_at)
        other = ~(self.is_parton | _is_diquark(self.pdg_id))
        without = np.bincount(self._owners[other[self.parent]], minlength=len(self.parent_stop)) == 0
        at = np.where(self.produced_at >= 0, self.produced_at, 0)
        from_string = self.is_hadron & (self._n_parents(self.produced_at) > 1)
        from_string &= without[at] if len(without) else False
        return np.where(from_string & (first >= 0), first, self.mother)

    @cached_property
    def _owners(self) -> Ints:
        """The vertex of each mother."""
        return np.repeat(np.arange(len(self.parent_stop)), np.diff(self.parent_stop, prepend=0))

    def _n_parents(self, vertex: Ints) -> Ints:
        sizes = np.append(np.diff(self.parent_stop, prepend=0), 0)
        return sizes[vertex]

    def _any_daughter(self, chosen: Mask) -> Mask:
        """Whether any particle out of the vertex where each one ends is `chosen`."""
        begun = self.produced_at[chosen]
        found = np.bincount(begun[begun >= 0], minlength=len(self.parent_stop) + 1) > 0
        found[-1] = False
        has: Mask = found[self.ends_at]
        return has

    @cached_property
    def _pairs_alike(self) -> tuple[Ints, Ints]:
        """Those of `pairs` that have one PDG code, the last ones first."""
        mother, child = self.pairs
        alike = np.flatnonzero(self.pdg_id[mother] == self.pdg_id[child])[::-1]
        return mother[alike], child[alike]

    def _first_partner(self, of: Ints, partner: Ints) -> Ints:
        """The first partner of each particle, of pairs that begin with the last ones; -1 for none."""
        found = np.full(len(self.pdg_id), -1, dtype=np.int64)
        # of several assignments the last stands
        found[of] = partner
        return found


def _is_diquark(pdg_id: Ints) -> Mask:
    code = np.abs(pdg_id)
    diquark: Mask = (code > 1000) & (code < 10_000) & (code // 10 % 10 == 0)
    return diquark


def _in_order(
    parent: Ints, end: Ints, sizes: Ints, pdg_id: Ints, status: Ints, pz: Floats, produced_at: Ints
) -> Ints:
    """The mothers of each vertex in NanoAOD's order.

    Files list mothers by their numbers. Of the two partons that collide, that of the first beam is the first;
    those of a string's hadrons stand as in the string.
    """
    several = sizes > 1
    among = np.flatnonzero(several[end])
    some, at = parent[among], end[among]
    child = np.flatnonzero(several[produced_at] & (produced_at >= 0)) if len(sizes) else among[:0]
    place = _place_in_string(pdg_id[some], at, pdg_id[child], produced_at[child], len(sizes))
    incoming = np.isin(status[some], (_DOCUMENTED, _INCOMING))
    ordered = parent.copy()
    ordered[among] = some[np.lexsort((np.where(incoming, -pz[some], 0.0), place, at))]
    return ordered


def _place_in_string(ids: Ints, end: Ints, ids_of_children: Ints, begin: Ints, n_vertices: int) -> Ints:
    """Where mothers of a string's hadrons stand: colour end, gluons, the other end; 0 for all others.

    NanoAOD's order is that of the string, which begins with a quark or an antidiquark.
    """
    quark, diquark = np.abs(ids) <= 6, _is_diquark(ids)
    coloured = quark | diquark | (ids == 21)
    hadron = (
        ~np.isin(np.abs(ids_of_children), _PARTONS)
        & ~_is_diquark(ids_of_children)
        & (np.abs(ids_of_children) > 100)
    )
    is_string = np.bincount(end[~coloured], minlength=n_vertices) == 0
    is_string &= np.bincount(begin[hadron], minlength=n_vertices) > 0
    first = (quark & (ids > 0)) | (diquark & (ids < 0))
    place = np.select([first, ids == 21], [0, 1], 2)
    return np.where(is_string[end], place, 0)


@dataclass(frozen=True)
class _Lists:
    """Lists end to end, and where each ends."""

    of: Ints
    stop: Ints

    def first(self, lists: Ints) -> Ints:
        """The first of each of `lists`, -1 for none."""
        return self.first_where(np.ones(len(self.of), dtype=bool), lists)

    def first_where(self, wanted: Mask, lists: Ints) -> Ints:
        """The first that is `wanted` of each of `lists`, -1 for none."""
        n = len(self.of)
        places = np.append(np.where(wanted, np.arange(n), n), n)
        following = np.minimum.accumulate(places[::-1])[::-1]
        stop = np.append(self.stop, 0)[lists]
        start = np.append(0, self.stop)[np.where(lists >= 0, lists, 0)]
        place = following[np.where(lists >= 0, start, n)]
        found = place < stop
        return np.where(found, np.append(self.of, -1)[np.where(found, place, n)], -1)


def check_graph(particles: GraphParticles, where: Sequence[str]) -> None:
    """`InputError`, which names the event as in `where`, for records that would be read wrongly."""
    numbers = (particles.px, particles.py, particles.pz, particles.energy, particles.mass)
    final = particles.is_final
    if not np.isfinite(sum(numbers)).all():
        _refuse(np.any(~np.isfinite(numbers), axis=0), particles, where, "has a momentum that is not finite")
    _refuse(
        final & particles.has_daughters,
        particles,
        where,
        "is final (status 1) but has daughters, which would count twice",
    )
    _refuse(
        final & particles.is_parton,
        particles,
        where,
        "is a quark or gluon but final (status 1): the events are not hadronised",
    )
    _refuse(_in_cycle(particles), particles, where, "is its own ancestor")
    lacking = np.bincount(particles.event[final], minlength=len(particles.counts)) == 0
    if lacking.any():
        raise InputError(f"{where[int(np.argmax(lacking))]} has no final particle (status 1)")


def _refuse(bad: Mask, particles: GraphParticles, where: Sequence[str], problem: str) -> None:
    if bad.any():
        at = int(np.argmax(bad))
        event = int(particles.event[at])
        first = int(particles.counts[:event].sum())
        raise InputError(f"{where[event]}: particle {at - first + 1} ({particles.pdg_id[at]}) {problem}")


def _in_cycle(particles: GraphParticles) -> Mask:
    """Particles from which the way to their ancestors, or along their copies, has no end."""
    endless = np.zeros(len(particles.mother), dtype=bool)
    for link in (particles.mother, particles.previous_copy, particles.next_copy):
        if _may_be_endless(link):
            endless |= link[walk(link)] >= 0
    return endless


def _may_be_endless(link: Ints) -> bool:
    """Whether a way along `link` runs in a circle: it would have to turn somewhere, and few ways ever do."""
    here = np.arange(len(link))
    back, on = (link >= 0) & (link <= here), link >= here
    turned = back if np.count_nonzero(back) < np.count_nonzero(on) else on
    front = link[turned]
    for _ in range(_STEPS):
        front = front[front >= 0]
        if not len(front):
            return False
        front = link[front]
    return True
