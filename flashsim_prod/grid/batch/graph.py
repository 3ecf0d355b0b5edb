"""The order of nodes: which may start now, and which never will."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from flashsim_prod.errors import StateError
from flashsim_prod.grid.batch.base import Node, NodeKey


class Graph:
    """Nodes in the order given, each after its parents; a parent that is no node counts as done.

    A node whose last parent is done comes before those that could have started earlier: outputs are
    merged as soon as they are there.

    Raises
    ------
    StateError
        If the nodes depend on each other in a circle.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._sorter: TopologicalSorter[NodeKey] = TopologicalSorter()
        self._untouched: dict[NodeKey, Node] = {}
        for node in nodes:
            self._untouched[node.key] = node
            self._sorter.add(node.key, *node.parents)
        try:
            self._sorter.prepare()
        except CycleError as error:
            raise StateError(f"jobs wait for each other: {' -> '.join(map(str, error.args[1]))}") from error
        self._ready: deque[Node] = deque()
        self._refill()

    def next(self) -> Node | None:
        """A node whose parents are all done, each one once; None if there is none at present."""
        if not self._ready:
            return None
        node = self._ready.popleft()
        del self._untouched[node.key]
        return node

    def done(self, key: NodeKey) -> None:
        """Note that a node is done."""
        self._sorter.done(key)
        self._refill()

    def untouched(self) -> list[Node]:
        """Nodes never given by `next`."""
        return list(self._untouched.values())

    def _refill(self) -> None:
        while found := self._sorter.get_ready():
            known = [self._untouched[key] for key in found if key in self._untouched]
            self._ready.extendleft(reversed(known))
            self._sorter.done(*(key for key in found if key not in self._untouched))
