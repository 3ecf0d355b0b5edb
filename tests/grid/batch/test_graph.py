"""The order of nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.core.states import Stage
from flashsim_prod.errors import StateError
from flashsim_prod.grid.batch.base import Node, NodeKey
from flashsim_prod.grid.batch.graph import Graph


def sim(index: int, *parents: NodeKey) -> Node:
    return Node(NodeKey(Stage.SIMULATE, index), parents)


def merge(index: int, *parents: int) -> Node:
    return Node(NodeKey(Stage.MERGE, index), tuple(NodeKey(Stage.SIMULATE, one) for one in parents))


def keys(nodes: list[Node]) -> list[str]:
    return [str(node.key) for node in nodes]


def test_in_the_order_given_and_merged_as_soon_as_possible() -> None:
    graph = Graph([sim(0), sim(1), merge(0, 0, 1), sim(2), sim(3), merge(1, 2, 3)])
    order = []
    while node := graph.next():
        order.append(node)
        graph.done(node.key)
    assert keys(order) == ["simulate 0", "simulate 1", "merge 0", "simulate 2", "simulate 3", "merge 1"]
    assert graph.untouched() == []


def test_parents_that_are_no_nodes_count_as_done() -> None:
    graph = Graph([merge(0, 0, 1), merge(1, 2, 3), sim(3)])
    assert graph.next() == merge(0, 0, 1)
    assert graph.next() == sim(3)
    assert graph.next() is None
    assert keys(graph.untouched()) == ["merge 1"]
    graph.done(sim(3).key)
    assert graph.next() == merge(1, 2, 3)


def test_circles_are_refused() -> None:
    with pytest.raises(StateError, match=r"wait for each other: simulate . -> simulate . -> simulate"):
        Graph([sim(0, sim(1).key), sim(1, sim(0).key)])


@given(data=st.data(), size=st.integers(1, 25))
def test_any_graph(data: st.DataObject, size: int) -> None:
    nodes = [
        sim(i, *(sim(p).key for p in data.draw(st.sets(st.integers(0, i - 1), max_size=3)))) if i else sim(0)
        for i in range(size)
    ]
    failing = data.draw(st.sets(st.integers(0, size - 1), max_size=3))
    nodes = data.draw(st.permutations(nodes))
    graph = Graph(nodes)

    done: set[NodeKey] = set()
    given_out: list[NodeKey] = []
    open_nodes: list[Node] = []
    while True:
        while node := graph.next():
            assert done.issuperset(node.parents)
            given_out.append(node.key)
            open_nodes.append(node)
        if not open_nodes:
            break
        ended = open_nodes.pop(data.draw(st.integers(0, len(open_nodes) - 1)))
        if ended.key.index not in failing:
            done.add(ended.key)
            graph.done(ended.key)

    assert len(given_out) == len(set(given_out))
    startable = [node.key for node in nodes if done.issuperset(node.parents)]
    assert set(given_out) == set(startable)
    assert [node.key for node in graph.untouched()] == [n.key for n in nodes if n.key not in given_out]
