"""Which reference detector this is, in twelve digits: what is made by another one is told apart by them.

They are of what decides the numbers: the code of the detector and of the definitions that it shares with
the chain, the tables of its years, and the forms of the object models that it is moved in. Nobody has to
remember to raise a version, and a change that shows in one rare object only is seen as well; comments,
docstrings, types and layout, the machine and the version of Python do not count. Code that is written another
way and gives the same numbers does: better told apart once too often than never.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import Any

from flashsim_prod.physics.chain.registry import plain_models_of
from flashsim_prod.physics.detector.eras import DEFAULT_ERA, DetectorEra
from flashsim_prod.software import files_below

_ROOMS = ("detector", "definitions")
#: what is no part of it, or comes in by its values
_NOT_ITS_OWN = frozenset({"detector/digest.py", "detector/eras.py"})
#: what only other years than the default ones look at
_OF_OTHER_YEARS = frozenset({"detector/run3.py", "definitions/points/run3.py"})
_TABLES = "detector/retuning/tables"
_DIGITS = 12
#: what of code gives no numbers
_NO_NUMBERS = frozenset({"annotation", "returns", "type_comment", "kind"})
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def detector_digest(era: DetectorEra = DEFAULT_ERA) -> str:
    """The detector as it imitates the years `era`."""
    physics = files("flashsim_prod.physics")
    rooms = (found for room in _ROOMS for found in files_below(physics / room, room))
    code = {name: file.read_text(encoding="utf-8") for name, file in rooms if name.endswith(".py")}
    tables = {name: physics.joinpath(_TABLES, name).read_text(encoding="utf-8") for name in era.tables}
    return digest_of(era, code, tables)


def digest_of(era: DetectorEra, code: Mapping[str, str], tables: Mapping[str, str]) -> str:
    """The same of a detector with other `code`, by the module's file, and `tables`, by name."""
    left_out = _NOT_ITS_OWN | (_OF_OTHER_YEARS if era.name == DEFAULT_ERA.name else frozenset())
    parts = {
        "years": {key: value for key, value in asdict(era).items() if key != "told"},
        "code": {name: _form(ast.parse(text)) for name, text in code.items() if name not in left_out},
        "tables": {name: _lines(text) for name, text in tables.items()},
        "models": {one.name: [one.form, *map(str, one.targets)] for one in plain_models_of(era.nano)},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _lines(table: str) -> list[str]:
    return [line.strip() for line in table.splitlines() if not line.startswith("#")]


def _form(node: Any) -> Any:
    """A syntax tree in plain values, without what says nothing, as other versions of Python write it, too."""
    if isinstance(node, list):
        return [_form(one) for one in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = fields["body"][1:]
    return [
        type(node).__name__,
        {key: _form(one) for key, one in fields.items() if key not in _NO_NUMBERS and one not in (None, [])},
    ]
