"""Expressions of NANOAOD columns, as configurations of analyses have them: a vocabulary, and nothing else.

    muons = Muon[(Muon.pt > 20) & (abs(Muon.eta) < 2.4)]
    mass(p4(muons, 0) + p4(muons, 1))

A text is parsed by Python's grammar and walked node by node; only what stands here has a meaning, so that a
configuration from elsewhere can compute numbers and do nothing more. Numbers that an event does not have
are NaN, with which every comparison is false.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import ConfigError
from flashsim_prod.physics.analysis.values import Objects, PerEvent, PerObject, Value, Vector, operate
from flashsim_prod.physics.analysis.vocabulary import FUNCTIONS
from flashsim_prod.physics.events import Events

#: longer texts, and such that are nested deeper, are no formulas of people
_LONGEST, _DEEPEST = 2000, 60

_BINARY: Mapping[type[ast.AST], str] = {
    **{ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%", ast.Pow: "**"},
    **{ast.BitAnd: "&", ast.BitOr: "|", ast.And: "&", ast.Or: "|"},
    **{ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="},
}


class Expression:
    """One formula, its grammar checked.

    Parameters
    ----------
    text : str
    where : str
        What it is called in messages.
    others : iterable of str
        Names that it could have meant, beside those that are known where it is evaluated.

    Raises
    ------
    ConfigError
        If it holds anything but the vocabulary.
    """

    def __init__(self, text: str, where: str, others: Iterable[str] = ()) -> None:
        self.text, self.where, self.others = text, where, tuple(others)
        if len(text) > _LONGEST:
            raise self.error(f"{len(text)} characters are more than the {_LONGEST} of an expression")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            said = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
            raise self.error(f"no expression: {said}") from error
        if _depth(self._tree) > _DEEPEST:
            raise self.error("nested too deeply; give parts of it names of their own")

    @property
    def mentions(self) -> set[str]:
        """All names in it, of columns, objects and functions."""
        return {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)}

    def error(self, problem: str) -> ConfigError:
        """What is wrong, in a line with its place."""
        shown = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        return ConfigError(f"{self.where}: {problem}, in '{' '.join(shown.split())}'")

    def __call__(self, events: Events, names: Mapping[str, Value]) -> Value:
        """Its value in `events`, of which collections and scalars are known, and what was named before.

        Raises
        ------
        ConfigError
            For a name, an attribute or a function that there is not, and what does not go together.
        MissingBranchError
            If the events lack a branch.
        """
        with np.errstate(all="ignore"):
            return _Walk(self, events, names).value(self._tree)


class _Walk:
    """The evaluation of one expression."""

    def __init__(self, expression: Expression, events: Events, names: Mapping[str, Value]) -> None:
        self._of, self._events, self._names = expression, events, names

    def value(self, node: ast.AST) -> Value:
        """The value of a node; a `ConfigError` for one that has no meaning here."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise self._of.error(f"{type(node).__name__} is not of the vocabulary")
        found: Value = method(node)
        return found

    def _constant(self, node: ast.Constant) -> Value:
        if not isinstance(node.value, int | float):
            raise self._of.error(f"{str(node.value)[:40]!r} is no number")
        try:
            # of 64 bits: whole numbers of any size could be made to fill the memory
            return np.float64(node.value)
        except OverflowError as error:
            raise self._of.error("a number is too large") from error

    def _name(self, node: ast.Name) -> Value:
        name = node.id
        if name in self._names:
            return self._names[name]
        if name in self._events.collections:
            return Objects(self._events[name])
        if name in self._events.scalars:
            return PerEvent(self._events.scalars[name].astype(np.float64))
        known = [*self._names, *self._events.collections, *self._events.scalars, *self._of.others]
        if name in FUNCTIONS:
            raise self._of.error(f"'{name}' is a function: {FUNCTIONS[name].usage}")
        raise self._of.error(f"unknown column '{name}'{nearest(name, known)}")

    def _attribute(self, node: ast.Attribute) -> Value:
        owner = self.value(node.value)
        if not isinstance(owner, Objects):
            raise self._of.error(f"'.{node.attr}' is of no collection")
        one = owner.collection
        if node.attr not in one:
            whose = one.name or "these objects"
            raise self._of.error(f"{whose} has no column '{node.attr}'{nearest(node.attr, one.columns)}")
        return PerObject(one.counts, one[node.attr].astype(np.float64))

    def _subscript(self, node: ast.Subscript) -> Value:
        owner, key = self.value(node.value), self.value(node.slice)
        if isinstance(owner, PerObject) and isinstance(key, np.float64):
            if not key.is_integer() or key < 0:
                raise self._of.error("a place is a whole number from 0 on")
            return owner.at(int(key))
        if isinstance(owner, Objects | PerObject) and isinstance(key, PerObject):
            if not key.goes_with(owner):
                raise self._of.error("the condition in brackets is of other objects")
            return owner.select(key)
        raise self._of.error("brackets take a condition on the same objects, or behind a column a place")

    def _binop(self, node: ast.BinOp) -> Value:
        return self._operate(node.op, self.value(node.left), self.value(node.right))

    def _boolop(self, node: ast.BoolOp) -> Value:
        found = self.value(node.values[0])
        for one in node.values[1:]:
            found = self._operate(node.op, found, self.value(one))
        return found

    def _compare(self, node: ast.Compare) -> Value:
        values = [self.value(one) for one in (node.left, *node.comparators)]
        parts = [
            self._operate(operator, *values[place : place + 2]) for place, operator in enumerate(node.ops)
        ]
        found = parts[0]
        for one in parts[1:]:
            found = self._operate(ast.BitAnd(), found, one)
        return found

    def _unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if isinstance(node.op, ast.USub | ast.UAdd):
            return self._operate(ast.Mult(), np.float64(-1 if isinstance(node.op, ast.USub) else 1), value)
        return self._operate(ast.Eq(), value, np.float64(0))

    def _operate(self, operator: ast.AST, one: Value, other: Value) -> Value:
        symbol = _BINARY.get(type(operator))
        if symbol is None:
            raise self._of.error(f"'{type(operator).__name__}' is not of the vocabulary")
        try:
            return operate(symbol, one, other)
        except TypeError as error:
            raise self._of.error(str(error)) from error

    def _call(self, node: ast.Call) -> Value:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
            raise self._of.error(f"unknown function '{name[:40]}'{nearest(name, FUNCTIONS)}")
        function = FUNCTIONS[node.func.id]
        if node.keywords:
            raise self._of.error(f"'{node.keywords[0].arg}=' is not of the vocabulary; say {function.usage}")
        values: list[Any] = [self.value(one) for one in node.args]
        try:
            return function(*values)
        except TypeError as error:
            raise self._of.error(f"{error}; say {function.usage}") from error


def _depth(tree: ast.AST) -> int:
    """Nodes that stand in each other; found without recursion."""
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return deepest


def as_number(value: Value, n_events: int, expression: Expression) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One number for each event; `ConfigError` if it is something else."""
    if isinstance(value, np.float64):
        return np.full(n_events, value)
    if not isinstance(value, PerEvent):
        what = "a vector" if isinstance(value, Vector) else "a number for each object"
        what = "objects" if isinstance(value, Objects) else what
        raise expression.error(f"gives {what}, and not a number for each event")
    return value.values
