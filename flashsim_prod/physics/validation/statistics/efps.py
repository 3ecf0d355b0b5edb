"""Energy-flow polynomials: how the energy of a set lies, each a sum over all choices of members.

Komiske, Metodiev and Thaler, arXiv:1712.07124: for a multigraph of N vertices, the sum over all members i_1
... i_N of z_i1 ... z_iN times the distance of i_k and i_l for each edge between vertices k and l. That of a
graph of several pieces is the product of theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement, permutations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
#: edges, as pairs of vertices that are counted from 0; equal ones are as many edges
Graph = tuple[tuple[int, int], ...]

_LETTERS = "ijklmnop"


@cache
def connected(edges: int) -> tuple[Graph, ...]:
    """All connected multigraphs without loops of so many edges, each once."""
    if edges == 1:
        return (((0, 1),),)
    found = {
        _canonical((*graph, edge))
        for graph in connected(edges - 1)
        for n in [_vertices(graph)]
        for edge in [(a, b) for b in range(1, n + 1) for a in range(min(b, n))]
    }
    return tuple(sorted(found, key=lambda graph: (_vertices(graph), graph)))


@cache
def all_graphs(most: int) -> tuple[tuple[Graph, ...], ...]:
    """All multigraphs of at most `most` edges without lone vertices, each as its connected pieces."""
    pieces = [graph for edges in range(1, most + 1) for graph in connected(edges)]
    return tuple(
        chosen
        for number in range(most + 1)
        for chosen in combinations_with_replacement(pieces, number)
        if sum(map(len, chosen)) <= most
    )


def polynomials(weights: F64, distances: F64, graphs: Sequence[Graph]) -> F64:
    """The polynomials of connected `graphs`, shape (n_sets, n_graphs).

    Parameters
    ----------
    weights : float64 array of shape (n_sets, places)
        Zero where there is no member.
    distances : float64 array of shape (n_sets, places, places)
    graphs : sequence of graph
    """
    powers = {1: distances}
    for power in range(2, 1 + max((max(Counter(graph).values()) for graph in graphs), default=1)):
        powers[power] = powers[power - 1] * distances
    return np.stack([_polynomial(weights, powers, graph) for graph in graphs], axis=1)


def _polynomial(weights: F64, powers: dict[int, F64], graph: Graph) -> F64:
    terms: list[str] = []
    arrays: list[F64] = []
    for (a, b), power in Counter(graph).items():
        terms.append(f"z{_LETTERS[a]}{_LETTERS[b]}")
        arrays.append(powers[power])
    for vertex in range(_vertices(graph)):
        terms.append(f"z{_LETTERS[vertex]}")
        arrays.append(weights)
    return np.asarray(np.einsum(",".join(terms) + "->z", *arrays, optimize="greedy"))


def _vertices(graph: Graph) -> int:
    return 1 + max(vertex for edge in graph for vertex in edge)


def _canonical(graph: Graph) -> Graph:
    """The same graph with its vertices numbered so that equal graphs have equal edges."""
    numbers = range(_vertices(graph))
    return min(
        tuple(sorted((min(new[a], new[b]), max(new[a], new[b])) for a, b in graph))
        for new in permutations(numbers)
    )
