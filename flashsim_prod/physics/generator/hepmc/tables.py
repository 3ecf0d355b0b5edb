"""Particles of HepMC events and how they are linked, as columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: what is before an event's particles, as writers of HepMC 3 have it: where else anything stands, the library
#: ends an event in ways of its own
_BEGINNING = re.compile(
    rb"E ([^ \n\0]+) (\d{1,9}) (\d{1,9})( @[^\n\0]*)?\n((?:U [^\n\0]*\n)?(?:W [^\n\0]*\n)?)"
)
_NOTES = re.compile(rb"(?:A [^\n\0]*\n)*")
#: what is noted of single particles and vertices, which nobody asks for
_OF_ONE = re.compile(rb"^A -?[1-9]\d{0,8} [^ \n\0]+ [^\n\0]{0,60000}\n", re.MULTILINE)
#: the shortest line of a particle
_SHORTEST = len(b"P 1 0 1 0 0 0 0 0 1\n")


@dataclass(frozen=True)
class Table:
    """The particles of an event.

    Attributes
    ----------
    pdg_id, status : int32 arrays of shape (n_particles,)
        In the order of the particles' ids.
    momenta : float64 array of shape (5, n_particles)
        px, py, pz, energy and mass.
    produced_at : int32 array of shape (n_particles,)
        The vertex where each begins, from 0, -1 for none.
    parent, end : int32 arrays
        The particles that end at a vertex, from 0, and these vertices, by which they are in order.
    n_vertices : int
    """

    pdg_id: NDArray[np.int32]
    status: NDArray[np.int32]
    momenta: NDArray[np.float64]
    produced_at: NDArray[np.int32]
    parent: NDArray[np.int32]
    end: NDArray[np.int32]
    n_vertices: int

    @staticmethod
    def of_data(data: Any) -> Table:
        """What the library's data of an event come to."""
        rows = np.array(data.particles)
        one, other = np.array(data.links1, dtype=np.int32), np.array(data.links2, dtype=np.int32)
        into, out = (one > 0) & (other < 0), (one < 0) & (other > 0)
        produced_at = np.full(len(rows), -1, dtype=np.int32)
        produced_at[other[out] - 1] = -1 - one[out]
        parent, end = one[into] - 1, -1 - other[into]
        order = np.argsort(end, kind="stable")
        return Table(
            pdg_id=rows["pid"],
            status=rows["status"],
            momenta=np.array([rows[name] for name in ("px", "py", "pz", "e", "mass")], dtype=np.float64),
            produced_at=produced_at,
            parent=parent[order],
            end=end[order],
            n_vertices=-min(int(one.min(initial=0)), int(other.min(initial=0))),
        )


@dataclass(frozen=True)
class Split:
    """An event whose particles are read by themselves.

    Attributes
    ----------
    rest : bytes
        All else of its text, as of an event without particles.
    table : Table
        In the units of the file.
    """

    rest: bytes
    table: Table


@cache
def reader_of_lines() -> Any:
    """What is compiled to read particles, or None where numba cannot be loaded."""
    try:
        from flashsim_prod.physics.generator.hepmc.lines import read_lines
    except ImportError:
        return None
    return read_lines


def split(text: bytes) -> Split | None:
    """An event of version 3, split; ``None`` for one that the library has to read as a whole."""
    read_lines, match = reader_of_lines(), _BEGINNING.match(text)
    notes = _NOTES.match(text, match.end()) if match else None
    if read_lines is None or match is None or notes is None:
        return None
    n_vertices, n = int(match[2]), int(match[3])
    # each vertex has a particle, each particle a line
    if not 0 < n <= len(text) // _SHORTEST or n_vertices > n:
        return None
    whole, real = np.zeros((4, n), dtype=np.int32), np.empty((5, n), dtype=np.uint64)
    parent, found = np.empty(n, dtype=np.int32), np.empty(1, dtype=np.int64)
    read_lines(np.frombuffer(text, np.uint8), notes.end(), n_vertices, whole, real, parent, found)
    if found[0] < 0:
        return None
    pdg_id, status, produced_at, ends_at = whole
    parent = parent[: found[0]]
    rest = b"E %b 0 0%b\n%b%b" % (match[1], match[4] or b"", match[5], _OF_ONE.sub(b"", notes[0]))
    momenta = real.view(np.float64)
    return Split(rest, Table(pdg_id, status, momenta, produced_at, parent, ends_at[parent], n_vertices))
